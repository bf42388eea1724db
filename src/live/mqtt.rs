//! Sends events to an MQTT broker, at least once and in order: stores them on disk first, and deletes them when the broker has acknowledged
//! them. Home Assistant discovers the sources by itself.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use rumqttc::{
    Client, ConnectReturnCode, Connection, ConnectionError, Event as MqttEvent, LastWill,
    MqttOptions, Packet, QoS, TlsConfiguration, Transport,
};
use serde_json::{Value, json};

use super::events::Event;
use super::notices::Notices;
use super::secret::without_password;
use super::spool::Spool;

/// Most unacknowledged events.
const INFLIGHT: u16 = 50;
/// Most requests that may wait for the connection.
const REQUESTS: usize = 256;
/// First and longest wait before a new attempt.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Longest time to connect.
const CONNECT_S: u64 = 10;
/// Time between two notes of acknowledged events.
const NOTE: Duration = Duration::from_secs(10);
/// Longest time to send the rest at the end.
const LAST: Duration = Duration::from_secs(3);
/// How often threads check whether they should end.
const TICK: Duration = Duration::from_millis(200);

/// Address and options.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// `mqtt://[USER:PASSWORD@]HOST[:PORT]`, or `mqtts://`.
    pub(super) url: String,
    /// First part of every topic.
    pub(super) prefix: String,
    /// Home Assistant's discovery prefix; empty for none.
    pub(super) discovery: String,
    /// A file of certificates to trust, instead of the system's.
    pub(super) ca: String,
    /// Largest size of the store, bytes.
    pub(super) store: u64,
    /// The store's folder.
    pub(super) folder: PathBuf,
}

/// The parts of a broker's address.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    host: String,
    port: u16,
    tls: bool,
    login: Option<(String, String)>,
}

/// The state that both threads share.
struct Shared {
    settings: Settings,
    address: Address,
    sources: Vec<String>,
    connected: AtomicBool,
    lost: AtomicU64,
    said: Arc<Notices>,
    stop: Arc<AtomicBool>,
    inside: Mutex<Outbox>,
}

struct Outbox {
    spool: Spool,
    client: Option<Client>,
    /// Unacknowledged messages, the oldest first; whether each came out of the store.
    under_way: VecDeque<bool>,
    noted: Instant,
}

/// Starts sending to a broker. Its threads end after `stop`. `events`: an output of the hub.
///
/// # Errors
/// The address is invalid, or the store cannot be opened.
pub(super) fn start(
    settings: Settings,
    sources: Vec<String>,
    events: Receiver<Arc<Event>>,
    said: Arc<Notices>,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<Vec<std::thread::JoinHandle<()>>> {
    let address = address(&settings.url)?;
    if address.tls {
        // Another may be installed already; either will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        transport(&settings)?;
    }
    let spool = Spool::open(&settings.folder, settings.store).with_context(|| {
        format!(
            "cannot open the store for events in {}",
            settings.folder.display()
        )
    })?;
    let shared = Arc::new(Shared {
        settings,
        address,
        sources,
        connected: AtomicBool::new(false),
        lost: AtomicU64::new(0),
        said,
        stop,
        inside: Mutex::new(Outbox {
            spool,
            client: None,
            under_way: VecDeque::new(),
            noted: Instant::now(),
        }),
    });
    let (storing, talking) = (shared.clone(), shared);
    let threads = vec![
        std::thread::Builder::new()
            .name("earmark-mqtt-in".into())
            .spawn(move || store(&storing, &events))?,
        std::thread::Builder::new()
            .name("earmark-mqtt".into())
            .spawn(move || talk(&talking))?,
    ];
    Ok(threads)
}

/// Parses an address.
fn address(url: &str) -> anyhow::Result<Address> {
    let wrong = |what: &str| {
        format!(
            "events.mqtt: {what} in {}: it must be mqtt://[USER:PASSWORD@]HOST[:PORT], or mqtts:// for TLS",
            without_password(url)
        )
    };
    let (scheme, rest) = url.split_once("://").with_context(|| wrong("no scheme"))?;
    let tls = match scheme {
        "mqtt" => false,
        "mqtts" => true,
        _ => bail!(wrong("an unknown scheme")),
    };
    let rest = rest.trim_end_matches('/');
    let (login, place) = match rest.rsplit_once('@') {
        Some((login, place)) => {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            (Some((user.to_owned(), password.to_owned())), place)
        }
        None => (None, rest),
    };
    let (host, port) = match place.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        Some((v6, port)) => (v6, port.strip_prefix(':')),
        None => match place.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let standard = if tls { 8883 } else { 1883 };
    let port = port.map_or(Ok(standard), str::parse);
    let port = port
        .ok()
        .filter(|port| *port > 0)
        .with_context(|| wrong("no port"))?;
    if host.is_empty() || host.contains('/') {
        bail!(wrong("no host"));
    }
    Ok(Address {
        host: host.into(),
        port,
        tls,
        login,
    })
}

fn transport(settings: &Settings) -> anyhow::Result<Transport> {
    let tls = match settings.ca.as_str() {
        "" => TlsConfiguration::default(),
        file => TlsConfiguration::Simple {
            ca: std::fs::read(file)
                .with_context(|| format!("events.mqtt_ca: cannot read {file}"))?,
            alpn: None,
            client_auth: None,
        },
    };
    Ok(Transport::Tls(tls))
}

/// Writes events to the store, and sends them if connected.
fn store(shared: &Shared, events: &Receiver<Arc<Event>>) {
    loop {
        match events.recv_timeout(TICK) {
            Ok(event) => {
                let topic = format!("{}/{}/{}", shared.settings.prefix, event.source, event.kind);
                let line = json!([topic, event.kind == "state", event.value]).to_string();
                let mut inside = shared.inside();
                if let Err(e) = inside.spool.push(&line) {
                    shared.say("store", &format!("the store for events failed: {e}"));
                }
                shared.send(&mut inside);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let mut inside = shared.inside();
        let lost = inside.spool.lost();
        if lost > shared.lost.swap(lost, Ordering::Relaxed) {
            shared.say("lost", "the store for events is full: the oldest are lost");
        }
        if inside.noted.elapsed() >= NOTE {
            inside.noted = Instant::now();
            let _ = inside.spool.note();
        }
    }
}

/// Keeps the connection alive.
fn talk(shared: &Shared) {
    let mut wait = WAITS.0;
    let mut over: Option<Instant> = None;
    while !shared.is_over(&mut over) {
        let began = Instant::now();
        let why = shared.connection(&mut over);
        shared.connected.store(false, Ordering::Relaxed);
        {
            let mut inside = shared.inside();
            inside.client = None;
            inside.under_way.clear();
            inside.spool.again();
        }
        let Some(why) = why else { break };
        shared.say(
            "broker",
            &format!("the MQTT broker: {why}; events wait on disk"),
        );
        if began.elapsed() > WAITS.1 {
            wait = WAITS.0;
        }
        let since = Instant::now();
        while since.elapsed() < wait && !shared.is_over(&mut over) {
            std::thread::sleep(TICK / 4);
        }
        wait = (wait * 2).min(WAITS.1);
    }
    let _ = shared.inside().spool.note();
}

impl Shared {
    fn inside(&self) -> MutexGuard<'_, Outbox> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, what: &str, text: &str) {
        self.said.say("earmark live", what, text);
    }

    /// It was asked to stop, and everything is sent, or that takes too long.
    fn is_over(&self, over: &mut Option<Instant>) -> bool {
        if !self.stop.load(Ordering::Relaxed) {
            return false;
        }
        let since = *over.get_or_insert_with(Instant::now);
        let connected = self.connected.load(Ordering::Relaxed);
        // Events of the last moments, such as completed files, are still sent.
        let idle = since.elapsed() > LAST / 2 && self.inside().spool.is_empty();
        since.elapsed() > LAST || !connected || idle
    }

    /// Runs one connection to its end. Returns why it ended, unless it was asked to stop.
    fn connection(&self, over: &mut Option<Instant>) -> Option<String> {
        let id = format!(
            "earmark-{}-{}",
            self.settings.prefix.replace('/', "-"),
            std::process::id()
        );
        let mut options = MqttOptions::new(id, &self.address.host, self.address.port);
        options
            .set_keep_alive(Duration::from_secs(30))
            .set_clean_session(true)
            .set_max_packet_size(64 << 10, 128 << 10)
            .set_inflight(INFLIGHT)
            .set_last_will(LastWill::new(
                self.status_topic(),
                "offline",
                QoS::AtLeastOnce,
                true,
            ));
        if let Some((user, password)) = &self.address.login {
            options.set_credentials(user, password);
        }
        if self.address.tls {
            match transport(&self.settings) {
                Ok(tls) => options.set_transport(tls),
                Err(e) => return Some(format!("{e:#}")),
            };
        }
        let (client, mut connection) = Client::new(options, REQUESTS);
        connection
            .eventloop
            .network_options
            .set_connection_timeout(CONNECT_S);
        let mut patience = Duration::from_secs(CONNECT_S + 1);
        loop {
            match next(&mut connection, patience) {
                Some(Ok(MqttEvent::Incoming(Packet::ConnAck(_)))) => {
                    patience = TICK;
                    let mut inside = self.inside();
                    inside.client = Some(client.clone());
                    self.introduce(&mut inside);
                    self.send(&mut inside);
                    self.connected.store(true, Ordering::Relaxed);
                }
                Some(Ok(MqttEvent::Incoming(Packet::PubAck(_)))) => {
                    let mut inside = self.inside();
                    if inside.under_way.pop_front() == Some(true)
                        && let Err(e) = inside.spool.taken(1)
                    {
                        self.say("store", &format!("the store for events failed: {e}"));
                    }
                    self.send(&mut inside);
                }
                Some(Ok(_)) | None => {}
                Some(Err(e)) => return Some(words(&e)),
            }
            if self.is_over(over) {
                if let Some(client) = &self.inside().client {
                    let _ =
                        client.try_publish(self.status_topic(), QoS::AtLeastOnce, true, "offline");
                    let _ = client.try_disconnect();
                }
                let since = Instant::now();
                while since.elapsed() < LAST && matches!(next(&mut connection, TICK), Some(Ok(_))) {
                }
                return None;
            }
        }
    }

    fn status_topic(&self) -> String {
        format!("{}/status", self.settings.prefix)
    }

    /// Announces the sources, for clients and for Home Assistant.
    fn introduce(&self, inside: &mut Outbox) {
        let Some(client) = inside.client.clone() else {
            return;
        };
        let mut all = vec![(self.status_topic(), "online".to_owned())];
        if !self.settings.discovery.is_empty() {
            for source in &self.sources {
                let found = discovery(&self.settings, source);
                all.extend(found.map(|(topic, value)| (topic, value.to_string())));
            }
        }
        for (topic, payload) in all {
            if client
                .try_publish(topic, QoS::AtLeastOnce, true, payload)
                .is_ok()
            {
                inside.under_way.push_back(false);
            }
        }
    }

    /// Sends waiting events, as far as the limit on unacknowledged ones allows.
    fn send(&self, inside: &mut Outbox) {
        let Some(client) = inside.client.clone() else {
            return;
        };
        let room = usize::from(INFLIGHT).saturating_sub(inside.under_way.len());
        let lines = match inside.spool.next(room) {
            Ok(lines) => lines,
            Err(e) => return self.say("store", &format!("the store for events failed: {e}")),
        };
        for line in lines {
            let read: Option<(String, bool, Value)> = serde_json::from_str(&line).ok();
            // Skips an invalid line: acknowledging an empty message would reach nobody.
            let (topic, retained, value) = read.unwrap_or_else(|| {
                (
                    format!("{}/damaged", self.settings.prefix),
                    false,
                    json!({}),
                )
            });
            if client
                .try_publish(topic, QoS::AtLeastOnce, retained, value.to_string())
                .is_err()
            {
                // The channel has room for more; if it is full all the same, connects anew.
                let _ = client.try_disconnect();
                return;
            }
            inside.under_way.push_back(true);
        }
    }
}

fn next(
    connection: &mut Connection,
    patience: Duration,
) -> Option<Result<MqttEvent, ConnectionError>> {
    connection.recv_timeout(patience).ok()
}

/// What went wrong, and what helps.
fn words(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
        ) => "refuses the login (check user and password in events.mqtt)".into(),
        ConnectionError::ConnectionRefused(code) => format!("refuses: {code:?}"),
        other => format!("cannot be reached: {other}"),
    }
}

/// Home Assistant's discovery messages for a source: its last sound, and whether it is healthy.
fn discovery(settings: &Settings, source: &str) -> [(String, Value); 2] {
    let (prefix, place) = (&settings.prefix, &settings.discovery);
    let id = format!("{}_{source}", prefix.replace('/', "_"));
    let device = json!({
        "identifiers": [id],
        "name": format!("Earmark {source}"),
        "manufacturer": "Earmark",
        "sw_version": env!("CARGO_PKG_VERSION"),
    });
    let availability = format!("{prefix}/status");
    [
        (
            format!("{place}/sensor/{id}/sound/config"),
            json!({
                "name": "Last sound",
                "unique_id": format!("{id}_sound"),
                "state_topic": format!("{prefix}/{source}/anchor"),
                "value_template": "{{ value_json.label or 'something' }}",
                "json_attributes_topic": format!("{prefix}/{source}/anchor"),
                "availability_topic": availability,
                "icon": "mdi:ear-hearing",
                "device": device,
            }),
        ),
        (
            format!("{place}/binary_sensor/{id}/healthy/config"),
            json!({
                "name": "Healthy",
                "unique_id": format!("{id}_healthy"),
                "state_topic": format!("{prefix}/{source}/state"),
                "value_template": "{{ 'ON' if value_json.state == 'healthy' else 'OFF' }}",
                "device_class": "connectivity",
                "availability_topic": availability,
                "device": device,
            }),
        ),
    ]
}

/// The store's folder, inside the folder for files.
pub(super) fn folder(output: &Path) -> PathBuf {
    output.join(".events").join("mqtt")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed_and_errors_hide_the_password() {
        let plain = address("mqtt://broker").unwrap();
        assert_eq!(
            (plain.host.as_str(), plain.port, plain.tls, plain.login),
            ("broker", 1883, false, None)
        );
        let whole = address("mqtts://me:p@ss:w@10.0.0.7:1234/").unwrap();
        assert_eq!(
            (whole.host.as_str(), whole.port, whole.tls),
            ("10.0.0.7", 1234, true)
        );
        assert_eq!(whole.login, Some(("me".into(), "p@ss:w".into())));
        assert_eq!(address("mqtt://[::1]:99").unwrap().host, "::1");
        assert_eq!(address("mqtts://h").unwrap().port, 8883);
        for url in [
            "broker",
            "http://h",
            "mqtt://me:secret@",
            "mqtt://me:secret@h:x",
            "mqtt://h:0",
        ] {
            let text = address(url).unwrap_err().to_string();
            assert!(
                text.contains("events.mqtt") && !text.contains("secret"),
                "{text}"
            );
        }
    }

    #[test]
    fn home_assistant_gets_what_it_needs() {
        let settings = Settings {
            url: String::new(),
            prefix: "home/earmark".into(),
            discovery: "homeassistant".into(),
            ca: String::new(),
            store: 0,
            folder: PathBuf::new(),
        };
        let [(topic, value), (other, healthy)] = discovery(&settings, "door");
        assert_eq!(topic, "homeassistant/sensor/home_earmark_door/sound/config");
        assert_eq!(value["state_topic"], "home/earmark/door/anchor");
        assert_eq!(
            other,
            "homeassistant/binary_sensor/home_earmark_door/healthy/config"
        );
        assert_eq!(healthy["availability_topic"], value["availability_topic"]);
    }
}
