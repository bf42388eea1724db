//! Makes text from files, paths and other programs safe to print: it may hold characters that move a terminal's cursor, change its colours or
//! title, or reverse the order of letters. Everything that prints text goes through here.

use std::borrow::Cow;
use std::fmt::Display;

/// The text with every control character escaped, as in `\u001b`; line ends and tabs stay. JSON keeps its meaning.
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, |c| acts(c) && c != '\n' && c != '\t')
}

/// The same on one line, for names and labels inside a longer text.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, acts)
}

/// A message of an element, made printable: other programs print it unchanged.
pub(crate) fn shown(what: &dyn Display) -> String {
    visible(&what.to_string()).into_owned()
}

/// Whether a character controls a terminal or a text's direction, or ends a line.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escaped(text: &str, is_bad: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&is_bad) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_bad(c) {
            // They all have four digits.
            shown.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_shown() {
        for (text, shown) in [
            ("\u{1b}[2J", "\\u001b[2J"),
            ("\u{9b}31m", "\\u009b31m"),
            ("a\r\u{8}\u{7f}\0", "a\\u000d\\u0008\\u007f\\u0000"),
            ("\u{202e}gpj", "\\u202egpj"),
            ("\u{2028}\u{2067}", "\\u2028\\u2067"),
        ] {
            assert_eq!(visible(text), shown);
            assert_eq!(line(text), shown);
        }
    }

    #[test]
    fn what_shows_stays() {
        for text in [
            "Wasser, \u{e4}\u{f6}\u{fc} \u{2013} \u{6c34} \u{1f6b0}",
            "\\u001b",
            "",
        ] {
            assert!(matches!(visible(text), Cow::Borrowed(same) if same == text));
        }
        assert_eq!(visible("a\n\tb"), "a\n\tb");
        assert_eq!(line("a\n\tb"), "a\\u000a\\u0009b");
    }

    #[test]
    fn json_means_the_same() {
        let value = serde_json::json!({ "label": "\u{1b}\u{9b}\u{202e}\n\u{7f}" });
        let text = format!("{value:#}");
        let shown = visible(&text);
        assert!(!shown.contains('\u{9b}'));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
            value
        );
    }
}
