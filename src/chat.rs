//! Calls a server with chat completions in OpenAI's form: text and images in, text and log probabilities out. Sends nothing on its own.
//!
//! # Layout
//!
//! - `server`: which server, and how it is called.
//! - `call`: what is asked, as JSON.
//! - `reply`: what came back.
//! - `store`: answers on disk by the hash of what was asked.
//! - `client`: sends, repeats, gives up.
//! - `probe`: what a server can do.

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
