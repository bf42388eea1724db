//! Warns where sound and video do not begin or end together.

use anchoring::time::Nanos;

/// Most stretches without frames or sound that are noted.
pub(super) const MOST_DISCONTINUITIES: usize = 10_000;

/// Sound and video that begin less than this apart count as beginning together.
const LATE: Nanos = Nanos::from_ms(1_000);
/// Sound and video that end less than this apart count as ending together.
const TAIL: Nanos = Nanos::from_ms(2_000);

/// Start and end.
pub(super) type Span = (Nanos, Nanos);

/// Warnings about when video and sound begin and end.
pub(super) fn hints(video: Span, sound: Span) -> Vec<String> {
    let mut hints = Vec::new();
    let (first, last) = video;
    let (begins, ends) = sound;
    if ends <= first || last <= begins {
        hints.push(format!(
            "the sound lasts from {begins} to {ends}, the video from {first} to {last}: they do not overlap, so Earmark falls back to evenly spaced frames (reason `untrusted`)"
        ));
        return hints;
    }
    if begins - first >= LATE {
        hints.push(format!(
            "the sound begins at {begins}, the video at {first}: before the sound, Earmark falls back to evenly spaced frames (reason `untrusted`)"
        ));
    }
    if first - begins >= LATE {
        hints.push(format!(
            "the video begins at {first}, the sound at {begins}: no frames can be taken before the video"
        ));
    }
    if last - ends > TAIL {
        hints.push(format!(
            "the sound ends at {ends}, but the video goes on until {last} (does the audio track end early?): after the sound, Earmark falls back to evenly spaced frames (reason `untrusted`)"
        ));
    }
    if ends - last > TAIL {
        hints.push(format!(
            "the video ends at {last}, but the sound goes on until {ends}: no frames can be taken after the video"
        ));
    }
    hints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warns_only_where_sound_and_video_begin_or_end_apart() {
        let hinted = |video: (i64, i64), sound: (i64, i64)| {
            let span = |(from, to)| (Nanos::from_ms(from), Nanos::from_ms(to));
            hints(span(video), span(sound))
        };
        assert_eq!(hinted((0, 10_000), (990, 8_000)), Vec::<String>::new());
        let late = hinted((0, 10_000), (1_000, 10_000));
        assert!(
            late.len() == 1 && late[0].contains("sound begins at 1.000 s"),
            "{late:?}"
        );
        let both = hinted((5_000, 20_000), (0, 10_000));
        assert!(both[0].contains("video begins at 5.000 s"), "{both:?}");
        assert!(both[1].contains("sound ends at 10.000 s"), "{both:?}");
        assert!(hinted((0, 10_000), (0, 13_000))[0].contains("video ends at 10.000 s"));
        assert!(hinted((0, 10_000), (20_000, 30_000))[0].contains("do not overlap"));
    }
}
