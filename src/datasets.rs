//! Published label files, read as their authors publish them. What makes no sense is refused with its file, line and value.
//!
//! # Layout
//!
//! - `text`: a file -> its text, unpacked, of bounded size.
//! - `table`: CSV or TSV -> columns by name, values with their place.
//! - `npz`: NumPy's files -> arrays.
//! - `epic`: EPIC-SOUNDS and EPIC-KITCHENS-100: annotations, submissions to their detection challenges.
//! - `qvhighlights`: queries and predictions.
//! - `llp`: weak and dense labels of videos to be parsed.
//! - `ave`: one event a video.
//! - `dcase`: sound events.
//! - `questions`: NExT-QA, MUSIC-AVQA, HME-QA.
//! - `recordings`: the recordings of a folder. `survey`: what of a set is there, beside what its authors give.

pub(crate) mod ave;
pub(crate) mod dcase;
pub(crate) mod epic;
pub(crate) mod llp;
pub(crate) mod npz;
pub(crate) mod questions;
pub(crate) mod qvhighlights;
pub(crate) mod recordings;
pub(crate) mod survey;
pub(crate) mod table;
pub(crate) mod text;
