//! Looks up GStreamer elements and their properties, and checks values without creating an element.

use gst::glib;
use gst::prelude::*;

use super::problem::either;
use crate::machine::packages;

/// Properties that the command sets itself, so no section and no graph may.
pub(super) const OURS: [&str; 13] = [
    "location",
    "segment-s",
    "keep-up",
    "early-cues",
    "overwrite",
    "video-id",
    "input-uri",
    "input-bytes",
    "config",
    "streams",
    "times",
    "plan",
    "stats",
];

/// The factory, loaded so that its type is known.
pub(super) fn factory(name: &str) -> Option<gst::ElementFactory> {
    gst::ElementFactory::find(name)?
        .load()
        .ok()?
        .downcast()
        .ok()
}

/// Every property of the element, its own and inherited ones.
pub(super) fn all(factory: &gst::ElementFactory) -> Vec<glib::ParamSpec> {
    glib::object::ObjectClass::from_type(factory.element_type())
        .map(|class| class.list_properties().iter().cloned().collect())
        .unwrap_or_default()
}

/// Properties that the element itself declares and a user may set.
pub(super) fn own(factory: &gst::ElementFactory) -> Vec<glib::ParamSpec> {
    let element = factory.element_type();
    all(factory)
        .into_iter()
        .filter(|spec| {
            spec.owner_type() == element && is_writable(spec) && !OURS.contains(&spec.name())
        })
        .collect()
}

pub(super) fn is_writable(spec: &glib::ParamSpec) -> bool {
    spec.flags().contains(glib::ParamFlags::WRITABLE)
}

/// The rule of a property: "must be a whole number in 1..=256".
pub(super) fn rule(spec: &glib::ParamSpec) -> String {
    if let Some((low, high)) = range(spec) {
        let kind = if is_whole(spec) {
            "a whole number"
        } else {
            "a number"
        };
        return format!("must be {kind} in {low}..={high}");
    }
    if let Some(names) = names(spec) {
        return format!("must be {}", either(&names));
    }
    match spec.value_type() {
        glib::Type::BOOL => "must be true or false".into(),
        glib::Type::STRING => "must be text".into(),
        other => format!("must be a {}", other.name()),
    }
}

/// What a property takes, as JSON Schema.
pub(super) fn schema(spec: &glib::ParamSpec) -> serde_json::Value {
    let number = |x: f64| match is_whole(spec) {
        true => serde_json::json!(x as i64),
        false => serde_json::json!(x),
    };
    if let Some((low, high)) = range(spec) {
        let kind = if is_whole(spec) { "integer" } else { "number" };
        return serde_json::json!({ "type": kind, "minimum": number(low), "maximum": number(high) });
    }
    if let Some(names) = names(spec) {
        return serde_json::json!({ "enum": names });
    }
    match spec.value_type() {
        glib::Type::BOOL => serde_json::json!({ "type": "boolean" }),
        _ => serde_json::json!({ "type": "string" }),
    }
}

/// A value, or a variable that stands for one.
pub(super) fn or_variable(value: serde_json::Value) -> serde_json::Value {
    if value["type"] == "string" && value.get("enum").is_none() {
        return value;
    }
    serde_json::json!({ "anyOf": [value, { "type": "string", "pattern": "^\\$\\{[A-Za-z0-9_]+\\}$" }] })
}

/// The names of an enum's values.
pub(super) fn names(spec: &glib::ParamSpec) -> Option<Vec<String>> {
    let class = spec.downcast_ref::<glib::ParamSpecEnum>()?.enum_class();
    Some(
        class
            .values()
            .iter()
            .map(|value| value.nick().to_owned())
            .collect(),
    )
}

fn is_whole(spec: &glib::ParamSpec) -> bool {
    !spec.is::<glib::ParamSpecFloat>() && !spec.is::<glib::ParamSpecDouble>()
}

fn range(spec: &glib::ParamSpec) -> Option<(f64, f64)> {
    macro_rules! range {
        ($($kind:ty),*) => {
            $(if let Some(spec) = spec.downcast_ref::<$kind>() {
                return Some((spec.minimum() as f64, spec.maximum() as f64));
            })*
        };
    }
    range!(
        glib::ParamSpecInt,
        glib::ParamSpecUInt,
        glib::ParamSpecInt64,
        glib::ParamSpecUInt64,
        glib::ParamSpecLong,
        glib::ParamSpecULong,
        glib::ParamSpecFloat,
        glib::ParamSpecDouble
    );
    None
}

/// Whether the property accepts this text as gst-launch would parse it.
pub(super) fn takes(spec: &glib::ParamSpec, text: &str) -> bool {
    if spec.value_type() == glib::Type::STRING {
        return true;
    }
    if let Some((low, high)) = range(spec) {
        // Other notations (0x10, 5/1) are left to GStreamer.
        if let Ok(number) = text.parse::<f64>() {
            return (low..=high).contains(&number) && (!is_whole(spec) || number.fract() == 0.0);
        }
    }
    glib::Value::deserialize_with_pspec(text, spec).is_ok()
}

/// The default of a property as JSON.
pub(super) fn default(spec: &glib::ParamSpec) -> serde_json::Value {
    let value = spec.default_value();
    if let Some(names) = names(spec) {
        let named = glib::EnumValue::from_value(value).map(|(_, value)| value.nick().to_owned());
        return named.or_else(|| names.first().cloned()).into();
    }
    let Ok(text) = value.serialize() else {
        return serde_json::Value::Null;
    };
    match value.type_() {
        glib::Type::STRING => value
            .get::<Option<String>>()
            .ok()
            .flatten()
            .unwrap_or_default()
            .into(),
        glib::Type::BOOL => (text == "true").into(),
        _ => text
            .parse::<i64>()
            .map(Into::into)
            .or_else(|_| text.parse::<f64>().map(Into::into))
            .unwrap_or_else(|_| text.as_str().into()),
    }
}

/// "to install it, run `sudo apt-get install gstreamer1.0-libav`".
pub(super) fn where_from(factory: &str) -> Option<String> {
    packages::of_element(factory)
        .map(|package| format!("to install it, run `sudo apt-get install {package}`"))
}
