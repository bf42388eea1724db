//! The evidence of an answer: the frames shown, the stretches around them, and possible explanations of their sound.

use anchoring::tier::Tokens;
use anchoring::time::Nanos;

use super::answer::Answer;
use super::heard::HeardRecording;
use super::prompt::PromptFrame;

/// A frame without a sound counts with this much on each side.
const AROUND: Nanos = Nanos::from_ms(500);

/// Possible explanations of a sound and their probabilities.
#[derive(Clone, Debug)]
pub(crate) struct Explained {
    pub(crate) label: String,
    /// "None of these" comes last; no probabilities if the server gives none.
    pub(crate) said: Vec<(String, Option<f64>)>,
    pub(crate) chosen: Option<usize>,
    /// Probability of the best minus that of the second.
    pub(crate) margin: Option<f64>,
}

/// An answered question.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) answer: Answer,
    pub(crate) frames: Vec<PromptFrame>,
    /// Calls of the localizer, and the tokens of their frames.
    pub(crate) localizer: (u64, Tokens),
    pub(crate) explained: Option<Explained>,
    /// Notes for the user.
    pub(crate) notes: Vec<String>,
}

impl Asked {
    /// What the frames of the answer cost.
    pub(crate) fn tokens(&self) -> Tokens {
        self.frames.iter().map(|shown| shown.tokens).sum()
    }
}

/// A stretch of a recording that supports an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Span {
    pub(crate) recording: usize,
    pub(crate) start: Nanos,
    pub(crate) stop: Nanos,
    /// Row of its sound.
    pub(crate) sound: Option<usize>,
    /// Numbers of the frames in it.
    pub(crate) frames: Vec<usize>,
}

/// The stretches that support an answer: those of the frames it names, or of all but the far one if it names none.
pub(crate) fn spans(heard: &[HeardRecording], asked: &Asked) -> Vec<Span> {
    let cited = &asked.answer.cited;
    let counts = |shown: &&PromptFrame| match cited.is_empty() {
        true => !shown.far,
        false => cited.contains(&shown.number),
    };
    let mut all: Vec<Span> = Vec::new();
    for shown in asked.frames.iter().filter(counts) {
        let at = shown.pts.unwrap_or(shown.at);
        let sound = shown.sound.as_ref().map(|(row, _, _)| *row);
        let one = &heard[shown.recording];
        let (start, stop) = match sound {
            Some(row) => (one.sounds[row].start, one.sounds[row].stop),
            None => (at - AROUND, at + AROUND),
        };
        let (start, stop) = (start.max(Nanos::ZERO), stop.min(one.duration));
        let same = all.iter_mut().find(|span| {
            span.recording == shown.recording
                && span.sound == sound
                && span.start <= stop
                && start <= span.stop
        });
        match same {
            Some(span) => {
                span.start = span.start.min(start);
                span.stop = span.stop.max(stop);
                span.frames.push(shown.number);
            }
            None => all.push(Span {
                recording: shown.recording,
                start,
                stop,
                sound,
                frames: vec![shown.number],
            }),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::pool::tests::heard;
    use super::super::prompt::tests::shown;
    use super::*;

    #[test]
    fn evidence_is_the_window_of_what_was_cited() {
        let all = [heard(60, &[(10, 0.6, "Bell"), (25, 0.9, "Dog")])];
        let frame = |number: usize, ms: i64, row: Option<usize>| PromptFrame {
            at: Nanos::from_ms(ms),
            sound: row.map(|row| (row, Nanos::ZERO, String::new())),
            ..shown(number, "")
        };
        let mut asked = Asked {
            answer: Answer::default(),
            frames: vec![
                frame(1, 10_100, Some(0)),
                frame(2, 25_100, Some(1)),
                frame(3, 25_300, Some(1)),
                PromptFrame {
                    far: true,
                    ..frame(4, 59_900, None)
                },
            ],
            localizer: (0, 0),
            explained: None,
            notes: Vec::new(),
        };
        let ms = |span: &Span| (span.start, span.stop, span.frames.clone());
        let window = |from: i64, to: i64, frames: &[usize]| {
            (Nanos::from_ms(from), Nanos::from_ms(to), frames.to_vec())
        };
        let found: Vec<_> = spans(&all, &asked).iter().map(ms).collect();
        assert_eq!(
            found,
            [window(9_800, 10_400, &[1]), window(24_800, 25_400, &[2, 3])]
        );
        asked.answer.cited = vec![3];
        let found: Vec<_> = spans(&all, &asked).iter().map(ms).collect();
        assert_eq!(found, [window(24_800, 25_400, &[3])]);
        // A frame without a sound counts with half a second on each side, within the recording.
        asked.answer.cited = vec![4];
        let found: Vec<_> = spans(&all, &asked).iter().map(ms).collect();
        assert_eq!(found, [window(59_400, 60_000, &[4])]);
    }
}
