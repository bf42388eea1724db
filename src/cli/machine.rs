//! What this machine has: `earmark models`.

use clap::Args;

/// `earmark models`.
#[derive(Debug, Args)]
pub struct Models {
    /// Compare every model file with its manifest; exit 1 if one is missing or altered.
    #[arg(long)]
    pub check: bool,
}
