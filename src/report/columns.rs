//! Columns of the page's data: base64 of little-endian numbers, and texts that are not too long.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Longest label or class, in characters.
const LONGEST: usize = 120;

/// Shortens a text.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.into(),
    }
}

/// Bytes, as base64.
pub(super) fn bytes(column: &[u8]) -> String {
    STANDARD.encode(column)
}

/// Times in units of 0.1 ms, 32 bits: up to 119 hours.
pub(super) fn times(column: impl Iterator<Item = i64>) -> String {
    let ticks = column.map(|ns| u32::try_from(ns.max(0) / 100_000).unwrap_or(u32::MAX));
    bytes(&ticks.flat_map(u32::to_le_bytes).collect::<Vec<_>>())
}

/// Rows, -1 for none.
pub(super) fn rows(column: impl Iterator<Item = Option<usize>>) -> String {
    let rows = column.map(|row| row.and_then(|row| i32::try_from(row).ok()).unwrap_or(-1));
    bytes(&rows.flat_map(i32::to_le_bytes).collect::<Vec<_>>())
}

/// A share in 0..=1 as a byte.
pub(super) fn share(x: f32) -> u8 {
    (x.clamp(0.0, 1.0) * 255.0).round() as u8
}

/// Distinct texts, and the index of each row's text.
pub(super) fn numbered<'a>(texts: impl Iterator<Item = &'a str>) -> (Vec<String>, String) {
    let mut names: Vec<String> = Vec::new();
    let mut known: BTreeMap<&str, u16> = BTreeMap::new();
    let numbers: Vec<u8> = texts
        .flat_map(|text| {
            let number = *known.entry(text).or_insert_with(|| {
                // The last index stands for all further texts.
                if names.len() < usize::from(u16::MAX) {
                    names.push(short(text));
                }
                (names.len() - 1) as u16
            });
            number.to_le_bytes()
        })
        .collect();
    (names, bytes(&numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_little_endian_and_never_negative() {
        let decode = |text: String| STANDARD.decode(text).unwrap();
        assert_eq!(
            decode(times([-5, 1_000_000_000].into_iter())),
            [0, 0, 0, 0, 16, 39, 0, 0]
        );
        assert_eq!(
            decode(rows([None, Some(258)].into_iter())),
            [255, 255, 255, 255, 2, 1, 0, 0]
        );
        let (names, numbers) = numbered(["b", "a", "b"].into_iter());
        assert_eq!(names, ["b", "a"]);
        assert_eq!(decode(numbers), [0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(short(&"é".repeat(500)).chars().count(), LONGEST + 1);
        assert_eq!(short("é"), "é");
    }
}
