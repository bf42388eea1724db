//! Checks what this machine lacks, and names the command that installs it.

use std::path::Path;
use std::process::Command;

use gstearmark::models::{self, Kind};
use gstearmark::onnx::{self, Device, Provider};
use serde::Serialize;

use super::packages;

/// The result of one check.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Its topic: `GStreamer`, `MP4`, `H.264`, ...
    pub topic: &'static str,
    /// What was checked: an element, a library, a model.
    pub what: String,
    /// Whether Earmark needs it.
    pub needed: bool,
    /// Whether it is installed.
    pub ok: bool,
    /// Its version or location, or what is wrong.
    pub detail: String,
    /// The command that installs it, if it is missing.
    pub fix: Option<String>,
}

/// Elements by topic. One of each list is enough; the first is in Debian.
const ELEMENTS: [(&str, &[&str], bool); 23] = [
    ("graph", &["parsebin"], true),
    ("graph", &["decodebin"], true),
    ("graph", &["audioconvert"], true),
    ("graph", &["audioresample"], true),
    ("graph", &["videoconvert"], true),
    ("MP4", &["qtdemux"], true),
    ("MKV, WebM", &["matroskademux"], true),
    ("MPEG-TS", &["tsdemux"], true),
    ("WAV", &["wavparse"], false),
    ("H.264", &["h264parse"], true),
    (
        "H.264",
        &[
            "avdec_h264",
            "openh264dec",
            "vah264dec",
            "nvh264dec",
            "v4l2h264dec",
        ],
        true,
    ),
    ("H.265", &["h265parse"], true),
    (
        "H.265",
        &[
            "avdec_h265",
            "libde265dec",
            "vah265dec",
            "nvh265dec",
            "v4l2h265dec",
        ],
        true,
    ),
    ("VP8", &["vp8dec", "avdec_vp8"], true),
    ("VP9", &["vp9parse"], true),
    ("VP9", &["vp9dec", "avdec_vp9"], true),
    ("AV1", &["av1dec", "dav1ddec", "avdec_av1"], false),
    ("AAC", &["aacparse"], true),
    ("AAC", &["avdec_aac", "faad", "fdkaacdec"], true),
    ("Opus", &["opusdec", "avdec_opus"], true),
    ("Vorbis", &["vorbisdec", "avdec_vorbis"], true),
    ("MP3", &["mpg123audiodec", "avdec_mp3"], true),
    ("http(s)", &["souphttpsrc", "curlhttpsrc"], false),
];

/// Runs all checks.
pub fn examine() -> Vec<Finding> {
    let mut findings = vec![gstreamer()];
    findings.extend(
        ["eventness", "anchorgate", "framepick", "featuresink"].map(|name| Finding {
            topic: "Earmark",
            what: name.into(),
            needed: true,
            ok: gst::ElementFactory::find(name).is_some(),
            detail: "built into this command".into(),
            fix: None,
        }),
    );
    findings.extend(
        ELEMENTS
            .iter()
            .map(|(topic, names, needed)| element(topic, names, *needed)),
    );
    findings.push(hdf5());
    findings.push(onnx_runtime());
    findings.extend(models_found());
    findings.extend(providers());
    findings.push(command(
        "graphviz",
        "dot",
        "-V",
        "for `earmark graph --format svg`",
        "sudo apt-get install graphviz",
    ));
    findings.push(command(
        "ffmpeg",
        "ffmpeg",
        "-version",
        "the tests create recordings with it",
        "sudo apt-get install ffmpeg",
    ));
    findings.push(python());
    findings
}

fn gstreamer() -> Finding {
    let (major, minor, micro, _) = gst::version();
    let ok = (major, minor) >= (1, 22);
    Finding {
        topic: "GStreamer",
        what: "libgstreamer-1.0".into(),
        needed: true,
        ok,
        detail: format!(
            "{major}.{minor}.{micro}{}",
            if ok { "" } else { "; needs 1.22 or newer" }
        ),
        fix: (!ok).then(|| "make setup".into()),
    }
}

fn element(topic: &'static str, names: &[&'static str], needed: bool) -> Finding {
    let found = names
        .iter()
        .find_map(|name| gst::ElementFactory::find(name));
    let first = names.first().copied().unwrap_or_default();
    match found {
        Some(factory) => {
            use gst::prelude::*;
            let plugin = factory
                .plugin()
                .map(|plugin| plugin.version().to_string())
                .unwrap_or_default();
            Finding {
                topic,
                what: factory.name().to_string(),
                needed,
                ok: true,
                detail: plugin,
                fix: None,
            }
        }
        None => Finding {
            topic,
            what: first.into(),
            needed,
            ok: false,
            detail: if names.len() > 1 {
                format!("none of {}", names.join(", "))
            } else {
                "no such element".into()
            },
            fix: packages::of_element(first)
                .map(|package| format!("sudo apt-get install {package}")),
        },
    }
}

fn hdf5() -> Finding {
    let version = gstearmark::h5::library_version();
    Finding {
        topic: "HDF5",
        what: "libhdf5".into(),
        needed: true,
        ok: true,
        detail: version,
        fix: None,
    }
}

fn onnx_runtime() -> Finding {
    let result = gstearmark::onnx::runtime_path()
        .and_then(|path| Ok((path, gstearmark::onnx::runtime_version()?)));
    let providers = gstearmark::onnx::providers().unwrap_or_default();
    let providers: Vec<_> = providers.iter().map(|provider| provider.name()).collect();
    let (ok, detail) = match result {
        Ok((path, version)) => (
            true,
            format!(
                "{version} with {}, {}",
                providers.join(", "),
                path.display()
            ),
        ),
        Err(e) => (false, e.to_string()),
    };
    Finding {
        topic: "ONNX Runtime",
        what: "libonnxruntime".into(),
        needed: true,
        ok,
        detail,
        fix: (!ok).then(|| "make setup".into()),
    }
}

/// Whether each provider except the CPU can run a model here, and why not.
fn providers() -> Vec<Finding> {
    // Without the library, nothing is known about its providers.
    let Ok(built_in) = onnx::providers() else {
        return Vec::new();
    };
    let model = models::list()
        .into_iter()
        .filter_map(|listed| listed.manifest.ok())
        .filter(|manifest| manifest.kind == Kind::Encoder)
        .map(|manifest| manifest.onnx_path())
        .find(|file| file.is_file());
    let others = Provider::ALL
        .into_iter()
        .filter(|one| *one != Provider::Cpu);
    others
        .map(|provider| {
            let device = Device { provider, index: 0 };
            let tried = match (built_in.contains(&provider), &model) {
                (false, _) => Err("this ONNX Runtime was built without it".to_owned()),
                (true, None) => Err("no encoder is installed to try it with".to_owned()),
                (true, Some(file)) => onnx::try_device(file, device),
            };
            let built = built_in.contains(&provider);
            Finding {
                topic: "provider",
                what: provider.name().into(),
                needed: false,
                ok: tried.is_ok(),
                detail: match &tried {
                    Ok(()) => format!("an encoder was loaded on {device}"),
                    Err(why) => why.lines().next().unwrap_or_default().to_owned(),
                },
                fix: match (tried.is_ok(), built) {
                    (true, _) => None,
                    (false, false) => Some(format!(
                        "ORT_DYLIB_PATH=/path/to/libonnxruntime.so of a build with {provider}, if this machine has such a device (guide: Trouble)"
                    )),
                    (false, true) => Some(format!(
                        "install the driver and the libraries that this ONNX Runtime's release notes name for {provider}"
                    )),
                },
            }
        })
        .collect()
}

fn models_found() -> Vec<Finding> {
    let listed = models::list();
    if listed.is_empty() {
        let dirs: Vec<_> = models::search_dirs()
            .iter()
            .map(|dir| dir.display().to_string())
            .collect();
        return vec![Finding {
            topic: "models",
            what: "manifests".into(),
            needed: true,
            ok: false,
            detail: format!("none in {}", dirs.join(", ")),
            fix: Some("make setup, or set EARMARK_MODELS to their folder".into()),
        }];
    }
    listed
        .into_iter()
        .map(|listed| {
            let result = listed.manifest.and_then(|manifest| manifest.check());
            Finding {
                topic: "models",
                what: listed
                    .path
                    .file_stem()
                    .map(|stem| stem.to_string_lossy().into_owned())
                    .unwrap_or_default(),
                needed: true,
                ok: result.is_ok(),
                detail: match &result {
                    Ok(()) => listed.path.display().to_string(),
                    Err(e) => e.to_string(),
                },
                fix: result.is_err().then(|| "make setup".into()),
            }
        })
        .collect()
}

/// The first line that a program prints about itself.
fn says(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    let text = if output.stdout.is_empty() {
        output.stderr
    } else {
        output.stdout
    };
    let line = String::from_utf8_lossy(&text)
        .lines()
        .next()?
        .trim()
        .to_owned();
    output.status.success().then_some(line)
}

fn command(
    topic: &'static str,
    program: &str,
    argument: &str,
    purpose: &str,
    fix: &str,
) -> Finding {
    let said = says(Path::new(program), argument);
    Finding {
        topic,
        what: program.into(),
        needed: false,
        ok: said.is_some(),
        detail: said.clone().unwrap_or_else(|| purpose.into()),
        fix: said.is_none().then(|| fix.into()),
    }
}

fn python() -> Finding {
    let program = std::env::var_os("EARMARK_PYTHON").unwrap_or_else(|| "python3".into());
    let check = "import sys, h5py, numpy, onnx; print('Python', sys.version.split()[0], 'h5py', h5py.__version__)";
    let output = Command::new(&program)
        .args(["-c", check])
        .output()
        .ok()
        .filter(|output| output.status.success());
    Finding {
        topic: "Python",
        what: program.to_string_lossy().into_owned(),
        needed: false,
        ok: output.is_some(),
        detail: match &output {
            Some(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            None => "h5py, numpy or onnx is missing; only the tests need them".into(),
        },
        fix: output
            .is_none()
            .then(|| "make setup, then EARMARK_PYTHON=models/built/venv/bin/python".into()),
    }
}
