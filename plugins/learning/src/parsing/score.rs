//! Type@AV of segments, for choosing an epoch: F1 of what is heard, seen and both, each averaged over the classes that are predicted or true
//! in a video (none: 1), then over videos. `earmark eval parsing` has all the measures.

/// What is heard and seen: `seconds * classes` each.
pub type Cells<'a> = [&'a [bool]; 2];

/// The three of a video: heard, seen, both.
pub fn segments(predicted: Cells<'_>, truth: Cells<'_>, classes: usize) -> [f64; 3] {
    let of = |cells: Cells<'_>, kind: usize, at: usize| match kind {
        2 => cells[0][at] && cells[1][at],
        kind => cells[kind][at],
    };
    [0, 1, 2].map(|kind| {
        let mut f1 = Vec::new();
        for class in 0..classes {
            let (mut right, mut all) = (0, 0);
            for at in (class..predicted[0].len()).step_by(classes) {
                let pair = (of(predicted, kind, at), of(truth, kind, at));
                right += usize::from(pair == (true, true));
                all += usize::from(pair.0) + usize::from(pair.1);
            }
            if all > 0 {
                f1.push(2.0 * f64::from(right as u32) / f64::from(all as u32));
            }
        }
        if f1.is_empty() {
            1.0
        } else {
            f1.iter().sum::<f64>() / f1.len() as f64
        }
    })
}

#[cfg(test)]
mod tests {
    use super::segments;

    #[test]
    fn f1_is_averaged_over_the_classes_that_are_there() {
        let cells = |text: &str| -> Vec<bool> { text.bytes().map(|b| b == b'#').collect() };
        // Two seconds of two classes. Heard: the first class right in one of its two seconds (F1 2/3), the second false (0).
        let (heard, seen) = (cells("#..#"), cells("...."));
        let (truly, visible) = (cells("#.#."), cells("...."));
        let found = segments([&heard, &seen], [&truly, &visible], 2);
        assert!((found[0] - 1.0 / 3.0).abs() < 1e-9, "{found:?}");
        assert_eq!(found[1..], [1.0, 1.0]);
    }
}
