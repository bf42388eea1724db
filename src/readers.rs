//! Readers of what others wrote, for the fuzz targets: each reads a file and drops the result. A file is read or refused; nothing panics.

use std::path::Path;

use crate::datasets::{ave, llp, npz, questions, qvhighlights};
use crate::{ask, parse, text_encoder};

/// Questions about videos, in Earmark's own format and in every published one.
pub fn questions(path: &Path) {
    for read in [
        questions::own,
        questions::nextqa,
        questions::star,
        questions::avqa,
        questions::egoschema,
        questions::music_avqa,
        questions::hme_qa,
    ] {
        let _ = read(path);
    }
}

/// QVHighlights' labels and submissions.
pub fn moments(path: &Path) {
    let _ = (
        qvhighlights::labels(path),
        qvhighlights::unlabelled(path),
        qvhighlights::predictions(path),
    );
}

/// Labels of LLP and AVE.
pub fn labels_of_videos(path: &Path) {
    let known = ["Speech", "Car", "Dog"].map(str::to_owned);
    let _ = (
        llp::weak(path, &known),
        llp::dense(path, &known),
        ave::annotations(path),
    );
}

/// A NumPy array, and one as the features of a video.
pub fn array(path: &Path) {
    let _ = (npz::npy(path), parse::read_features(path));
}

/// An HDF5 file with features of videos, or with AVE's order of rows.
pub fn rows(path: &Path) {
    let _ = (parse::read_features(path), ave::order(path, 1000));
}

/// A server's answer, or a kept one.
pub fn answer(bytes: &[u8]) -> Option<String> {
    ask::read_answer(bytes, &"a".repeat(64))
}

/// A localizer head.
pub fn localizer_head(path: &Path) -> bool {
    ask::head::Head::read(path).is_ok()
}

/// A tokenizer, and the tokens of a text; `None` if it is none.
pub fn tokenizer(path: &Path) -> Option<Vec<i64>> {
    let tokenizer = text_encoder::Tokenizer::read(path).ok()?;
    tokenizer.tokens("Water taps, DOG [SEP] é 你好").ok()
}

/// A template for prompts, filled with frames.
pub fn template(path: &Path) {
    let _ = ask::fill_any(path);
}
