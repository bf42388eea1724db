//! What the elements of a source say becomes events, counts and notices.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use super::events::{Anchor, Event, Place};
use super::media::now_ns;
use super::plan::Plan;
use super::seen::SourceStatus;
use super::shared::Shared;

/// Most anchors whose frame may still come, and that may still be written.
const RECENT: usize = 256;

/// The last anchors that were announced.
#[derive(Default)]
pub(super) struct Announced {
    /// Start of the source, number, event.
    anchors: VecDeque<(u64, u32, Event)>,
    /// File, row and event, where frames are sent as JPEG.
    recent: VecDeque<(String, u32, String)>,
}

impl Announced {
    /// Takes a message of an element. `epoch`: how often the source was started.
    pub(super) fn element(
        &mut self,
        structure: &gst::StructureRef,
        epoch: u64,
        plan: &Plan,
        shared: &Shared,
        seen: &SourceStatus,
    ) {
        let (hub, notices) = (&shared.hub, &shared.notices);
        let counts = &seen.counts;
        match structure.name().as_str() {
            // By the gate, as soon as it is decided, and by the sink, once it is written; the latter may overtake the former.
            "earmark-anchor-decided" | "earmark-anchor" => {
                let Some(anchor) = Anchor::read(structure) else {
                    return;
                };
                let is_it = |one: &&(u64, u32, Event)| (one.0, one.1) == (epoch, anchor.id);
                let known = self.anchors.iter().rev().find(is_it);
                let event = match known {
                    Some((.., event)) => event.clone(),
                    None => {
                        let wall = seen.now().wall;
                        let at = wall.map_or_else(now_ns, |wall| wall.at(anchor.onset_ns));
                        counts.anchors.fetch_add(1, Ordering::Relaxed);
                        seen.heard.anchor(at, &anchor.label, anchor.score);
                        let event = Event::anchor(&plan.name, &plan.run, epoch, &anchor, wall);
                        hub.send(event.clone());
                        self.anchors.push_back((epoch, anchor.id, event.clone()));
                        if self.anchors.len() > RECENT {
                            self.anchors.pop_front();
                        }
                        event
                    }
                };
                let Some(place) = Place::read(structure) else {
                    return;
                };
                let event = event.written(&place, &plan.folder);
                if plan.pipeline.events.jpeg {
                    let id = event.id().to_owned();
                    self.recent.push_back((place.location, place.row, id));
                    if self.recent.len() > RECENT {
                        self.recent.pop_front();
                    }
                }
                hub.send(event);
            }
            "earmark-thumbnail" if plan.pipeline.events.jpeg => {
                let location = structure.get::<String>("location").unwrap_or_default();
                let row = structure.get::<u32>("row").ok();
                let is_it = |one: &&(String, u32, String)| one.0 == location && Some(one.1) == row;
                if let Some((.., anchor)) = self.recent.iter().rev().find(is_it)
                    && let Ok(jpeg) = structure.get::<gst::glib::Bytes>("jpeg")
                {
                    hub.send(Event::image(&plan.name, anchor, &jpeg));
                }
            }
            "earmark-left-out" => {
                counts.left_out.fetch_add(1, Ordering::Relaxed);
                if structure.get::<bool>("anchor") == Ok(true) {
                    counts.left_out_anchors.fetch_add(1, Ordering::Relaxed);
                }
                if let Ok(text) = structure.get::<String>("text") {
                    notices.say(&plan.name, &text, &text);
                }
            }
            "earmark-segment" => {
                let number = |field| structure.get::<u64>(field).unwrap_or(0);
                let all = ["frames", "anchors", "cues", "tokens"].map(number);
                counts.files.fetch_add(1, Ordering::Relaxed);
                let location = structure.get::<String>("location").unwrap_or_default();
                hub.send(Event::file(
                    &plan.name,
                    &plan.run,
                    &location,
                    &plan.folder,
                    all,
                ));
            }
            "earmark-kept" => {
                if let Ok(text) = structure.get::<String>("text") {
                    notices.say(&plan.name, "kept", &text);
                }
            }
            _ => {}
        }
    }
}
