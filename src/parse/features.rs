//! Reads streams of features (a folder of `NAME.npy`, or a dataset of an HDF5 file with a row per video), and reduces them to one row per
//! second.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::set::Set;
use crate::datasets::npz;
use crate::outputs::foreign::Rows;

/// Length of a YouTube id; some releases name features by it.
const ID: usize = 11;

/// A stream.
pub(super) enum Stream {
    Folder(PathBuf),
    File {
        rows: Rows,
        path: PathBuf,
        next: usize,
    },
    /// Numbers that are in memory already: `videos * seconds * width`.
    Given {
        width: usize,
        numbers: Vec<f32>,
    },
}

impl Stream {
    /// `text` as in the experiment, relative to `folder`.
    ///
    /// # Errors
    /// It does not exist.
    pub(super) fn open(folder: &Path, text: &str) -> anyhow::Result<Self> {
        let cut = text
            .rsplit_once(':')
            .filter(|(file, _)| file.ends_with(".h5") || file.ends_with(".hdf5"));
        if let Some((file, dataset)) = cut {
            let path = folder.join(file);
            let rows = Rows::open(&path, dataset)?;
            return Ok(Self::File {
                rows,
                path,
                next: 0,
            });
        }
        let path = folder.join(text);
        if !path.is_dir() {
            bail!(
                "{} is not a folder of features: the experiment has `{text}` below {}",
                path.display(),
                folder.display()
            );
        }
        Ok(Self::Folder(path))
    }

    /// The features of a video: rows, width, numbers.
    fn read(&mut self, set: &Set, video: usize) -> anyhow::Result<(String, Vec<usize>, Vec<f32>)> {
        let name = &set.names[video];
        match self {
            Self::Given { width, numbers } => {
                let each = set.seconds * *width;
                let own = numbers.get(video * each..(video + 1) * each);
                let own = own.context("there are numbers for every video")?;
                Ok((name.clone(), vec![set.seconds, *width], own.to_vec()))
            }
            Self::Folder(folder) => {
                let whole = folder.join(format!("{name}.npy"));
                let id = name.get(..ID).map(|id| folder.join(format!("{id}.npy")));
                let path = match id {
                    Some(id) if !whole.exists() && id.exists() => id,
                    _ => whole,
                };
                let (shape, numbers) = npz::npy(&path)?;
                let numbers = numbers.into_iter().map(|x| x as f32).collect();
                Ok((path.display().to_string(), shape, numbers))
            }
            Self::File { rows, path, next } => {
                let said = format!("{}, {name}", path.display());
                let Some(places) = &set.rows else {
                    bail!("{said}: these labels have no order of rows; give a folder of NAME.npy");
                };
                let shape = rows.shape().to_vec();
                let at = places[video];
                if at >= shape[0] {
                    bail!(
                        "{said}: the file has {} rows, and this is annotation {at}",
                        shape[0]
                    );
                }
                while *next < at {
                    rows.next()?;
                    *next += 1;
                }
                *next += 1;
                Ok((said, shape[1..].to_vec(), rows.next()?))
            }
        }
    }

    /// One row per second: the number of seconds, and their values. Averages axes between the first and the last, and rows if there is a
    /// multiple of the seconds.
    ///
    /// # Errors
    /// The file is missing or does not fit.
    pub(super) fn seconds(&mut self, set: &Set, video: usize) -> anyhow::Result<(usize, Vec<f32>)> {
        let (said, shape, numbers) = self.read(set, video)?;
        pooled(&shape, numbers, set.seconds, set.shorter)
            .map_err(|wrong| anyhow::anyhow!("{said}: {wrong}"))
    }
}

/// Like [`Stream::seconds`].
fn pooled(
    shape: &[usize],
    numbers: Vec<f32>,
    seconds: usize,
    shorter: bool,
) -> Result<(usize, Vec<f32>), String> {
    let (Some(rows), Some(width)) = (shape.first(), shape.last().filter(|_| shape.len() > 1))
    else {
        return Err(format!(
            "has the shape {shape:?}: must have seconds and values"
        ));
    };
    let between: usize = shape[1..shape.len() - 1].iter().product();
    if numbers.is_empty() || between == 0 {
        return Err(format!("has the shape {shape:?}: no axis may be empty"));
    }
    if let Some(x) = numbers.iter().find(|x| !x.is_finite()) {
        return Err(format!("has a value {x}: must be finite"));
    }
    let whole = rows.is_multiple_of(seconds);
    let (out, each) = match (shorter, whole) {
        (true, _) => ((*rows).min(seconds), between),
        (false, true) => (seconds, rows / seconds * between),
        (false, false) => {
            return Err(format!(
                "has {rows} rows: must have {seconds}, or a multiple of it"
            ));
        }
    };
    if each == 1 {
        let mut numbers = numbers;
        numbers.truncate(out * width);
        return Ok((out, numbers));
    }
    let mean = |rows: &[f32]| -> Vec<f32> {
        let mut sums = vec![0.0_f64; *width];
        for row in rows.chunks(*width) {
            sums.iter_mut()
                .zip(row)
                .for_each(|(sum, x)| *sum += f64::from(*x));
        }
        sums.iter().map(|sum| (sum / each as f64) as f32).collect()
    };
    let pooled = numbers
        .chunks(each * width)
        .take(out)
        .flat_map(mean)
        .collect();
    Ok((out, pooled))
}

/// Embeddings of the classes' names: width, `classes * width` numbers.
///
/// # Errors
/// The file is missing, or does not have one row per class.
pub(super) fn words(path: &Path, classes: usize) -> anyhow::Result<(usize, Vec<f32>)> {
    let (shape, numbers) = npz::npy(path).context("the embeddings of the classes' names")?;
    match shape[..] {
        [rows, width] if rows == classes && width > 0 => {
            Ok((width, numbers.into_iter().map(|x| x as f32).collect()))
        }
        _ => bail!(
            "{} has the shape {shape:?}: must be [{classes}, values], a row for each class in their order",
            path.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::pooled;

    #[test]
    fn rows_become_seconds() {
        let numbers = |n: usize| (0..n).map(|x| x as f32).collect::<Vec<_>>();
        assert_eq!(pooled(&[2, 3], numbers(6), 2, false), Ok((2, numbers(6))));
        // Two rows a second, averaged.
        assert_eq!(
            pooled(&[4, 1], numbers(4), 2, false),
            Ok((2, vec![0.5, 2.5]))
        );
        // A map of two by one in each second.
        assert_eq!(
            pooled(&[2, 2, 1, 2], numbers(8), 2, false),
            Ok((2, vec![1.0, 2.0, 5.0, 6.0]))
        );
        assert_eq!(pooled(&[1, 2], numbers(2), 2, true), Ok((1, numbers(2))));
        assert_eq!(
            pooled(&[3, 1], numbers(3), 2, true),
            Ok((2, vec![0.0, 1.0]))
        );
        for (shape, wanted) in [
            (vec![3, 1], "a multiple"),
            (vec![4], "seconds and values"),
            (vec![2, 0, 1], "empty"),
        ] {
            let said = pooled(&shape, numbers(shape.iter().product()), 2, false).unwrap_err();
            assert!(said.contains(wanted), "{said}");
        }
        assert!(
            pooled(&[2, 1], vec![0.0, f32::NAN], 2, false)
                .unwrap_err()
                .contains("finite")
        );
    }
}
