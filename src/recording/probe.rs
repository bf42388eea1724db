//! Probes a recording: length, streams, and whether this machine can decode them.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use anchoring::time::Nanos;
use gst::prelude::*;
use gst_pbutils::prelude::*;
use gst_pbutils::{Discoverer, DiscovererResult, DiscovererStreamInfo};
use serde::{Deserialize, Serialize};

use super::codec;
use super::cut::cut_off;
use super::tracks::video_tracks;
use crate::machine::packages;

/// Time limit for probing a recording.
const TIME_LIMIT: gst::ClockTime = gst::ClockTime::from_seconds(30);
/// Time limit of each earlier attempt on a file: the discoverer occasionally waits for ever, on damaged files, and on a busy machine where a
/// parser finds nobody to take its sound yet. Another one does not.
const SHORT_LIMIT: gst::ClockTime = gst::ClockTime::from_seconds(5);
const SHORT_ATTEMPTS: usize = 3;

/// Location of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// As the user named it.
    pub given: String,
    /// Its URI.
    pub uri: String,
    /// Its path, if it is a local file.
    pub path: Option<PathBuf>,
}

/// A probed recording.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recording {
    /// Its URI.
    pub uri: String,
    /// Size of the file, if it is one.
    pub bytes: Option<u64>,
    /// Duration by the container; streams may be shorter. `None` if unknown.
    #[serde(rename = "duration_ns")]
    pub duration: Option<Nanos>,
    /// Video streams; cover art does not count.
    pub video: Vec<Video>,
    /// Audio tracks, in the order of `--audio-track`.
    pub audio: Vec<Audio>,
    /// Decoders that this machine lacks for some stream.
    pub missing: Vec<Missing>,
}

/// A video stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Video {
    /// In words: "H.264 (High Profile)".
    pub codec: String,
    /// GStreamer's media type: "video/x-h264".
    pub media: String,
    /// Pixels across, before any rotation.
    pub width: u32,
    /// Pixels down, before any rotation.
    pub height: u32,
    /// Frames per second; `None` if variable or unknown.
    pub fps: Option<f64>,
    /// GStreamer's image-orientation tag, such as "rotate-90", if there is one.
    pub orientation: Option<String>,
}

/// An audio stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Audio {
    /// In words: "MPEG-4 AAC".
    pub codec: String,
    /// GStreamer's media type: "audio/mpeg".
    pub media: String,
    /// Samples per second.
    pub sample_rate: u32,
    /// How many channels.
    pub channels: u32,
    /// ISO 639 code, if the stream says.
    pub language: Option<String>,
}

/// A missing decoder, demuxer or element.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// In words: "H.264 (High Profile) decoder".
    pub what: String,
    /// The media type or element: "video/x-h264".
    pub media: String,
    /// An element that would help.
    pub element: Option<String>,
    /// The Debian package of that element.
    pub package: Option<String>,
}

impl Missing {
    /// From GStreamer's installer detail: `gstreamer|1.0|program|H.264 decoder|decoder-video/x-h264, ...`.
    pub fn from_detail(detail: &str) -> Self {
        let parts: Vec<_> = detail.split('|').collect();
        let what = parts.get(3).copied().unwrap_or(detail).to_owned();
        let kind = parts.get(4).copied().unwrap_or_default();
        let (role, rest) = kind.split_once('-').unwrap_or(("", kind));
        let media = rest.split([',', ' ']).next().unwrap_or_default().to_owned();
        let found = match role {
            "element" => packages::of_element(&media).map(|package| (media.as_str(), package)),
            "decoder" => packages::of_decoder(&media).or_else(|| packages::of_demuxer(&media)),
            _ => None,
        };
        Self {
            what,
            element: found.map(|(element, _)| element.to_owned()),
            package: found.map(|(_, package)| package.to_owned()),
            media,
        }
    }

    /// Whether it decodes video.
    fn is_video(&self) -> bool {
        self.media.starts_with("video/") || self.media.starts_with("image/")
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {} ({})", self.what.trim_end_matches('.'), self.media)?;
        match (&self.element, &self.package) {
            (Some(element), Some(package)) => {
                write!(
                    f,
                    ": the element {element} is missing; to install it, run `sudo apt-get install {package}`"
                )
            }
            _ => write!(
                f,
                ": Earmark knows no GStreamer plugin that decodes it (gstreamer1.0-libav has most decoders); {}",
                conversion("IN")
            ),
        }
    }
}

/// Whether a URI scheme stands for a live source.
fn is_live(scheme: &str) -> bool {
    const LIVE: [&str; 7] = ["rtsp", "rtp", "udp", "srt", "rtmp", "rist", "v4l2"];
    let scheme = scheme.to_ascii_lowercase();
    LIVE.iter().any(|live| scheme.starts_with(live))
}

/// The advice for a codec that cannot be decoded.
pub(crate) fn conversion(given: &str) -> String {
    format!(
        "convert it, for example `ffmpeg -i {} -c:v libx264 -crf 18 -c:a copy OUT.mkv`",
        quoted(given)
    )
}

/// Quoted for a shell.
fn quoted(given: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:".contains(c);
    if given.chars().all(plain) {
        return given.to_owned();
    }
    format!("'{}'", given.replace('\'', r"'\''"))
}

/// Why a recording cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// It does not exist.
    #[error("cannot open {0}: no such file; is the path right, and relative to this folder?")]
    Absent(String),
    /// A folder.
    #[error("{0} is a folder; name one recording")]
    Folder(String),
    /// A pipe.
    #[error(
        "{0} is a pipe, which can be read only once, but Earmark reads a recording twice: write it to a file first, or use gst-launch-1.0 with fdsrc (see docs/src/gstreamer.md)"
    )]
    Pipe(String),
    /// It is empty.
    #[error("{0} is empty (0 bytes); was it interrupted while being copied or recorded?")]
    Empty(String),
    /// It exists but cannot be opened.
    #[error("cannot read {0}: {1}")]
    Unreadable(String, std::io::Error),
    /// GStreamer cannot use the path.
    #[error("{0} is not a path or URI: {1}")]
    Name(String, String),
    /// It is text.
    #[error("{0} is a text file, not a recording; did you give the wrong file as input?")]
    Text(String),
    /// It is not a known media type.
    #[error("{0} is not a recording that GStreamer can read ({1})")]
    Unknown(String, String),
    /// It is shorter than its container announces.
    #[error(
        "{0} is cut off: its container announces {1} bytes, but the file has {2} ({3}); was it interrupted while being copied or recorded?"
    )]
    CutOff(String, u64, u64, String),
    /// It is broken.
    #[error("{0} cannot be read as a recording: {1}")]
    Broken(String, String),
    /// It takes too long to open.
    #[error("{0} did not open within {1} s; is the disk or the network slow?")]
    Slow(String, u64),
    /// Nothing here decodes its codec.
    #[error("cannot decode {0} here: {1}")]
    Undecodable(String, Missing),
    /// It is a live source.
    #[error(
        "{0} is a live source without an end; `earmark run`, `plan` and `batch` take recordings only. Use `earmark live`, which takes cameras and streams (`earmark live live_rtsp --set url={1} --set output=DIR`), or record it first: `ffmpeg -i {1} -c copy -t 600 OUT.mkv`"
    )]
    Live(String, String),
    /// GStreamer's demuxer skips its video track.
    #[error(
        "{0} has a video track of {1:.1} s in a file of {2:.1} s; GStreamer's MP4 demuxer treats a track shorter than a fifth of the file as a preview and skips it. Copy it to another container: `ffmpeg -i {3} -c copy OUT.mkv`"
    )]
    LeftOut(String, f64, f64, String),
    /// Neither video nor audio.
    #[error("{0} has no usable video or audio")]
    Nothing(String),
    /// The discoverer cannot be created.
    #[error("cannot start GStreamer's discoverer: {0}")]
    Setup(String),
}

impl Input {
    /// From a path or URI. A local file must exist, be a file, not be empty, and be readable.
    ///
    /// # Errors
    /// The input is not one of these.
    pub fn new(given: &str) -> Result<Self, ProbeError> {
        let name = || given.to_owned();
        if given == "-" || given.starts_with("fd://") {
            return Err(ProbeError::Pipe(name()));
        }
        let scheme = given.split_once("://").map(|(scheme, _)| scheme);
        if scheme.is_some_and(|scheme| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        }) {
            if scheme.is_some_and(is_live) {
                return Err(ProbeError::Live(name(), quoted(given)));
            }
            if !given.starts_with("file://") {
                return Ok(Self {
                    given: name(),
                    uri: given.into(),
                    path: None,
                });
            }
            let (path, _) = gst::glib::filename_from_uri(given)
                .map_err(|e| ProbeError::Name(name(), e.message().into()))?;
            return Self::file(given, path);
        }
        Self::file(given, PathBuf::from(given))
    }

    /// Like [`Input::new`], but a path need not be UTF-8.
    ///
    /// # Errors
    /// The same.
    pub fn from_os(given: &OsStr) -> Result<Self, ProbeError> {
        match given.to_str() {
            Some(text) => Self::new(text),
            None => Self::file(&given.to_string_lossy(), PathBuf::from(given)),
        }
    }

    fn file(given: &str, path: PathBuf) -> Result<Self, ProbeError> {
        let name = || given.to_owned();
        let about = std::fs::metadata(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => ProbeError::Absent(name()),
            _ => ProbeError::Unreadable(name(), e),
        })?;
        if about.is_dir() {
            return Err(ProbeError::Folder(name()));
        }
        // Opening a pipe would wait for its writer, and take data that is needed later.
        if about.file_type().is_fifo() || about.file_type().is_socket() {
            return Err(ProbeError::Pipe(name()));
        }
        if about.is_file() && about.len() == 0 {
            return Err(ProbeError::Empty(name()));
        }
        File::open(&path).map_err(|e| ProbeError::Unreadable(name(), e))?;
        let whole = std::path::absolute(&path).map_err(|e| ProbeError::Unreadable(name(), e))?;
        let uri = gst::glib::filename_to_uri(&whole, None)
            .map_err(|e| ProbeError::Name(name(), e.message().into()))?;
        Ok(Self {
            given: name(),
            uri: uri.into(),
            path: Some(path),
        })
    }

    /// The name of the recording: the file name without its extension, or the last part of the URI.
    pub fn video_id(&self) -> String {
        let name = match &self.path {
            Some(path) => path
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned()),
            None => Path::new(self.uri.split(['?', '#']).next().unwrap_or_default())
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned()),
        };
        name.filter(|name| !name.is_empty())
            .unwrap_or_else(|| "recording".into())
    }
}

/// Probes a recording.
///
/// # Errors
/// It is not a recording, is broken, or cannot be decoded here.
pub fn probe(input: &Input) -> Result<Recording, ProbeError> {
    let name = || input.given.clone();
    let discover = |limit| {
        let discoverer = Discoverer::new(limit).map_err(|e| ProbeError::Setup(e.to_string()))?;
        discoverer.discover_uri(&input.uri).map_err(|e| {
            let cut = input.path.as_deref().and_then(cut_off);
            explain(&name(), &e, cut)
        })
    };
    let mut opened = None;
    for _ in 0..input.path.as_ref().map_or(0, |_| SHORT_ATTEMPTS) {
        let info = discover(SHORT_LIMIT)?;
        if info.result() != DiscovererResult::Timeout {
            opened = Some(info);
            break;
        }
    }
    let info = match opened {
        Some(info) => info,
        None => discover(TIME_LIMIT)?,
    };
    let mut missing: Vec<_> = info
        .missing_elements_installer_details()
        .iter()
        .map(|detail| Missing::from_detail(detail))
        .collect();
    if let Some(path) = &input.path {
        for missing in missing
            .iter_mut()
            .filter(|missing| missing.media.contains("unknown"))
        {
            if let Some(codec) = codec::named(path) {
                missing.what = format!("decoder for {codec}");
            }
        }
    }
    let video: Vec<_> = info
        .video_streams()
        .iter()
        .filter(|video| !video.is_image())
        .map(describe_video)
        .collect();
    let audio: Vec<_> = info.audio_streams().iter().map(describe_audio).collect();
    match info.result() {
        DiscovererResult::Timeout => return Err(ProbeError::Slow(name(), TIME_LIMIT.seconds())),
        DiscovererResult::UriInvalid => {
            return Err(ProbeError::Name(name(), "GStreamer cannot open it".into()));
        }
        _ => {}
    }
    let tracks = input.path.as_deref().map(video_tracks);
    if video.is_empty()
        && let Some(track) = tracks.iter().flatten().find(|track| track.is_left_out())
    {
        let (track, whole) = track.seconds;
        return Err(ProbeError::LeftOut(name(), track, whole, quoted(&name())));
    }
    let recording = Recording {
        uri: input.uri.clone(),
        bytes: input
            .path
            .as_ref()
            .and_then(|path| path.metadata().ok())
            .map(|about| about.len()),
        duration: info
            .duration()
            .and_then(|d| i64::try_from(d.nseconds()).ok())
            .filter(|ns| *ns > 0)
            .map(Nanos::new),
        video,
        audio,
        missing,
    };
    // A missing subtitle decoder does not matter; a missing video decoder does.
    let undecodable = recording.missing.iter().find(|missing| missing.is_video());
    let only = recording
        .missing
        .first()
        .filter(|_| recording.video.is_empty() && recording.audio.is_empty());
    if let Some(missing) = undecodable.or(only) {
        return Err(ProbeError::Undecodable(name(), missing.clone()));
    }
    if recording.video.is_empty() && recording.audio.is_empty() {
        return Err(ProbeError::Nothing(name()));
    }
    Ok(recording)
}

fn explain(name: &str, e: &gst::glib::Error, cut: Option<(u64, u64)>) -> ProbeError {
    let said = e.message().trim_end_matches('.').to_owned();
    if let Some((named, there)) = cut {
        return ProbeError::CutOff(name.into(), named, there, said);
    }
    let is = |kind| e.kind::<gst::StreamError>() == Some(kind);
    if is(gst::StreamError::WrongType) || said.to_lowercase().contains("text") {
        ProbeError::Text(name.into())
    } else if is(gst::StreamError::TypeNotFound) {
        ProbeError::Unknown(name.into(), said)
    } else {
        ProbeError::Broken(name.into(), format!("{said}; is it cut off or damaged?"))
    }
}

fn media(caps: Option<gst::Caps>) -> (String, String) {
    let Some(caps) = caps.filter(|caps| !caps.is_empty() && !caps.is_any()) else {
        return ("unknown".into(), "unknown".into());
    };
    let media = caps
        .structure(0)
        .map(|s| s.name().to_string())
        .unwrap_or_default();
    (
        gst_pbutils::pb_utils_get_codec_description(&caps).to_string(),
        media,
    )
}

fn describe_video(video: &gst_pbutils::DiscovererVideoInfo) -> Video {
    let stream: &DiscovererStreamInfo = video.upcast_ref();
    let (codec, media) = media(stream.caps());
    let fps = video.framerate();
    let tags = stream.tags();
    Video {
        codec,
        media,
        width: video.width(),
        height: video.height(),
        fps: (fps.numer() > 0 && fps.denom() > 0)
            .then(|| f64::from(fps.numer()) / f64::from(fps.denom())),
        orientation: tags.and_then(|tags| {
            tags.get::<gst::tags::ImageOrientation>()
                .map(|tag| tag.get().to_owned())
        }),
    }
}

fn describe_audio(audio: &gst_pbutils::DiscovererAudioInfo) -> Audio {
    let stream: &DiscovererStreamInfo = audio.upcast_ref();
    let (codec, media) = media(stream.caps());
    Audio {
        codec,
        media,
        sample_rate: audio.sample_rate(),
        channels: audio.channels(),
        language: audio.language().map(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_decoder_names_its_package() {
        let missing = Missing::from_detail(
            "gstreamer|1.0|earmark|H.265 decoder|decoder-video/x-h265, profile=(string)main",
        );
        assert_eq!(
            missing.to_string(),
            "no H.265 decoder (video/x-h265): the element avdec_h265 is missing; to install it, run `sudo apt-get install gstreamer1.0-libav`"
        );
        let odd = Missing::from_detail(
            "gstreamer|1.0|earmark|zzz9 decoder|decoder-video/x-gst-fourcc-zzz9",
        );
        assert!(odd.to_string().contains("zzz9") && odd.package.is_none());
    }

    #[test]
    fn paths_and_uris_are_distinguished() {
        crate::init().unwrap();
        let remote = Input::new("https://example.org/a/kitchen%201.mp4?x=1").unwrap();
        assert_eq!(
            (remote.path.as_ref(), remote.video_id().as_str()),
            (None, "kitchen%201")
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a \"b\" ! é.mp4");
        std::fs::write(&path, "x").unwrap();
        let local = Input::new(path.to_str().unwrap()).unwrap();
        let same = Input::new(&local.uri).unwrap();
        assert_eq!(
            (local.path.as_deref(), same.path.as_deref()),
            (Some(path.as_path()), Some(path.as_path()))
        );
        assert_eq!(local.video_id(), "a \"b\" ! é");
    }

    #[test]
    fn anything_but_a_file_is_refused_by_name() {
        crate::init().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let name = |p: &Path| p.to_str().unwrap().to_owned();
        let empty = folder.path().join("empty.mp4");
        std::fs::write(&empty, "").unwrap();
        assert!(matches!(
            Input::new(&name(&folder.path().join("none.mp4"))),
            Err(ProbeError::Absent(_))
        ));
        assert!(matches!(
            Input::new(&name(folder.path())),
            Err(ProbeError::Folder(_))
        ));
        let socket = folder.path().join("socket");
        let _listens = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for live in [
            "rtsp://camera/1",
            "RTSPT://camera/1",
            "udp://0.0.0.0:5000",
            "v4l2:///dev/video0",
        ] {
            let refused = Input::new(live).unwrap_err().to_string();
            assert!(
                refused.contains("`earmark live`") && refused.contains("ffmpeg -i"),
                "{refused}"
            );
        }
        for pipe in [name(&socket), "-".into(), "fd://0".into()] {
            assert!(
                matches!(Input::new(&pipe), Err(ProbeError::Pipe(_))),
                "{pipe}"
            );
        }
        assert!(matches!(
            Input::new(&name(&empty)),
            Err(ProbeError::Empty(_))
        ));
    }
}
