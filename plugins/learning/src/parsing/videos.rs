//! Videos with two streams of features, read from one safetensors file; the features themselves a batch at a time, so that memory does not grow
//! with the set.
//!
//! # The file
//!
//! | array | type and shape | what it is |
//! |---|---|---|
//! | `audio` | F32 `[videos, seconds, values]` | features of the sound, one row a second |
//! | `visual` | F32 `[videos, seconds, values]` | features of the frames |
//! | `weak` | U8 `[videos, classes]` | 1: the class is heard or seen somewhere in the video |
//! | `heard` | U8 `[videos, seconds, classes]` | dense labels of the sound; all 0 where `dense` is 0 |
//! | `seen` | U8 `[videos, seconds, classes]` | dense labels of the frames |
//! | `dense` | U8 `[videos]` | 1: the video has dense labels |
//! | `length` | I64 `[videos]` | seconds that it has; rows after them are padding |
//! | `split` | U8 `[videos]` | 0 training, 1 validation, 2 test |
//! | `words_audio`, `words_visual` | F32 `[classes, values]` | optional: each class's name in the space of the sound's, and the frames', features |
//!
//! Its metadata has the key `earmark`: JSON with `layout` (`earmark-parsing/1`), `classes` and `names` (of the videos). More is passed over.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use safetensors::tensor::{Dtype, Metadata};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::dataset::Split;
use crate::tensors::Matrix;

/// The layout that is read.
pub const LAYOUT: &str = "earmark-parsing/1";
/// Most bytes of the file's head, and of everything but the features.
const MOST_HEAD: u64 = 100 << 20;
const MOST_LABELS: usize = 1 << 30;

/// Sound or frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modality {
    /// The sound.
    Audio,
    /// The frames.
    Visual,
}

impl Modality {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Audio, Self::Visual];

    /// As files have it.
    pub fn name(self) -> &'static str {
        ["audio", "visual"][self as usize]
    }
}

/// A stream of features in the file.
#[derive(Clone, Copy, Debug)]
struct Stream {
    at: u64,
    width: usize,
}

/// A set of videos.
#[derive(Debug)]
pub struct Videos {
    file: File,
    path: PathBuf,
    streams: [Stream; 2],
    /// Seconds that every video has room for.
    pub seconds: usize,
    /// What the classes are called.
    pub classes: Vec<String>,
    /// What the videos are called.
    pub names: Vec<String>,
    /// For every video.
    pub split: Vec<Split>,
    /// Seconds of every video.
    pub lengths: Vec<usize>,
    /// Whether each video has dense labels.
    pub dense: Vec<bool>,
    /// `videos * classes` weak labels, 0 or 1.
    pub weak: Vec<u8>,
    /// `videos * seconds * classes` dense labels, 0 or 1: what is heard, what is seen.
    pub labels: [Vec<u8>; 2],
    /// Each class's name in the space of features, normalised; of the sound, of the frames.
    pub words: [Option<Matrix>; 2],
    /// SHA-256 of the file.
    pub hash: String,
}

/// Where arrays lie in the file.
struct Head<'a> {
    file: &'a File,
    path: &'a Path,
    about: &'a Metadata,
    body: u64,
}

impl Head<'_> {
    fn place(
        &self,
        key: &str,
        kind: Dtype,
        shape: &[Option<usize>],
    ) -> anyhow::Result<(u64, Vec<usize>)> {
        let name = self.path.display();
        let info = self
            .about
            .info(key)
            .with_context(|| format!("{name} has no array `{key}`"))?;
        let fits = info.shape.len() == shape.len()
            && shape
                .iter()
                .zip(&info.shape)
                .all(|(wanted, found)| wanted.is_none_or(|wanted| wanted == *found));
        if info.dtype != kind || !fits {
            let wanted: Vec<String> = shape
                .iter()
                .map(|n| n.map_or("any".to_owned(), |n| n.to_string()))
                .collect();
            bail!(
                "{name}: `{key}` is {:?} {:?}: must be {kind:?} [{}]",
                info.dtype,
                info.shape,
                wanted.join(", ")
            );
        }
        let size = match kind {
            Dtype::U8 => 1,
            Dtype::I64 => 8,
            _ => 4,
        };
        let count = info
            .shape
            .iter()
            .try_fold(size, |all: usize, n| all.checked_mul(*n));
        let (from, until) = info.data_offsets;
        if count.is_none_or(|count| until.checked_sub(from) != Some(count)) {
            bail!(
                "{name}: `{key}` has the shape {:?} and the bytes {from} to {until}: it is damaged",
                info.shape
            );
        }
        Ok((self.body + from as u64, info.shape.clone()))
    }

    fn bytes(
        &self,
        key: &str,
        kind: Dtype,
        shape: &[Option<usize>],
    ) -> anyhow::Result<(Vec<usize>, Vec<u8>)> {
        let (at, shape) = self.place(key, kind, shape)?;
        let (from, until) = self.about.info(key).map_or((0, 0), |i| i.data_offsets);
        let count = until - from;
        if count > MOST_LABELS {
            bail!("{}: `{key}` is too large: {shape:?}", self.path.display());
        }
        let mut bytes = vec![0; count];
        self.file
            .read_exact_at(&mut bytes, at)
            .with_context(|| format!("{} is cut off at `{key}`", self.path.display()))?;
        Ok((shape, bytes))
    }
}

fn flags(path: &Path, key: &str, bytes: &[u8]) -> anyhow::Result<()> {
    match bytes.iter().find(|x| **x > 1) {
        Some(x) => bail!("{}: `{key}` has a {x}: must be 0 or 1", path.display()),
        None => Ok(()),
    }
}

impl Videos {
    /// Reads a file: all of it but the features.
    ///
    /// # Errors
    /// It cannot be read, or what is in it does not fit together.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let mut file = File::open(path).with_context(|| format!("cannot read {name}"))?;
        let damaged = || format!("{name} is not a safetensors file, or is damaged");
        let mut length = [0; 8];
        file.read_exact(&mut length).with_context(damaged)?;
        let head = u64::from_le_bytes(length);
        if head > MOST_HEAD {
            bail!("{}", damaged());
        }
        let mut bytes = Vec::new();
        (&mut file)
            .take(head)
            .read_to_end(&mut bytes)
            .with_context(damaged)?;
        let about: Metadata = serde_json::from_slice(&bytes).with_context(damaged)?;
        let body = 8 + head;
        let end = about
            .offset_keys()
            .iter()
            .filter_map(|key| about.info(key))
            .map(|i| i.data_offsets.1)
            .max();
        let long = file.metadata().with_context(damaged)?.len();
        if long != body + end.unwrap_or(0) as u64 {
            bail!(
                "{name} has {long} bytes, not the {} that its head says: it is cut off or damaged",
                body + end.unwrap_or(0) as u64
            );
        }
        let note: Value = about
            .metadata()
            .as_ref()
            .and_then(|all| all.get("earmark"))
            .and_then(|note| serde_json::from_str(note).ok())
            .with_context(|| format!("{name} has no note `earmark` in its metadata: `earmark parse` writes such files"))?;
        match note["layout"].as_str() {
            Some(LAYOUT) => {}
            other => bail!("{name} has the layout {other:?}: must be {LAYOUT:?}"),
        }
        let words = |key: &str| -> anyhow::Result<Vec<String>> {
            serde_json::from_value(note[key].clone())
                .with_context(|| format!("{name}: its note has no list of words `{key}`"))
        };
        let (classes, names) = (words("classes")?, words("names")?);
        let (n, c) = (names.len(), classes.len());
        if n == 0 || c < 2 {
            bail!("{name} has {n} videos and {c} classes: there must be a video and two classes");
        }
        let at = Head {
            file: &file,
            path,
            about: &about,
            body,
        };
        let (audio, shape) = at.place("audio", Dtype::F32, &[Some(n), None, None])?;
        let (t, wide) = (shape[1], shape[2]);
        let (visual, shape) = at.place("visual", Dtype::F32, &[Some(n), Some(t), None])?;
        for (key, x) in [
            ("seconds", t),
            ("values of the sound", wide),
            ("values of the frames", shape[2]),
        ] {
            if x == 0 || x > 1 << 20 {
                bail!("{name} has {x} {key}: must be 1 to {}", 1 << 20);
            }
        }
        let streams = [
            Stream {
                at: audio,
                width: wide,
            },
            Stream {
                at: visual,
                width: shape[2],
            },
        ];
        let dense_shape = [Some(n), Some(t), Some(c)];
        let (_, weak) = at.bytes("weak", Dtype::U8, &[Some(n), Some(c)])?;
        let (_, heard) = at.bytes("heard", Dtype::U8, &dense_shape)?;
        let (_, seen) = at.bytes("seen", Dtype::U8, &dense_shape)?;
        let (_, dense) = at.bytes("dense", Dtype::U8, &[Some(n)])?;
        for (key, bytes) in [
            ("weak", &weak),
            ("heard", &heard),
            ("seen", &seen),
            ("dense", &dense),
        ] {
            flags(path, key, bytes)?;
        }
        let (_, split) = at.bytes("split", Dtype::U8, &[Some(n)])?;
        let split = split
            .iter()
            .map(|x| match Split::ALL.get(usize::from(*x)) {
                Some((split, _)) => Ok(*split),
                None => bail!("{name}: `split` has a {x}: must be 0, 1 or 2"),
            })
            .collect::<anyhow::Result<_>>()?;
        let (_, lengths) = at.bytes("length", Dtype::I64, &[Some(n)])?;
        let lengths = lengths
            .as_chunks::<8>()
            .0
            .iter()
            .map(|x| {
                let x = i64::from_le_bytes(*x);
                usize::try_from(x)
                    .ok()
                    .filter(|x| (1..=t).contains(x))
                    .with_context(|| format!("{name}: `length` has a {x}: must be 1 to {t}"))
            })
            .collect::<anyhow::Result<_>>()?;
        let mut meaning = [None, None];
        for (modality, meaning) in Modality::BOTH.into_iter().zip(&mut meaning) {
            let key = format!("words_{}", modality.name());
            if about.info(&key).is_some() {
                let (shape, bytes) = at.bytes(&key, Dtype::F32, &[Some(c), None])?;
                *meaning = Some(normalised(path, &key, shape[1], &bytes)?);
            }
        }
        let hash = hash(&mut file).with_context(|| format!("cannot read {name}"))?;
        Ok(Self {
            file,
            path: path.into(),
            streams,
            seconds: t,
            classes,
            names,
            split,
            lengths,
            dense: dense.iter().map(|x| *x == 1).collect(),
            weak,
            labels: [heard, seen],
            words: meaning,
            hash,
        })
    }

    /// Values of a second.
    pub fn width(&self, modality: Modality) -> usize {
        self.streams[modality as usize].width
    }

    /// The videos of a split.
    pub fn of(&self, split: Split) -> Vec<usize> {
        (0..self.names.len())
            .filter(|i| self.split[*i] == split)
            .collect()
    }

    /// Features of some videos, one after the other: `seconds * width` numbers each.
    ///
    /// # Errors
    /// The file cannot be read there, or has a value that is not finite.
    pub fn features(&self, modality: Modality, videos: &[usize]) -> anyhow::Result<Vec<f32>> {
        let Stream { at, width } = self.streams[modality as usize];
        let each = self.seconds * width;
        let mut all = Vec::with_capacity(videos.len() * each);
        let mut bytes = vec![0; each * 4];
        for video in videos {
            self.file
                .read_exact_at(&mut bytes, at + (*video * each * 4) as u64)
                .with_context(|| format!("cannot read {}", self.path.display()))?;
            all.extend(
                bytes
                    .as_chunks::<4>()
                    .0
                    .iter()
                    .map(|x| f32::from_le_bytes(*x)),
            );
            if let Some(x) = all[all.len() - each..].iter().find(|x| !x.is_finite()) {
                bail!(
                    "{}: `{}` of {} has a value {x}: must be finite",
                    self.path.display(),
                    modality.name(),
                    self.names[*video]
                );
            }
        }
        Ok(all)
    }

    /// Dense labels of some videos: `seconds * classes` each.
    pub fn dense_labels(&self, modality: Modality, videos: &[usize]) -> Vec<f32> {
        let each = self.seconds * self.classes.len();
        let all = &self.labels[modality as usize];
        videos
            .iter()
            .flat_map(|i| &all[i * each..(i + 1) * each])
            .map(|x| f32::from(*x))
            .collect()
    }

    /// Weak labels of some videos: `classes` each.
    pub fn weak_labels(&self, videos: &[usize]) -> Vec<f32> {
        let c = self.classes.len();
        videos
            .iter()
            .flat_map(|i| &self.weak[i * c..(i + 1) * c])
            .map(|x| f32::from(*x))
            .collect()
    }

    /// The mean of every value over some videos, and one over its deviation; 0 for a value that never changes.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn standard(&self, modality: Modality, videos: &[usize]) -> anyhow::Result<[Matrix; 2]> {
        let width = self.width(modality);
        let mut sums = vec![(0.0_f64, 0.0_f64); width];
        let mut rows = 0.0;
        for video in videos {
            let all = self.features(modality, &[*video])?;
            for row in all.chunks(width).take(self.lengths[*video]) {
                rows += 1.0;
                for (sum, x) in sums.iter_mut().zip(row) {
                    sum.0 += f64::from(*x);
                    sum.1 += f64::from(*x).powi(2);
                }
            }
        }
        let rows = f64::max(rows, 1.0);
        let row = |data: Vec<f32>| Matrix {
            rows: 1,
            cols: width,
            data,
        };
        let scale = |(sum, square): &(f64, f64)| {
            let deviation = (square / rows - (sum / rows).powi(2)).max(0.0).sqrt();
            if deviation > 1e-6 {
                (1.0 / deviation) as f32
            } else {
                0.0
            }
        };
        Ok([
            row(sums.iter().map(|sum| (sum.0 / rows) as f32).collect()),
            row(sums.iter().map(scale).collect()),
        ])
    }
}

/// Rows of length 1.
fn normalised(path: &Path, key: &str, width: usize, bytes: &[u8]) -> anyhow::Result<Matrix> {
    let mut data: Vec<f32> = bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|x| f32::from_le_bytes(*x))
        .collect();
    for (i, row) in data.chunks_mut(width.max(1)).enumerate() {
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        if !length.is_finite() || length == 0.0 {
            bail!(
                "{}: `{key}`, row {i} has the length {length}: must be above 0",
                path.display()
            );
        }
        row.iter_mut().for_each(|x| *x /= length);
    }
    Ok(Matrix {
        rows: data.len() / width.max(1),
        cols: width,
        data,
    })
}

fn hash(file: &mut File) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let mut at = 0;
    let mut bytes = vec![0; 1 << 20];
    loop {
        match file.read_at(&mut bytes, at)? {
            0 => return Ok(format!("{:x}", hash.finalize())),
            n => {
                hash.update(&bytes[..n]);
                at += n as u64;
            }
        }
    }
}
