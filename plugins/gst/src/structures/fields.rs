//! Reads the fields of a structure; errors name the field, its value and the rule.

use anchoring::time::Nanos;
use gst::glib;

/// A structure with a missing or wrong field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{structure}: field `{field}` is {value}, but {rule} (was it written by another version of Earmark?)"
)]
pub struct StructureError {
    /// Name of the structure, or the text that was read instead.
    pub structure: String,
    /// Name of the field.
    pub field: &'static str,
    /// Its value.
    pub value: String,
    /// The rule that it breaks.
    pub rule: String,
}

pub(super) fn wrong(
    s: &gst::StructureRef,
    field: &'static str,
    rule: impl Into<String>,
) -> StructureError {
    StructureError {
        structure: s.name().to_string(),
        field,
        value: s
            .value(field)
            .map_or_else(|_| "missing".into(), |value| format!("{value:?}")),
        rule: rule.into(),
    }
}

pub(super) fn get<'a, T>(s: &'a gst::StructureRef, field: &'static str) -> Result<T, StructureError>
where
    T: glib::value::FromValue<'a> + glib::prelude::StaticType,
{
    s.get::<T>(field)
        .map_err(|_| wrong(s, field, format!("must be of type {}", T::static_type())))
}

pub(super) fn nanos(s: &gst::StructureRef, field: &'static str) -> Result<Nanos, StructureError> {
    get::<i64>(s, field).map(Nanos::new)
}

pub(super) fn unit(s: &gst::StructureRef, field: &'static str) -> Result<f32, StructureError> {
    let value = get::<f32>(s, field)?;
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err(wrong(s, field, "must lie in 0..=1"))
    }
}
