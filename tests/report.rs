//! Pages and drawings of feature files: what they refuse, what they contain, and how a browser shows them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

use crate::recordings::{check_h5, earmark, folder, made, pipeline, python, root, said, succeeds};

/// Two runs over the shipped recording by a made encoder: gated with thumbnails, and evenly spaced. Made once.
fn runs(python: &Path) -> &'static (PathBuf, PathBuf) {
    static RUNS: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    RUNS.get_or_init(|| {
        let folder = folder("report_runs");
        made(python, "encoder");
        let run = |name: &str, budget: &str, more: &[&str]| {
            let own = folder.join(name);
            std::fs::create_dir_all(&own).unwrap();
            let output = folder.join(format!("{name}.h5"));
            let mut args = vec![
                "run".to_owned(),
                pipeline(python, &own, budget).display().to_string(),
                "--input".into(),
                root().join("fixtures/kitchen.mp4").display().to_string(),
                "--output".into(),
                output.display().to_string(),
            ];
            args.extend(more.iter().map(|arg| (*arg).to_owned()));
            succeeds(args);
            output
        };
        (
            run("gated", "tokens_per_s: 196", &["--thumbnails"]),
            run("uniform", "policy: uniform, tokens_per_s: 196", &[]),
        )
    })
}

fn labels() -> PathBuf {
    root().join("fixtures/kitchen.labels.csv")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_page_says_what_was_found() {
    let Some(python) = python() else { return };
    let (gated, uniform) = runs(&python);
    check_h5(&python, [gated.as_os_str()]);
    let folder = folder("report_page");
    let page = folder.join("k.html");
    let output = succeeds([
        "report".as_ref(),
        gated.as_os_str(),
        "--compare".as_ref(),
        uniform.as_os_str(),
        "--labels".as_ref(),
        labels().as_os_str(),
        "--video".as_ref(),
        root().join("fixtures/kitchen.mp4").as_os_str(),
        "--time-decoding".as_ref(),
        "--output".as_ref(),
        page.as_os_str(),
        "--json".as_ref(),
    ]);
    let printed = json(&output);
    let count = |name: &str| printed[name].as_u64().unwrap();
    assert_eq!(count("events"), 19);
    assert_eq!(count("found") + count("seen") + count("missed"), 19);
    assert!(count("found") >= 9, "{printed}");
    let html = std::fs::read_to_string(&page).unwrap();
    for word in [
        "of 19",
        "gated.h5",
        "uniform.h5",
        "kitchen.mp4",
        "estimated",
    ] {
        assert!(html.contains(word), "`{word}` is not on the page");
    }
    // What is there stays unless it may be replaced.
    let again = earmark([
        "report".as_ref(),
        gated.as_os_str(),
        "--output".as_ref(),
        page.as_os_str(),
    ]);
    assert_eq!(again.status.code(), Some(1), "{}", said(&again));
    assert!(said(&again).contains("--overwrite"), "{}", said(&again));
}

#[test]
fn a_folder_has_an_index() {
    let Some(python) = python() else { return };
    let (gated, uniform) = runs(&python);
    let folder = folder("report_folder");
    let (features, pages) = (folder.join("features"), folder.join("pages"));
    std::fs::create_dir_all(features.join("deeper")).unwrap();
    std::fs::copy(gated, features.join("kitchen.h5")).unwrap();
    std::fs::copy(uniform, features.join("deeper/<b>.h5")).unwrap();
    let args = |more: &[&str]| {
        let mut args = vec!["report".to_owned(), features.display().to_string()];
        args.extend([
            "--output".into(),
            pages.display().to_string(),
            "--json".into(),
        ]);
        args.extend([
            "--labels".into(),
            root().join("fixtures").display().to_string(),
        ]);
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        args
    };
    let printed = json(&succeeds(args(&[])));
    assert_eq!(printed["pages"], 2);
    let index = std::fs::read_to_string(pages.join("index.html")).unwrap();
    assert!(
        index.contains("href=\"./kitchen.html\"") || index.contains("href=\".&#x2f;kitchen.html\""),
        "{index}"
    );
    assert!(!index.contains("<b>.h5") && !index.contains(">deeper/<b>"));
    assert!(pages.join("deeper%2F<b>.html").is_file());
    assert!(
        index.contains("✓"),
        "labels of the same name were not taken"
    );

    // One broken file: the others have their pages, and the exit status says that it is not all.
    std::fs::write(features.join("broken.h5"), "nothing of the kind").unwrap();
    let output = earmark(args(&["--overwrite"]));
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("broken.h5"), "{}", said(&output));
    assert!(pages.join("kitchen.html").is_file());
}

#[test]
fn what_cannot_be_shown_is_refused_and_nothing_is_written() {
    let Some(python) = python() else { return };
    let (gated, _) = runs(&python);
    let folder = folder("report_refused");
    std::fs::write(
        folder.join("late.csv"),
        "start_s,stop_s,class\n5000,6000,x\n",
    )
    .unwrap();
    std::fs::write(folder.join("x.h5"), "nothing of the kind").unwrap();
    let gated = gated.to_str().unwrap();
    for (args, status, word) in [
        (
            &["report", "nowhere.h5", "--output", "o.html"][..],
            1,
            "nowhere.h5",
        ),
        (&["report", "x.h5", "--output", "o.html"], 1, "x.h5"),
        (
            &[
                "report", gated, "--labels", "late.csv", "--output", "o.html",
            ],
            1,
            "milliseconds",
        ),
        (
            &[
                "report",
                gated,
                "--video",
                "nowhere.mp4",
                "--output",
                "o.html",
            ],
            1,
            "nowhere.mp4",
        ),
        // A folder without its recordings would be made in silence.
        (
            &[
                "report", "empty", "--video", "nothere/", "--output", "pages",
            ],
            1,
            "--video nothere/: no such file or folder",
        ),
        (
            &["report", gated, "--compare", "x.h5", "--output", "o.html"],
            1,
            "x.h5",
        ),
        (
            &["report", gated, "--time-decoding", "--output", "o.html"],
            1,
            "--video",
        ),
        (
            &["report", gated, "--output", "no/o.html"],
            1,
            "does not exist",
        ),
        (&["report", ".", "--compare", gated], 2, "one recording"),
        (&["report", gated, "--serve", "nonsense"], 2, "--serve"),
        (&["plot", gated, "--output", "o.gif"], 2, ".svg or .png"),
        (
            &[
                "plot", gated, "--from", "50", "--to", "40", "--output", "o.svg",
            ],
            1,
            "--from 50",
        ),
        (
            &["plot", gated, "--to", "60000", "--output", "o.svg"],
            1,
            "milliseconds",
        ),
        (
            &["plot", gated, "--scale", "0", "--output", "o.png"],
            2,
            "0.1..=16",
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_earmark"))
            .args(args)
            .current_dir(&folder)
            .output()
            .unwrap();
        assert_eq!(
            output.status.code(),
            Some(status),
            "{args:?}: {}",
            said(&output)
        );
        assert!(said(&output).contains(word), "{args:?}: {}", said(&output));
    }
    let mut left: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["late.csv", "x.h5"], "something was half written");
}

#[test]
fn drawings_are_svg_and_png() {
    let Some(python) = python() else { return };
    let (gated, uniform) = runs(&python);
    let folder = folder("plot");
    for (name, more) in [
        ("a.svg", &["--from", "10", "--to", "20"][..]),
        ("b.png", &["--dark", "--scale", "1"]),
    ] {
        let output = folder.join(name);
        let mut args = vec!["plot".to_owned(), gated.display().to_string()];
        args.extend(["--compare".into(), uniform.display().to_string()]);
        args.extend(["--labels".into(), labels().display().to_string()]);
        args.extend(["--output".into(), output.display().to_string()]);
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        succeeds(args);
    }
    let svg = std::fs::read_to_string(folder.join("a.svg")).unwrap();
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
    assert!(svg.contains("<title>kitchen</title>") && !svg.contains("font"));
    let script = "import sys\nfrom PIL import Image\nimport xml.dom.minidom as m\np = Image.open(sys.argv[2]).convert('RGB')\nassert p.width == 1200 and p.height > 300 and len(p.getcolors(1 << 20)) > 50 and p.getpixel((1, 1)) == (20, 22, 26), p\nm.parse(sys.argv[1])";
    let checked = Command::new(&python)
        .args(["-c", script])
        .args([folder.join("a.svg"), folder.join("b.png")])
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", said(&checked));
}

/// Serves on a free port, asks as a player does, and ends.
#[test]
fn a_page_is_served_with_its_recording_in_parts() {
    let Some(python) = python() else { return };
    let (gated, _) = runs(&python);
    let script = "
import http.client, socket, subprocess, sys
server = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)
try:
    at = server.stdout.readline().split('http://')[1].strip().rstrip('/')
    def ask(path, **headers):
        c = http.client.HTTPConnection(at, timeout=60)
        c.request('GET', path, headers=headers)
        r = c.getresponse()
        return r.status, r.getheader('Content-Type'), r.getheader('Content-Range'), r.read()
    status, kind, _, page = ask('/')
    assert status == 200 and kind.startswith('text/html') and b'src=\"&#x2f;video&#x2f;0\"' in page or b'src=\"/video/0\"' in page, (status, kind)
    status, kind, part, body = ask('/video/0', Range='bytes=100-299')
    assert status == 206 and kind == 'video/mp4' and len(body) == 200 and part.startswith('bytes 100-299/'), (status, kind, part)
    assert [ask(path)[0] for path in ('/video/1', '/report/7', '/../etc/passwd', '/report/0')] == [404, 404, 404, 200]
    port = at.split(':')[1]
    for host, wanted in (('evil.example', 403), ('evil.example:' + port, 403), ('localhost.evil.example', 403), ('localhost:' + port, 200), ('127.0.0.1', 200)):
        for path in ('/', '/report/0', '/video/0'):
            assert ask(path, Host=host)[0] == wanted, (host, path)
    def raw(text):
        s = socket.create_connection(('127.0.0.1', int(port)), 60)
        s.sendall(text.encode())
        return s
    def status(text):
        return int(raw(text).makefile('rb').readline().split()[1])
    assert status('GET / HTTP/1.1\\r\\nHost: evil.example\\r\\nHost: localhost\\r\\n\\r\\n') in (400, 403)
    assert status('GET / HTTP/1.0\\r\\n\\r\\n') in (400, 403)
    assert status('GET http://evil.example/ HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n') == 403
    # Who never ends a header is sent away, however many they are, and who is quiet between two requests, too.
    slow = [raw('GET / HTTP/1.1\\r\\nHost: loc') for _ in range(100)]
    quiet = raw('GET /report/9 HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')
    assert ask('/')[0] == 200
    for s in slow + [quiet]:
        while s.recv(1 << 16):
            pass
finally:
    server.terminate()
    server.wait(10)
";
    let done = Command::new("timeout")
        .arg("120")
        .arg(&python)
        .args(["-c", script, env!("CARGO_BIN_EXE_earmark"), "report"])
        .arg(gated)
        .arg("--video")
        .arg(root().join("fixtures/kitchen.mp4"))
        .args(["--serve", "127.0.0.1:0"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", said(&done));
}

/// A folder is served without what its links lead to elsewhere.
#[test]
fn links_out_of_a_served_folder_are_not_followed() {
    let Some(python) = python() else { return };
    let (gated, uniform) = runs(&python);
    let folder = folder("report_links");
    let link = std::os::unix::fs::symlink::<PathBuf, PathBuf>;
    for inner in ["features", "videos", "elsewhere"] {
        std::fs::create_dir(folder.join(inner)).unwrap();
    }
    let video = root().join("fixtures/kitchen.mp4");
    std::fs::copy(gated, folder.join("features/a.h5")).unwrap();
    std::fs::copy(uniform, folder.join("elsewhere/b.h5")).unwrap();
    link(folder.join("elsewhere/b.h5"), folder.join("features/b.h5")).unwrap();
    link("a.h5".into(), folder.join("features/c.h5")).unwrap();
    link(video.clone(), folder.join("videos/a.mp4")).unwrap();
    std::fs::copy(&video, folder.join("videos/c.mp4")).unwrap();
    let script = "
import http.client, subprocess, sys
server = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
try:
    at = server.stdout.readline().split('http://')[1].strip().rstrip('/')
    def ask(path):
        c = http.client.HTTPConnection(at, timeout=60)
        c.request('GET', path)
        r = c.getresponse()
        return r.status, r.read()
    assert [ask(f'/report/{n}')[0] for n in range(3)] == [200, 500, 200]
    assert b'outside the served' in ask('/report/1')[1]
    assert b'outside the served' in ask('/')[1]
    assert [ask(f'/video/{n}')[0] for n in range(3)] == [404, 404, 200]
finally:
    server.terminate()
    server.wait(10)
said = server.stderr.read()
assert 'b.h5' in said and 'a.mp4' in said and 'c.mp4' not in said, said
";
    let done = Command::new("timeout")
        .arg("120")
        .arg(&python)
        .args(["-c", script, env!("CARGO_BIN_EXE_earmark"), "report"])
        .arg(folder.join("features"))
        .arg("--video")
        .arg(folder.join("videos"))
        .args(["--serve", "127.0.0.1:0"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", said(&done));
}

/// Needs chromium; browser.py says what it checks.
#[test]
fn a_browser_shows_it_all() {
    let Some(python) = python() else { return };
    let (gated, uniform) = runs(&python);
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", "300"])
        .arg(&python)
        .arg(root().join("tests/browser.py"))
        .arg(env!("CARGO_BIN_EXE_earmark"))
        .arg(folder("report_browser"))
        .args([gated, uniform])
        .arg(root().join("fixtures/kitchen.mp4"))
        .arg(labels());
    // Kept for people.
    if let Some(pictures) = std::env::var_os("EARMARK_SCREENSHOTS") {
        command.arg("--pictures").arg(pictures);
    }
    let output = command.output().unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(
        output.status.success() || output.status.code() == Some(77),
        "{}",
        said(&output)
    );
}
