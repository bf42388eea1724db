//! Reads published label files in their authors' formats. Invalid content is refused with its file, line and value.
//!
//! # Layout
//!
//! - `text`: reads a file as text, unpacked, of bounded size.
//! - `table`: reads CSV or TSV by column names; values know their place.
//! - `npz`: reads arrays of NumPy files. `mat`: reads MATLAB files.
//! - `opinions`: opinion scores of clips.
//! - `epic`: EPIC-SOUNDS and EPIC-KITCHENS-100: annotations, and submissions to their detection challenges.
//! - `qvhighlights`: queries and predictions.
//! - `llp`: weak and dense labels for video parsing.
//! - `ave`: one event per video.
//! - `dcase`: sound events.
//! - `questions`: NExT-QA, MUSIC-AVQA, HME-QA.
//! - `recordings`: finds the recordings of a folder. `survey`: compares a dataset on disk with its published counts.

pub(crate) mod ave;
pub(crate) mod dcase;
pub(crate) mod epic;
pub(crate) mod llp;
pub(crate) mod mat;
pub(crate) mod npz;
pub(crate) mod opinions;
pub(crate) mod questions;
pub(crate) mod qvhighlights;
pub(crate) mod recordings;
pub(crate) mod survey;
pub(crate) mod table;
pub(crate) mod text;
