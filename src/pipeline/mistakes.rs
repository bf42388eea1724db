//! Explains a wrong value of a section: its rule, and what was probably meant.

use serde_json::Value;

use super::problem::{did_you_mean, either};
use super::tree::Node;

/// Rule and likely mistake of a value of the wrong type.
pub(super) fn explain(
    name: &str,
    default: &Value,
    node: &Node,
    error: &str,
    range: Option<String>,
) -> (String, Option<String>) {
    let range = range.map(|rule| format!(" and {rule}")).unwrap_or_default();
    if default.is_string() {
        let names: Vec<_> = error
            .split("expected ")
            .nth(1)
            .unwrap_or_default()
            .split('`')
            .skip(1)
            .step_by(2)
            .collect();
        let hint = node
            .json()
            .as_str()
            .and_then(|text| did_you_mean(text, names.iter().copied()));
        return (format!("must be {}", either(&names)), hint);
    }
    let rule = match default {
        Value::Number(number) if number.is_f64() => format!("must be a number{range}"),
        Value::Number(_) => format!("must be a whole number{range}"),
        _ => "must be true or false".into(),
    };
    (rule, numeric_mistake(name, &node.json()))
}

/// A number with a unit, in the unit of a key: 0.2 with "s" is 200 where the key ends in `_ms`.
fn in_unit_of(key: &str, digits: &str, unit: &str) -> Option<String> {
    let number: f64 = digits.trim().parse().ok()?;
    let ms = match unit {
        "ms" | "msec" => 1.0,
        "s" | "sec" | "seconds" | "second" => 1e3,
        "min" | "m" | "minutes" | "minute" => 60e3,
        "h" | "hours" | "hour" => 3600e3,
        _ => f64::NAN,
    };
    let value = match key {
        _ if unit == "%" => number / 100.0,
        _ if key.ends_with("_ms") => number * ms,
        _ if key.ends_with("_per_s") => return None,
        _ if key.ends_with("_s") => number * ms / 1e3,
        _ => return None,
    };
    // Ten digits hide the rounding of binary fractions.
    let value = (value * 1e9).round() / 1e9;
    value.is_finite().then(|| value.to_string())
}

/// The likely intention behind a value that is not a number of the right kind.
pub(super) fn numeric_mistake(name: &str, value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => {
            let number = number.as_f64()?;
            let seconds = name.ends_with("_ms") && number.fract() != 0.0;
            seconds.then(|| {
                format!(
                    "did you give seconds? {number} s are {}",
                    (number * 1000.0).round()
                )
            })
        }
        Value::String(text) => {
            let text = text.trim();
            let digits =
                text.trim_end_matches(|c: char| c.is_alphabetic() || c.is_whitespace() || c == '%');
            if text.parse::<f64>().is_ok() {
                Some(format!("write the number without quotes: {text}"))
            } else if digits != text && digits.trim().parse::<f64>().is_ok() {
                let number = in_unit_of(name, digits, text[digits.len()..].trim());
                Some(format!(
                    "write only the number, because the key contains the unit: {}",
                    number.unwrap_or_else(|| digits.trim().into())
                ))
            } else {
                let point = text.replace(',', ".");
                point
                    .parse::<f64>()
                    .is_ok()
                    .then(|| format!("use a decimal point: {point}"))
            }
        }
        Value::Null => Some("remove the key to use its default".into()),
        _ => None,
    }
}
