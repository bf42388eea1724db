//! The pipelines that come with the command: `gated` means the content of `pipelines/gated.yaml`, wherever the command runs.

use std::io::ErrorKind;
use std::path::Path;

use super::Error;
use super::problem::{did_you_mean, either};

/// A pipeline that comes with the command.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its YAML.
    pub text: &'static str,
}

/// All of them, the default first.
pub const SHIPPED: [Shipped; 14] = [
    Shipped {
        name: "gated",
        text: include_str!("../../pipelines/gated.yaml"),
    },
    Shipped {
        name: "sharp",
        text: include_str!("../../pipelines/sharp.yaml"),
    },
    Shipped {
        name: "grid",
        text: include_str!("../../pipelines/grid.yaml"),
    },
    Shipped {
        name: "thrifty",
        text: include_str!("../../pipelines/thrifty.yaml"),
    },
    Shipped {
        name: "uniform",
        text: include_str!("../../pipelines/uniform.yaml"),
    },
    Shipped {
        name: "dense",
        text: include_str!("../../pipelines/dense.yaml"),
    },
    Shipped {
        name: "anchors_only",
        text: include_str!("../../pipelines/anchors_only.yaml"),
    },
    Shipped {
        name: "slowfast",
        text: include_str!("../../pipelines/slowfast.yaml"),
    },
    Shipped {
        name: "videomae",
        text: include_str!("../../pipelines/videomae.yaml"),
    },
    Shipped {
        name: "live_rtsp",
        text: include_str!("../../pipelines/live_rtsp.yaml"),
    },
    Shipped {
        name: "live_camera",
        text: include_str!("../../pipelines/live_camera.yaml"),
    },
    Shipped {
        name: "live_srt",
        text: include_str!("../../pipelines/live_srt.yaml"),
    },
    Shipped {
        name: "live_udp",
        text: include_str!("../../pipelines/live_udp.yaml"),
    },
    Shipped {
        name: "live_file",
        text: include_str!("../../pipelines/live_file.yaml"),
    },
];

impl Shipped {
    /// What it does: its first line.
    pub fn about(&self) -> &'static str {
        let first = self.text.lines().next().unwrap_or_default();
        first.trim_start_matches(['#', ' '])
    }
}

/// The shipped pipeline of this name.
pub fn find(name: &Path) -> Option<&'static Shipped> {
    SHIPPED
        .iter()
        .find(|shipped| name == Path::new(shipped.name))
}

/// Whether a pipeline on the command line means a shipped one.
pub fn is_meant(name: &Path) -> bool {
    find(name).is_some() && !name.exists()
}

/// The text of a pipeline: a file, or if there is none, the shipped pipeline of this name.
///
/// # Errors
/// The file cannot be read, and no shipped pipeline has its name.
pub fn text(file: &Path) -> Result<String, Error> {
    std::fs::read_to_string(file).or_else(|source| {
        let missing = source.kind() == ErrorKind::NotFound;
        match find(file).filter(|_| missing) {
            Some(shipped) => Ok(shipped.text.into()),
            None => Err(Error::Read {
                file: file.into(),
                hint: hint(file).filter(|_| missing),
                source,
            }),
        }
    })
}

/// For a plain word that names nothing.
fn hint(file: &Path) -> Option<String> {
    let word = file.to_str().filter(|word| !word.contains(['/', '.']))?;
    let names = SHIPPED.map(|shipped| shipped.name);
    let near = did_you_mean(word, names);
    Some(near.unwrap_or_else(|| {
        format!(
            "shipped pipelines are {}",
            either(&names).replace(" or ", " and ")
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_before_a_name_and_a_typo_gets_a_hint() {
        assert_eq!(find(Path::new("thrifty")).unwrap().name, "thrifty");
        assert!(find(Path::new("pipelines/thrifty.yaml")).is_none());
        assert_eq!(text(Path::new("gated")).unwrap(), SHIPPED[0].text);
        let said = text(Path::new("gatd")).unwrap_err().to_string();
        assert!(said.contains("did you mean `gated`?"), "{said}");
        let said = text(Path::new("zzz")).unwrap_err().to_string();
        assert!(said.contains("thrifty"), "{said}");
        let said = text(Path::new("nowhere/p.yaml")).unwrap_err().to_string();
        assert!(!said.contains("shipped"), "{said}");
    }

    #[test]
    fn each_describes_itself_in_one_line() {
        for shipped in SHIPPED {
            assert!(shipped.text.starts_with("# "), "{}", shipped.name);
            assert!(
                (20..200).contains(&shipped.about().len()),
                "{}",
                shipped.about()
            );
        }
    }
}
