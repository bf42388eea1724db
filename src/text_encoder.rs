//! Text -> vector, with a model of kind `text-encoder` and its tokenizer.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use gstearmark::models::Manifest;
use gstearmark::onnx;
use kitoken::Kitoken;
use serde_json::Value;

/// Largest tokenizer, in bytes.
const LARGEST: u64 = 256 << 20;
/// Longest text, in bytes; a model takes far fewer tokens.
const LONGEST: usize = 20_000;
/// Most texts whose vectors are kept.
const MOST_KEPT: usize = 20_000;

/// Text -> tokens.
pub(crate) struct Tokenizer {
    own: Kitoken,
    /// What begins and ends every text.
    begin: Vec<i64>,
    end: Vec<i64>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json` of Hugging Face's tokenizers.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let name = file.display();
        let cannot = || format!("cannot read the tokenizer {name}");
        let length = file.metadata().with_context(cannot)?.len();
        if length > LARGEST {
            bail!("{name} has {length} bytes: is it a tokenizer.json?");
        }
        let text = std::fs::read(file).with_context(cannot)?;
        let mut all: Value = serde_json::from_slice(&text)
            .with_context(|| format!("{name} is not a tokenizer.json"))?;
        if !all["model"].is_object() {
            bail!("{name} is not a tokenizer.json: it has no `model`");
        }
        let (begin, end) = around(&all["post_processor"]);
        // What surrounds a text is added here; its length is the manifest's business.
        for part in ["post_processor", "padding", "truncation"] {
            all[part] = Value::Null;
        }
        let own = Kitoken::from_tokenizers_slice(all.to_string().as_bytes());
        Ok(Self {
            own: own.map_err(|e| anyhow!("cannot use the tokenizer {name}: {e}"))?,
            begin,
            end,
        })
    }

    /// The tokens of a text. Nothing in it counts as a special token.
    ///
    /// # Errors
    /// The text cannot be split into tokens.
    pub(crate) fn tokens(&self, text: &str) -> anyhow::Result<Vec<i64>> {
        let text = match text.char_indices().find(|(at, _)| *at >= LONGEST) {
            Some((at, _)) => &text[..at],
            None => text,
        };
        let own = self.own.encode(text, false);
        let own = own.map_err(|e| anyhow!("cannot split `{text}` into tokens: {e}"))?;
        let mut all = self.begin.clone();
        all.extend(own.into_iter().map(i64::from));
        all.extend(&self.end);
        Ok(all)
    }
}

/// What a post-processor puts before and after a text.
fn around(processor: &Value) -> (Vec<i64>, Vec<i64>) {
    match processor["type"].as_str() {
        Some("TemplateProcessing") => {
            let (mut begin, mut end, mut after) = (Vec::new(), Vec::new(), false);
            for part in processor["single"].as_array().into_iter().flatten() {
                if part.get("Sequence").is_some() {
                    after = true;
                }
                let name = part["SpecialToken"]["id"].as_str().unwrap_or_default();
                let ids = processor["special_tokens"][name]["ids"].as_array();
                let ids = ids.into_iter().flatten().filter_map(Value::as_i64);
                if after {
                    end.extend(ids);
                } else {
                    begin.extend(ids);
                }
            }
            (begin, end)
        }
        Some("BertProcessing" | "RobertaProcessing") => {
            let id = |key: &str| processor[key][1].as_i64().into_iter().collect();
            (id("cls"), id("sep"))
        }
        Some("Sequence") => {
            let all = processor["processors"].as_array().into_iter().flatten();
            let mut all = all.map(around);
            all.find(|(begin, end)| !begin.is_empty() || !end.is_empty())
                .unwrap_or_default()
        }
        _ => (Vec::new(), Vec::new()),
    }
}

/// Text -> vector of length 1; keeps vectors.
pub(crate) struct TextEncoder {
    encoder: onnx::TextEncoder,
    tokenizer: Tokenizer,
    kept: HashMap<String, Vec<f32>>,
}

impl TextEncoder {
    /// Loads a model by the name or path of its manifest.
    ///
    /// # Errors
    /// It is unknown, altered, of another kind, or cannot be loaded.
    pub(crate) fn load(name: &str) -> anyhow::Result<Self> {
        Self::with(onnx::load_text_encoder(name, 1)?)
    }

    /// Of a manifest that need not be found by name; its files are not checked again.
    ///
    /// # Errors
    /// The model or its tokenizer cannot be loaded.
    pub(crate) fn new(manifest: Manifest) -> anyhow::Result<Self> {
        Self::with(onnx::TextEncoder::new(manifest, 1)?)
    }

    fn with(encoder: onnx::TextEncoder) -> anyhow::Result<Self> {
        let file = encoder.manifest().tokenizer_path().unwrap_or_default();
        Ok(Self {
            tokenizer: Tokenizer::read(&file)?,
            encoder,
            kept: HashMap::new(),
        })
    }

    /// Its manifest.
    pub(crate) fn manifest(&self) -> &Manifest {
        self.encoder.manifest()
    }

    /// The vector of a text.
    ///
    /// # Errors
    /// The text has no tokens, or the model fails.
    pub(crate) fn vector(&mut self, text: &str) -> anyhow::Result<&[f32]> {
        if self.kept.len() >= MOST_KEPT && !self.kept.contains_key(text) {
            self.kept.clear();
        }
        if !self.kept.contains_key(text) {
            let tokens = self.tokenizer.tokens(text)?;
            let vector = self.encoder.encode(&tokens)?;
            self.kept.insert(text.to_owned(), vector);
        }
        Ok(&self.kept[text])
    }
}

/// The cosine of two vectors of length 1; 0 if they differ in size.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return 0.0;
    }
    a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A small tokenizer of whole words and pieces.
    fn tokenizer(processor: Value) -> Value {
        let words = [
            "[PAD]", "[UNK]", "[CLS]", "[SEP]", "water", "tap", "##s", "dog", ",", "cafe",
        ];
        let vocabulary: serde_json::Map<String, Value> = words
            .iter()
            .enumerate()
            .map(|(id, word)| ((*word).to_owned(), id.into()))
            .collect();
        let special = |id: usize| json!({ "id": id, "content": words[id], "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true });
        json!({
            "version": "1.0", "truncation": { "max_length": 8, "strategy": "LongestFirst", "stride": 0 },
            "padding": { "strategy": { "Fixed": 8 }, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]" },
            "added_tokens": [special(0), special(1), special(2), special(3)],
            "normalizer": { "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true },
            "pre_tokenizer": { "type": "BertPreTokenizer" }, "post_processor": processor, "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
            "model": { "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocabulary },
        })
    }

    fn read(all: &Value) -> anyhow::Result<Tokenizer> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokenizer.json");
        std::fs::write(&file, all.to_string()).unwrap();
        Tokenizer::read(&file)
    }

    #[test]
    fn texts_become_tokens_with_what_surrounds_them() {
        let template = json!({
            "type": "TemplateProcessing",
            "single": [{ "SpecialToken": { "id": "[CLS]", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }, { "SpecialToken": { "id": "[SEP]", "type_id": 0 } }],
            "pair": [], "special_tokens": { "[CLS]": { "id": "[CLS]", "ids": [2], "tokens": ["[CLS]"] }, "[SEP]": { "id": "[SEP]", "ids": [3], "tokens": ["[SEP]"] } },
        });
        let bert = json!({ "type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2] });
        let both = json!({ "type": "Sequence", "processors": [{ "type": "ByteLevel" }, bert] });
        for processor in [template, bert, both] {
            let own = read(&tokenizer(processor)).unwrap();
            assert_eq!(
                own.tokens("Water taps, DOG").unwrap(),
                [2, 4, 5, 6, 8, 7, 3]
            );
            assert_eq!(own.tokens("Café xyz").unwrap(), [2, 9, 1, 3]);
        }
        let bare = read(&tokenizer(Value::Null)).unwrap();
        assert_eq!(bare.tokens("dog").unwrap(), [7]);
        // A text cannot smuggle in what ends it.
        assert!(!bare.tokens("dog [SEP]").unwrap().contains(&3));
    }

    #[test]
    fn what_is_no_tokenizer_is_refused() {
        for all in [json!({}), json!([1]), json!({ "model": { "type": "x" } })] {
            assert!(read(&all).is_err(), "{all}");
        }
        assert!(Tokenizer::read(Path::new("nowhere.json")).is_err());
    }

    #[test]
    fn vectors_of_other_sizes_have_nothing_in_common() {
        assert_eq!(cosine(&[1.0, 0.0], &[1.0]), 0.0);
        assert!((cosine(&[0.6, 0.8], &[0.6, 0.8]) - 1.0).abs() < 1e-6);
    }
}
