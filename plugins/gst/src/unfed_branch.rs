//! Sets aside a branch of a running pipeline that gets no data.
//!
//! A launch line has an audio branch, but not every recording has audio. Then `demux. ! queue ! decodebin ! ..` stays unlinked, its
//! decodebin waits for data that never comes, and so the pipeline's change of state never completes. [`find`] finds such a branch,
//! [`UnfedBranch::retire`] sets it aside.

use std::collections::HashSet;

use gst::prelude::*;

use crate::pads::{self, Linked};

/// A branch that gets no data: its elements, upstream first where they are linked.
#[derive(Debug)]
pub struct UnfedBranch {
    elements: Vec<gst::Element>,
}

impl UnfedBranch {
    /// Its elements.
    pub fn elements(&self) -> &[gst::Element] {
        &self.elements
    }

    /// Locks the elements' states and sets them to NULL, so that their bin stops waiting for them. Call it from a thread
    /// that no pipeline depends on, e.g. by `Element::call_async`.
    pub fn retire(&self) {
        for element in self.elements.iter().rev() {
            let (result, _, _) = element.state(gst::ClockTime::ZERO);
            let busy = result == Ok(gst::StateChangeSuccess::Async);
            element.set_locked_state(true);
            // Going to NULL succeeds or was under way already.
            let _ = element.set_state(gst::State::Null);
            if busy {
                // decodebin gives up without a message to its bin (it ignores messages on the way down), so its bin would
                // keep waiting.
                let done = gst::message::AsyncDone::builder().src(element).build();
                let _ = element.post_message(done);
            }
        }
    }

    /// Undoes [`Self::retire`]: the elements follow their bin's next change of state again.
    pub fn restore(&self) {
        for element in &self.elements {
            element.set_locked_state(false);
        }
    }
}

/// The branch that should feed sink pad `pad` of `element`, if it gets no data and never will.
///
/// That is so if every other element that may still add pads is itself unfed, lies downstream of `element`, or lies upstream of a pad in
/// `done`: those have received all their data, so their demuxer adds no pads. Considers everything in the outermost bin, through the ghost
/// pads of plain bins. `None` when in doubt.
pub fn find(element: &gst::Element, pad: &gst::Pad, done: &[&gst::Pad]) -> Option<UnfedBranch> {
    let outermost = std::iter::successors(element.parent(), |bin| bin.parent()).last();
    let mut all = Vec::new();
    collect(&outermost.and_downcast::<gst::Bin>()?, element, &mut all);
    let dead = dead(&all);
    if is_fed(pad, &dead) {
        return None;
    }
    let mut beyond = downstream(element);
    for pad in done {
        beyond.extend(upstream(pad));
    }
    let hopeful = |child: &&gst::Element| {
        adds_pads(child)
            && child.src_pads().is_empty()
            && !dead.contains(*child)
            && !beyond.contains(*child)
    };
    if all.iter().any(|child| hopeful(&child)) {
        return None;
    }
    // Elements that lead to the pad, or would through pads that they never added.
    let mut useless = upstream(pad);
    for child in all.iter().filter(|child| dead.contains(*child)) {
        if adds_pads(child) && child.src_pads().is_empty() {
            useless.insert(child.clone());
            for pad in child.sink_pads() {
                useless.extend(upstream(&pad));
            }
        }
    }
    let mut elements: Vec<gst::Element> = all
        .into_iter()
        .filter(|child| dead.contains(child) && useless.contains(child))
        .collect();
    let place = |element: &gst::Element| {
        element
            .sink_pads()
            .iter()
            .map(|pad| upstream(pad).len())
            .max()
    };
    elements.sort_by_key(place);
    Some(UnfedBranch { elements })
}

/// The elements in a bin other than `element`, and those in plain bins in it and in bins around `element`.
fn collect(bin: &gst::Bin, element: &gst::Element, all: &mut Vec<gst::Element>) {
    for child in bin.children() {
        match child.downcast_ref::<gst::Bin>() {
            Some(bin) if pads::is_plain(bin) || element.has_as_ancestor(bin) => {
                collect(bin, element, all);
            }
            _ if child == *element => {}
            _ => all.push(child),
        }
    }
}

/// Whether a sink pad may get data: its source is out of sight, or alive.
fn is_fed(pad: &gst::Pad, dead: &HashSet<gst::Element>) -> bool {
    match pads::linked(pad) {
        Linked::Nothing => false,
        Linked::Elsewhere => true,
        Linked::Pad(pad) => pad
            .parent_element()
            .is_none_or(|source| !dead.contains(&source)),
    }
}

/// Elements with inputs, none of which is fed.
fn dead(all: &[gst::Element]) -> HashSet<gst::Element> {
    let mut dead = HashSet::new();
    loop {
        let before = dead.len();
        for element in all {
            let takes_input = element
                .pad_template_list()
                .iter()
                .any(|template| template.direction() == gst::PadDirection::Sink);
            let fed = element.sink_pads().iter().any(|pad| is_fed(pad, &dead));
            if takes_input && !fed {
                dead.insert(element.clone());
            }
        }
        if dead.len() == before {
            return dead;
        }
    }
}

fn adds_pads(element: &gst::Element) -> bool {
    element.pad_template_list().iter().any(|template| {
        template.direction() == gst::PadDirection::Src
            && template.presence() == gst::PadPresence::Sometimes
    })
}

/// The element linked to a sink pad.
fn source_of(pad: &gst::Pad) -> Option<gst::Element> {
    pads::linked(pad).element()
}

/// Every element from which links lead to a sink pad.
fn upstream(pad: &gst::Pad) -> HashSet<gst::Element> {
    let mut found = HashSet::new();
    let mut todo: Vec<gst::Element> = source_of(pad).into_iter().collect();
    while let Some(element) = todo.pop() {
        if found.insert(element.clone()) {
            todo.extend(element.sink_pads().iter().filter_map(source_of));
        }
    }
    found
}

/// Every element to which links lead from an element.
fn downstream(element: &gst::Element) -> HashSet<gst::Element> {
    let mut found = HashSet::new();
    let mut todo = vec![element.clone()];
    while let Some(element) = todo.pop() {
        for pad in element.src_pads() {
            if let Some(next) = pads::linked(&pad).element()
                && found.insert(next.clone())
            {
                todo.push(next);
            }
        }
    }
    found
}
