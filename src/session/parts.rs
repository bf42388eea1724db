//! Which part of the graph a pass plays: a choice of elements and links, and what stands in for the rest.

use crate::pipeline::launch::Graph;

/// A pass over a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Everything above the gate; what would reach it is heard and measured.
    Listen,
    /// The gate follows a plan; the sound is played only to record it.
    Look {
        /// Whether the sound is played.
        listen: bool,
    },
    /// All of it in one pass.
    Stream,
    /// A recording without video: the sound, the gate, and the sink right behind it.
    Cues,
}

impl Part {
    /// What the progress calls it.
    pub(super) const fn stage(self) -> &'static str {
        match self {
            Self::Listen | Self::Cues => "listen",
            Self::Look { .. } => "look",
            Self::Stream => "listen and look",
        }
    }
}

/// What a link carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Encoded pictures on their way to the gate.
    Video,
    /// Sound on its way to the ears.
    Audio,
    /// Anything else.
    Other,
}

/// What is built.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// By element: whether it is built.
    pub nodes: Vec<bool>,
    /// By link: whether it is made.
    pub links: Vec<bool>,
    /// By link: what it carries.
    pub roles: Vec<Role>,
    /// The link to `gate.video`, whose source is measured instead.
    pub measured: Option<usize>,
    /// The link to `gate.cues`, whose source is heard instead.
    pub heard: Option<usize>,
    /// Whether the sink stands right behind the gate.
    pub short: bool,
}

/// Chooses. Branches whose stream the recording lacks are left out.
pub(super) fn choose(graph: &Graph, part: Part, has_video: bool, has_audio: bool) -> Choice {
    let gate = graph.find("anchorgate");
    let roles = roles(graph);
    let into = |role: Role| {
        let is_into =
            |index: &usize| Some(graph.links[*index].to.node) == gate && roles[*index] == role;
        (0..graph.links.len()).find(is_into)
    };
    let (video, cues) = (into(Role::Video), into(Role::Audio));
    let above = |link: Option<usize>| match link {
        Some(link) => graph.above(graph.links[link].from.node),
        None => vec![false; graph.nodes.len()],
    };
    let (above_video, above_cues) = (above(video), above(cues));
    let plays_video = has_video && part != Part::Cues;
    let plays_audio = has_audio && part != Part::Look { listen: false };

    let mut nodes: Vec<bool> = (0..graph.nodes.len())
        .map(|node| {
            let (v, c) = (above_video[node], above_cues[node]);
            let is_end = Some(node) == gate || graph.nodes[node].factory == "featuresink";
            match part {
                _ if v || c => v && plays_video || c && plays_audio,
                Part::Listen => false,
                Part::Cues => is_end,
                Part::Look { .. } | Part::Stream => true,
            }
        })
        .collect();
    // Without anything to measure there is no pass, so a graph that listens to nothing still opens its source.
    if part == Part::Listen && !nodes.contains(&true) {
        nodes = above_video.clone();
    }
    let links = (0..graph.links.len())
        .map(|index| {
            let link = &graph.links[index];
            let carried = match roles[index] {
                Role::Video => plays_video || part == Part::Listen,
                Role::Audio => plays_audio,
                Role::Other => true,
            };
            carried && nodes[link.from.node] && nodes[link.to.node]
        })
        .collect();
    let listening = part == Part::Listen;
    Choice {
        nodes,
        links,
        measured: video.filter(|_| listening && has_video),
        heard: cues.filter(|_| listening && has_audio),
        short: part == Part::Cues,
        roles,
    }
}

/// A link carries what its branch brings to the gate. Above the point where branches part it is neither.
fn roles(graph: &Graph) -> Vec<Role> {
    let gate = graph.find("anchorgate");
    let ears = graph.find("eventness");
    let below = |link: usize| {
        let mut found = [false; 2];
        let mut seen = vec![false; graph.links.len()];
        let mut open = vec![link];
        while let Some(index) = open.pop() {
            if std::mem::replace(&mut seen[index], true) {
                continue;
            }
            let to = &graph.links[index].to;
            if Some(to.node) == gate {
                let hears =
                    ears.is_some_and(|ears| graph.above(graph.links[index].from.node)[ears]);
                let cues = to.pad.as_deref().map_or(hears, |pad| pad == "cues");
                found[usize::from(cues)] = true;
            } else if Some(to.node) == ears {
                found[1] = true;
            } else {
                open.extend(
                    (0..graph.links.len()).filter(|next| graph.links[*next].from.node == to.node),
                );
            }
        }
        found
    };
    (0..graph.links.len())
        .map(|link| match below(link) {
            [true, false] => Role::Video,
            [false, true] => Role::Audio,
            _ => Role::Other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::At;

    const GATED: &str = "filesrc ! parsebin name=demux  demux. ! queue name=v ! gate.video
        demux. ! queue name=a ! decodebin name=d ! eventness name=ears ! gate.cues
        anchorgate name=gate ! decodebin name=b ! framepick ! featuresink";

    fn built(part: Part, has_video: bool, has_audio: bool) -> (String, Choice, Graph) {
        let (graph, problems) = crate::pipeline::launch::parse(GATED, At { line: 1, column: 1 });
        assert_eq!(problems, []);
        let choice = choose(&graph, part, has_video, has_audio);
        let names = graph.names();
        let kept: Vec<_> = names
            .iter()
            .zip(&choice.nodes)
            .filter(|(_, keep)| **keep)
            .map(|(name, _)| name.split('-').next().unwrap_or_default())
            .collect();
        (kept.join(" "), choice, graph)
    }

    #[test]
    fn listening_leaves_out_everything_from_the_gate_on() {
        let (kept, choice, graph) = built(Part::Listen, true, true);
        assert_eq!(kept, "filesrc demux v a d ears");
        let source = |link: Option<usize>| {
            graph.nodes[graph.links[link.unwrap()].from.node]
                .title()
                .to_owned()
        };
        assert_eq!(
            (source(choice.measured), source(choice.heard)),
            ("v".into(), "ears".into())
        );
        assert_eq!(built(Part::Listen, true, false).0, "filesrc demux v");
        assert_eq!(built(Part::Listen, false, true).0, "filesrc demux a d ears");
    }

    #[test]
    fn looking_by_a_plan_leaves_out_the_sound_unless_it_is_recorded() {
        assert_eq!(
            built(Part::Look { listen: false }, true, true).0,
            "filesrc demux v gate b framepick featuresink"
        );
        assert_eq!(
            built(Part::Look { listen: true }, true, true).0,
            "filesrc demux v a d ears gate b framepick featuresink"
        );
        assert_eq!(
            built(Part::Stream, true, false).0,
            "filesrc demux v gate b framepick featuresink"
        );
    }

    #[test]
    fn without_video_the_sink_stands_behind_the_gate() {
        let (kept, choice, _) = built(Part::Cues, false, true);
        assert_eq!(kept, "filesrc demux a d ears gate featuresink");
        assert!(choice.short);
    }

    #[test]
    fn links_carry_what_their_branch_brings() {
        let (_, choice, graph) = built(Part::Stream, true, true);
        let of = |role| {
            graph
                .links
                .iter()
                .zip(&choice.roles)
                .filter(|(_, r)| **r == role)
                .count()
        };
        assert_eq!((of(Role::Video), of(Role::Audio)), (2, 4));
    }
}
