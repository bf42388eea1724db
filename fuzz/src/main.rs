//! `earmark-fuzz [--seconds N] [--jobs N] [--seed N] [TARGET...]`: mutates the seeds of every target, each target in its own process with
//! 1 GB. A panic, a signal, or an input that takes 10 s or more memory is a failure: it is reported, its input is kept in
//! `target/fuzz/`, and the exit status is 1.
//!
//! # Layout
//!
//! - `targets`: the readers that are fuzzed, and their seeds.
//! - `spoil`: a seed -> a mutated input.
//! - `child`: one target, in its process.

mod child;
mod spoil;
mod targets;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use targets::{TARGETS, Target};

/// Memory limit of a child, in KiB.
const MEMORY_KIB: u64 = 1 << 20;
/// How much longer than its time a child may take before it is killed.
const GRACE: Duration = Duration::from_secs(60);

/// The command line.
struct Args {
    seconds: u64,
    jobs: usize,
    seed: u64,
    child: bool,
    targets: Vec<&'static Target>,
}

fn main() -> ExitCode {
    gstearmark::onnx::forbid_telemetry();
    // The command reads feature files in a child process: this program, started again.
    if std::env::args().nth(1).is_some_and(|word| word == "reader") {
        targets::leave_panics();
        return earmark::commands::run(earmark::commands::typed());
    }
    match args().and_then(|args| {
        if args.child {
            child::run(&args)
        } else {
            all(&args)
        }
    }) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            say(&format!("error: {e:#}"));
            ExitCode::from(2)
        }
    }
}

/// Prints to stderr, with control characters made visible.
fn say(text: &str) {
    eprintln!("{}", gstearmark::printable::visible(text));
}

fn args() -> anyhow::Result<Args> {
    let mut args = Args {
        seconds: 60,
        jobs: 2,
        seed: 0,
        child: false,
        targets: Vec::new(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || -> anyhow::Result<u64> {
            let text = words
                .next()
                .with_context(|| format!("{word} needs a number"))?;
            text.parse()
                .with_context(|| format!("{word} {text} is not a whole number"))
        };
        match word.as_str() {
            "--seconds" => args.seconds = number()?,
            "--jobs" => args.jobs = usize::try_from(number()?)?.clamp(1, 64),
            "--seed" => args.seed = number()?,
            "--child" => args.child = true,
            name => match TARGETS.iter().find(|target| target.name == name) {
                Some(target) => args.targets.push(target),
                None => {
                    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
                    bail!("unknown target {name}: use one of {}", names.join(", "));
                }
            },
        }
    }
    if args.targets.is_empty() {
        args.targets = TARGETS.iter().collect();
    }
    Ok(args)
}

/// Folder of a target's current input and of its failures.
fn folder(target: &Target) -> anyhow::Result<PathBuf> {
    let target_folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        PathBuf::from,
    );
    let folder = target_folder.join("fuzz").join(target.name);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// A running child.
struct Running {
    target: &'static Target,
    child: Child,
    until: Instant,
}

/// Runs every target, `jobs` at a time; returns whether none failed.
fn all(args: &Args) -> anyhow::Result<bool> {
    let mut waiting: VecDeque<_> = args.targets.iter().copied().collect();
    let mut running: Vec<Running> = Vec::new();
    let mut failed = Vec::new();
    while !waiting.is_empty() || !running.is_empty() {
        while running.len() < args.jobs
            && let Some(target) = waiting.pop_front()
        {
            running.push(start(target, args)?);
        }
        std::thread::sleep(Duration::from_millis(100));
        let mut still = Vec::new();
        for mut one in running {
            let status = match one.child.try_wait()? {
                None if Instant::now() < one.until => {
                    still.push(one);
                    continue;
                }
                None => {
                    one.child.kill()?;
                    one.child.wait()?
                }
                Some(status) => status,
            };
            if !status.success() {
                let kept = keep(one.target)?;
                say(&format!(
                    "{}: FAILED ({status}); its input is {}",
                    one.target.name,
                    kept.display()
                ));
                failed.push(one.target.name);
            }
        }
        running = still;
    }
    if failed.is_empty() {
        say(&format!("{} targets held", args.targets.len()));
    } else {
        say(&format!("failed: {}", failed.join(", ")));
    }
    Ok(failed.is_empty())
}

fn start(target: &'static Target, args: &Args) -> anyhow::Result<Running> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let child = Command::new("bash")
        .args([
            "-c",
            &format!("ulimit -c 0 -d {MEMORY_KIB}; exec \"$@\""),
            "bash",
        ])
        .arg(program)
        .args([
            "--child",
            "--seconds",
            &args.seconds.to_string(),
            "--seed",
            &args.seed.to_string(),
        ])
        .arg(target.name)
        .spawn()
        .context("cannot start bash")?;
    Ok(Running {
        target,
        child,
        until: Instant::now() + Duration::from_secs(args.seconds) + GRACE,
    })
}

/// Keeps the input that a child was at when it ended.
fn keep(target: &Target) -> anyhow::Result<PathBuf> {
    let folder = folder(target)?;
    let current = folder.join(target.file);
    let kept = (1..)
        .map(|n| folder.join(format!("failure-{n}-{}", target.file)))
        .find(|path| !path.exists())
        .context("too many failures")?;
    std::fs::copy(&current, &kept).with_context(|| format!("cannot read {}", current.display()))?;
    Ok(kept)
}
