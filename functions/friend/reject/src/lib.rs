//! `POST /api/friends/requests/:id/reject`: the addressee says no.

use plaza_domain::friend::Status;
use plaza_kit::{Problem, Reply, Request};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    plaza_friend::answer(&request, Status::Rejected).await
}
