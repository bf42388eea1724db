//! The keys of manifests for encoders of text.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Dtype, Kind, Layout, Manifest};
use crate::models::ModelError;
use crate::models::files::cached_sha256;

/// Longest text that a model may take, in tokens.
const LONGEST: usize = 4096;

/// How a text becomes what an encoder of text takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextInput {
    /// The tokenizer, as Hugging Face's tokenizers writes it (`tokenizer.json`), relative to the manifest.
    pub tokenizer: PathBuf,
    /// Its SHA-256, 64 lower-case hexadecimal digits.
    pub tokenizer_sha256: String,
    /// Name of the input that is 1 for each token and 0 for padding, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
    /// Name of the input that says which of two texts a token belongs to, if there is one; it gets zeros.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<String>,
    /// Most tokens of a text, 2..=4096; of a longer one the end is cut off.
    pub longest: usize,
    /// Whether shorter texts are padded to that length.
    #[serde(default)]
    pub padded: bool,
    /// The token that pads; 0 by default.
    #[serde(default)]
    pub pad: i64,
}

impl Manifest {
    /// The tokenizer, for encoders of text.
    pub fn tokenizer_path(&self) -> Option<PathBuf> {
        self.text.as_ref().map(|text| self.beside(&text.tokenizer))
    }

    /// Checks that the tokenizer is there and has the SHA-256 of the manifest.
    pub(super) fn check_tokenizer(&self) -> Result<(), ModelError> {
        let (Some(text), Some(file)) = (&self.text, self.tokenizer_path()) else {
            return Ok(());
        };
        if !file.is_file() {
            return Err(ModelError::Missing {
                name: self.name.clone(),
                file,
            });
        }
        let found = cached_sha256(&file)?;
        if found == text.tokenizer_sha256 {
            return Ok(());
        }
        Err(ModelError::Altered {
            name: self.name.clone(),
            file,
            expected: text.tokenizer_sha256.clone(),
            found,
        })
    }
}

/// The rules of an encoder of text.
pub(super) fn rules(
    manifest: &Manifest,
    need: &mut impl FnMut(bool, &str, &dyn std::fmt::Debug, &str),
) {
    need(
        manifest.input.layout == Layout::Nt,
        "input.layout",
        &manifest.input.layout,
        "must be NT for a text-encoder",
    );
    need(
        manifest.input.dtype != Dtype::F32,
        "input.dtype",
        &manifest.input.dtype,
        "must be i64 or i32 for a text-encoder, the type of its tokens",
    );
    let Some(text) = &manifest.text else {
        need(
            false,
            "text",
            &manifest.text,
            "must have tokenizer, tokenizer_sha256 and longest for a text-encoder, such as { tokenizer: tokenizer.json, tokenizer_sha256: \"0123...\", mask: attention_mask, longest: 128 }",
        );
        return;
    };
    need(
        (2..=LONGEST).contains(&text.longest),
        "text.longest",
        &text.longest,
        "must lie in 2..=4096, such as 128",
    );
    need(
        is_sha256(&text.tokenizer_sha256),
        "text.tokenizer_sha256",
        &text.tokenizer_sha256,
        "must be 64 lower-case hexadecimal digits, as sha256sum prints them",
    );
    need(
        i32::try_from(text.pad).is_ok_and(|pad| pad >= 0),
        "text.pad",
        &text.pad,
        "must be the number of a token, such as 0",
    );
}

/// Whether a text is a SHA-256 as sha256sum prints it.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether only encoders of text have text in their manifest, and whole numbers as input.
pub(super) fn of_others(
    manifest: &Manifest,
    need: &mut impl FnMut(bool, &str, &dyn std::fmt::Debug, &str),
) {
    if manifest.kind == Kind::TextEncoder {
        return;
    }
    need(
        manifest.input.dtype == Dtype::F32,
        "input.dtype",
        &manifest.input.dtype,
        "must be f32 unless the kind is text-encoder",
    );
    need(
        manifest.text.is_none(),
        "text",
        &manifest
            .text
            .as_ref()
            .map(|text| Path::new(&text.tokenizer)),
        "is only for the kind text-encoder",
    );
}
