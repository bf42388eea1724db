//! The `earmark` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all, for this process and its workers: nothing has loaded ONNX Runtime yet.
    gstearmark::onnx::forbid_telemetry();
    earmark::commands::run(earmark::commands::typed())
}
