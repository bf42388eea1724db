//! A small web server's ground: connections that are bounded, names by which it may be asked, answers that stay on their page.
//!
//! # Layout
//!
//! - `connections`: how many at once, and how long each may take.
//! - `host`: by which names the server may be asked.

mod connections;
mod host;

use axum::http::HeaderValue;
use axum::response::Response;

pub(crate) use connections::{answer, converse};
pub(crate) use host::{HostNames, only_ours};

/// No other page may take, frame or reinterpret what is answered.
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
