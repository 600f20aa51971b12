//! `POST /api/friends/requests/:id/accept`: the addressee says yes.

use plaza_domain::friend::Status;
use plaza_kit::{Problem, Reply, Request};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    plaza_friend::answer(&request, Status::Accepted).await
}
