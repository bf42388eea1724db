//! Collects the warnings of a run, and puts those of elements into words.

use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;

use crate::pipeline::drawing;

/// Most warnings that are kept.
const MOST_WARNINGS: usize = 20;
/// Our elements.
pub(crate) const OURS: [&str; 4] = ["eventness", "anchorgate", "framepick", "featuresink"];
/// What other elements mean: an element, how its warning begins, and that in a person's words.
const IN_WORDS: [(&str, &str, &str); 1] = [(
    "tsdemux",
    "CONTINUITY",
    "packets of the transport stream are missing (were they lost on the way?): sound and frames there may be damaged or missing",
)];

/// A warning that an element posted.
#[derive(Debug)]
pub(crate) struct ElementWarning {
    /// The same for warnings that differ in numbers only.
    pub(crate) kind: String,
    pub(crate) text: String,
}

impl ElementWarning {
    pub(crate) fn of(warning: &gst::message::Warning) -> Self {
        let factory = warning
            .src()
            .and_then(|source| source.downcast_ref::<gst::Element>())
            .and_then(|element| element.factory());
        let name = factory.as_ref().map(|factory| factory.name());
        Self::said(name.as_deref(), warning.error().message())
    }

    fn said(factory: Option<&str>, said: &str) -> Self {
        let said = said.trim_end_matches('.');
        let Some(factory) = factory.filter(|factory| !OURS.contains(factory)) else {
            return Self {
                kind: said.to_owned(),
                text: said.to_owned(),
            };
        };
        let known = IN_WORDS
            .iter()
            .find(|(element, begins, _)| *element == factory && said.starts_with(begins));
        let text = match known {
            Some((.., words)) => (*words).to_owned(),
            None => format!("{} ({factory}): {said}", drawing::stage(factory)),
        };
        let kind = text.chars().filter(|c| !c.is_ascii_digit()).collect();
        Self { kind, text }
    }
}

/// Warnings, one of a kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Warnings(Arc<Mutex<Vec<ElementWarning>>>);

impl Warnings {
    pub(super) fn push(&self, text: impl Into<String>) {
        let text = text.into();
        self.push_said(ElementWarning {
            kind: text.clone(),
            text,
        });
    }

    pub(super) fn push_said(&self, warning: ElementWarning) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < MOST_WARNINGS && all.iter().all(|other| other.kind != warning.kind) {
            all.push(warning);
        }
    }

    pub(super) fn all(&self) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|warning| warning.text.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_warning_is_kept_once() {
        gst::init().unwrap();
        let warnings = Warnings::default();
        for (factory, said) in [
            (
                "tsdemux",
                "CONTINUITY: Mismatch packet 6, stream 12 (pid 0x0100)",
            ),
            (
                "tsdemux",
                "CONTINUITY: Mismatch packet 9, stream 3 (pid 0x0101)",
            ),
            ("tsdemux", "another fault."),
            ("qtdemux", "sample 17 is broken"),
            ("qtdemux", "sample 18 is broken"),
            ("eventness", "a loss at 1.0 s"),
            ("eventness", "a loss at 2.0 s"),
        ] {
            warnings.push_said(ElementWarning::said(Some(factory), said));
        }
        let [lost, rest @ ..] = &warnings.all()[..] else {
            panic!("nothing was kept");
        };
        assert!(lost.starts_with("packets of the transport stream are missing"));
        assert_eq!(
            rest,
            [
                "demux (tsdemux): another fault",
                "demux (qtdemux): sample 17 is broken",
                "a loss at 1.0 s",
                "a loss at 2.0 s",
            ]
        );
    }
}
