//! `earmark learn`: starts the program that trains heads.

use crate::cli::Learn;
use crate::failure::Reported;
use crate::learning;

/// Starts `earmark-learning` with the same arguments.
///
/// # Errors
/// It is not found, or failed (and said why).
pub(super) fn run(args: &Learn) -> anyhow::Result<()> {
    let status = learning::show(&args.args)?;
    if status.success() {
        return Ok(());
    }
    Err(Reported.into())
}
