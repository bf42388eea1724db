//! Asks every question in every way, recording by recording; decodes each recording once for many questions.

use std::time::{Duration, Instant};

use anchoring::tier::Tier;
use serde_json::json;

use super::score::{self, Outcome};
use super::set::Set;
use crate::ask::arm::Arm;
use crate::ask::asker::Asker;
use crate::ask::evidence::spans;
use crate::ask::pool::Pool;
use crate::ask::prompt::Template;
use crate::ask::{self, heard};
use crate::chat::{CallError, Ledger};
use crate::cli::Sampling;
use crate::terminal::{self, Output};

/// Questions whose frames are decoded together.
const TOGETHER: usize = 16;
/// Least time between two lines of progress.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// A way of asking: a row of the table.
#[derive(Clone, Debug)]
pub(super) struct Method {
    pub(super) sampling: Sampling,
    pub(super) template: Template,
    pub(super) frames: usize,
    pub(super) tier: Tier,
}

impl Method {
    fn arm(&self) -> Arm<'_> {
        Arm {
            sampling: self.sampling,
            template: &self.template,
            frames: self.frames,
            tier: self.tier,
        }
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.sampling, &self.template.name, self.frames, self.tier)
            == (
                other.sampling,
                &other.template.name,
                other.frames,
                other.tier,
            )
    }

    /// "uniform, plain, 4 high".
    pub(super) fn name(&self) -> String {
        format!(
            "{}, {}, {} {}",
            self.sampling.name(),
            self.template.name,
            self.frames,
            self.tier
        )
    }
}

/// All answers.
pub(super) struct Results {
    pub(super) ways: Vec<Method>,
    /// By way, then by question in the order of the set.
    pub(super) outcomes: Vec<Vec<Outcome>>,
    lines: Vec<String>,
}

impl Results {
    /// Every answer with its evidence, one JSON object per line.
    pub(super) fn lines(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// Asks everything.
///
/// # Errors
/// A file cannot be read or decoded, or the server fails for good.
pub(super) fn run(
    set: &Set,
    ways: &[Method],
    asker: &mut Asker<'_>,
    output: Output,
) -> anyhow::Result<Results> {
    let mut results = Results {
        ways: ways.to_vec(),
        outcomes: vec![Vec::new(); ways.len()],
        lines: Vec::new(),
    };
    let (mut done, all) = (0, set.len());
    let mut last_report = Instant::now();
    for one in &set.recordings {
        let heard = [heard::one(&one.file, &one.recording)?];
        let pool = Pool::new(&heard);
        asker.next_recordings();
        for questions in one.questions.chunks(TOGETHER) {
            let mut frames = Vec::new();
            if ways.iter().any(|way| way.sampling == Sampling::Localizer) {
                frames.extend(asker.candidates(&pool).into_iter().map(|(_, frame)| frame));
            }
            for question in questions {
                let fits = asker.scorers.fits(&pool, &question.question)?;
                for way in ways
                    .iter()
                    .filter(|way| way.sampling != Sampling::Localizer)
                {
                    let scored =
                        asker
                            .scorers
                            .scores(&pool, &fits, &question.question, way.sampling)?;
                    frames.extend(asker.shown(&pool, &fits, way.arm(), &scored)?);
                }
            }
            asker.decode(&pool, &frames)?;
            for question in questions {
                for (way, outcomes) in ways.iter().zip(&mut results.outcomes) {
                    let before = spent(asker);
                    let asked = asker.ask(&pool, &question.question, &question.options, way.arm());
                    let after = spent(asker);
                    let (mut outcome, more) = match asked {
                        Ok(asked) => {
                            let found = spans(&heard, &asked);
                            let evidence: Vec<_> =
                                found.iter().map(|span| ask::span(&heard, span)).collect();
                            let shown: Vec<_> = asked.frames.iter().map(ask::frame).collect();
                            let more = json!({
                                "said": asked.answer.text, "confidence": asked.answer.confidence, "cited": asked.answer.cited,
                                "evidence": evidence, "frames": shown, "notes": asked.notes,
                            });
                            (score::judge(question, &asked, &found, &heard[0]), more)
                        }
                        Err(e) => match e.downcast_ref::<CallError>() {
                            Some(CallError::Refused { .. } | CallError::Broken { .. }) => {
                                let why = e.to_string();
                                let more = json!({ "error": why });
                                (
                                    Outcome {
                                        unanswered: Some(why),
                                        ..Outcome::default()
                                    },
                                    more,
                                )
                            }
                            _ => return Err(e),
                        },
                    };
                    outcome.calls = (after.calls + after.kept) - (before.calls + before.kept);
                    outcome.server_tokens = (after.prompt_tokens + after.answer_tokens)
                        - (before.prompt_tokens + before.answer_tokens);
                    outcome.server_ms = after.server_ms - before.server_ms;
                    let line = json!({
                        "id": question.id, "video": question.video, "type": question.kind, "sampling": way.sampling.name(),
                        "prompt": way.template.name, "tier": way.tier, "frames_wanted": way.frames, "answer": question.answer,
                        "right": outcome.right, "tokens": outcome.tokens, "in_label": outcome.in_label, "in_anchors": outcome.in_anchors,
                        "detail": more,
                    });
                    results.lines.push(line.to_string());
                    outcomes.push(outcome);
                }
                done += 1;
                if !output.quiet && last_report.elapsed() > REPORT_EVERY {
                    last_report = Instant::now();
                    terminal::tell(&format!("{done} of {all} questions, {}", one.video));
                }
            }
        }
    }
    Ok(results)
}

/// Counts so far; drops the overheads of single calls.
fn spent(asker: &Asker<'_>) -> Ledger {
    let ledger = asker.client().map(|client| &client.ledger);
    ledger.map_or_else(Ledger::default, |ledger| Ledger {
        calls: ledger.calls,
        kept: ledger.kept,
        prompt_tokens: ledger.prompt_tokens,
        answer_tokens: ledger.answer_tokens,
        server_ms: ledger.server_ms,
        ..Ledger::default()
    })
}
