//! Speech: samples -> chunks for a voice detector, and its answers by time.

use std::collections::VecDeque;

use crate::hearing::mel::{RATE, clamp_positive, clamp_sample};
use crate::time::Nanos;

/// Samples in a chunk: 32 ms.
const CHUNK: usize = 512;
/// Chunks that may wait for their answers: two minutes. Beyond that, the oldest is given up and counts as silent.
const MAX_CHUNKS: usize = 3750;

/// Samples in, chunks out; answers in, probabilities out.
#[derive(Debug, Default)]
pub(crate) struct VoiceStream {
    filling: Vec<f32>,
    waiting: VecDeque<Vec<f32>>,
    /// Chunks that the detector has.
    out: usize,
    /// How many of those were given up.
    given_up: usize,
    /// Answers, from chunk `first` on.
    answers: VecDeque<f32>,
    first: u64,
    finished: bool,
}

impl VoiceStream {
    pub(crate) fn push(&mut self, samples: &[f32]) {
        for &x in samples {
            self.filling.push(clamp_sample(x, 1.0));
            if self.filling.len() == CHUNK {
                self.ask();
            }
        }
    }

    fn ask(&mut self) {
        if self.out + self.waiting.len() == MAX_CHUNKS {
            if self.out > 0 {
                self.out -= 1;
                self.given_up += 1;
            } else {
                self.waiting.pop_front();
            }
            self.answers.push_back(0.0);
        }
        self.waiting.push_back(std::mem::take(&mut self.filling));
    }

    /// The next chunk of 512 samples. Answers come in the same order.
    pub(crate) fn next_chunk(&mut self) -> Option<Vec<f32>> {
        let chunk = self.waiting.pop_front()?;
        self.out += 1;
        Some(chunk)
    }

    pub(crate) fn answer(&mut self, p: f32) {
        if self.given_up > 0 {
            self.given_up -= 1;
        } else if self.out > 0 {
            self.out -= 1;
            self.answers.push_back(clamp_positive(p, 1.0));
        }
    }

    /// End of stream: the last chunk is padded with silence.
    pub(crate) fn finish(&mut self) {
        if !self.filling.is_empty() {
            self.filling.resize(CHUNK, 0.0);
            self.ask();
        }
        self.finished = true;
    }

    /// The highest probability of speech in `[from, to)`; `None` while an answer is outstanding. After the end there
    /// counts as silence.
    pub(crate) fn likeliest(&self, from: Nanos, to: Nanos) -> Option<f32> {
        let (from, to) = (chunk(from), chunk(to - Nanos::new(1)));
        let known = self.first + self.answers.len() as u64;
        let all = self.finished && self.out == 0 && self.waiting.is_empty();
        if to >= known && !all {
            return None;
        }
        let within = |i: u64| i.saturating_sub(self.first) as usize;
        let answers = self
            .answers
            .iter()
            .take(within(to).saturating_add(1))
            .skip(within(from));
        Some(answers.copied().fold(0.0, f32::max))
    }

    /// No time before this will be queried.
    pub(crate) fn forget(&mut self, before: Nanos) {
        while self.first < chunk(before) && self.answers.len() > 1 {
            self.answers.pop_front();
            self.first += 1;
        }
    }
}

/// The chunk that contains a time.
fn chunk(at: Nanos) -> u64 {
    let samples = i128::from(at.get().max(0)) * i128::from(RATE) / 1_000_000_000;
    (samples / CHUNK as i128) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: i64) -> Nanos {
        Nanos::from_ms(ms)
    }

    #[test]
    fn answers_are_found_by_time() {
        let mut stream = VoiceStream::default();
        stream.push(&vec![0.1; CHUNK * 10 + 7]);
        let mut n = 0;
        while let Some(chunk) = stream.next_chunk() {
            assert_eq!(chunk.len(), CHUNK);
            stream.answer(n as f32 / 10.0);
            n += 1;
        }
        assert_eq!(n, 10);
        assert_eq!(stream.likeliest(ms(64), ms(96)), Some(0.2));
        assert_eq!(stream.likeliest(ms(64), ms(97)), Some(0.3));
        assert_eq!(stream.likeliest(ms(300), ms(321)), None);
        stream.forget(ms(100));
        assert_eq!(stream.likeliest(ms(96), ms(161)), Some(0.5));
        stream.finish();
        assert_eq!(stream.likeliest(ms(300), ms(400)), None);
        assert_eq!(stream.next_chunk().map(|c| c.len()), Some(CHUNK));
        stream.answer(f32::NAN);
        assert_eq!(stream.likeliest(ms(320), ms(400)), Some(0.0));
    }

    #[test]
    fn a_detector_that_never_answers_is_given_up() {
        let mut stream = VoiceStream::default();
        for _ in 0..MAX_CHUNKS + 50 {
            stream.push(&[0.0; CHUNK]);
            stream.next_chunk();
        }
        assert_eq!((stream.out, stream.given_up), (MAX_CHUNKS, 50));
        assert_eq!(stream.likeliest(ms(0), ms(50 * 32)), Some(0.0));
        assert_eq!(stream.likeliest(ms(0), ms(51 * 32)), None);
        for _ in 0..51 {
            stream.answer(0.5);
        }
        assert_eq!(stream.likeliest(ms(0), ms(51 * 32)), Some(0.5));
    }
}
