//! The results of published systems, and how ours differ from them.

use std::fmt::Write as _;

use anyhow::Context;
use serde_json::{Map, Value, json};

use crate::scores::Scored;

/// A paper's figures in per cent, by the names of our scorers; `None`: the paper does not give it.
struct Paper {
    name: &'static str,
    title: &'static str,
    figures: &'static [(&'static str, &'static str, f64)],
    differs: &'static [&'static str],
}

const PAPERS: [Paper; 3] = [
    Paper {
        name: "uwav",
        title: "UWAV (Lai et al., 2025), table 1",
        figures: &[
            ("seg_A", "segments A", 64.2),
            ("seg_V", "segments V", 70.0),
            ("seg_AV", "segments AV", 63.4),
            ("seg_Type", "segments Type@AV", 65.9),
            ("seg_Event", "segments Event@AV", 63.9),
            ("event_A", "events A", 58.6),
            ("event_V", "events V", 66.7),
            ("event_AV", "events AV", 57.5),
            ("event_Type", "events Type@AV", 60.9),
            ("event_Event", "events Event@AV", 57.4),
        ],
        differs: &[
            "ResNet-152 and R(2+1)D features pass one linear map, not two in a row with nothing between",
            "each attention layer takes the output of the one before; in the authors' HAN all layers take the same input",
            "the transformer over time adds sines and cosines for the position of a second",
        ],
    },
    Paper {
        name: "uwav-ave",
        title: "UWAV (Lai et al., 2025), table 2",
        figures: &[("accuracy", "accuracy of segments", 80.6)],
        differs: &[
            "a second gets the class that is most likely both heard and seen, or background if none is above a half",
            "each attention layer takes the output of the one before; in the authors' HAN all layers take the same input",
        ],
    },
    Paper {
        name: "link",
        title: "LINK (Wang et al., 2024)",
        figures: &[
            ("seg_A", "segments A", 69.7),
            ("seg_V", "segments V", 69.0),
            ("seg_AV", "segments AV", 62.1),
            ("event_A", "events A", 63.4),
            ("event_V", "events V", 64.9),
            ("event_AV", "events AV", 55.7),
        ],
        differs: &[
            "no code is published: TSAM's pooling and the targets of the similarity follow the interpretation in the guide",
            "the paper does not describe the training: it is VALOR's",
            "pseudo labels compare seconds with the classes' names, with a threshold by class",
        ],
    },
];

/// The paper's figures beside ours.
///
/// # Errors
/// No paper of this name is known.
pub(super) fn beside(name: &str, ours: &Value) -> anyhow::Result<Scored> {
    let paper = PAPERS.iter().find(|paper| paper.name == name);
    let paper = paper.with_context(|| {
        let names: Vec<&str> = PAPERS.iter().map(|paper| paper.name).collect();
        format!(
            "the experiment's paper is `{name}`; known are {}",
            names.join(", ")
        )
    })?;
    let mut text = format!(
        "{}\n{:<24}{:>8}{:>8}{:>8}\n",
        paper.title, "per cent", "paper", "ours", "diff"
    );
    let mut rows = Map::new();
    for (key, said, figure) in paper.figures {
        let own = ours[*key].as_f64();
        let _ = match own {
            Some(own) => writeln!(
                text,
                "{said:<24}{figure:>8.1}{own:>8.1}{:>+8.1}",
                own - figure
            ),
            None => writeln!(text, "{said:<24}{figure:>8.1}{:>8}{:>8}", "-", "-"),
        };
        rows.insert((*key).to_owned(), json!({ "paper": figure, "ours": own }));
    }
    text.push_str("what differs:\n");
    for line in paper.differs {
        let _ = writeln!(text, "- {line}");
    }
    let value = json!({ "title": paper.title, "figures": rows, "differs": paper.differs });
    Ok(Scored { value, text })
}
