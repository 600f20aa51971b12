//! What every function of Plaza is written with.
//!
//! A function is one handler: from a [`Request`] to a [`Reply`], or to the [`Problem`] that says why not. It knows the
//! types of the `http` crate, the domain and this kit; it knows neither Spin's SDK nor WASI, so that their next
//! generation is a matter of this crate alone.
//!
//! ```text
//! plaza_kit::function!(handle);
//!
//! async fn handle(request: Request) -> Result<Reply, Problem> {
//!     let caller = auth::caller(&request).await?;
//!     let database = Database::open("chat").await?;
//!     database.transaction(async |change| { /* … */ change.emit(&event).await }).await?;
//!     reply::json(201, &message)
//! }
//! ```

#![allow(clippy::unused_async)] // the interface is async; under WASI 0.2 what it calls is not

pub mod auth;
pub mod clock;
pub mod cloudevents;
pub mod exports;
#[cfg(feature = "grip")]
pub mod grip;
mod guest;
pub mod key_value;
pub mod limit;
pub mod lookup;
#[cfg(feature = "passwords")]
pub mod password;
pub mod reply;
mod request;
#[cfg(feature = "seal")]
mod seal;
pub mod secret;
pub mod store;
#[cfg(feature = "tokens")]
pub mod tokens;
pub mod variable;

pub use plaza_domain::Problem;
pub use reply::Reply;
pub use request::{Json, Request};
pub use store::{Change, Database, Row};

#[doc(hidden)]
pub mod export {
    //! What [`function!`](crate::function) expands to.
    pub use crate::guest::serve;
    pub use crate::request::BODY_BYTES_MAX;
    pub use wasi;
}

/// Makes a handler, `async fn(Request) -> Result<Reply, Problem>`, the component's `wasi:http/incoming-handler`.
///
/// It reads bodies of up to 64 KiB; one that needs more says how much: `function!(handle, body_bytes_max = 1024 * 1024)`.
#[macro_export]
macro_rules! function {
    ($handler:path) => {
        $crate::function!($handler, body_bytes_max = $crate::export::BODY_BYTES_MAX);
    };
    ($handler:path, body_bytes_max = $body_bytes_max:expr) => {
        struct Function;

        impl $crate::export::wasi::exports::http::incoming_handler::Guest for Function {
            fn handle(
                request: $crate::export::wasi::http::types::IncomingRequest,
                answer: $crate::export::wasi::http::types::ResponseOutparam,
            ) {
                $crate::export::serve(request, answer, $body_bytes_max, $handler);
            }
        }

        $crate::export::wasi::http::proxy::export!(Function with_types_in $crate::export::wasi);
    };
}
