//! `earmark live`: listens to cameras and microphones for weeks, takes frames where it pays, writes hourly files, and sends events.
//!
//! # Layout
//!
//! - `supervisor`: decides when a source is started, counts as lost, and is tried again. Pure: no threads, no clock.
//! - `media`: watches the encoded pads and maps stream time to the wall clock. `skew`: measures how fast the camera's clocks run.
//!   `damage`: leaves out frames that lost packets have damaged.
//! - `source`: runs one source. `attempt`: one attempt to play it. `graph`: helpers for its graph. `hanging`: threads that
//!   may hang in it. `seen`: its state, as others may read it.
//! - `announced`: what the elements of a source say becomes events. `shared`: what all sources share.
//! - `parts`: sound and video from devices of their own: one goes on while the other is lost.
//! - `plan`: the settings of a source. `trial`: tries sources for some seconds. `secret`: hides passwords in texts.
//! - `watch`: notices pipeline files that were changed.
//! - `files`: names files, recovers what a killed run left, deletes the oldest.
//! - `events`: events as JSON, and their queues.
//! - `spool`: keeps events on disk until they are delivered. `mqtt`, `webhook`: deliver them.
//! - `heard`: the last ten minutes of a source. `page`, `metrics`: serve them.
//! - `service`: notifies systemd.
//! - `notices`: writes to stderr, each fault at most once a minute.

mod announced;
mod attempt;
mod damage;
mod events;
mod files;
mod graph;
mod hanging;
mod heard;
mod media;
mod metrics;
mod mqtt;
mod notices;
mod page;
mod parts;
mod plan;
mod secret;
mod seen;
mod service;
mod shared;
mod skew;
mod source;
mod spool;
pub mod supervisor;
mod trial;
mod watch;
mod webhook;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::json;

use crate::cli;
use crate::pipeline::{Events, Pipeline};
use crate::session;
use crate::stop::Stop;
use crate::terminal::{self, Output};
pub(crate) use events::EVENT_SCHEMA;
use events::{Hub, Lines};
use notices::Notices;
use page::Sources;
use plan::{Asked, Plan, plans};
use seen::SourceStatus;
use shared::Shared;
use source::{End, Source};
pub(crate) use trial::trial;
use watch::Watch;

/// How often the main thread wakes.
const TICK: Duration = Duration::from_millis(100);
/// Time between two checks for files to delete.
const RETAIN: Duration = Duration::from_secs(60);
/// Time between two looks at the room on the disk.
const LOOK: Duration = Duration::from_secs(2);
/// Longest wait for sources to stop; after it the process ends without them.
const LAST: Duration = Duration::from_secs(40);

/// The process ends if so many graphs hang, so that its service manager can restart it.
const MOST_HANGING: usize = 8;

/// A source that is playing.
struct Playing {
    name: String,
    /// Its settings.
    key: String,
    stop: Arc<AtomicBool>,
    seen: Arc<SourceStatus>,
    thread: JoinHandle<End>,
}

/// `earmark live`.
///
/// # Errors
/// Something prevents the start. A source that fails does not: it is tried again.
pub(crate) fn run(args: &cli::Live, output: Output, stop: &Stop) -> anyhow::Result<()> {
    let begun = Instant::now();
    session::memory::stay_small();
    let mut watch = Watch::new(&args.pipelines);
    let (folder, plans) = plans(&asked(args))?;
    for plan in &plans {
        session::check_models(&plan.pipeline)?;
    }
    files::ready(&folder)?;
    // Sources with the same models share their sessions; a restarted source finds them again.
    gstearmark::onnx::share_sessions();
    gstearmark::onnx::keep_sessions(4 * plans.len());
    let notices = Arc::new(Notices::default());
    let mut hub = Hub::default();
    let lines = match &args.events {
        Some(place) => {
            let (lines, events) = (Lines::open(place)?, hub.output("lines"));
            Some(
                std::thread::Builder::new()
                    .name("earmark-events".into())
                    .spawn(move || lines.write(&events))?,
            )
        }
        None => None,
    };
    let (mut live, outputs) = (
        plans[0].pipeline.live.clone(),
        plans[0].pipeline.events.clone(),
    );
    let names: Vec<String> = plans.iter().map(|plan| plan.name.clone()).collect();
    // Set when all sources have ended and their last events are delivered.
    let quiet = Arc::new(AtomicBool::new(false));
    let senders = senders(&outputs, &folder, &names, &mut hub, &notices, &quiet)?;
    let page = args.status.map(|address| (address, hub.output("page")));
    let shared = Shared {
        stop: Arc::default(),
        hanging: Arc::default(),
        notices: notices.clone(),
        hub,
    };
    let recovering = {
        let (folder, notices) = (folder.clone(), notices.clone());
        std::thread::Builder::new()
            .name("earmark-recover".into())
            .spawn(move || {
                for text in files::recover(&folder) {
                    notices.say("earmark live", &text, &text);
                }
            })?
    };
    let again = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGHUP, again.clone())
        .context("cannot listen for SIGHUP")?;
    let seen = Sources::default();
    if let Some((address, events)) = page {
        let token = args.token_file.as_deref();
        let hub = shared.hub.numbers();
        let at = page::serve(address, token, seen.clone(), hub, events, quiet.clone())?;
        notices.say(
            "earmark live",
            "page",
            &format!("status page: http://{at}/"),
        );
    }
    let mut playing = Vec::new();
    for plan in plans {
        playing.push(start(plan, &shared)?);
    }
    note(&seen, &playing);
    service::notify("READY=1");
    let mut retained: Option<Instant> = None;
    let mut looked = Instant::now();
    loop {
        let over = args
            .seconds
            .is_some_and(|seconds| begun.elapsed() >= Duration::from_secs(seconds));
        if stop.is_wanted() || over || playing.iter().all(|source| source.thread.is_finished()) {
            break;
        }
        if shared.hanging.load(Ordering::Relaxed) >= MOST_HANGING {
            bail!(
                "{MOST_HANGING} graphs of lost sources hang and block their threads: the process ends so that it can be restarted, and recovers open files then"
            );
        }
        let is_asked = again.swap(false, Ordering::Relaxed);
        if is_asked {
            watch.read_now();
        }
        if is_asked || watch.has_changed() {
            service::notify("RELOADING=1");
            if let Some(pipeline) = reload(args, &mut playing, &shared) {
                live = pipeline.live;
                if pipeline.events != outputs {
                    terminal::tell("where events go is read only at the start, so that stays");
                }
            }
            note(&seen, &playing);
            service::notify("READY=1");
        }
        service::notify("WATCHDOG=1");
        let mut is_due = retained.is_none_or(|last| last.elapsed() >= RETAIN);
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            is_due |= files::is_short(&folder, &live);
        }
        if is_due {
            retained = Some(Instant::now());
            let names: Vec<String> = playing.iter().map(|source| source.name.clone()).collect();
            let (gone, bytes) = files::retain(&folder, &names, &live);
            if gone > 0 {
                let text = format!("deleted the {gone} oldest files, {bytes} bytes");
                notices.say("earmark live", "retention", &text);
            }
        }
        std::thread::sleep(TICK);
    }
    service::notify("STOPPING=1");
    for source in &playing {
        source.stop.store(true, Ordering::Relaxed);
    }
    drop(shared);
    let since = Instant::now();
    let all_over = |playing: &[Playing]| playing.iter().all(|source| source.thread.is_finished());
    while !(all_over(&playing) && recovering.is_finished()) && since.elapsed() < LAST {
        std::thread::sleep(TICK / 10);
    }
    // A hanging source would block everybody who waits for events for ever.
    let waits = all_over(&playing);
    let ended = end(playing, begun.elapsed(), output);
    quiet.store(true, Ordering::Relaxed);
    if !waits {
        return ended;
    }
    for sender in senders {
        // Its thread ended unexpectedly, maybe with undelivered events; they stay in the store for the next start.
        let _ = sender.join();
    }
    if let Some(lines) = lines {
        lines
            .join()
            .map_err(|_| anyhow::anyhow!("the thread that writes events ended unexpectedly"))??;
    }
    ended
}

/// Starts a source in its own thread.
fn start(plan: Plan, shared: &Shared) -> anyhow::Result<Playing> {
    let (name, key) = (plan.name.clone(), plan.key());
    let stop: Arc<AtomicBool> = Arc::default();
    let shared = Shared {
        stop: stop.clone(),
        ..shared.clone()
    };
    let source = Source::new(plan, shared);
    let seen = source.seen.clone();
    let thread = std::thread::Builder::new()
        .name(format!("live-{name}"))
        .spawn(move || source.run())?;
    Ok(Playing {
        name,
        key,
        stop,
        seen,
        thread,
    })
}

/// Replaces the sources on the page.
fn note(seen: &Sources, playing: &[Playing]) {
    let now = playing.iter().map(|source| source.seen.clone()).collect();
    *seen.lock().unwrap_or_else(PoisonError::into_inner) = now;
}

/// Reads the pipelines again: keeps unchanged sources, closes those that are gone or changed, starts those that are new or changed. If
/// anything is wrong, keeps everything as it is. Returns the first pipeline, if nothing is.
fn reload(args: &cli::Live, playing: &mut Vec<Playing>, shared: &Shared) -> Option<Pipeline> {
    let read = plans(&asked(args)).and_then(|(_, plans)| {
        for plan in &plans {
            session::check_models(&plan.pipeline)?;
        }
        Ok(plans)
    });
    let plans = match read {
        Ok(plans) => plans,
        Err(e) => {
            terminal::tell(&format!(
                "the pipelines have errors, so nothing changes: {e:#}"
            ));
            return None;
        }
    };
    let stays = |source: &Playing| plans.iter().any(|plan| plan.key() == source.key);
    for source in playing.iter().filter(|source| !stays(source)) {
        source.stop.store(true, Ordering::Relaxed);
    }
    let since = Instant::now();
    let stopping = |playing: &[Playing]| {
        playing
            .iter()
            .any(|source| !stays(source) && !source.thread.is_finished())
    };
    while stopping(playing) && since.elapsed() < LAST {
        std::thread::sleep(TICK / 10);
    }
    let first = plans.first().map(|plan| plan.pipeline.clone());
    let before = playing.len();
    playing.retain(|source| stays(source));
    let kept = playing.len();
    for plan in plans {
        if playing.iter().any(|source| source.key == plan.key()) {
            continue;
        }
        match start(plan, shared) {
            Ok(source) => playing.push(source),
            Err(e) => terminal::tell(&format!("cannot start a source: {e:#}")),
        }
    }
    terminal::tell(&format!(
        "the pipelines were read again: {kept} sources go on, {} were closed, {} were started",
        before - kept,
        playing.len() - kept
    ));
    first
}

/// Starts the outputs for events.
fn senders(
    events: &Events,
    folder: &Path,
    names: &[String],
    hub: &mut Hub,
    notices: &Arc<Notices>,
    quiet: &Arc<AtomicBool>,
) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let store = u64::from(events.store_mb) << 20;
    let mut all = Vec::new();
    if !events.mqtt.is_empty() {
        let settings = mqtt::Settings {
            url: events.mqtt.clone(),
            prefix: events.mqtt_prefix.clone(),
            discovery: events.discovery.clone(),
            ca: events.mqtt_ca.clone(),
            store,
            folder: mqtt::folder(folder),
        };
        let output = hub.output("mqtt");
        let threads = mqtt::start(
            settings,
            names.to_vec(),
            output,
            notices.clone(),
            quiet.clone(),
        )?;
        all.extend(threads);
    }
    if !events.webhook.is_empty() {
        let settings = webhook::Settings {
            url: events.webhook.clone(),
            store,
            folder: webhook::folder(folder),
        };
        let output = hub.output("webhook");
        all.push(webhook::start(
            settings,
            output,
            notices.clone(),
            quiet.clone(),
        )?);
    }
    Ok(all)
}

/// Waits for every source and reports what was done.
fn end(playing: Vec<Playing>, took: Duration, output: Output) -> anyhow::Result<()> {
    let since = Instant::now();
    let (mut all, mut bad) = (Vec::new(), Vec::new());
    for source in playing {
        while !source.thread.is_finished() && since.elapsed() < LAST {
            std::thread::sleep(TICK / 10);
        }
        let end = source
            .thread
            .is_finished()
            .then(|| source.thread.join().unwrap_or(End::Failed));
        if end != Some(End::Done) {
            bad.push(source.name.clone());
        }
        let (now, counts) = (source.seen.now(), &source.seen.counts);
        let number = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        let faults: serde_json::Map<_, _> = now
            .faults
            .iter()
            .map(|(cause, times)| (cause.name().into(), (*times).into()))
            .collect();
        all.push(json!({
            "name": source.name,
            "starts": now.starts,
            "faults": faults,
            "last_fault": now.last_fault.as_ref().map(|(_, why)| why),
            "encoded_frames": number(&counts.frames),
            "files": number(&counts.files),
            "anchors": number(&counts.anchors),
            "frames": number(&counts.taken).saturating_sub(number(&counts.left_out)),
            "left_out": number(&counts.left_out),
            "left_out_anchors": number(&counts.left_out_anchors),
            "spent_tokens": number(&counts.tokens),
            "abandoned": number(&counts.abandoned),
            "damaged": number(&counts.damaged),
        }));
    }
    if output.json {
        let value = json!({ "ok": bad.is_empty(), "seconds": took.as_secs_f64(), "sources": all });
        terminal::print(&format!("{value:#}"))?;
    } else {
        for source in &all {
            let left_out = match source["left_out"].as_u64() {
                None | Some(0) => String::new(),
                Some(frames) => {
                    format!("; {frames} frames were left out, as the encoder was too slow")
                }
            };
            terminal::tell(&format!(
                "{}: {} files, {} frames, {} anchors, {} tokens; started {} times{left_out}",
                source["name"].as_str().unwrap_or_default(),
                source["files"],
                source["frames"],
                source["anchors"],
                source["spent_tokens"],
                source["starts"],
            ));
        }
    }
    if !bad.is_empty() {
        bail!("not everything was stopped or done: {}", bad.join(", "));
    }
    Ok(())
}

fn asked(args: &cli::Live) -> Asked<'_> {
    Asked {
        pipelines: &args.pipelines,
        set: &args.set,
        output: args.output.as_deref(),
        name: args.name.as_deref(),
        threads: args.threads,
    }
}
