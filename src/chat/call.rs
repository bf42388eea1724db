//! A request: text and images in order, and its JSON form.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::server::Server;

/// Alternatives requested per token.
const ALTERNATIVES: u32 = 10;
/// Temperature of repeated samples; a single one uses 0.
const WARM: f64 = 0.7;

/// An image as JPEG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image(pub(crate) Arc<[u8]>);

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Text(String),
    Image(Image),
}

/// The required form of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Any text.
    Free,
    /// An object with `answer`, one of these words (any text if there are none), and `frames`, a list of numbers.
    Object(Vec<String>),
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) parts: Vec<Part>,
    pub(crate) shape: Shape,
    /// Whether to request log probabilities.
    pub(crate) logprobs: bool,
    /// 0 for a single answer; repeated ones count from 1.
    pub(crate) sample: u32,
    /// Most tokens of the answer.
    pub(crate) max_tokens: u32,
}

impl Call {
    /// Number of images.
    pub(crate) fn images(&self) -> usize {
        let image = |part: &&Part| matches!(part, Part::Image(_));
        self.parts.iter().filter(image).count()
    }

    /// The request as JSON text, and the SHA-256 under which its answer is kept. Neither contains the key.
    pub(super) fn request(&self, server: &Server) -> (String, String) {
        let part = |part: &Part| match part {
            Part::Text(text) => json!({ "type": "text", "text": text }),
            Part::Image(Image(jpeg)) => json!({
                "type": "image_url",
                "image_url": { "url": format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)) }
            }),
        };
        let content: Vec<Value> = self.parts.iter().map(part).collect();
        let mut body = json!({
            "model": server.model,
            "messages": [{ "role": "user", "content": content }],
            "max_tokens": self.max_tokens,
            "temperature": if self.sample == 0 { 0.0 } else { WARM },
            "seed": self.sample,
            "stream": false,
        });
        if self.logprobs {
            body["logprobs"] = true.into();
            body["top_logprobs"] = ALTERNATIVES.into();
        }
        if let Shape::Object(words) = &self.shape {
            let answer = if words.is_empty() {
                json!({ "type": "string" })
            } else {
                json!({ "type": "string", "enum": words })
            };
            body["response_format"] = json!({
                "type": "json_schema",
                "json_schema": { "name": "answer", "strict": true, "schema": {
                    "type": "object",
                    "properties": { "answer": answer, "frames": { "type": "array", "items": { "type": "integer" } } },
                    "required": ["answer", "frames"],
                    "additionalProperties": false,
                } },
            });
        }
        for (name, value) in &server.extra {
            body[name] = value.clone();
        }
        let text = body.to_string();
        let mut hash = Sha256::new();
        hash.update(server.url.as_bytes());
        hash.update([0]);
        hash.update(text.as_bytes());
        let hash = hash.finalize();
        (
            text,
            hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        )
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;

    pub(in super::super) fn server() -> Server {
        Server {
            url: "http://127.0.0.1:1/v1/chat/completions".into(),
            model: "m".into(),
            key: Some("secret".into()),
            timeout: Duration::from_secs(2),
            retries: 1,
            wait: Duration::from_millis(1),
            most_images: None,
            max_tokens: 16,
            extra: serde_json::Map::new(),
        }
    }

    pub(in super::super) fn call(text: &str) -> Call {
        Call {
            parts: vec![
                Part::Text(text.into()),
                Part::Image(Image(Arc::from(&b"jpeg"[..]))),
            ],
            shape: Shape::Free,
            logprobs: true,
            sample: 0,
            max_tokens: 8,
        }
    }

    #[test]
    fn the_hash_covers_all_that_decides_the_answer_but_not_the_key() {
        let (text, hash) = call("x").request(&server());
        assert!(text.contains("data:image/jpeg;base64,anBlZw==") && !text.contains("secret"));
        assert_eq!(hash.len(), 64);
        assert_eq!(call("x").request(&server()).1, hash);
        let with = |change: fn(&mut Server)| {
            let mut other = server();
            change(&mut other);
            call("x").request(&other).1
        };
        assert_eq!(with(|s| s.key = None), hash);
        assert_ne!(with(|s| s.model = "n".into()), hash);
        assert_ne!(with(|s| s.url = "http://b".into()), hash);
        assert_ne!(call("y").request(&server()).1, hash);
        let second = Call {
            sample: 1,
            ..call("x")
        };
        assert_ne!(second.request(&server()).1, hash);
        assert_eq!(call("x").images(), 1);
    }

    #[test]
    fn further_fields_reach_the_server() {
        let mut other = server();
        other.extra.insert(
            "chat_template_kwargs".into(),
            json!({ "enable_thinking": false }),
        );
        let (text, _) = call("x").request(&other);
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(body["chat_template_kwargs"]["enable_thinking"], false);
        assert_eq!(body["top_logprobs"], 10);
    }
}
