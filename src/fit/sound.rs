//! Decodes a recording's sound with GStreamer and turns it into mel frames; keeps no sound.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anchoring::hearing::mel::{BANDS, MelStream, RATE};
use anchoring::listener::Listener;
use anyhow::{Context, anyhow, bail};
use gst::prelude::*;
use half::f16;

use super::channels::Channel;
use crate::recording::Input;
use crate::terminal::tell;

/// Longest recording: 24 hours of frames.
const MOST_FRAMES: usize = 24 * 3600 * 100;
/// Longest time without progress.
const STALLED: gst::ClockTime = gst::ClockTime::from_seconds(60);

/// Mel magnitudes `[frames, 64]`, in half precision: 46 MB an hour.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Mel(Vec<[f16; BANDS]>);

impl Mel {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The frames from `first`, at most `n`.
    pub(crate) fn frames(&self, first: usize, n: usize) -> Vec<[f32; BANDS]> {
        let end = first.saturating_add(n).min(self.0.len());
        self.0[first.min(end)..end]
            .iter()
            .map(|row| row.map(f16::to_f32))
            .collect()
    }

    /// Its bytes, for a hash.
    pub(super) fn bytes(&self) -> impl Iterator<Item = [u8; 2 * BANDS]> {
        self.0.iter().map(|row| {
            let mut bytes = [0; 2 * BANDS];
            for (pair, m) in bytes.chunks_exact_mut(2).zip(row) {
                pair.copy_from_slice(&m.to_le_bytes());
            }
            bytes
        })
    }

    pub(super) fn push(&mut self, frame: &[f32; BANDS]) {
        self.0.push(frame.map(f16::from_f32));
    }
}

/// Takes samples; returns whether it wants more.
type Take = dyn FnMut(&[f32]) -> bool + Send;

/// Takes its own if a thread that held it panicked.
pub(super) fn lock<T: ?Sized>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Decodes a recording into mel frames, as it is or as it sounds through a channel.
///
/// # Errors
/// It is not a recording, has no sound, cannot be decoded here, or is too long.
pub(super) fn mel(input: &Input, channel: Option<Channel>) -> anyhow::Result<Mel> {
    let name = &input.given;
    let ear = Arc::new(Mutex::new((MelStream::new(), Mel::default())));
    let own = Arc::clone(&ear);
    let late = channel.as_ref().map_or(0, Channel::delay);
    let (mut channel, mut changed, mut early) = (channel, Vec::new(), late);
    let hear = move |samples: &[f32]| {
        let mut ear = lock(&own);
        let (stream, mel) = &mut *ear;
        let samples = match &mut channel {
            None => samples,
            Some(channel) => {
                changed.clear();
                changed.extend_from_slice(samples);
                channel.pass(&mut changed);
                let skipped = early.min(changed.len());
                early -= skipped;
                &changed[skipped..]
            }
        };
        stream.push(samples, |frame| {
            if mel.len() < MOST_FRAMES {
                mel.push(frame);
            }
        });
        mel.len() < MOST_FRAMES
    };
    let hear = Arc::new(Mutex::new(hear));
    let playing = Arc::clone(&hear);
    sound(input, move |samples| (*lock(&playing))(samples))?;
    // The end of a late channel.
    (*lock(&hear))(&vec![0.0; late]);
    let mel = std::mem::take(&mut lock(&ear).1);
    if mel.len() == 0 {
        bail!("{name} has no sound, or less than 25 ms of it");
    }
    if mel.len() >= MOST_FRAMES {
        bail!("{name} is longer than 24 hours; cut it into pieces");
    }
    Ok(mel)
}

/// A listener with the model that answers it.
pub(super) trait SoundTaker: Send + 'static {
    fn listener(&mut self) -> &mut Listener;

    /// Answers the listener's requests, and takes its output.
    ///
    /// # Errors
    /// The model fails.
    fn answer(&mut self) -> anyhow::Result<()>;
}

/// Plays a whole recording to a listener.
///
/// # Errors
/// The recording cannot be decoded, or the model fails.
pub(super) fn listen(ear: &Arc<Mutex<impl SoundTaker>>, input: &Input) -> anyhow::Result<()> {
    let (own, failed) = (Arc::clone(ear), Arc::new(Mutex::new(None)));
    let failing = Arc::clone(&failed);
    let played = sound(input, move |samples| {
        let mut ear = lock(&own);
        ear.listener().push(samples);
        match ear.answer() {
            Ok(()) => true,
            Err(error) => {
                *lock(&failing) = Some(error);
                false
            }
        }
    });
    if let Some(failed) = lock(&failed).take() {
        return Err(failed);
    }
    played?;
    let mut ear = lock(ear);
    ear.listener().finish();
    ear.answer()
}

/// Decodes sound as fast as possible: 16 kHz, mono, in blocks, until the end or until no more is wanted.
///
/// # Errors
/// It is not a recording, or cannot be decoded here.
fn sound(input: &Input, take: impl FnMut(&[f32]) -> bool + Send + 'static) -> anyhow::Result<()> {
    let name = &input.given;
    let take: Arc<Mutex<Take>> = Arc::new(Mutex::new(take));
    let pipeline = gst::Pipeline::new();
    let source = gst::ElementFactory::make("uridecodebin")
        .property("uri", &input.uri)
        // Video is not even decoded.
        .property(
            "caps",
            gst::Caps::builder("audio/x-raw").any_features().build(),
        )
        .property("expose-all-streams", false)
        .build()?;
    let convert = gst::ElementFactory::make("audioconvert").build()?;
    let resample = gst::ElementFactory::make("audioresample").build()?;
    let sink = hearing(&take);
    pipeline.add_many([&source, &convert, &resample, &sink])?;
    gst::Element::link_many([&convert, &resample, &sink])?;
    let into = convert
        .static_pad("sink")
        .context("audioconvert has no pad")?;
    let given = name.clone();
    gstearmark::eventness::repair_audio(&into, move |warning| {
        tell(&format!("warning: {given}: {warning}"));
    });
    source.connect_pad_added(move |_, pad| {
        // The first track; a track that fails to link ends the stream with its own error.
        if !into.is_linked() {
            let _ = pad.link(&into);
        }
    });
    let played = play(&pipeline, name);
    let stopped = pipeline.set_state(gst::State::Null);
    played?;
    stopped.with_context(|| format!("{name}: the GStreamer pipeline does not stop"))?;
    Ok(())
}

fn play(pipeline: &gst::Pipeline, name: &str) -> anyhow::Result<()> {
    let bus = pipeline
        .bus()
        .context("the GStreamer pipeline has no bus")?;
    if pipeline.set_state(gst::State::Playing).is_err() {
        let said = bus.pop_filtered(&[gst::MessageType::Error]);
        return Err(failed(name, said.as_ref()));
    }
    let mut position = None;
    loop {
        let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
        match bus.timed_pop_filtered(STALLED, &kinds) {
            Some(message) if message.type_() == gst::MessageType::Eos => return Ok(()),
            Some(message) => return Err(failed(name, Some(&message))),
            None => {
                let now = pipeline.query_position::<gst::ClockTime>();
                if now == position {
                    bail!("{name}: no progress for {} s", STALLED.seconds());
                }
                position = now;
            }
        }
    }
}

fn failed(name: &str, message: Option<&gst::Message>) -> anyhow::Error {
    match message.map(|message| message.view()) {
        Some(gst::MessageView::Error(error)) => {
            anyhow!(
                "cannot decode the sound of {name}: {}",
                error.error().message()
            )
        }
        _ => anyhow!("cannot play {name}"),
    }
}

/// A sink that hands samples on.
fn hearing(take: &Arc<Mutex<Take>>) -> gst::Element {
    let take = take.clone();
    let mut samples = Vec::new();
    let hear = move |sink: &gst_app::AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let Some(map) = sample
            .buffer()
            .and_then(|buffer| buffer.map_readable().ok())
        else {
            return Ok(gst::FlowSuccess::Ok);
        };
        samples.clear();
        let one = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        samples.extend(map.chunks_exact(4).map(one));
        let more = (*lock(&take))(&samples);
        more.then_some(gst::FlowSuccess::Ok)
            .ok_or(gst::FlowError::Eos)
    };
    let caps = gst::Caps::builder("audio/x-raw")
        .field("format", "F32LE")
        .field("rate", RATE as i32)
        .field("channels", 1)
        .field("layout", "interleaved")
        .build();
    gst_app::AppSink::builder()
        .caps(&caps)
        .sync(false)
        .max_buffers(16)
        .callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample(hear)
                .build(),
        )
        .build()
        .upcast()
}
