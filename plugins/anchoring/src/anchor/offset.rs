//! How much later than its sound an event is seen: a global offset, and others by the tagger's class.
//!
//! A microphone may lag behind the camera, and an act often begins before its sound: a hand goes to the tap before the water runs. So an anchor
//! is looked at around `onset + offset`, while its onset stays the sound's time.

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
    /// Names that are not among the classes count for nothing: [`unknown`] tells them.
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

    /// From the sound to the picture of an event of this class; -1: of none.
    pub fn of(&self, class_id: i32) -> Nanos {
        self.by_class.get(&class_id).copied().unwrap_or(self.all)
    }

    /// The least of them all.
    pub fn earliest(&self) -> Nanos {
        let least = self.by_class.values().min().copied();
        least.map_or(self.all, |least| least.min(self.all))
    }
}

/// The names with an offset that are not among the classes, and the class that each probably means.
pub fn unknown<'a>(
    settings: &'a AnchorSettings,
    classes: &'a [String],
) -> Vec<(&'a str, Option<&'a str>)> {
    let names = settings.class_offset_ms.keys();
    names
        .filter(|name| !classes.contains(name))
        .map(|name| (name.as_str(), nearest(name, classes)))
        .collect()
}

/// The class that a name probably means: the same but for capitals and punctuation; else the shortest that has all of its words; else
/// the one that differs in the fewest letters, if those are at most a third; else the longest that is made of words of it.
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
        let holding = classes.iter().filter(|class| within(&meant, &words(class)));
        holding.min_by_key(|class| class.len())
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

/// Letters to add, drop or change to make one text of the other (Levenshtein).
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
pub fn text(offsets: &BTreeMap<String, i32>) -> String {
    let pairs: Vec<_> = offsets
        .iter()
        .map(|(name, ms)| format!("{name}={ms}"))
        .collect();
    pairs.join(";")
}

/// Offsets by class from one line, as [`text`] writes it.
///
/// # Errors
/// What is no `class=ms`, as a sentence.
pub fn from_text(text: &str) -> Result<BTreeMap<String, i32>, String> {
    let mut offsets = BTreeMap::new();
    for part in text.split(';').filter(|part| !part.trim().is_empty()) {
        let pair = part.rsplit_once('=').and_then(|(name, ms)| {
            let (name, ms) = (name.trim(), ms.trim().parse::<i32>().ok()?);
            (!name.is_empty()).then_some((name, ms))
        });
        let Some((name, ms)) = pair else {
            return Err(format!(
                "`{}` is no `class=ms` (a whole number of milliseconds; classes are parted by semicolons)",
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
        // Without a class list, and for what nobody named, there is the global one.
        assert_eq!(Offsets::new(&given, &[]).of(2), Nanos::from_ms(40));
    }

    #[test]
    fn a_name_that_is_no_class_is_told_with_the_one_that_is_meant() {
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
        let found: BTreeMap<_, _> = unknown(&given, &classes).into_iter().collect();
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
    fn one_line_holds_them_all() {
        let line = "Speech=40;Water tap, faucet=-300";
        let offsets = from_text(line).unwrap();
        assert_eq!(
            offsets,
            settings(0, &[("Water tap, faucet", -300), ("Speech", 40)]).class_offset_ms
        );
        assert_eq!(text(&offsets), line);
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
