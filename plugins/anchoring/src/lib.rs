//! Decides where to look in a long recording from what is heard in it.
//!
//! Nothing here knows GStreamer, ONNX, HDF5, files, threads or clocks: samples and media time go in, values come out.
//!
//! # Layout
//!
//! In the order in which data flows:
//!
//! - [`time`]: media time in integer nanoseconds, half-open windows.
//! - `wide`, `spectrum`: arithmetic on the widest vectors that the machine has.
//! - [`stretch`]: stamped samples -> when they sound; times never go back.
//! - [`mel`]: 16 kHz samples -> mel spectrogram frames (YAMNet's front end), streaming.
//! - [`flux`]: mel frames -> onset strength, streaming.
//! - [`floor`]: mel frames -> the noise floor, streaming.
//! - [`candidate`]: mel frames -> instants at which something may begin, with what a probe judges them by.
//! - [`weights`]: the learned part, read from one file and checked.
//! - [`mlp`]: a candidate's features -> a logit.
//! - [`above`]: mel frames -> how far each band lies above its background, streaming.
//! - [`tcn`]: mel frames -> what a convolutional network says of them, streaming.
//! - [`probe`]: mel frames -> onsets with their probability, streaming: `energy`, `flux`, `onset`, `onset+tcn`.
//! - [`dead`]: samples -> stretches in which the sound can't be trusted, streaming.
//! - [`voice`]: samples -> chunks for a voice detector, and what it said of them.
//! - [`head`]: an embedding of sound -> how likely something begins.
//! - [`listen`]: samples and tags -> [`cue`]s, one for every 80 ms.
//! - [`cue`]: what the audio says about one hop.
//! - [`offset`]: how much later than its sound an event is seen.
//! - [`anchor`]: cues -> anchors with their windows.
//! - [`tier`]: resolutions, prices, tokens.
//! - [`settings`]: everything a user may choose, with defaults, ranges and one check.
//! - [`worth`]: what a look is expected to show.
//! - [`uniform`]: evenly spaced looks and the largest gap.
//! - [`plan`]: the plan, its entries, its checks, its text form (`plan.jsonl`).
//! - [`holes`]: the times of pictures -> where there are none, and a recording's time without those.
//! - [`global`]: the whole recording's cues -> one plan that spends the budget exactly.
//! - [`snap`]: plain looks moved to keyframes, where they are cheap.
//! - [`stream`]: cues as they come -> plan entries within a token bucket and a bounded look-ahead.
//! - [`gop`]: access units and plan entries -> a verdict for every access unit.

pub mod above;
pub mod anchor;
pub mod candidate;
pub mod cue;
pub mod dead;
pub mod floor;
pub mod flux;
pub mod global;
pub mod gop;
pub mod head;
pub mod holes;
pub mod listen;
pub mod mel;
pub mod mlp;
pub mod offset;
pub mod plan;
pub mod probe;
pub mod settings;
pub mod snap;
mod spectrum;
pub mod stream;
pub mod stretch;
pub mod tcn;
pub mod tier;
pub mod time;
pub mod uniform;
pub mod voice;
pub mod weights;
mod wide;
pub mod worth;
