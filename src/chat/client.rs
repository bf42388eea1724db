//! Sends calls one at a time. Limits time, size and repetitions, and sends nothing whose answer is already kept.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::http::{HeaderMap, StatusCode};
use ureq::tls::{RootCerts, TlsConfig};

use super::call::Call;
use super::reply::Reply;
use super::server::Server;
use super::store::{Store, StoredReply};
use crate::stop::Stop;

/// Longest answer, in bytes.
const LARGEST: u64 = 8 << 20;
/// Longest wait between two attempts, whatever the server asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Longest time to connect.
const CONNECT: Duration = Duration::from_secs(10);
/// How often a wait checks for ^C.
const TICK: Duration = Duration::from_millis(50);
/// Longest server message to show, in characters.
const MOST_LETTERS: usize = 300;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The server refuses this request; another one may succeed.
    #[error("the server refuses the request ({status}): {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's message.
        message: String,
    },
    /// The server answers, but never with a chat completion.
    #[error("the server's answer is not a chat completion, {times} times in a row: {message}")]
    Broken {
        /// Number of attempts.
        times: u32,
        /// What came instead.
        message: String,
    },
    /// Every call will fail until somebody acts.
    #[error("{0}")]
    Fatal(String),
    /// The user stopped it.
    #[error("stopped; answers so far are kept")]
    Stopped,
}

/// Counts of calls, and what they cost.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ledger {
    /// Calls sent and answered.
    pub(crate) calls: u64,
    /// Calls answered from disk.
    pub(crate) kept: u64,
    /// Failed attempts that were repeated.
    pub(crate) repeated: u64,
    /// Input tokens as the server counts them, over the calls that it counted.
    pub(crate) prompt_tokens: u64,
    /// Output tokens, likewise.
    pub(crate) answer_tokens: u64,
    /// Time in the server and on the network, ms; calls answered from disk count with their original time.
    pub(crate) server_ms: f64,
    /// All other time per call, ms: one number for each call sent.
    pub(crate) overhead_ms: Vec<f64>,
}

impl Ledger {
    /// The overhead that this share of calls stays below, ms.
    pub(crate) fn overhead(&self, share: f64) -> Option<f64> {
        let mut sorted = self.overhead_ms.clone();
        sorted.sort_by(f64::total_cmp);
        let at = (share * sorted.len().saturating_sub(1) as f64).ceil() as usize;
        sorted.get(at).copied()
    }
}

/// A server to call.
pub(crate) struct Client {
    server: Server,
    agent: ureq::Agent,
    store: Store,
    stop: Stop,
    pub(crate) ledger: Ledger,
}

/// How an attempt ended.
enum Attempt {
    Answered(Value, Duration),
    /// It may succeed later; the server may say when.
    Later(CallError, Option<Duration>),
    Failed(CallError),
}

impl Client {
    /// `calls`: the folder that keeps answers.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub(crate) fn new(server: Server, calls: &Path, stop: Stop) -> anyhow::Result<Self> {
        let tls = TlsConfig::builder().root_certs(RootCerts::WebPki).build();
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // A redirect could send the key and the frames elsewhere.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(server.timeout))
            .timeout_connect(Some(CONNECT.min(server.timeout)))
            .max_response_header_size(64 << 10)
            .user_agent(concat!("earmark/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls);
        if is_loopback(&server.url) {
            config = config.proxy(None);
        }
        Ok(Self {
            agent: config.build().new_agent(),
            store: Store::new(calls)?,
            server,
            stop,
            ledger: Ledger::default(),
        })
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// The answer to a call: the kept one, else the server's, which is then kept.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn ask(&mut self, call: &Call) -> Result<Reply, CallError> {
        let begun = Instant::now();
        let (text, hash) = call.request(&self.server);
        let fatal = |e: anyhow::Error| CallError::Fatal(format!("{e:#}"));
        if let Some(kept) = self.store.get(&hash).map_err(fatal)? {
            let reply = Reply::read(&kept.answer).ok_or_else(|| {
                CallError::Fatal(format!(
                    "the kept call {hash} does not hold a chat completion"
                ))
            })?;
            self.ledger.kept += 1;
            self.count(&reply, kept.took_ms);
            return Ok(reply);
        }
        let mut apart = Duration::ZERO;
        let mut number = 0;
        let (answer, reply, took) = loop {
            if self.stop.is_wanted() {
                return Err(CallError::Stopped);
            }
            let sent = Instant::now();
            let attempt = self.attempt(&text, &hash);
            apart += sent.elapsed();
            let (error, after) = match attempt {
                Attempt::Answered(answer, took) => match Reply::read(&answer) {
                    Some(reply) => break (answer, reply, took),
                    None => (broken(number + 1, &answer.to_string()), None),
                },
                Attempt::Failed(error) => return Err(error),
                Attempt::Later(error, after) => (error, after),
            };
            if number >= self.server.retries {
                return Err(match error {
                    CallError::Broken { message, .. } => CallError::Broken {
                        times: number + 1,
                        message,
                    },
                    other => other,
                });
            }
            self.ledger.repeated += 1;
            let wait = after
                .unwrap_or_else(|| self.wait(number, &hash))
                .min(LONGEST_WAIT);
            tracing::debug!("{error}; again in {wait:?}");
            let waited = Instant::now();
            self.sleep(wait)?;
            apart += waited.elapsed();
            number += 1;
        };
        let took_ms = took.as_secs_f64() * 1e3;
        let kept = StoredReply::new(&hash, &self.server.url, &self.server.model, took_ms, answer);
        self.store.put(&hash, &kept).map_err(fatal)?;
        self.ledger.calls += 1;
        self.count(&reply, took_ms);
        let overhead = begun.elapsed().saturating_sub(apart);
        self.ledger.overhead_ms.push(overhead.as_secs_f64() * 1e3);
        Ok(reply)
    }

    fn count(&mut self, reply: &Reply, took_ms: f64) {
        self.ledger.prompt_tokens += reply.prompt_tokens.unwrap_or(0);
        self.ledger.answer_tokens += reply.answer_tokens.unwrap_or(0);
        self.ledger.server_ms += took_ms;
    }

    /// Doubles each time, plus up to a quarter, by the hash: several clients do not retry at the same instant.
    fn wait(&self, number: u32, hash: &str) -> Duration {
        let jitter = u32::from_str_radix(&hash[..2], 16).unwrap_or(0);
        let base = self.server.wait.saturating_mul(1 << number.min(16));
        base + base.mul_f64(f64::from(jitter) / 1024.0)
    }

    fn sleep(&self, wait: Duration) -> Result<(), CallError> {
        let until = Instant::now() + wait;
        while let Some(left) = until
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
        {
            if self.stop.is_wanted() {
                return Err(CallError::Stopped);
            }
            std::thread::sleep(left.min(TICK));
        }
        Ok(())
    }

    fn attempt(&self, text: &str, hash: &str) -> Attempt {
        let url = &self.server.url;
        let mut request = self
            .agent
            .post(url)
            .header("content-type", "application/json")
            // Servers that know this header answer a repeated request at no extra price.
            .header("idempotency-key", hash);
        if let Some(key) = &self.server.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let begun = Instant::now();
        let mut response = match request.send(text) {
            Ok(response) => response,
            Err(e) => return unreachable(url, self.server.timeout, &e),
        };
        let (status, after) = (response.status(), retry_after(response.headers()));
        let body = response
            .body_mut()
            .with_config()
            .limit(LARGEST)
            .read_to_vec();
        let took = begun.elapsed();
        let body = match body {
            Ok(body) => body,
            Err(ureq::Error::BodyExceedsLimit(_)) => {
                return Attempt::Failed(CallError::Fatal(format!(
                    "{url} sends more than {LARGEST} bytes: is it a chat server?"
                )));
            }
            Err(e) => return unreachable(url, self.server.timeout, &e),
        };
        if status.is_success() {
            return match serde_json::from_slice(&body) {
                Ok(answer) => Attempt::Answered(answer, took),
                Err(_) => Attempt::Later(broken(1, &String::from_utf8_lossy(&body)), None),
            };
        }
        refused(url, status, &body, after)
    }
}

fn broken(times: u32, text: &str) -> CallError {
    CallError::Broken {
        times,
        message: shortened(text),
    }
}

/// A status other than success.
fn refused(url: &str, status: StatusCode, body: &[u8], after: Option<Duration>) -> Attempt {
    let message = message(body);
    let code = status.as_u16();
    let says = format!("{url} says {code}: {message}");
    match code {
        408 | 409 | 425 | 429 | 500..=599 => Attempt::Later(CallError::Fatal(says), after),
        300..=399 => Attempt::Failed(CallError::Fatal(format!(
            "{url} redirects ({code}), and Earmark does not follow redirects: give the final address"
        ))),
        401 | 403 => Attempt::Failed(CallError::Fatal(format!(
            "{says} (is the key right? --key-env names its variable)"
        ))),
        402 => Attempt::Failed(CallError::Fatal(says)),
        404 | 405 => Attempt::Failed(CallError::Fatal(format!(
            "{says} (is --endpoint the base address, and --model a model of this server?)"
        ))),
        _ => Attempt::Failed(CallError::Refused {
            status: code,
            message,
        }),
    }
}

/// A network failure.
fn unreachable(url: &str, timeout: Duration, e: &ureq::Error) -> Attempt {
    match e {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => Attempt::Failed(CallError::Fatal(
            format!("{url} is not a valid address: {e}"),
        )),
        ureq::Error::Timeout(_) => Attempt::Later(
            CallError::Fatal(format!(
                "{url} did not answer within {} s (--timeout-s sets the limit)",
                timeout.as_secs()
            )),
            None,
        ),
        e => Attempt::Later(
            CallError::Fatal(format!("cannot reach {url}: {e}; is the server running?")),
            None,
        ),
    }
}

/// How long the server asks to wait.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?;
    let seconds: f64 = text.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// The server's error message.
fn message(body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let said = [
        &value["error"]["message"],
        &value["error"],
        &value["message"],
        &value["detail"],
    ];
    match said.iter().find_map(|said| said.as_str()) {
        Some(said) => shortened(said),
        None => shortened(&String::from_utf8_lossy(body)),
    }
}

fn shortened(text: &str) -> String {
    let text = gstearmark::printable::line(text.trim()).into_owned();
    match text.char_indices().nth(MOST_LETTERS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None if text.is_empty() => "(nothing)".into(),
        None => text,
    }
}

/// Whether an address is on this machine; then no proxy is used.
fn is_loopback(url: &str) -> bool {
    let host = url.split("://").nth(1).unwrap_or_default();
    let host = host.split('/').next().unwrap_or_default();
    host.starts_with("127.")
        || host.starts_with("[::1]")
        || host == "localhost"
        || host.starts_with("localhost:")
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::sync::mpsc;

    use super::super::call::tests::{call, server};
    use super::*;

    /// A server that answers each connection with the next of these texts, and records what it received.
    fn answering(answers: Vec<String>) -> (String, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!(
            "http://{}/v1/chat/completions",
            listener.local_addr().unwrap()
        );
        let (sent, received) = mpsc::sync_channel(100);
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut head, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    if let Some(n) = line.to_lowercase().strip_prefix("content-length:") {
                        length = n.trim().parse().unwrap();
                    }
                    head.push_str(&line);
                    if line.trim().is_empty() {
                        break;
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                sent.send(head + &String::from_utf8(body).unwrap()).unwrap();
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        (url, received)
    }

    fn http(status: &str, more: &str, body: &str) -> String {
        format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{more}\r\n{body}",
            body.len()
        )
    }

    fn good(text: &str) -> String {
        let body = serde_json::json!({ "choices": [{ "message": { "content": text } }], "usage": { "prompt_tokens": 9, "completion_tokens": 1 } });
        http("200 OK", "", &body.to_string())
    }

    fn client(url: &str, folder: &Path) -> Client {
        let server = Server {
            url: url.into(),
            ..server()
        };
        Client::new(server, folder, Stop::new().unwrap()).unwrap()
    }

    #[test]
    fn a_call_is_sent_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (url, received) = answering(vec![good("B")]);
        for round in 0..2 {
            let mut client = client(&url, folder.path());
            assert_eq!(client.ask(&call("x")).unwrap().text, "B");
            assert_eq!(
                (client.ledger.calls, client.ledger.kept),
                (1 - round, round)
            );
            assert_eq!(client.ledger.prompt_tokens, 9);
        }
        let sent = received.recv().unwrap();
        assert!(
            sent.contains("Bearer secret") && sent.contains("idempotency-key"),
            "{sent}"
        );
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            for file in std::fs::read_dir(entry.unwrap().path()).unwrap() {
                let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
                assert!(!text.contains("secret"));
            }
        }
    }

    #[test]
    fn temporary_failures_are_repeated_and_others_reported() {
        let folder = tempfile::tempdir().unwrap();
        let cases: [(&[String], &str); 6] = [
            (
                &[
                    http("429 Too Many Requests", "retry-after: 0\r\n", "{}"),
                    good("B"),
                ],
                "B",
            ),
            (&[http("503 Busy", "", ""), good("B")], "B"),
            (&[http("200 OK", "", "{\"choices\": ["), good("B")], "B"),
            (
                &[http("200 OK", "", "{}"), http("200 OK", "", "<html>")],
                "2 times in a row: <html>",
            ),
            (
                &[http(
                    "400 Bad Request",
                    "",
                    "{\"error\":{\"message\":\"too many images\"}}",
                )],
                "400): too many images",
            ),
            (
                &[http("302 Found", "location: http://elsewhere/\r\n", "")],
                "redirects",
            ),
        ];
        for (at, (answers, expected)) in cases.into_iter().enumerate() {
            let (url, received) = answering(answers.to_vec());
            let mut client = client(&url, folder.path());
            let said = match client.ask(&call(&at.to_string())) {
                Ok(reply) => reply.text,
                Err(e) => e.to_string(),
            };
            assert!(said.contains(expected), "{at}: {said}");
            assert_eq!(received.try_iter().count(), answers.len(), "{at}");
        }
        let mut nobody = client("http://127.0.0.1:1/v1/chat/completions", folder.path());
        let said = nobody.ask(&call("x")).unwrap_err().to_string();
        assert!(said.contains("is the server running?"), "{said}");
        assert_eq!(nobody.ledger.repeated, 1);
    }
}
