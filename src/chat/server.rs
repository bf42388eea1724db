//! The server to ask: its address, model and key, from the command line, a YAML file, and the environment.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::cli::ModelArgs;
use crate::failure::Usage;

/// The environment variable that holds the key.
const KEY: &str = "EARMARK_API_KEY";
/// Largest YAML file.
const MOST_YAML: u64 = 1 << 20;
const PATH: &str = "/chat/completions";

/// A server.
#[derive(Clone)]
pub(crate) struct Server {
    /// Address of calls.
    pub(crate) url: String,
    pub(crate) model: String,
    /// Never printed, never stored.
    pub(super) key: Option<String>,
    pub(super) timeout: Duration,
    pub(super) retries: u32,
    pub(super) wait: Duration,
    /// Most images per call, if the user says so.
    pub(super) most_images: Option<usize>,
    /// Most tokens of an answer.
    pub(crate) max_tokens: u32,
    /// Further fields of every request.
    pub(super) extra: Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    endpoint: Option<String>,
    name: Option<String>,
    key_env: Option<String>,
    timeout_s: Option<u64>,
    retries: Option<u32>,
    retry_wait_ms: Option<u64>,
    max_images: Option<u32>,
    max_tokens: Option<u32>,
    #[serde(default)]
    extra: Map<String, Value>,
}

#[derive(Deserialize)]
struct Document {
    model: Section,
}

impl Server {
    /// The server that the user named; `None` if none.
    ///
    /// # Errors
    /// The YAML file cannot be read, a value is out of range, or the address is invalid.
    pub(crate) fn named(args: &ModelArgs) -> anyhow::Result<Option<Self>> {
        let section = match &args.model_file {
            Some(file) => read(file)?,
            None => Section::default(),
        };
        let Some(endpoint) = args.endpoint.clone().or(section.endpoint) else {
            return Ok(None);
        };
        let Some(model) = args.model.clone().or(section.name) else {
            return Err(Usage(format!(
                "--endpoint {endpoint} needs the name of a model: add --model (a server with one model takes any name)"
            ))
            .into());
        };
        let named = args.key_env.clone().or(section.key_env);
        let key = std::env::var(named.as_deref().unwrap_or(KEY)).ok();
        let key = key
            .map(|key| key.trim().to_owned())
            .filter(|key| !key.is_empty());
        if let (Some(named), None) = (&named, &key) {
            return Err(Usage(format!(
                "the key of {endpoint} should be in the environment variable {named}, which is not set or empty"
            ))
            .into());
        }
        if key
            .as_ref()
            .is_some_and(|key| key.chars().any(char::is_control))
        {
            return Err(Usage(
                "the server's key has control characters in it: was it copied with its line end?"
                    .into(),
            )
            .into());
        }
        let within = |name: &str, value: u64, range: std::ops::RangeInclusive<u64>| {
            if range.contains(&value) {
                return Ok(value);
            }
            Err(Usage(format!(
                "model.{name} is {value}: must be in {}..={}",
                range.start(),
                range.end()
            )))
        };
        let timeout = args.timeout_s.or(section.timeout_s).unwrap_or(120);
        let retries = args.retries.or(section.retries).unwrap_or(4);
        let wait = args.retry_wait_ms.or(section.retry_wait_ms).unwrap_or(500);
        let images = args.max_images.or(section.max_images);
        let tokens = section.max_tokens.unwrap_or(256);
        within("timeout_s", timeout, 1..=3600)?;
        within("retries", retries.into(), 0..=10)?;
        within("retry_wait_ms", wait, 1..=60_000)?;
        within("max_images", images.unwrap_or(1).into(), 1..=256)?;
        within("max_tokens", tokens.into(), 1..=32_768)?;
        Ok(Some(Self {
            url: url(&endpoint)?,
            model,
            key,
            timeout: Duration::from_secs(timeout),
            retries,
            wait: Duration::from_millis(wait),
            most_images: images.map(|n| n as usize),
            max_tokens: tokens,
            extra: section.extra,
        }))
    }
}

fn read(file: &Path) -> anyhow::Result<Section> {
    let name = file.display();
    let about = std::fs::metadata(file).with_context(|| format!("cannot open {name}"))?;
    if about.len() > MOST_YAML {
        bail!("{name} has more than {MOST_YAML} bytes: is it a file with a section `model:`?");
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
    let document: Document = serde_yaml::from_str(&text).map_err(|e| {
        Usage(format!(
            "{name}: {e} (it needs a section `model:` with endpoint, name and the like)"
        ))
    })?;
    Ok(document.model)
}

/// The address of calls.
fn url(endpoint: &str) -> Result<String, Usage> {
    let base = endpoint.trim().trim_end_matches('/');
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| base.strip_prefix(scheme));
    let host = rest.and_then(|rest| rest.split('/').next());
    if host.is_none_or(|host| host.is_empty() || host.contains(char::is_whitespace)) {
        return Err(Usage(format!(
            "--endpoint {endpoint} is not an address: must be like http://127.0.0.1:8080/v1"
        )));
    }
    if host.is_some_and(|host| host.contains('@')) {
        return Err(Usage(
            "--endpoint has a user's name or password in it: put the key into an environment variable (--key-env)".into(),
        ));
    }
    if base.ends_with(PATH) {
        return Ok(base.into());
    }
    // Without a path, adds the version that every such server has.
    let version = if rest.is_some_and(|rest| rest.contains('/')) {
        ""
    } else {
        "/v1"
    };
    Ok(format!("{base}{version}{PATH}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_to_chat_completions() {
        let at = |endpoint: &str| url(endpoint).map_err(|e| e.0);
        let here = Ok("http://127.0.0.1:8080/v1/chat/completions".to_owned());
        for given in [
            "http://127.0.0.1:8080",
            "http://127.0.0.1:8080/v1/",
            "http://127.0.0.1:8080/v1/chat/completions",
        ] {
            assert_eq!(at(given), here, "{given}");
        }
        let hosted = at("https://example.org/v1beta/openai/").unwrap();
        assert_eq!(hosted, "https://example.org/v1beta/openai/chat/completions");
        for wrong in [
            "",
            "127.0.0.1:8080",
            "ftp://x/v1",
            "http://",
            "http://me:secret@x/v1",
        ] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
        assert!(!at("http://me:secret@x/v1").unwrap_err().contains("secret"));
    }

    #[test]
    fn the_command_line_overrides_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.yaml");
        std::fs::write(
            &file,
            "model: { endpoint: 'http://a/v1', name: one, retries: 2, extra: { think: false } }\n",
        )
        .unwrap();
        let args = ModelArgs {
            model_file: Some(file.clone()),
            model: Some("two".into()),
            ..ModelArgs::default()
        };
        let server = Server::named(&args).unwrap().unwrap();
        assert_eq!(
            (server.url.as_str(), server.model.as_str(), server.retries),
            ("http://a/v1/chat/completions", "two", 2)
        );
        assert_eq!(server.extra["think"], false);
        assert!(Server::named(&ModelArgs::default()).unwrap().is_none());
        std::fs::write(
            &file,
            "model: { endpoint: 'http://a', name: one, retries: 99 }\n",
        )
        .unwrap();
        let wrong = Server::named(&ModelArgs {
            model_file: Some(file.clone()),
            ..ModelArgs::default()
        });
        assert!(wrong.err().unwrap().to_string().contains("retries is 99"));
        std::fs::write(&file, "model: { endpont: x }\n").unwrap();
        assert!(
            Server::named(&ModelArgs {
                model_file: Some(file),
                ..ModelArgs::default()
            })
            .is_err()
        );
    }
}
