//! Attributes and labels: numbers, booleans and text of fixed length.

use super::{
    Dataset, Done, Error, Extent, Filter, FixedUnicode, Group, H5Type, Layout, Location, OldText,
    TypeDescriptor,
};

/// Bytes of a label; a longer one is cut and ends in `…`.
pub(super) const LABEL: usize = 256;
/// `/anchors/label` of a row: UTF-8, zeros after its end.
pub(super) type Label = FixedUnicode<LABEL>;

/// Longest text of an attribute: HDF5 allows less than 64 KiB for one, with its header.
const LONGEST: usize = 32 << 10;
/// The group of longer texts: a dataset of bytes each, beside what they describe.
pub(super) const TEXTS: &str = "texts";
/// Longest text that is read.
const MOST_TEXT: usize = 64 << 20;

/// An attribute's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        // A zero byte would end the text.
        Self::Text(text.replace('\0', "\u{fffd}"))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Signed(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Unsigned(value)
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Bool(value) => value.fmt(f),
            Self::Signed(value) => value.fmt(f),
            Self::Unsigned(value) => value.fmt(f),
        }
    }
}

/// A label, cut where it is too long.
pub(super) fn label(text: &str) -> Label {
    let text = text.replace('\0', "\u{fffd}");
    if let Ok(label) = text.parse() {
        return label;
    }
    let mut end = LABEL - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end]).parse().unwrap_or_default()
}

/// The text of a label; replaces bytes that are not UTF-8.
pub(super) fn read_label(label: &Label) -> String {
    String::from_utf8_lossy(label.as_bytes()).into_owned()
}

/// Sets an attribute: a number, a boolean or text of at most 32 KiB.
pub(super) fn put(at: &Location, name: &str, value: &Value) -> Done<()> {
    match value {
        Value::Bool(value) => scalar(at, name, value),
        Value::Signed(value) => scalar(at, name, value),
        Value::Unsigned(value) => scalar(at, name, value),
        // Few sizes, as each is a type; the rest is zeros.
        Value::Text(text) => match text.len() {
            0..=16 => fixed::<16>(at, name, text),
            17..=64 => fixed::<64>(at, name, text),
            65..=256 => fixed::<256>(at, name, text),
            257..=1024 => fixed::<1024>(at, name, text),
            1025..=4096 => fixed::<4096>(at, name, text),
            4097..=16384 => fixed::<16384>(at, name, text),
            16385..=LONGEST => fixed::<LONGEST>(at, name, text),
            long => Err(Error::from(format!(
                "a text of {long} bytes is too long for an attribute"
            ))),
        },
    }
}

fn fixed<const N: usize>(at: &Location, name: &str, text: &str) -> Done<()> {
    let text: FixedUnicode<N> = text
        .parse()
        .map_err(|_| Error::from("a text is longer than its attribute"))?;
    // An attribute of another size would cut the text.
    if let Ok(attribute) = at.attr(name)
        && attribute.dtype()?.size() != N
    {
        at.delete_attr(name)?;
    }
    scalar(at, name, &text)
}

fn scalar<T: H5Type>(at: &Location, name: &str, value: &T) -> Done<()> {
    match at.attr(name) {
        Ok(attribute) => attribute.write_scalar(value),
        Err(_) => at.new_attr::<T>().create(name)?.write_scalar(value),
    }
}

/// Sets an attribute of a group, of any length; for a long text, the dataset that holds it.
pub(super) fn set(at: &Group, name: &str, value: &Value) -> Done<Option<Dataset>> {
    let text = match value {
        Value::Text(text) if text.len() > LONGEST => text,
        _ => {
            if at.link_exists(TEXTS) && at.link_exists(&format!("{TEXTS}/{name}")) {
                at.unlink(&format!("{TEXTS}/{name}"))?;
            }
            return put(at, name, value).map(|()| None);
        }
    };
    let texts = match at.link_exists(TEXTS) {
        true => at.group(TEXTS)?,
        false => at.create_group(TEXTS)?,
    };
    let dataset = match texts.link_exists(name) {
        true => {
            let dataset = texts.dataset(name)?;
            dataset.resize((text.len(),))?;
            dataset
        }
        false => texts
            .new_dataset::<u8>()
            .deflate(4)
            .fletcher32()
            .chunk((LONGEST,))
            .shape((Extent::resizable(text.len()),))
            .create(name)?,
    };
    dataset.write_raw(text.as_bytes())?;
    put(&dataset, "units", &"UTF-8".into())?;
    put(&dataset, "axes", &"byte".into())?;
    put(at, name, &format!("see {TEXTS}/{name}").as_str().into())?;
    Ok(Some(dataset))
}

/// Reads an attribute of a group, in files of either schema.
pub(super) fn get(at: &Group, name: &str) -> Done<Value> {
    let long = format!("{TEXTS}/{name}");
    if at.link_exists(TEXTS) && at.link_exists(&long) {
        let dataset = at.dataset(&long)?;
        own_storage(&dataset)?;
        if dataset.size() > MOST_TEXT {
            return Err(Error::from(format!(
                "it has {} bytes of text, but {MOST_TEXT} are the most",
                dataset.size()
            )));
        }
        return Ok(Value::Text(utf8(&dataset.read_raw()?)?));
    }
    let attribute = at.attr(name)?;
    Ok(match attribute.dtype()?.to_descriptor()? {
        TypeDescriptor::Boolean => Value::Bool(attribute.read_scalar::<u8>()? != 0),
        TypeDescriptor::Integer(_) => Value::Signed(attribute.read_scalar()?),
        TypeDescriptor::Unsigned(_) => Value::Unsigned(attribute.read_scalar()?),
        TypeDescriptor::VarLenUnicode => {
            Value::Text(utf8(attribute.read_scalar::<OldText>()?.as_bytes())?)
        }
        // Longer texts are datasets.
        TypeDescriptor::FixedUnicode(bytes) if bytes <= LONGEST => {
            let text = attribute.read_scalar::<FixedUnicode<LONGEST>>()?;
            Value::Text(utf8(text.as_bytes())?)
        }
        other => return Err(Error::from(format!("its type is {other}"))),
    })
}

/// Checks that a dataset's cells lie in its own file and that Earmark knows its filters.
pub(super) fn own_storage(dataset: &Dataset) -> Done<()> {
    let how = dataset.create_plist()?;
    let elsewhere = matches!(how.get_layout()?, Layout::Virtual) || !how.get_external()?.is_empty();
    if elsewhere {
        return Err(Error::from(
            "its cells lie in another file, which feature files never do",
        ));
    }
    let ours = |filter: &Filter| {
        matches!(
            filter,
            Filter::Deflate(_) | Filter::Shuffle | Filter::Fletcher32
        )
    };
    match how.get_filters()?.iter().find(|filter| !ours(filter)) {
        Some(filter) => Err(Error::from(format!("it has the unknown filter {filter:?}"))),
        None => Ok(()),
    }
}

/// Reads a short text attribute of a dataset, in files of either schema.
pub(super) fn text_of(at: &Location, name: &str) -> Done<String> {
    let attribute = at.attr(name)?;
    match attribute.dtype()?.to_descriptor()? {
        TypeDescriptor::VarLenUnicode => utf8(attribute.read_scalar::<OldText>()?.as_bytes()),
        TypeDescriptor::FixedUnicode(bytes) if bytes <= LABEL => {
            utf8(attribute.read_scalar::<Label>()?.as_bytes())
        }
        other => Err(Error::from(format!("its type is {other}"))),
    }
}

fn utf8(bytes: &[u8]) -> Done<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Error::from("it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_is_too_long_is_cut_between_characters() {
        let of = |text: &str| read_label(&label(text));
        assert_eq!(of("Käse"), "Käse");
        assert_eq!(of(&"x".repeat(LABEL)), "x".repeat(LABEL));
        let long = of(&"ä".repeat(LABEL));
        assert!(long.len() <= LABEL && long.ends_with("ä…"), "{long}");
        assert_eq!(of("a\0b"), "a\u{fffd}b");
    }
}
