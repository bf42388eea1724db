//! Tests of the whole command, in one binary.

#![expect(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "one binary of tests: nothing is seen from outside, and helpers may panic too"
)]

// What the tests of whole runs share.
mod recordings;

// What feature files that tests write are made of.
mod feature_files;

// Weights made from labelled recordings.
mod fit;

// Every input that must work: containers, codecs, oddities of time.
mod inputs;
/// `make install` and `make uninstall`: what they write, and where.
mod install;

// Sound that is late, short, wrongly stamped or out of phase, and timestamps that jump.
mod sound;

// Which frames it takes: recordings that are cut, silent, with few frames.
mod planning;

// Codecs by containers, frames without times, colours.
mod codecs;

// Clips: their frames, their grids, their plans.
mod clips;
mod clips_inputs;

// How a recording is read, and what does the work.
mod reading;

// Every input that must be refused clearly.
mod bad_input;

// Runs that end before their recording.
mod ends;

// What the folders promise.
mod layout;
// Pipelines: everything wrong is reported at once, with its place.
mod validate;

// Models that users bring.
mod models;

// The command line itself; nothing is played.
mod commands;

// What leaves the process: no socket but the input's, no file but ours.
mod privacy;

// The shipped recording from end to end.
mod kitchen;

// Quality of frames, and the sharpest of them.
mod quality;

// Feature files that are damaged, or of an older schema.
mod damage;

// Feature files that were made to do harm.
mod hostile;

// Feature files in other programs' formats.
mod export;

// Plans from a file of many recordings' sound.
mod import;

// Plans at equal tokens, and what heads make of their frames.
mod evidence;

// Parsing of videos: published layouts to the papers' tables.
mod parsing;

// The measures of published benchmarks, against their authors' scorers.
mod scores;

// Many recordings: resumed, accounted for, stopped, killed.
mod batch;

// Streams: started, lost, found again, stopped, killed, and what they send.
mod live;

// Questions about recordings, answered by servers that the tests make.
mod ask;

// Pages and drawings of feature files.
mod report;

// The guide: complete, current, and every command in it runs.
mod guide;

// The Python package, which reads what the command writes.
mod python;
