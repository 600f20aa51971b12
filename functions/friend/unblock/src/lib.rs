//! `DELETE /api/friends/blocks/:user_id`: the caller no longer blocks somebody.

use plaza_domain::friend::Between;
use plaza_kit::{Problem, Reply, Request};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    plaza_friend::end(&request, Between::unblock).await
}
