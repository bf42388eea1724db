//! One target in its own process: feeds mutated seeds until the time is up.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::spoil;
use crate::targets::Target;
use crate::{Args, folder, say};

/// Longest time for an input.
const LONGEST: Duration = Duration::from_secs(10);
/// Inputs between two checks of the clock.
const ROUND: u32 = 64;
/// Longest input, in bytes.
const LARGEST: usize = 4 << 20;

/// Whether a thread panicked, and the last panic's message.
static PANICKED: AtomicBool = AtomicBool::new(false);
static HOW: Mutex<String> = Mutex::new(String::new());
/// Inputs begun, and whether one is being read.
static BEGUN: AtomicU64 = AtomicU64::new(0);
static AT_WORK: AtomicBool = AtomicBool::new(false);

/// Runs the target; returns whether it did not fail.
pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    let [target] = args.targets[..] else {
        bail!("a child has one target");
    };
    earmark::init().context("GStreamer cannot start")?;
    // Its parsers warn about every other input.
    let levels = gst::glib::LogLevels::LEVEL_WARNING | gst::glib::LogLevels::LEVEL_CRITICAL;
    gst::glib::log_set_handler(Some("GStreamer"), levels, false, false, |_, _, _| {});
    // A panic of another thread counts even if its caller turns it into an ordinary error.
    std::panic::set_hook(Box::new(|info| {
        if let Ok(mut how) = HOW.lock() {
            *how = info.to_string();
        }
        PANICKED.store(true, Ordering::SeqCst);
    }));
    std::thread::spawn(watch);
    let file = folder(target)?.join(target.file);
    let seeds = (target.seeds)().context("the seeds cannot be made")?;
    let until = Instant::now() + Duration::from_secs(args.seconds);
    for (number, seed) in seeds.iter().enumerate() {
        if let Err(why) = feed(target, &file, seed) {
            say(&format!("{}: seed {number}: {why}", target.name));
            return Ok(false);
        }
    }
    let strategy = spoil::strategy(seeds, LARGEST);
    let mut round = args.seed;
    while Instant::now() < until {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&round.to_le_bytes());
        let config = Config {
            cases: ROUND,
            failure_persistence: None,
            max_shrink_iters: 2000,
            ..Config::default()
        };
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &key);
        let result = TestRunner::new_with_rng(config, rng).run(&strategy, |input| {
            feed(target, &file, &input).map_err(TestCaseError::fail)
        });
        if let Err(TestError::Fail(why, input)) = result {
            // The smallest that was found.
            std::fs::write(&file, &*input)?;
            say(&format!("{}: round {round}: {why}", target.name));
            return Ok(false);
        }
        round += 1;
    }
    say(&format!(
        "{}: {} inputs",
        target.name,
        BEGUN.load(Ordering::SeqCst)
    ));
    Ok(true)
}

/// One input, kept in a file before it is tried.
fn feed(target: &Target, file: &Path, input: &[u8]) -> Result<(), String> {
    std::fs::write(file, input).map_err(|e| e.to_string())?;
    PANICKED.store(false, Ordering::SeqCst);
    BEGUN.fetch_add(1, Ordering::SeqCst);
    AT_WORK.store(true, Ordering::SeqCst);
    let done = std::panic::catch_unwind(|| (target.feed)(file, input));
    AT_WORK.store(false, Ordering::SeqCst);
    if done.is_err() || PANICKED.load(Ordering::SeqCst) {
        return Err(HOW.lock().map(|how| how.clone()).unwrap_or_default());
    }
    Ok(())
}

/// Ends the process when an input takes too long.
fn watch() {
    let (mut last, mut since) = (0, Instant::now());
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let begun = BEGUN.load(Ordering::SeqCst);
        if begun != last || !AT_WORK.load(Ordering::SeqCst) {
            (last, since) = (begun, Instant::now());
        } else if since.elapsed() > LONGEST {
            say(&format!(
                "an input takes longer than {} s",
                LONGEST.as_secs()
            ));
            std::process::abort();
        }
    }
}
