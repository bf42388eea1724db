//! The `earmark` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Must come first, for this process and its workers: ONNX Runtime is not loaded yet.
    gstearmark::onnx::forbid_telemetry();
    earmark::commands::run(earmark::commands::typed())
}
