//! One Parquet file: a row per frame.
//!
//! | column | type | |
//! |---|---|---|
//! | `video_id` | text | the recording |
//! | `pts_s`, `planned_s` | double | when the frame is shown; when the plan wanted one, seconds |
//! | `tier`, `reason` | text | low, base, high; anchor, untrusted, background, uniform |
//! | `tokens` | int32 | its price |
//! | `anchor`, `label` | int32, text; may be null | row of the recording's anchors, and what sounds there |
//! | `quality_score`, `quality_sharpness`, ... | float; may be null | quality of the frame, 0 to 1; null for files of versions that did not measure |
//! | `quality_sound`, `quality_both` | float; may be null | quality of the sound when it was taken, and of both |
//! | `features` | list of float | D numbers; for Arrow a fixed-size list |

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use ::parquet::basic::Compression;
use ::parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int32Type};
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::parser::parse_message_type;
use ::parquet::schema::types::ColumnPath;
use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gstearmark::frame_quality::FrameQuality;
use gstearmark::h5::Tables;
use serde_json::Value;

use super::source::Source;
use super::{Job, Written};

/// Most frames in a row group, which is held in memory.
const GROUP: usize = 2048;

const SCHEMA: &str = "message frames {
    required binary video_id (STRING);
    required double pts_s;
    required double planned_s;
    required binary tier (STRING);
    required binary reason (STRING);
    required int32 tokens;
    optional int32 anchor;
    optional binary label (STRING);
    optional float quality_score;
    optional float quality_sharpness;
    optional float quality_exposure;
    optional float quality_contrast;
    optional float quality_blockiness;
    optional float quality_noise;
    optional float quality_freeze;
    optional float quality_sound;
    optional float quality_both;
    required group features (LIST) { repeated group list { required float element; } }
}";

/// The same schema as a message of Arrow's IPC format, made by pyarrow, with [`LENGTH`] as the length of the lists. Parquet has no lists of a
/// fixed size; pyarrow, DuckDB and others recognise them by this message.
const ARROW: &[u8] = include_bytes!("arrow_schema.bin");
/// Stands for the length of the lists.
const LENGTH: i32 = 0x7ead_beef;

/// [`ARROW`] for lists of this length, in base64; `None` if it exceeds 32 bits.
fn arrow_schema(dim: usize) -> Option<String> {
    let length = i32::try_from(dim).ok()?.to_le_bytes();
    let sign = LENGTH.to_le_bytes();
    let at = ARROW.windows(sign.len()).position(|four| four == sign)?;
    let mut schema = ARROW.to_vec();
    schema[at..at + length.len()].copy_from_slice(&length);
    Some(STANDARD.encode(schema))
}

pub(super) fn write(job: &Job<'_>) -> anyhow::Result<Written> {
    let files = [job.output.to_owned()];
    job.publish(&files, |opened| {
        opened.iter().try_for_each(|file| all(job, file))
    })?;
    Ok(Written {
        files: BTreeMap::from([(String::new(), files.into())]),
        notes: Vec::new(),
        more: Value::Null,
    })
}

fn all(job: &Job<'_>, file: &File) -> anyhow::Result<()> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let encoder = job.sources.first().map(Source::encoder);
    let dim = job.sources.first().map_or(0, Source::dim);
    let mut about = vec![KeyValue::new("encoder".into(), encoder)];
    about.extend(arrow_schema(dim).map(|schema| KeyValue::new("ARROW:schema".into(), schema)));
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        // Feature values hardly ever repeat.
        .set_column_dictionary_enabled(
            ColumnPath::from(vec!["features".into(), "list".into(), "element".into()]),
            false,
        )
        .set_created_by(format!("earmark {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(about))
        .build();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties))?;
    for source in job.sources {
        let tables = source.tables()?;
        let scores = source.frame_scores(&tables)?;
        source.blocks(GROUP, |rows, features| {
            let mut group = writer.next_row_group()?;
            block(&mut group, source, &tables, &scores, rows, features)?;
            group.close()?;
            Ok(())
        })?;
        source.done();
        job.bar.inc(1);
    }
    writer.close()?;
    Ok(())
}

/// Writes a row group.
fn block<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    source: &Source,
    tables: &Tables,
    scores: &[[f32; 3]],
    rows: Range<usize>,
    features: &[f32],
) -> anyhow::Result<()> {
    let some = || rows.clone();
    let seconds = |ns: &[i64]| -> Vec<f64> { some().map(|k| ns[k] as f64 / 1e9).collect() };
    let text = |of: &dyn Fn(usize) -> String| -> Vec<ByteArray> {
        some().map(|k| ByteArray::from(of(k).as_str())).collect()
    };
    put::<ByteArrayType>(group, &text(&|_| source.id().into()), None, None)?;
    put::<DoubleType>(group, &seconds(&tables.pts_ns), None, None)?;
    put::<DoubleType>(group, &seconds(&tables.planned_ns), None, None)?;
    put::<ByteArrayType>(group, &text(&|k| tables.tier[k].name().into()), None, None)?;
    put::<ByteArrayType>(
        group,
        &text(&|k| tables.reason[k].name().into()),
        None,
        None,
    )?;
    let tokens: Vec<i32> = some().map(|k| tables.tokens[k] as i32).collect();
    put::<Int32Type>(group, &tokens, None, None)?;

    // Definition level: 1 for a value, 0 for null.
    let of = |k: usize| {
        usize::try_from(tables.anchor[k])
            .ok()
            .filter(|at| *at < tables.anchors.len())
    };
    let there: Vec<i16> = some().map(|k| i16::from(of(k).is_some())).collect();
    let anchors: Vec<usize> = some().filter_map(of).collect();
    let numbers: Vec<i32> = anchors.iter().map(|at| *at as i32).collect();
    put::<Int32Type>(group, &numbers, Some(&there), None)?;
    let labels: Vec<ByteArray> = anchors
        .iter()
        .map(|at| ByteArray::from(tables.anchors[*at].label.as_str()))
        .collect();
    put::<ByteArrayType>(group, &labels, Some(&there), None)?;

    let there = vec![i16::from(!tables.quality.is_empty()); rows.len()];
    let frames = || tables.quality.get(rows.clone()).unwrap_or_default().iter();
    let own: Vec<f32> = frames().map(FrameQuality::score).collect();
    put::<FloatType>(group, &own, Some(&there), None)?;
    for measure in 0..FrameQuality::NAMES.len() {
        let values: Vec<f32> = frames().map(|frame| frame.values()[measure]).collect();
        put::<FloatType>(group, &values, Some(&there), None)?;
    }

    // Of the sound, and of both.
    for of in [0, 2] {
        let own = || scores.get(rows.clone()).unwrap_or_default().iter();
        let there: Vec<i16> = own().map(|all| i16::from(all[of].is_finite())).collect();
        let values: Vec<f32> = own().map(|all| all[of]).filter(|x| x.is_finite()).collect();
        put::<FloatType>(group, &values, Some(&there), None)?;
    }

    // Every list has D values; repetition level 0 starts a new list.
    let dim = source.dim();
    let here = vec![1; features.len()];
    let again: Vec<i16> = (0..features.len())
        .map(|k| i16::from(k % dim != 0))
        .collect();
    put::<FloatType>(group, features, Some(&here), Some(&again))
}

/// Writes the next column.
fn put<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, impl Write + Send>,
    values: &[T::T],
    there: Option<&[i16]>,
    again: Option<&[i16]>,
) -> anyhow::Result<()> {
    let mut column = group
        .next_column()?
        .context("the schema has fewer columns")?;
    column.typed::<T>().write_batch(values, there, again)?;
    Ok(column.close()?)
}
