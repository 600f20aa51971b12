//! `DELETE /api/friends/:user_id`: ends a friendship.

use plaza_domain::friend::Between;
use plaza_kit::{Problem, Reply, Request};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    plaza_friend::end(&request, Between::unfriend).await
}
