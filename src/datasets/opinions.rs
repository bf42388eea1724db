//! Opinion scores of clips with sound: mean scores that people gave.
//!
//! Layouts, told apart by what is in the file:
//!
//! - LIVE-SJTU: `MOS.mat` with `MOS` [N], 0 to 100; `allNames` {N x 3}: content, what was done to the video, and to the sound; and `disNames`
//!   {N x 2}: files of both.
//! - SJTU-UAV: `MOS.mat` with `MOSz` [N], 0 to 100, and `videoName` {N}; each clip is a content of its own.
//! - UnB-AV: `UnB-AVQ-2018-Experiment3.csv` with `refFile`, `testFile` and `Mqs`, 1 to 5.
//! - a table with `recording`, `mos` and, where known, `content`, `scene`, `sound` and `frames`.

use std::collections::HashSet;
use std::path::Path;

use anyhow::bail;

use super::mat::Mat;
use super::table::{Column, Row, Table};
use crate::quality::Scene;

/// A clip.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Opinion {
    /// Its name: a file's, without folder and extension.
    pub name: String,
    /// Names of its video and of its sound, where they are files of their own.
    pub apart: Option<[String; 2]>,
    /// What it shows. Clips of one content are one recording, spoilt in several ways.
    pub content: String,
    /// The mean score.
    pub mos: f64,
    /// Quality of its sound and frames, if the file says.
    pub measured: Option<[f32; 2]>,
    /// What kind it is, if the file says.
    pub scene: Option<Scene>,
}

/// A file of scores.
#[derive(Clone, Debug)]
pub(crate) struct Opinions {
    /// Its layout.
    pub layout: &'static str,
    /// The lowest and the highest possible score.
    pub scale: [f64; 2],
    /// The clips.
    pub clips: Vec<Opinion>,
}

/// Reads a file. `scale`: the lowest and the highest possible score, if not the layout's.
///
/// # Errors
/// It cannot be read, has another layout, or a score outside the scale.
pub(crate) fn read(path: &Path, scale: Option<[f64; 2]>) -> anyhow::Result<Opinions> {
    let is_mat = path
        .extension()
        .is_some_and(|own| own.eq_ignore_ascii_case("mat"));
    let mut found = match is_mat {
        true => mat(path)?,
        false => table(path)?,
    };
    found.scale = scale.unwrap_or(found.scale);
    let [low, high] = found.scale;
    let mut names = HashSet::new();
    for clip in &found.clips {
        if !(low..=high).contains(&clip.mos) {
            bail!(
                "{}: the score of {} is {}: must be in {low}..={high} (is the scale another one? --scale LOW,HIGH says so)",
                path.display(),
                clip.name,
                clip.mos
            );
        }
        if !names.insert(&clip.name) {
            bail!("{} has the clip {} twice", path.display(), clip.name);
        }
    }
    Ok(found)
}

/// A file's name without folder and extension.
fn stem(name: &str) -> String {
    let name = name.trim().rsplit(['/', '\\']).next().unwrap_or_default();
    name.rsplit_once('.').map_or(name, |(stem, _)| stem).into()
}

fn mat(path: &Path) -> anyhow::Result<Opinions> {
    let mat = Mat::open(path)?;
    let same = |scores: &[f64], names: &[Vec<String>], of: &str| {
        if scores.len() != names.len() {
            bail!(
                "{}: there are {} scores and {} rows of `{of}`: must be the same",
                path.display(),
                scores.len(),
                names.len()
            );
        }
        Ok(())
    };
    let clip = |name: String, content: String, mos: f64| Opinion {
        name,
        apart: None,
        content,
        mos,
        measured: None,
        scene: None,
    };
    if mat.has("MOSz") {
        let (scores, names) = (mat.numbers("MOSz")?, mat.texts("videoName")?);
        same(&scores, &names, "videoName")?;
        let clips = names.into_iter().zip(scores).map(|(name, mos)| {
            let name = stem(&name.concat());
            clip(name.clone(), name, mos)
        });
        return Ok(Opinions {
            layout: "SJTU-UAV",
            scale: [0.0, 100.0],
            clips: clips.collect(),
        });
    }
    let (scores, names) = (mat.numbers("MOS")?, mat.texts("allNames")?);
    same(&scores, &names, "allNames")?;
    let files = match mat.has("disNames") {
        true => mat.texts("disNames")?,
        false => Vec::new(),
    };
    let mut clips = Vec::new();
    for (row, (name, mos)) in names.into_iter().zip(scores).enumerate() {
        let content = name.first().cloned().unwrap_or_default();
        let mut clip = clip(name.join("_"), content, mos);
        if let Some([video, sound]) = files.get(row).map(Vec::as_slice) {
            clip.apart = Some([stem(video), stem(sound)]);
        }
        clips.push(clip);
    }
    Ok(Opinions {
        layout: "LIVE-SJTU",
        scale: [0.0, 100.0],
        clips,
    })
}

fn number(row: &Row<'_>, column: Column) -> anyhow::Result<f64> {
    // Decimal commas, where semicolons separate columns.
    let text = row.text(column).replace(',', ".");
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(row.wrong(column, "must be a number")),
    }
}

fn table(path: &Path) -> anyhow::Result<Opinions> {
    let mut table = Table::open(path)?;
    let what = "Opinion scores are a table with the columns recording and mos (and content, scene, sound, frames), or with refFile, testFile and Mqs (UnB-AV), or MOS.mat of LIVE-SJTU or SJTU-UAV";
    if table.find(&["Mqs"]).is_some() {
        let columns = ["testFile", "refFile", "Mqs"];
        let [name, content, mos] = columns.map(|name| table.column(name, what));
        let (name, content, mos) = (name?, content?, mos?);
        let mut clips = Vec::new();
        table.rows(|row| {
            clips.push(Opinion {
                name: stem(row.word(name)?),
                apart: None,
                content: stem(row.word(content)?),
                mos: number(row, mos)?,
                measured: None,
                scene: None,
            });
            Ok(())
        })?;
        return Ok(Opinions {
            layout: "UnB-AV",
            scale: [1.0, 5.0],
            clips,
        });
    }
    let (name, mos) = (table.column("recording", what)?, table.column("mos", what)?);
    let [content, scene, sound, frames] =
        ["content", "scene", "sound", "frames"].map(|name| table.find(&[name]));
    let share = |row: &Row<'_>, column: Column| match number(row, column)? {
        share if (0.0..=1.0).contains(&share) => Ok(share as f32),
        _ => Err(row.wrong(column, "must be in 0..=1")),
    };
    let mut clips = Vec::new();
    table.rows(|row| {
        let given = |column: Option<Column>| column.filter(|column| !row.text(*column).is_empty());
        let name = stem(row.word(name)?);
        clips.push(Opinion {
            content: given(content).map_or_else(|| name.clone(), |own| row.text(own).into()),
            apart: None,
            mos: number(row, mos)?,
            measured: match given(sound).zip(given(frames)) {
                Some((sound, frames)) => Some([share(row, sound)?, share(row, frames)?]),
                None => None,
            },
            scene: match given(scene) {
                Some(column) => Some(Scene::named(row.text(column)).ok_or_else(|| {
                    row.wrong(column, "must be speech, music, action or ambience")
                })?),
                None => None,
            },
            name,
        });
        Ok(())
    })?;
    Ok(Opinions {
        layout: "table",
        scale: [1.0, 5.0],
        clips,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datasets::mat::made;

    fn given(name: &str, bytes: &[u8]) -> anyhow::Result<Opinions> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        read(&path, None)
    }

    fn rows<const N: usize>(rows: &[[&str; N]]) -> Vec<[String; N]> {
        rows.iter().map(|row| row.map(String::from)).collect()
    }

    #[test]
    fn the_published_layouts_are_told_apart() {
        let bytes = made::file(&[
            made::numbers("MOS", &[77.0, 20.5]),
            made::texts(
                "allNames",
                &rows(&[["Car", "QP16", "128kbps"], ["Town", "QP50_S", "8kbps"]]),
            ),
            made::texts(
                "disNames",
                &rows(&[
                    ["Car_QP16.yuv", "Car_128kbps.wav"],
                    ["Town_QP50_S.yuv", "Town_8kbps.wav"],
                ]),
            ),
        ]);
        let live = given("MOS.mat", &bytes).unwrap();
        assert_eq!((live.layout, live.scale), ("LIVE-SJTU", [0.0, 100.0]));
        let last = &live.clips[1];
        assert_eq!(
            (last.name.as_str(), last.content.as_str(), last.mos),
            ("Town_QP50_S_8kbps", "Town", 20.5)
        );
        assert_eq!(
            last.apart,
            Some(["Town_QP50_S".into(), "Town_8kbps".into()])
        );

        let bytes = made::file(&[
            made::texts("videoName", &rows(&[["001.mp4"], ["002.mp4"]])),
            made::numbers("MOSz", &[51.0, 49.0]),
        ]);
        let uav = given("MOS.mat", &bytes).unwrap();
        assert_eq!((uav.layout, uav.clips.len()), ("SJTU-UAV", 2));
        assert_eq!(uav.clips[0].content, "001");

        let text = "refFile;testFile;Mqs;Mcs;HRC\nv01.avi;v01_hrc3.avi;3,25;3;3\nv01.avi;v01_hrc4;1.5;2;4\n";
        let unb = given("UnB-AVQ-2018-Experiment3.csv", text.as_bytes()).unwrap();
        assert_eq!((unb.layout, unb.scale), ("UnB-AV", [1.0, 5.0]));
        assert_eq!(
            (unb.clips[0].name.as_str(), unb.clips[0].mos),
            ("v01_hrc3", 3.25)
        );
        assert_eq!(unb.clips[1].content, "v01");

        let text = "recording,mos,scene,sound,frames\na.mp4,4.5,speech,0.9,0.8\nb.mp4,2,,,\n";
        let own = given("own.csv", text.as_bytes()).unwrap();
        assert_eq!(own.clips[0].measured, Some([0.9, 0.8]));
        assert_eq!(own.clips[0].scene, Some(Scene::Speech));
        assert_eq!(
            (own.clips[1].measured, own.clips[1].content.as_str()),
            (None, "b")
        );
    }

    #[test]
    fn wrong_scores_are_refused_with_their_place() {
        let said =
            |name: &str, text: &str| format!("{:#}", given(name, text.as_bytes()).unwrap_err());
        assert!(said("a.csv", "recording,mos\na,71\n").contains("--scale"));
        assert!(said("a.csv", "recording,mos\na,x\n").contains("line 2: mos is `x`"));
        assert!(said("a.csv", "recording,mos\na,2\na.mp4,3\n").contains("the clip a twice"));
        assert!(said("a.csv", "recording,mos,scene\na,2,talk\n").contains("speech, music"));
        assert!(said("a.csv", "recording,mos,sound,frames\na,2,1.5,0\n").contains("0..=1"));
        assert!(said("a.csv", "name,score\na,2\n").contains("LIVE-SJTU"));
        let bytes = made::file(&[
            made::numbers("MOS", &[77.0, 20.5]),
            made::texts("allNames", &rows(&[["Car", "QP16"]])),
        ]);
        let said = format!("{:#}", given("MOS.mat", &bytes).unwrap_err());
        assert!(said.contains("2 scores and 1 rows"), "{said}");
        let bytes = made::file(&[made::numbers("other", &[1.0])]);
        let said = format!("{:#}", given("MOS.mat", &bytes).unwrap_err());
        assert!(said.contains("no variable `MOS`; it has other"), "{said}");
    }
}
