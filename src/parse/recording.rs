//! Parses the user's own recording and writes `/events` beside its anchors; or writes its features in LLP's layout.

use std::path::Path;

use anyhow::{Context, bail};
use gstearmark::h5::{self, EventModality, EventRow, Parts};
use serde_json::{Value, json};

use super::features::Stream;
use super::own::RowsBySecond;
use super::pack::{self, Parts as Packing};
use super::refine::{Onset, Timed, timed};
use super::set::Set;
use super::steps::Trained;
use crate::cli::{ParseFeatures, ParsePredict};
use crate::datasets::npz;
use crate::files;
use crate::outputs::features::Readable;
use crate::scores::Scored;

/// Seconds per piece, as in LLP.
const PIECE: usize = crate::datasets::llp::SECONDS;

/// `earmark parse features`.
///
/// # Errors
/// A model fails, or something cannot be read or written.
pub(super) fn features(args: &ParseFeatures) -> anyhow::Result<Scored> {
    let own = RowsBySecond::read(&args.recording, &args.features, &args.tagger)?;
    let pieces = own.seconds / PIECE;
    if pieces == 0 {
        bail!(
            "{} has {} s: a piece has {PIECE}",
            args.recording,
            own.seconds
        );
    }
    for (modality, name) in ["audio", "visual"].into_iter().enumerate() {
        let folder = args.output.join(name);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        for piece in 0..pieces {
            let from = piece * PIECE;
            let numbers = own.piece(modality, from, PIECE);
            let bytes = npz::array_of(&[PIECE, own.widths[modality]], &numbers);
            let file = folder.join(format!("{}_{from}_{}.npy", own.name, from + PIECE));
            files::write(&file, &bytes, true)?;
        }
    }
    let value =
        json!({ "ok": true, "pieces": pieces, "values": own.widths, "output": args.output });
    let text = format!(
        "{pieces} pieces of {PIECE} s: {} values a second of sound, {} of frames: {}",
        own.widths[0],
        own.widths[1],
        args.output.display()
    );
    Ok(Scored { value, text })
}

/// Parses a recording: writes a copy of its feature file with `/events`.
///
/// # Errors
/// The parser takes other features, a model fails, or something cannot be read or written.
pub(super) fn predict(
    trained: &Trained,
    recording: &str,
    features: &Path,
    args: &ParsePredict,
) -> anyhow::Result<Scored> {
    files::check(&args.output, args.overwrite)?;
    files::differs(&args.output, Some(features))?;
    let own = RowsBySecond::read(recording, features, &args.tagger)?;
    let pieces = own.seconds.div_ceil(PIECE);
    let names = (0..pieces).map(|piece| format!("{}_{}", own.name, piece * PIECE));
    let set = Set::unlabelled(names.collect(), trained.classes()?, PIECE);
    let given = |modality: usize| Stream::Given {
        width: own.widths[modality],
        numbers: (0..pieces)
            .flat_map(|piece| own.piece(modality, piece * PIECE, PIECE))
            .collect(),
    };
    let folder =
        tempfile::TempDir::with_prefix("earmark-").context("cannot create a temporary folder")?;
    let packed = folder.path().join("data.safetensors");
    let parts = Packing {
        set: &set,
        streams: [vec![given(0)], vec![given(1)]],
        words: None,
    };
    pack::write(&packed, parts)?;
    let said = trained.predict_on(&packed, "all")?.joined(own.seconds);
    let mut onsets: Vec<Onset> = own
        .tables
        .anchors
        .iter()
        .map(|anchor| (anchor.onset_ns, anchor.score))
        .chain(
            own.tables
                .candidates
                .iter()
                .map(|one| (one.onset_ns, one.score)),
        )
        .map(|(at_ns, score)| Onset { at_ns, score })
        .collect();
    onsets.sort_by_key(|onset| onset.at_ns);
    let [heard, seen] = timed(said.events(0, 0), said.events(1, 0), &onsets);
    let moved = heard.iter().chain(&seen).filter(|one| one.moved).count();
    let row = |one: &Timed, modality| EventRow {
        onset_ns: one.onset_ns,
        offset_ns: one.offset_ns,
        class: said.classes[one.event.class].clone(),
        modality,
        score: one.event.score,
    };
    let mut rows: Vec<EventRow> = heard
        .iter()
        .map(|one| row(one, EventModality::Audio))
        .collect();
    rows.extend(seen.iter().map(|one| row(one, EventModality::Visual)));
    rows.sort_by_key(|row| (row.onset_ns, row.modality as u8));
    let file = Readable::open(features, Parts::All)?;
    h5::with_events(file.path(), &args.output, args.overwrite, &rows)?;
    let value: Value = json!({
        "ok": true, "seconds": own.seconds, "heard": heard.len(), "seen": seen.len(), "at_onsets": moved, "events": rows, "output": args.output,
    });
    let text = format!(
        "{} s: {} events heard, {} seen, {moved} of them from an onset on: {}",
        own.seconds,
        heard.len(),
        seen.len(),
        args.output.display()
    );
    Ok(Scored { value, text })
}
