//! Converts a plan entry to a structure, and attaches it to its frame.

use anchoring::plan::{Entry, Reason};
use anchoring::tier::Tier;
use anchoring::time::Nanos;
use gst::glib;

use super::fields::{StructureError, get, nanos, wrong};

/// Name of the meta on a chosen frame.
pub const ENTRY_META: &str = "EarmarkEntry";

/// A plan entry and the frame that serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The plan entry.
    pub entry: Entry,
    /// The frame's presentation time.
    pub pts: Nanos,
    /// Approximate time between frames.
    pub frame: Nanos,
    /// The earliest frame that may be taken instead, if it is sharper; `pts`: none.
    pub earliest: Nanos,
}

pub(super) fn put_entry(s: &mut gst::StructureRef, entry: &Entry) {
    s.set("planned-ns", entry.planned.get());
    if let Some(asked) = entry.asked {
        s.set("asked-ns", asked.get());
    }
    s.set("tier", entry.tier.name());
    s.set("tokens", entry.tokens);
    s.set("reason", entry.reason.name());
    s.set("anchor", entry.anchor.map_or(-1, i64::from));
}

fn one_of<const N: usize>(names: [&str; N]) -> String {
    format!("must be one of {}", names.join(", "))
}

pub(super) fn get_entry(s: &gst::StructureRef) -> Result<Entry, StructureError> {
    let anchor = get::<i64>(s, "anchor")?;
    Ok(Entry {
        planned: nanos(s, "planned-ns")?,
        asked: if s.has_field("asked-ns") {
            Some(nanos(s, "asked-ns")?)
        } else {
            None
        },
        tier: get::<&str>(s, "tier")?
            .parse()
            .map_err(|_| wrong(s, "tier", one_of(Tier::ALL.map(Tier::name))))?,
        tokens: get(s, "tokens")?,
        reason: get::<&str>(s, "reason")?
            .parse()
            .map_err(|_| wrong(s, "reason", one_of(Reason::ALL.map(Reason::name))))?,
        anchor: match anchor {
            -1 => None,
            id => Some(
                u32::try_from(id).map_err(|_| wrong(s, "anchor", "must lie in -1..=4294967295"))?,
            ),
        },
    })
}

pub(super) fn put_chosen(s: &mut gst::StructureRef, chosen: &Chosen) {
    put_entry(s, &chosen.entry);
    s.set("pts-ns", chosen.pts.get());
    s.set("frame-ns", chosen.frame.get());
    if chosen.earliest < chosen.pts {
        s.set("earliest-ns", chosen.earliest.get());
    }
}

pub(super) fn get_chosen(s: &gst::StructureRef) -> Result<Chosen, StructureError> {
    let pts = nanos(s, "pts-ns")?;
    Ok(Chosen {
        entry: get_entry(s)?,
        pts,
        frame: nanos(s, "frame-ns")?,
        earliest: match s.has_field("earliest-ns") {
            true => nanos(s, "earliest-ns")?.min(pts),
            false => pts,
        },
    })
}

/// Registers the meta of [`tag_buffer`]; call this first. Converters copy it, as it has no tags.
pub fn register_meta() {
    if !gst::meta::CustomMeta::is_registered(ENTRY_META) {
        gst::meta::CustomMeta::register(ENTRY_META, &[]);
    }
}

/// Attaches a plan entry to its frame, in place of any other.
///
/// # Errors
/// [`register_meta`] was not called.
pub fn tag_buffer(buffer: &mut gst::BufferRef, chosen: &Chosen) -> Result<(), glib::BoolError> {
    if let Ok(mut meta) = gst::meta::CustomMeta::from_mut_buffer(buffer, ENTRY_META) {
        put_chosen(meta.mut_structure(), chosen);
        return Ok(());
    }
    let mut meta = gst::meta::CustomMeta::add(buffer, ENTRY_META)?;
    put_chosen(meta.mut_structure(), chosen);
    Ok(())
}

/// The plan entry attached to a frame; `None` if there is none.
///
/// # Errors
/// The meta holds no plan entry.
pub fn buffer_tag(buffer: &gst::BufferRef) -> Option<Result<Chosen, StructureError>> {
    let meta = gst::meta::CustomMeta::from_buffer(buffer, ENTRY_META).ok()?;
    Some(get_chosen(meta.structure()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn entry(anchor: Option<u32>) -> Entry {
        Entry {
            planned: Nanos::new(1_234_567_891),
            asked: anchor.is_none().then_some(Nanos::new(1_234_000_000)),
            tier: Tier::High,
            tokens: 784,
            reason: anchor.map_or(Reason::Untrusted, |_| Reason::Anchor),
            anchor,
        }
    }

    #[test]
    fn a_frame_keeps_its_entry_when_copied() {
        gst::init().unwrap();
        register_meta();
        register_meta();
        let chosen = |ms| Chosen {
            entry: entry(None),
            pts: Nanos::from_ms(ms),
            frame: Nanos::from_ms(40),
            earliest: Nanos::from_ms(ms),
        };
        let mut buffer = gst::Buffer::new();
        assert!(buffer_tag(&buffer).is_none());
        tag_buffer(buffer.make_mut(), &chosen(1)).unwrap();
        let mut copy = buffer.copy();
        tag_buffer(copy.make_mut(), &chosen(2)).unwrap();
        assert_eq!(buffer_tag(&buffer), Some(Ok(chosen(1))));
        assert_eq!(buffer_tag(&copy), Some(Ok(chosen(2))));
    }
}
