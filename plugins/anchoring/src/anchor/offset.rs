//! Offsets between sound and video: one for all events, and others by the tagger's class.
//!
//! A microphone may lag behind the camera, and an action often begins before its sound: a hand reaches the tap before
//! the water runs. So an anchor's window lies around `onset + offset`; the onset stays the time of the sound.

use std::collections::BTreeMap;

use crate::settings::{AnchorSettings, FURTHEST_MS};
use crate::time::Nanos;

/// [`AnchorSettings::offset_ms`] and [`AnchorSettings::class_offset_ms`], by the rows of a class list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    all: Nanos,
    by_class: BTreeMap<i32, Nanos>,
}

impl Offsets {
    /// Names that are not in the class list are ignored; [`unknown_classes`] lists them.
    pub fn new(settings: &AnchorSettings, classes: &[String]) -> Self {
        let within = |ms: i32| Nanos::from_ms(ms.clamp(-FURTHEST_MS, FURTHEST_MS).into());
        let named = |(class, name): (i32, &String)| {
            let ms = settings.class_offset_ms.get(name)?;
            Some((class, within(*ms)))
        };
        Self {
            all: within(settings.offset_ms),
            by_class: (0..).zip(classes).filter_map(named).collect(),
        }
    }

    /// The offset of a class; -1 stands for no class.
    pub fn of(&self, class_id: i32) -> Nanos {
        self.by_class.get(&class_id).copied().unwrap_or(self.all)
    }

    /// The smallest offset.
    pub fn earliest(&self) -> Nanos {
        let least = self.by_class.values().min().copied();
        least.map_or(self.all, |least| least.min(self.all))
    }
}

/// Names with an offset that are not in the class list, each with the class that was probably meant.
pub fn unknown_classes<'a>(
    settings: &'a AnchorSettings,
    classes: &'a [String],
) -> Vec<(&'a str, Option<&'a str>)> {
    let names = settings.class_offset_ms.keys();
    names
        .filter(|name| !classes.contains(name))
        .map(|name| (name.as_str(), nearest(name, classes)))
        .collect()
}

/// The class that was probably meant: the same name except for case and punctuation; else the shortest class that
/// contains all its words; else the class with the smallest edit distance, if that is at most a third of its length;
/// else the longest class made of words of the name.
fn nearest<'a>(name: &str, classes: &'a [String]) -> Option<&'a str> {
    let words = |text: &str| -> Vec<String> {
        let lower = text.to_lowercase();
        let parts = lower.split(|c: char| !c.is_alphanumeric());
        let parts = parts.filter(|word| !word.is_empty());
        parts.map(str::to_owned).collect()
    };
    let within = |a: &[String], b: &[String]| !a.is_empty() && a.iter().all(|w| b.contains(w));
    let meant = words(name);
    let joined = meant.join(" ");
    let same = classes.iter().find(|class| words(class) == meant);
    let wider = || {
        let containing = classes.iter().filter(|class| within(&meant, &words(class)));
        containing.min_by_key(|class| class.len())
    };
    let close = || {
        let far = |class: &String| letters(&joined, &words(class).join(" "));
        let (distance, class) = classes.iter().map(|c| (far(c), c)).min_by_key(|c| c.0)?;
        (distance <= class.chars().count().div_ceil(3)).then_some(class)
    };
    let narrower = || {
        let part = classes.iter().filter(|class| within(&words(class), &meant));
        part.max_by_key(|class| class.len())
    };
    let found = same.or_else(wider).or_else(close).or_else(narrower);
    found.map(String::as_str)
}

/// Levenshtein distance.
fn letters(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = change.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// Offsets by class as one line: `Water tap, faucet=-300;Speech=40`.
pub fn to_text(offsets: &BTreeMap<String, i32>) -> String {
    let pairs: Vec<_> = offsets
        .iter()
        .map(|(name, ms)| format!("{name}={ms}"))
        .collect();
    pairs.join(";")
}

/// Reads offsets by class from one line, as [`to_text`] writes it.
///
/// # Errors
/// An entry is not `class=ms`, or a class is given twice; as a sentence.
pub fn from_text(text: &str) -> Result<BTreeMap<String, i32>, String> {
    let mut offsets = BTreeMap::new();
    for part in text.split(';').filter(|part| !part.trim().is_empty()) {
        let pair = part.rsplit_once('=').and_then(|(name, ms)| {
            let (name, ms) = (name.trim(), ms.trim().parse::<i32>().ok()?);
            (!name.is_empty()).then_some((name, ms))
        });
        let Some((name, ms)) = pair else {
            return Err(format!(
                "`{}` is not `class=ms` (a whole number of milliseconds; separate classes by semicolons)",
                part.trim()
            ));
        };
        if offsets.insert(name.to_owned(), ms).is_some() {
            return Err(format!("`{name}` is given twice"));
        }
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> Vec<String> {
        ["Speech", "Water", "Water tap, faucet", "Chopping (food)"]
            .map(str::to_owned)
            .into()
    }

    fn settings(all: i32, by_class: &[(&str, i32)]) -> AnchorSettings {
        let by_class = by_class.iter().map(|&(name, ms)| (name.to_owned(), ms));
        AnchorSettings {
            offset_ms: all,
            class_offset_ms: by_class.collect(),
            ..AnchorSettings::default()
        }
    }

    #[test]
    fn a_class_with_an_offset_of_its_own_has_that_alone() {
        let given = settings(40, &[("Water tap, faucet", -300), ("Speech", 0)]);
        let offsets = Offsets::new(&given, &classes());
        let of = |class| offsets.of(class).get() / 1_000_000;
        assert_eq!([-1, 0, 1, 2, 9].map(of), [40, 0, 40, -300, 40]);
        assert_eq!(offsets.earliest(), Nanos::from_ms(-300));
        // Without a class list or a tag, the global offset applies.
        assert_eq!(Offsets::new(&given, &[]).of(2), Nanos::from_ms(40));
    }

    #[test]
    fn an_unknown_class_is_reported_with_the_likely_one() {
        let names = [
            "water tap faucet",
            "Tap",
            "Speeech",
            "chopping",
            "Violin",
            "Water",
        ];
        let given = settings(0, &names.map(|name| (name, 1)));
        let classes = classes();
        let found: BTreeMap<_, _> = unknown_classes(&given, &classes).into_iter().collect();
        let expected = [
            ("Speeech", Some("Speech")),
            ("Tap", Some("Water tap, faucet")),
            ("Violin", None),
            ("chopping", Some("Chopping (food)")),
            ("water tap faucet", Some("Water tap, faucet")),
        ];
        let expected: BTreeMap<_, _> = expected.into_iter().collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn all_offsets_fit_on_one_line() {
        let line = "Speech=40;Water tap, faucet=-300";
        let offsets = from_text(line).unwrap();
        assert_eq!(
            offsets,
            settings(0, &[("Water tap, faucet", -300), ("Speech", 40)]).class_offset_ms
        );
        assert_eq!(to_text(&offsets), line);
        assert_eq!(from_text(" ; ").unwrap(), BTreeMap::new());
        for wrong in [
            "Speech",
            "=3",
            "Speech=fast",
            "Speech=1;Speech=2",
            "Speech=0.5",
        ] {
            assert!(from_text(wrong).is_err(), "{wrong}");
        }
    }
}
