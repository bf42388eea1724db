//! Hostile feature files with a valid seal: no command follows them out of the file, and none crashes.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use gstearmark::h5::Precision;
use sha2::{Digest, Sha256};

use crate::damage::{failure_text, make, old};
use crate::recordings::{earmark, folder, python, said, succeeds};

/// What lies outside, in numbers and in text.
const SECRET: &str = "SECRET-0123456789abcdef-SECRET-of-another-file!!";

/// Makes files of one that is whole. `seal` is what a program of Earmark's writes at the end; anybody can.
const SCRIPT: &str = r"
import hashlib, os, shutil, struct, sys
import h5py, numpy as np
whole, into, secret = sys.argv[1:]
with h5py.File('other.h5', 'w') as f:
    n = np.frombuffer(open(secret, 'rb').read(), 'i8')
    f['numbers'] = np.resize(n, 150)
    f['features'] = np.resize(n.view('f4'), (150, 16))
    shutil.copy(whole, 'twin.h5')
def seal(path):
    inner = os.path.getsize(path)
    tail = struct.pack('<QQ', inner, 0)
    digest = hashlib.sha256(open(path, 'rb').read() + tail).digest()
    open(path, 'ab').write(tail + digest + b'\nearmark seal 1\n')
def instead(f, name, **how):
    old = f[name]
    attributes = {key: old.attrs[key] for key in old.attrs}
    shape, dtype = how.pop('shape', old.shape), how.pop('dtype', old.dtype)
    del f[name]
    new = f.create_dataset(name, shape=shape, dtype=dtype, **how)
    for key, value in attributes.items(): new.attrs.create(key, value, dtype=h5py.string_dtype('utf-8', 64))
    return new
def linked(name, link):
    def do(f):
        del f[name]
        f[name] = link
    return do
def virtual(f):
    layout = h5py.VirtualLayout(shape=(150, 16), dtype='f4')
    layout[...] = h5py.VirtualSource('other.h5', 'features', shape=(150, 16))
    del f['frames/features']
    f.create_virtual_dataset('frames/features', layout)
def loop(f): f['frames/loop'] = f['/']
def deep(f):
    at = f['frames']
    for k in range(5000): at = at.create_group('g')
def endless(f): f['frames/features'].resize(2 ** 42, axis=0)
outside = [(secret, 0, h5py.h5f.UNLIMITED)]
bad = {
    'link-dataset': linked('frames/pts_ns', h5py.ExternalLink('other.h5', '/numbers')),
    'link-group': linked('frames', h5py.ExternalLink('twin.h5', '/frames')),
    'link-no-hdf5': linked('frames/pts_ns', h5py.ExternalLink('/etc/hostname', '/')),
    'link-soft': linked('frames/pts_ns', h5py.SoftLink('/frames/requested_ns')),
    'storage-column': lambda f: instead(f, 'frames/tokens', shape=(6,), external=outside),
    'storage-features': lambda f: instead(f, 'frames/features', shape=(1, 12), external=outside),
    'storage-text': lambda f: instead(f, 'texts/config', shape=(48,), external=outside),
    'virtual': virtual,
    'endless': endless,
    'loop': loop,
    'vlen-labels': lambda f: instead(f, 'anchors/label', dtype=h5py.string_dtype()),
    'vlen-column': lambda f: instead(f, 'frames/pts_ns', dtype=h5py.vlen_dtype('i8')),
    'vlen-features': lambda f: instead(f, 'frames/features', dtype=h5py.vlen_dtype('f4')),
    'wide-label': lambda f: instead(f, 'anchors/label', dtype='S1000000000'),
    'large-chunk': lambda f: instead(f, 'frames/features', shape=(2 ** 26, 16), chunks=(2 ** 25, 16), compression='gzip'),
}
for name, change in bad.items():
    path = f'{into}/{name}.h5'
    shutil.copy(whole, path)
    with h5py.File(path, 'r+') as f: change(f)
    seal(path)
    print(name)
# The seal is right, so that a file in which nothing is wrong is whole.
shutil.copy(whole, 'again.h5')
with h5py.File('again.h5', 'r+') as f: f.flush()
seal('again.h5')
shutil.copy(whole, 'deep.h5')
with h5py.File('deep.h5', 'r+') as f: deep(f)
seal('deep.h5')
";

/// Whether any file below a folder, or what was said, holds the secret.
fn leaks(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let path = entry.path();
        match path.is_dir() {
            true => leaks(&path),
            false => contains(&std::fs::read(&path).unwrap()),
        }
    })
}

fn contains(bytes: &[u8]) -> bool {
    bytes
        .windows(16)
        .any(|some| some == &SECRET.as_bytes()[..16])
}

#[test]
fn a_file_that_leads_elsewhere_is_refused_whatever_its_seal_says() {
    let Some(python) = python() else { return };
    let folder = folder("hostile");
    let (whole, secret, into) = (
        folder.join("whole.h5"),
        folder.join("secret"),
        folder.join("bad"),
    );
    std::fs::create_dir(&into).unwrap();
    std::fs::write(&secret, SECRET).unwrap();
    make(&whole, Precision::F32, true, true);
    let made = Command::new(python)
        .args(["-c", SCRIPT])
        .args([&whole, &into, &secret])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", said(&made));
    succeeds(["verify".as_ref(), folder.join("again.h5").as_os_str()]);
    let names = String::from_utf8(made.stdout).unwrap();
    assert!(names.lines().count() > 14, "{names}");
    for name in names.lines() {
        let file = into.join(format!("{name}.h5"));
        let (file, out) = (file.as_os_str(), folder.join("out"));
        let run = earmark(["verify".as_ref(), file]);
        let text = failure_text(&run);
        if name.starts_with("link") || name.starts_with("storage") || name == "virtual" {
            let why = ["links to another file", "lie in another file"];
            assert!(why.iter().any(|why| text.contains(why)), "{name}: {text}");
        }
        for args in [
            vec!["inspect".as_ref(), file, "--json".as_ref()],
            vec![
                "report".as_ref(),
                file,
                "--output".as_ref(),
                out.as_os_str(),
            ],
            vec![
                "export".as_ref(),
                file,
                "--format".as_ref(),
                "npy".as_ref(),
                "--output".as_ref(),
                out.as_os_str(),
            ],
            vec![
                "recover".as_ref(),
                file,
                "--output".as_ref(),
                out.as_os_str(),
            ],
        ] {
            let run = earmark(args.iter().copied());
            let text = said(&run);
            assert_eq!(run.status.signal(), None, "{name}: {args:?}: {text}");
            assert!(!text.contains("panicked"), "{name}: {args:?}: {text}");
            let seen = contains(&run.stdout) || contains(&run.stderr);
            assert!(
                !seen && !contains(&std::fs::read(&out).unwrap_or_default()),
                "{name}: {args:?}"
            );
            assert!(!leaks(&out), "{name}: {args:?}");
            let _ = std::fs::remove_file(&out);
            let _ = std::fs::remove_dir_all(&out);
        }
    }
    // What is deeper than anything that is read does no harm.
    let run = earmark(["verify".as_ref(), folder.join("deep.h5").as_os_str()]);
    assert_eq!(run.status.signal(), None, "{}", said(&run));
}

/// What ends HDF5 ends a child, be the seal right.
#[test]
fn a_sealed_file_at_which_hdf5_dies_takes_no_command_with_it() {
    let folder = folder("hostile_crash");
    let file = old(&folder);
    let whole = std::fs::read(&file).unwrap();
    let mut heaps = whole.windows(4).enumerate().filter(|(_, w)| w == b"GCOL");
    let heap = heaps.next().map(|(at, _)| at).unwrap();
    let mut died = 0;
    // Where texts are, and how long.
    for at in heap + 24..heap + 36 {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        std::fs::write(&file, sealed(bytes)).unwrap();
        for command in ["verify", "inspect"] {
            let run = earmark([command.as_ref(), file.as_os_str()]);
            let text = said(&run);
            assert_eq!(run.status.signal(), None, "{command}, byte {at}: {text}");
            died += usize::from(text.contains("is damaged: the process that read it was killed"));
        }
    }
    // HDF5 searches for a text for ever.
    let mut bytes = whole.clone();
    bytes[heap + 9] ^= 0x40;
    std::fs::write(&file, sealed(bytes)).unwrap();
    let text = failure_text(&earmark(["verify".as_ref(), file.as_os_str()]));
    assert!(text.contains("took too long"), "{text}");
    eprintln!("{died} times a child died");
    assert!(
        died > 0,
        "nothing of this ends HDF5 any more: take something else"
    );
}

/// A file under a seal that is right.
fn sealed(mut file: Vec<u8>) -> Vec<u8> {
    let inner = file.len() as u64;
    file.extend(inner.to_le_bytes());
    file.extend(0_u64.to_le_bytes());
    let digest = Sha256::digest(&file);
    file.extend(digest);
    file.extend(b"\nearmark seal 1\n");
    file
}
