//! Selects the part of the graph that a pass plays.

use crate::pipeline::launch::Graph;

/// A pass over a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// Everything before the gate; what would reach the gate is listened to and measured.
    Listen,
    /// Follows a plan; the sound is played only to record its cues.
    Extract {
        /// Whether the sound is played.
        listen: bool,
    },
    /// Everything in a single pass.
    Stream,
    /// A recording without video: sound, gate, and the sink right behind the gate.
    Cues,
}

impl Pass {
    /// Its name in the progress.
    pub(super) const fn stage(self) -> &'static str {
        match self {
            Self::Listen | Self::Cues => "listen",
            Self::Extract { .. } => "extract",
            Self::Stream => "listen and extract",
        }
    }
}

/// What a link carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Access units for the gate.
    Video,
    /// Sound for eventness.
    Audio,
    /// Anything else.
    Other,
}

/// The selected part of the graph.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PassGraph {
    /// Per element: whether it is built.
    pub nodes: Vec<bool>,
    /// Per link: whether it is made.
    pub links: Vec<bool>,
    /// Per link: what it carries.
    pub roles: Vec<Role>,
    /// The link to `gate.video`; its source is measured instead.
    pub measured: Option<usize>,
    /// The link to `gate.cues`; its source is listened to instead.
    pub heard: Option<usize>,
    /// Whether the sink comes right after the gate.
    pub short: bool,
    /// Whether nothing but the video goes to the gate.
    pub video_alone: bool,
}

/// Selects the part. Branches without a stream in the recording are left out.
pub(super) fn choose(graph: &Graph, part: Pass, has_video: bool, has_audio: bool) -> PassGraph {
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
    let plays_video = has_video && part != Pass::Cues;
    let plays_audio = has_audio && part != Pass::Extract { listen: false };

    let mut nodes: Vec<bool> = (0..graph.nodes.len())
        .map(|node| {
            let (v, c) = (above_video[node], above_cues[node]);
            let is_end = Some(node) == gate || graph.nodes[node].factory == "featuresink";
            match part {
                _ if v || c => v && plays_video || c && plays_audio,
                Pass::Listen => false,
                Pass::Cues => is_end,
                Pass::Extract { .. } | Pass::Stream => true,
            }
        })
        .collect();
    // With nothing to measure the pass would be empty, so a graph that does not listen still opens its source.
    if part == Pass::Listen && !nodes.contains(&true) {
        nodes = above_video.clone();
    }
    let links = (0..graph.links.len())
        .map(|index| {
            let link = &graph.links[index];
            let carried = match roles[index] {
                Role::Video => plays_video || part == Pass::Listen,
                Role::Audio => plays_audio,
                Role::Other => true,
            };
            carried && nodes[link.from.node] && nodes[link.to.node]
        })
        .collect();
    let listening = part == Pass::Listen;
    PassGraph {
        nodes,
        links,
        measured: video.filter(|_| listening && has_video),
        heard: cues.filter(|_| listening && has_audio),
        short: part == Pass::Cues,
        video_alone: part == Pass::Extract { listen: false },
        roles,
    }
}

/// Which elements bring the video, and which the sound, to the gate; `None` if some bring both, or if either is missing.
pub(super) fn apart(graph: &Graph) -> Option<[Vec<bool>; 2]> {
    let roles = roles(graph);
    let above = |role: Role| {
        let gate = graph.find("anchorgate");
        let mut links = 0..graph.links.len();
        let link = links.find(|&k| Some(graph.links[k].to.node) == gate && roles[k] == role)?;
        Some(graph.above(graph.links[link].from.node))
    };
    let (video, sound) = (above(Role::Video)?, above(Role::Audio)?);
    let is_shared = video
        .iter()
        .zip(&sound)
        .any(|(video, sound)| *video && *sound);
    (!is_shared).then_some([video, sound])
}

/// A link carries what its branch brings to the gate; before the branches part, it carries neither.
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

    fn built(part: Pass, has_video: bool, has_audio: bool) -> (String, PassGraph, Graph) {
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
        let (kept, choice, graph) = built(Pass::Listen, true, true);
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
        assert_eq!(built(Pass::Listen, true, false).0, "filesrc demux v");
        assert_eq!(built(Pass::Listen, false, true).0, "filesrc demux a d ears");
    }

    #[test]
    fn following_a_plan_leaves_out_the_sound_unless_it_is_recorded() {
        assert_eq!(
            built(Pass::Extract { listen: false }, true, true).0,
            "filesrc demux v gate b framepick featuresink"
        );
        assert_eq!(
            built(Pass::Extract { listen: true }, true, true).0,
            "filesrc demux v a d ears gate b framepick featuresink"
        );
        assert_eq!(
            built(Pass::Stream, true, false).0,
            "filesrc demux v gate b framepick featuresink"
        );
    }

    #[test]
    fn without_video_the_sink_stands_behind_the_gate() {
        let (kept, choice, _) = built(Pass::Cues, false, true);
        assert_eq!(kept, "filesrc demux a d ears gate featuresink");
        assert!(choice.short);
    }

    #[test]
    fn links_carry_what_their_branch_brings() {
        let (_, choice, graph) = built(Pass::Stream, true, true);
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
