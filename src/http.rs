//! The basis of a small web server: limits connections, checks host names, and stops other sites from using its answers.
//!
//! # Layout
//!
//! - `connections`: limits how many there are and how long each may take.
//! - `host`: checks the host name of a request.

mod connections;
mod host;

use axum::http::HeaderValue;
use axum::response::Response;

pub(crate) use connections::{answer, converse};
pub(crate) use host::{HostNames, only_ours};

/// Stops other sites from fetching, framing or reinterpreting an answer.
pub(crate) async fn for_this_page_alone(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        ("cross-origin-resource-policy", "same-origin"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
