//! Sends anchors, first decided and then written, and their frames if wanted, to a web server, at least once and in order: one POST of JSON each, from a store on disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::events::Event;
use super::notices::Notices;
use super::secret::without_password;
use super::spool::Spool;

/// Longest time for a server to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// First and longest wait before a new attempt.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// How often it checks whether it should end.
const TICK: Duration = Duration::from_millis(200);

/// Address and options.
pub(super) struct Settings {
    pub(super) url: String,
    /// Largest size of the store, bytes.
    pub(super) store: u64,
    pub(super) folder: PathBuf,
}

/// Starts sending to a server; the thread ends with the hub.
///
/// # Errors
/// The address is invalid, or the store cannot be opened.
pub(super) fn start(
    settings: Settings,
    events: Receiver<Arc<Event>>,
    said: Arc<Notices>,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<std::thread::JoinHandle<()>> {
    let is_web = ["http://", "https://"]
        .iter()
        .any(|scheme| settings.url.starts_with(scheme));
    if !is_web || settings.url.parse::<ureq::http::Uri>().is_err() {
        bail!(
            "events.webhook: {} is not an address: it must begin with http:// or https://",
            without_password(&settings.url)
        );
    }
    if settings.url.starts_with("https://") {
        // Another may be installed already; either will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let spool = Spool::open(&settings.folder, settings.store).with_context(|| {
        format!(
            "cannot open the store for events in {}",
            settings.folder.display()
        )
    })?;
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .max_redirects(0)
        .http_status_as_error(false)
        .build()
        .into();
    Ok(std::thread::Builder::new()
        .name("earmark-webhook".into())
        .spawn(move || {
            WebhookSender {
                url: settings.url,
                agent,
                spool,
                said,
                stop,
                wait: WAITS.0,
                again: Instant::now(),
            }
            .run(&events);
        })?)
}

struct WebhookSender {
    url: String,
    agent: ureq::Agent,
    spool: Spool,
    said: Arc<Notices>,
    stop: Arc<AtomicBool>,
    wait: Duration,
    again: Instant,
}

impl WebhookSender {
    fn run(mut self, events: &Receiver<Arc<Event>>) {
        loop {
            match events.recv_timeout(TICK) {
                Ok(event) if ["anchor", "written", "image"].contains(&event.kind) => {
                    if let Err(e) = self.spool.push(&event.value.to_string()) {
                        self.say(&format!("the store for events failed: {e}"));
                    }
                }
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if Instant::now() >= self.again {
                self.send(events.len() < 100);
            }
        }
        self.send(true);
        let _ = self.spool.note();
    }

    /// Sends waiting events until something fails; just one if `all` is false.
    fn send(&mut self, all: bool) {
        loop {
            let line = match self.spool.next(1) {
                Ok(lines) => lines.into_iter().next(),
                Err(e) => return self.say(&format!("the store for events failed: {e}")),
            };
            let Some(line) = line else { return };
            let answer = self
                .agent
                .post(&self.url)
                .header("content-type", "application/json")
                .send(&line);
            let failed = match answer {
                Ok(answer) if answer.status().is_success() => None,
                // The server will never take this event, but may take a later one.
                Ok(answer) if answer.status().is_client_error() && answer.status() != 429 => {
                    self.say(&format!(
                        "the web server refuses an event: {}",
                        answer.status()
                    ));
                    None
                }
                Ok(answer) => Some(format!("answers {}", answer.status())),
                Err(e) => Some(format!("cannot be reached: {e}")),
            };
            if let Some(why) = failed {
                self.spool.again();
                self.say(&format!("the web server {why}; events wait on disk"));
                self.again = Instant::now() + self.wait;
                self.wait = (self.wait * 2).min(WAITS.1);
                return;
            }
            self.wait = WAITS.0;
            let noted = self.spool.taken(1).and_then(|()| self.spool.note());
            if let Err(e) = noted {
                self.say(&format!("the store for events failed: {e}"));
            }
            if !all || (self.stop.load(Ordering::Relaxed) && self.again.elapsed() > PATIENCE) {
                return;
            }
        }
    }

    fn say(&self, text: &str) {
        self.said.say("earmark live", text, text);
    }
}

/// The store's folder, inside the folder for files.
pub(super) fn folder(output: &Path) -> PathBuf {
    output.join(".events").join("webhook")
}
