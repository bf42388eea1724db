//! When sound and pictures begin and end, and what is told of it.

use anchoring::time::Nanos;

/// Most holes noted.
pub(super) const MOST_HOLES: usize = 10_000;

/// Sound and pictures that begin less than this apart begin together.
const LATE: Nanos = Nanos::from_ms(1_000);
/// Sound or pictures that go on for less than this without the other end together.
const TAIL: Nanos = Nanos::from_ms(2_000);

/// From when to when.
pub(super) type Span = (Nanos, Nanos);

/// What a person should know of when the pictures are there and when the sound.
pub(super) fn hints(pictures: Span, sound: Span) -> Vec<String> {
    let mut hints = Vec::new();
    let (first, last) = pictures;
    let (begins, ends) = sound;
    if ends <= first || last <= begins {
        hints.push(format!(
            "the sound lasts from {begins} to {ends}, the pictures from {first} to {last}: they never come together, and looks are taken evenly (uniform fallback)"
        ));
        return hints;
    }
    if begins - first >= LATE {
        hints.push(format!(
            "the sound begins at {begins}, the pictures at {first}: looks are taken evenly before it (uniform fallback)"
        ));
    }
    if first - begins >= LATE {
        hints.push(format!(
            "the pictures begin at {first}, the sound at {begins}: nothing can be looked at before them"
        ));
    }
    if last - ends > TAIL {
        hints.push(format!(
            "the sound ends at {ends}, but pictures go on until {last} (does it stop early?): looks are taken evenly there (uniform fallback)"
        ));
    }
    if ends - last > TAIL {
        hints.push(format!(
            "the pictures end at {last}, but the sound goes on until {ends}: nothing can be looked at there"
        ));
    }
    hints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_or_ends_apart_is_told_and_nothing_else() {
        let told = |pictures: (i64, i64), sound: (i64, i64)| {
            let span = |(from, to)| (Nanos::from_ms(from), Nanos::from_ms(to));
            hints(span(pictures), span(sound))
        };
        assert_eq!(told((0, 10_000), (990, 8_000)), Vec::<String>::new());
        let late = told((0, 10_000), (1_000, 10_000));
        assert!(
            late.len() == 1 && late[0].contains("sound begins at 1.000 s"),
            "{late:?}"
        );
        let both = told((5_000, 20_000), (0, 10_000));
        assert!(both[0].contains("pictures begin at 5.000 s"), "{both:?}");
        assert!(both[1].contains("sound ends at 10.000 s"), "{both:?}");
        assert!(told((0, 10_000), (0, 13_000))[0].contains("pictures end at 10.000 s"));
        assert!(told((0, 10_000), (20_000, 30_000))[0].contains("never come together"));
    }
}
