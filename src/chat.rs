//! Calls a chat-completions server in OpenAI's form: sends text and images, gets text and log probabilities. Sends only what it is asked to
//! send.
//!
//! # Layout
//!
//! - `server`: the server's address, model and key.
//! - `call`: the request, as JSON.
//! - `reply`: the answer.
//! - `store`: keeps answers on disk, by the hash of the request.
//! - `client`: sends calls, repeats failed ones, gives up.
//! - `probe`: finds out what a server can do.

mod call;
mod client;
mod probe;
mod reply;
mod server;
mod store;

pub(crate) use call::{Call, Image, Part, Shape};
pub(crate) use client::{CallError, Client, Ledger};
pub(crate) use probe::{Abilities, probe};
pub(crate) use reply::Reply;
#[cfg(test)]
pub(crate) use reply::Token;
pub(crate) use server::Server;

/// The reply that a kept answer to the request with this hash holds, or else that the bytes of a server's answer hold.
pub(crate) fn reply_in(bytes: &[u8], hash: &str) -> Option<Reply> {
    let kept = store::StoredReply::read(bytes, hash, std::path::Path::new("input"));
    let answer = match kept {
        Ok(kept) => kept.answer,
        Err(_) => serde_json::from_slice(bytes).ok()?,
    };
    Reply::read(&answer)
}
