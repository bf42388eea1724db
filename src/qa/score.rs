//! Judges an answer: whether it is right, and whether its evidence lies where the answer is.

use anchoring::time::Nanos;

use crate::ask::answer::{Answer, holds, normal};
use crate::ask::evidence::{Asked, Span};
use crate::ask::heard::HeardRecording;
use crate::datasets::questions::Question;

/// The outcome of one question in one way.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outcome {
    pub(super) right: bool,
    /// Why there is no answer.
    pub(super) unanswered: Option<String>,
    /// Whether a span of the evidence overlaps the labelled one; `None` without a label.
    pub(super) in_label: Option<bool>,
    /// Whether all of the evidence lies in windows of anchors.
    pub(super) in_anchors: bool,
    pub(super) tokens: u64,
    pub(super) localizer_calls: u64,
    pub(super) localizer_tokens: u64,
    /// Calls of the answer, including kept ones; the server's count of their tokens; their time, ms.
    pub(super) calls: u64,
    pub(super) server_tokens: u64,
    pub(super) server_ms: f64,
}

/// Whether an answer is right.
pub(super) fn is_right(question: &Question, answer: &Answer) -> bool {
    match question.options.is_empty() {
        false => answer.option.and_then(|at| question.options.get(at)) == Some(&question.answer),
        true => holds(&normal(&answer.text), &normal(&question.answer)),
    }
}

/// Judges an answer and its evidence.
pub(super) fn judge(
    question: &Question,
    asked: &Asked,
    spans: &[Span],
    heard: &HeardRecording,
) -> Outcome {
    let right = is_right(question, &asked.answer);
    let time = |seconds: f64| Nanos::from_seconds(seconds).unwrap_or(Nanos::MAX);
    let in_label = question.span.map(|(start, stop)| {
        let (start, stop) = (time(start), time(stop));
        spans
            .iter()
            .any(|span| span.start <= stop && start <= span.stop)
    });
    let inside = |span: &Span| {
        heard
            .sounds
            .iter()
            .any(|sound| sound.start <= span.start && span.stop <= sound.stop)
    };
    Outcome {
        right,
        in_label,
        in_anchors: !spans.is_empty() && spans.iter().all(inside),
        tokens: asked.tokens(),
        localizer_calls: asked.localizer.0,
        localizer_tokens: asked.localizer.1,
        ..Outcome::default()
    }
}
