//! Formats counts, times, shares and tokens.

use anchoring::plan::Reason;
use anchoring::tier::{Tier, Tokens};

/// "3 high (anchor), 12 low (uniform)".
pub(crate) fn shares_text(shares: impl Iterator<Item = (Tier, Reason, u64)>) -> String {
    let parts: Vec<_> = shares
        .map(|(tier, reason, frames)| format!("{frames} {tier} ({reason})"))
        .collect();
    if parts.is_empty() {
        "none".into()
    } else {
        parts.join(", ")
    }
}

/// "1,568 of 1,960 tokens (80 %)".
pub(crate) fn tokens_text(spent: Tokens, budget: Tokens) -> String {
    if budget == 0 {
        return format!("{} tokens, no budget", grouped(spent));
    }
    format!(
        "{} of {} tokens ({:.1} %)",
        grouped(spent),
        grouped(budget),
        spent as f64 * 100.0 / budget as f64
    )
}

/// `75 s`, `12:05`, `1:02:03`.
pub(crate) fn time(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..=9 => format!("{seconds:.1} s"),
        10..=119 => format!("{whole} s"),
        120..=3599 => format!("{}:{:02}", whole / 60, whole % 60),
        _ => format!("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60),
    }
}

/// Digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!(
            [0.04, 9.2, 75.0, 725.0, 3723.0].map(time),
            ["0.0 s", "9.2 s", "75 s", "12:05", "1:02:03"]
        );
    }

    #[test]
    fn digits_stand_in_threes() {
        assert_eq!(
            [0, 12, 123, 1234, 1_234_567].map(grouped),
            ["0", "12", "123", "1,234", "1,234,567"]
        );
    }
}
