//! Serves the live page and its JSON. Read-only. Connections, subscribed clients, and the events that wait for each are bounded, so slow or
//! hostile clients cost little.

use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as Polled, Poll};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use axum::Router;
use axum::extract::{Request, State as Given};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use futures_core::Stream;
use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver as Incoming, Sender, channel};

use super::events::{Event, LostEvents};
use super::metrics;
use super::seen::SourceStatus;
use super::supervisor::State;
use crate::http::{HostNames, answer, for_this_page_alone, only_ours};

const PAGE: &str = include_str!("assets/live.html");
const SCRIPT: &str = include_str!("assets/live.js");
const STYLE: &str = include_str!("assets/live.css");

/// Most subscribed clients.
const CLIENTS: usize = 32;
/// Most events that may wait for one client; a slower one is dropped.
const WAITING: usize = 256;
/// Longest subscription; the client then asks again.
const LONGEST: Duration = Duration::from_secs(3_600);
/// Time between two ticks.
const TICK: Duration = Duration::from_secs(1);
/// Fewest letters of a token.
const SHORTEST: usize = 16;

/// The current sources.
pub(super) type Sources = Arc<Mutex<Vec<Arc<SourceStatus>>>>;

/// State of the server.
struct PageState {
    sources: Sources,
    lost: LostEvents,
    begun: Instant,
    token: Option<String>,
    clients: Mutex<Vec<Sender<Arc<Message>>>>,
    stop: Arc<AtomicBool>,
}

/// An event's kind and its JSON.
type Message = (&'static str, String);

/// Serves at an address, in a thread, until the process ends. Returns the address with its port. `events`: an output of the hub.
///
/// # Errors
/// The address is taken, or the token is missing or too weak.
pub(super) fn serve(
    address: SocketAddr,
    token_file: Option<&Path>,
    sources: Sources,
    lost: LostEvents,
    events: Receiver<Arc<Event>>,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<SocketAddr> {
    let token = token_file.map(read_token).transpose()?;
    if token.is_none() && !address.ip().is_loopback() {
        bail!(
            "--status {address}: an address that other machines can reach needs a token: --token-file FILE, with at least {SHORTEST} letters"
        );
    }
    let shown = Arc::new(PageState {
        sources,
        lost,
        begun: Instant::now(),
        token,
        clients: Mutex::default(),
        stop,
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("cannot start the server")?;
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind(address))
        .with_context(|| format!("cannot listen at {address}; is the port taken?"))?;
    let at = listener.local_addr().unwrap_or(address);
    let sender = shown.clone();
    std::thread::Builder::new()
        .name("earmark-ticks".into())
        .spawn(move || send_events(&sender, &events))?;
    std::thread::Builder::new()
        .name("earmark-page".into())
        .spawn(move || {
            runtime.block_on(async {
                match answer(listener, router(shown, HostNames::new(at.ip()))).await {}
            })
        })?;
    Ok(at)
}

fn read_token(file: &Path) -> anyhow::Result<String> {
    let token = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the token from {}", file.display()))?;
    let token = token.trim().to_owned();
    let plain = token.chars().all(|c| c.is_ascii_graphic());
    if token.len() < SHORTEST || !plain {
        bail!(
            "{} must hold a token of at least {SHORTEST} printable letters (try `openssl rand -hex 16`)",
            file.display()
        );
    }
    Ok(token)
}

/// Sends events to every client, and a tick every second.
fn send_events(shown: &PageState, events: &Receiver<Arc<Event>>) {
    let mut last = Instant::now();
    while !shown.stop.load(Ordering::Relaxed) {
        match events.recv_timeout(TICK.saturating_sub(last.elapsed())) {
            // The page draws no images; whoever wants them takes another output.
            Ok(event) if event.kind == "image" => {}
            Ok(event) => shown.send((event.kind, event.value.to_string())),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if last.elapsed() >= TICK {
            last = Instant::now();
            if !shown.clients().is_empty() {
                shown.send(("tick", shown.state(false).to_string()));
            }
        }
    }
}

impl PageState {
    fn seen(&self) -> Vec<Arc<SourceStatus>> {
        let sources = self.sources.lock();
        sources.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn clients(&self) -> MutexGuard<'_, Vec<Sender<Arc<Message>>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, message: Message) {
        let message = Arc::new(message);
        // Drops clients that are gone or slow; they ask again if they want to.
        self.clients()
            .retain(|client| client.try_send(message.clone()).is_ok());
    }

    /// The state of everything, with the last ten minutes or just the last second.
    fn state(&self, all: bool) -> Value {
        let sources: Vec<Value> = self.seen().iter().map(|seen| one(seen, all)).collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "up_s": self.begun.elapsed().as_secs(),
            "sources": sources,
            "events_lost": self.lost.all().into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        })
    }
}

fn one(seen: &SourceStatus, all: bool) -> Value {
    let now = seen.now();
    let number = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    let faults: std::collections::BTreeMap<_, _> = now
        .faults
        .iter()
        .map(|(cause, times)| (cause.name(), *times))
        .collect();
    let counts = &seen.counts;
    let mut value = json!({
        "name": seen.name,
        "state": now.state,
        "words": now.state.words(),
        "since_ms": now.since_ns / 1_000_000,
        "starts": now.starts,
        "faults": faults,
        "last_fault": now.last_fault.map(|(cause, text)| json!({ "cause": cause, "text": text })),
        "without": now.without,
        "wall_uncertainty_ms": now.wall.map(|wall| wall.uncertainty.as_millis() as u64),
        "skew_ppm": { "video": now.skew_ppm[0], "audio": now.skew_ppm[1] },
        "damaged": number(&counts.damaged),
        "encoded_frames": number(&counts.frames),
        "anchors": number(&counts.anchors),
        "frames": number(&counts.taken).saturating_sub(number(&counts.left_out)),
        "left_out": number(&counts.left_out),
        "left_out_anchors": number(&counts.left_out_anchors),
        "missed": number(&counts.missed),
        "tokens": number(&counts.tokens),
        "earned": number(&counts.earned),
        "files": number(&counts.files),
        "held_bytes": number(&counts.held),
    });
    if all {
        value["heard"] = seen.heard.all();
    } else {
        value["last"] = json!(seen.heard.last());
    }
    value
}

fn router(shown: Arc<PageState>, names: HostNames) -> Router {
    let open = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/favicon.ico", get(|| async { StatusCode::NO_CONTENT }))
        .route("/readyz", get(are_ready));
    let closed = Router::new()
        .route("/", get(|| async { Html(PAGE) }))
        .route(
            "/live.js",
            get(|| async { typed("text/javascript", SCRIPT) }),
        )
        .route("/live.css", get(|| async { typed("text/css", STYLE) }))
        .route("/metrics", get(metrics_text))
        .route("/api/state", get(state))
        .route("/api/events", get(events))
        .layer(from_fn_with_state(shown.clone(), with_token));
    open.merge(closed)
        .with_state(shown)
        .layer(from_fn_with_state(Arc::new(names), only_ours))
        .layer(map_response(for_this_page_alone))
        .layer(map_response(policy))
}

fn typed(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// The page loads nothing from other sites.
async fn policy(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'self'; frame-ancestors 'none'"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// If there is a token, answers only requests that carry it: in `Authorization: Bearer`, in a cookie, or once as `?token=`, which sets the
/// cookie.
async fn with_token(Given(shown): Given<Arc<PageState>>, request: Request, next: Next) -> Response {
    let Some(token) = &shown.token else {
        return next.run(request).await;
    };
    let by_query = given(&request, token);
    if by_query.is_none() {
        let text = "This page needs its token: ask for /?token=TOKEN, or send Authorization: Bearer TOKEN.\n";
        return (StatusCode::UNAUTHORIZED, text).into_response();
    }
    let cookie = format!("earmark={token}; HttpOnly; SameSite=Strict; Path=/");
    let mut response = next.run(request).await;
    if by_query == Some(true)
        && let Ok(cookie) = HeaderValue::from_str(&cookie)
    {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// Whether the token in the query is right; `None` without one.
fn given(request: &Request, token: &str) -> Option<bool> {
    let text = |name| {
        let value = request.headers().get(name);
        value.and_then(|value| value.to_str().ok())
    };
    let bearer = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    let cookie = text(header::COOKIE).and_then(|cookies| {
        let mut all = cookies.split(';');
        all.find_map(|cookie| cookie.trim().strip_prefix("earmark="))
    });
    let query = request.uri().query().and_then(|query| {
        let mut pairs = query.split('&');
        pairs.find_map(|pair| pair.strip_prefix("token="))
    });
    let fits = |given: Option<&str>| given.is_some_and(|given| same(given, token));
    if fits(query) {
        return Some(true);
    }
    (fits(bearer) || fits(cookie)).then_some(false)
}

/// In constant time, so that timing does not show where they differ.
fn same(given: &str, token: &str) -> bool {
    let pairs = given.bytes().zip(token.bytes());
    given.len() == token.len() && pairs.fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

async fn are_ready(Given(shown): Given<Arc<PageState>>) -> Response {
    let not: Vec<String> = shown
        .seen()
        .iter()
        .map(|seen| (seen, seen.now().state))
        .filter(|(_, state)| *state != State::Healthy)
        .map(|(seen, state)| format!("{}: {}", seen.name, state.words()))
        .collect();
    match not.is_empty() {
        true => "ready\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, not.join("\n") + "\n").into_response(),
    }
}

async fn metrics_text(Given(shown): Given<Arc<PageState>>) -> Response {
    let text = metrics::text(&shown.seen(), &shown.lost.all());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

async fn state(Given(shown): Given<Arc<PageState>>) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        shown.state(true).to_string(),
    )
        .into_response()
}

async fn events(Given(shown): Given<Arc<PageState>>) -> Response {
    let (sender, receiver) = channel(WAITING);
    {
        let mut clients = shown.clients();
        clients.retain(|client| !client.is_closed());
        if clients.len() >= CLIENTS {
            let text = format!("{CLIENTS} clients listen already; try again later\n");
            return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
        }
        clients.push(sender);
    }
    let stream = EventStream {
        receiver,
        until: Instant::now() + LONGEST,
    };
    Sse::new(stream)
        .keep_alive(KeepAlive::default())
        .into_response()
}

/// The stream of events for one client.
struct EventStream {
    receiver: Incoming<Arc<Message>>,
    until: Instant,
}

impl Stream for EventStream {
    type Item = Result<Sent, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Polled<'_>) -> Poll<Option<Self::Item>> {
        if Instant::now() >= self.until {
            return Poll::Ready(None);
        }
        self.receiver.poll_recv(cx).map(|message| {
            message.map(|message| Ok(Sent::default().event(message.0).data(&message.1)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_must_be_long_and_match_completely() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "short\n").unwrap();
        assert!(read_token(&file).unwrap_err().to_string().contains("16"));
        std::fs::write(&file, "0123456789abcdef\n").unwrap();
        assert_eq!(read_token(&file).unwrap(), "0123456789abcdef");
        assert!(same("0123456789abcdef", "0123456789abcdef"));
        assert!(!same("0123456789abcdee", "0123456789abcdef"));
        assert!(!same("0123456789abcde", "0123456789abcdef"));
        assert!(!same("", "0123456789abcdef"));
    }

    #[test]
    fn an_address_that_others_can_reach_needs_a_token() {
        let mut hub = super::super::events::Hub::default();
        let events = hub.output("page");
        let address = "0.0.0.0:0".parse().unwrap();
        let error = serve(
            address,
            None,
            Sources::default(),
            hub.numbers(),
            events,
            Arc::default(),
        )
        .unwrap_err();
        assert!(error.to_string().contains("--token-file"), "{error}");
    }
}
