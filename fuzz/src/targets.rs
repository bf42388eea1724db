//! The targets: every reader of files that others wrote, with seeds to mutate.

use std::path::{Path, PathBuf};

use anchoring::onset::head::Head;
use anchoring::onset::weights::Weights;
use anyhow::Context;
use earmark::pipeline::{Pipeline, Variables};
use earmark::readers;
use gstearmark::models::Manifest;
use gstearmark::structures::{self, Message};

mod examples;
mod published;

pub(crate) use examples::leave_panics;

/// One reader. It may accept or refuse an input, but it must return.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// Name of the file with the input.
    pub(crate) file: &'static str,
    pub(crate) seeds: fn() -> anyhow::Result<Vec<Vec<u8>>>,
    /// Reads the input, which the file holds too.
    pub(crate) feed: fn(&Path, &[u8]),
}

/// All of them.
pub(crate) const TARGETS: [Target; 22] = [
    Target {
        name: "yaml",
        file: "input.yaml",
        seeds: || files("pipelines", "yaml"),
        feed: |path, input| {
            let variables = Variables::new(&["input=a.mp4", "output=a.h5"]);
            if let Ok(variables) = variables {
                let _ = Pipeline::parse(path, &String::from_utf8_lossy(input), &variables);
            }
        },
    },
    Target {
        name: "plan",
        file: "input.jsonl",
        seeds: examples::plan,
        feed: |path, _| {
            if let Ok(about) = earmark::inspect::inspect(path) {
                let _ = (about.to_string(), about.json());
            }
        },
    },
    Target {
        name: "labels",
        file: "input.csv",
        seeds: || {
            let mut seeds = files("fixtures", "csv")?;
            seeds.push(b"\xef\xbb\xbfvideo_id;start_timestamp,stop_s,class\n\"a\",00:00:01.5,2,\"b\"\"c\"\n".into());
            Ok(seeds)
        },
        feed: |path, _| {
            let _ = earmark::eval::labels::read(path);
        },
    },
    Target {
        name: "list-csv",
        file: "input.csv",
        seeds: || Ok(vec![LIST_CSV.into()]),
        feed: list,
    },
    Target {
        name: "list-jsonl",
        file: "input.jsonl",
        seeds: || Ok(vec![LIST_JSONL.into()]),
        feed: list,
    },
    Target {
        name: "list-text",
        file: "input.txt",
        seeds: || {
            Ok(vec![
                b"# two\na.mp4\nfile:///tmp/b%20c.mkv\n../videos/*.mp4\n".into(),
            ])
        },
        feed: list,
    },
    Target {
        name: "manifest",
        file: "input.yaml",
        seeds: || files("models", "yaml"),
        feed: |path, _| {
            if let Ok(manifest) = Manifest::read(path) {
                let _ = manifest.check();
            }
        },
    },
    Target {
        name: "features",
        file: "input.h5",
        seeds: examples::features,
        feed: |path, _| examples::read_features(path),
    },
    Target {
        name: "weights",
        file: "input.safetensors",
        seeds: || {
            let mut seeds = files("plugins/anchoring/weights", "safetensors")?;
            seeds.extend(files("plugins/anchoring/tests", "safetensors")?);
            Ok(seeds)
        },
        feed: |_, input| {
            let _ = Weights::read(input);
            let _ = Head::read(input, 64);
            let _ = Head::read(input, 1024);
        },
    },
    Target {
        name: "http",
        file: "input.txt",
        seeds: || Ok(REQUESTS.map(Vec::from).into()),
        feed: |_, input| {
            earmark::report::answer_bytes(&repository("fixtures/kitchen.labels.csv"), input)
        },
    },
    Target {
        name: "cues",
        file: "input.txt",
        seeds: examples::messages,
        feed: |_, input| {
            let _ = structures::cue_from_text(input);
            let text = String::from_utf8_lossy(input);
            // The wrapper of GStreamer's parser panics at a zero byte; whoever calls it must look before.
            if !text.contains('\0')
                && let Ok(structure) = text.trim_end().parse::<gst::Structure>()
                && let Some(Ok(message)) = Message::from_structure(&structure)
            {
                // What is taken is given on.
                let again = Message::from_structure(&message.to_structure());
                assert!(matches!(again, Some(Ok(_))), "{again:?}");
            }
        },
    },
    Target {
        name: "questions-jsonl",
        file: "input.jsonl",
        seeds: || Ok(vec![published::QUESTIONS.into()]),
        feed: |path, _| readers::questions(path),
    },
    Target {
        name: "questions-json",
        file: "input.json",
        seeds: || Ok(published::SETS.map(Vec::from).into()),
        feed: |path, _| readers::questions(path),
    },
    Target {
        name: "questions-csv",
        file: "input.csv",
        seeds: || Ok(vec![published::NEXTQA.into()]),
        feed: |path, _| readers::questions(path),
    },
    Target {
        name: "moments",
        file: "input.jsonl",
        seeds: || Ok(published::MOMENTS.map(Vec::from).into()),
        feed: |path, _| readers::moments(path),
    },
    Target {
        name: "answers",
        file: "input.json",
        seeds: || Ok(published::answers()),
        feed: |_, input| {
            let _ = readers::answer(input);
        },
    },
    Target {
        name: "templates",
        file: "input.txt",
        seeds: || files("src/ask/assets", "txt"),
        feed: |path, _| readers::template(path),
    },
    Target {
        name: "localizer-head",
        file: "input.safetensors",
        seeds: || Ok(vec![published::head()]),
        feed: |path, _| {
            let _ = readers::localizer_head(path);
        },
    },
    Target {
        name: "tokenizers",
        file: "input.json",
        seeds: || Ok(published::TOKENIZERS.map(Vec::from).into()),
        feed: |path, _| {
            let _ = readers::tokenizer(path);
        },
    },
    Target {
        name: "video-labels",
        file: "input.csv",
        seeds: || Ok(published::LABELS.map(Vec::from).into()),
        feed: |path, _| readers::labels_of_videos(path),
    },
    Target {
        name: "video-arrays",
        file: "input.npy",
        seeds: || Ok(vec![published::npy()]),
        feed: |path, _| readers::array(path),
    },
    Target {
        name: "video-rows",
        file: "input.h5",
        seeds: examples::features,
        feed: |path, _| readers::rows(path),
    },
];

const LIST_CSV: &str = "input,video_id,audio_track,duration_s,place\na.mp4,P01,0,12.5,kitchen\n\"b,c.mkv\",P02,1,,\"x\"\"y\"\n";

const LIST_JSONL: &str = r#"{"input":"a.mp4","video_id":"P01","audio_track":0,"duration_s":12.5,"place":"kitchen"}
{"path":"file:///tmp/b.mkv","n":3}
"#;

const REQUESTS: [&[u8]; 7] = [
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /report/0 HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\nGET /video/0 HTTP/1.1\r\nHost: localhost\r\nRange: bytes=1-2,5-\r\n\r\n",
    b"HEAD /video/0 HTTP/1.1\r\nHost: localhost\r\nRange: bytes=-5\r\nIf-Modified-Since: Mon, 30 Nov 2026 00:00:00 GMT\r\n\r\n",
    b"POST /report/1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"GET http://localhost/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
    b"GET /report/18446744073709551616 HTTP/1.0\r\nHost: [::1]:80\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

fn list(path: &Path, _: &[u8]) {
    let _ = earmark::batch::listed(path);
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The files of a folder of the repository that end so.
fn files(folder: &str, ending: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let folder = repository(folder);
    let name = || format!("cannot read {}", folder.display());
    let mut found: Vec<_> = std::fs::read_dir(&folder)
        .with_context(name)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == ending))
        .collect();
    found.sort();
    anyhow::ensure!(!found.is_empty(), "no .{ending} in {}", folder.display());
    found
        .iter()
        .map(|path| std::fs::read(path).with_context(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read_as_they_are() {
        earmark::init().unwrap();
        let folder =
            std::env::temp_dir().join(format!("earmark-fuzz-seeds-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for seed in examples::messages().unwrap() {
            let structure: gst::Structure =
                String::from_utf8(seed).unwrap().trim_end().parse().unwrap();
            assert!(
                matches!(Message::from_structure(&structure), Some(Ok(_))),
                "{structure}"
            );
        }
        for seed in examples::plan().unwrap() {
            std::fs::write(folder.join("a.jsonl"), seed).unwrap();
            earmark::inspect::inspect(&folder.join("a.jsonl")).unwrap();
        }
        // Not by a child: that would be these tests.
        for seed in examples::features().unwrap() {
            std::fs::write(folder.join("a.h5"), seed).unwrap();
            assert_eq!(
                gstearmark::h5::check(&folder.join("a.h5")).unwrap(),
                Vec::<String>::new()
            );
        }
        std::fs::write(folder.join("head"), published::head()).unwrap();
        assert!(readers::localizer_head(&folder.join("head")));
        std::fs::write(folder.join("tokenizer"), published::TOKENIZERS[0]).unwrap();
        let tokens = readers::tokenizer(&folder.join("tokenizer"));
        assert_eq!(
            tokens.map(|all| all[..7].to_vec()),
            Some(vec![2, 4, 5, 6, 8, 7, 1])
        );
        for seed in published::answers() {
            assert_eq!(readers::answer(&seed).as_deref(), Some("a glass"));
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
