//! Frames coded as two fields of their own: both fields of a frame are decoded, or neither.
//!
//! No encoder at hand writes such H.264, so the stream is written by hand: in each field one macroblock is new, as plain numbers, and the others are
//! those of the field before, so that a field left out shows in every later one.

use std::path::Path;

use gst::prelude::*;

use crate::frames::compare;
use crate::support::{init, run};

/// Macroblocks in a row, and rows in a field.
const ACROSS: usize = 4;
const DOWN: usize = 2;
/// Frames from one IDR picture to the next.
const GOP: u32 = 12;
const PICTURES: u32 = 300;

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        for bit in (0..count).rev() {
            if self.used == 0 {
                self.bytes.push(0);
            }
            let last = self.bytes.last_mut().unwrap();
            *last |= ((value >> bit & 1) as u8) << (7 - self.used);
            self.used = (self.used + 1) % 8;
        }
    }

    /// An Exp-Golomb number.
    fn golomb(&mut self, value: u32) {
        let length = 32 - (value + 1).leading_zeros();
        self.put(0, length - 1);
        self.put(value + 1, length);
    }

    fn golombs(&mut self, values: &[u32]) {
        values.iter().for_each(|&value| self.golomb(value));
    }

    /// Ends it as a NAL unit of this header, without start code.
    fn nal(mut self, header: u8) -> Vec<u8> {
        self.put(1, 1);
        let mut nal = vec![header];
        let mut zeros = 0;
        for byte in self.bytes {
            if zeros == 2 && byte <= 3 {
                nal.push(3);
                zeros = 0;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            nal.push(byte);
        }
        nal
    }
}

fn sequence() -> Vec<u8> {
    let mut bits = Bits::default();
    // Main profile, level 3; eight bits of frame_num and of the order count.
    bits.put(77 << 16 | 30, 24);
    bits.golombs(&[0, 4, 0, 4, 2]);
    bits.put(0, 1);
    bits.golombs(&[ACROSS as u32 - 1, DOWN as u32 - 1]);
    // Fields, no macroblock pairs, direct_8x8_inference, no cropping, with usability information: timing and reordering.
    bits.put(0b00101, 5);
    bits.put(0b00001, 5);
    bits.put(1, 32);
    bits.put(50, 32);
    bits.put(0b10001, 5);
    bits.put(1, 1);
    bits.golombs(&[0, 0, 10, 10, 1, 2]);
    bits.nal(0x67)
}

fn parameters() -> Vec<u8> {
    let mut bits = Bits::default();
    bits.golombs(&[0, 0]);
    bits.put(0, 2);
    bits.golombs(&[0, 0, 0]);
    bits.put(0, 3);
    bits.golombs(&[0, 0, 0]);
    // Deblocking can be switched off.
    bits.put(0b100, 3);
    bits.nal(0x68)
}

/// What is coded of a frame.
#[derive(Clone, Copy)]
struct Coded {
    /// Its place in the order of showing, from its IDR picture on.
    shown: u32,
    frame_num: u32,
    reference: bool,
    number: u32,
}

fn field(coded: Coded, bottom: bool) -> Vec<u8> {
    let idr = coded.frame_num == 0 && !bottom;
    let mut bits = Bits::default();
    bits.golombs(&[0, if idr { 7 } else { 5 }, 0]);
    bits.put(coded.frame_num, 8);
    bits.put(0b10 | u32::from(bottom), 2);
    if idr {
        bits.golomb(coded.number / GOP % 2);
    }
    bits.put(2 * coded.shown + u32::from(bottom), 8);
    if !idr {
        bits.put(0, 2);
    }
    if idr {
        bits.put(0, 2);
    } else if coded.reference {
        bits.put(0, 1);
    }
    bits.golombs(&[0, 1]);
    let all = ACROSS * DOWN;
    let new = (coded.number as usize * 2 + usize::from(bottom)) % all;
    let mut skipped = 0;
    for block in 0..all {
        if !idr && block != new {
            skipped += 1;
            continue;
        }
        if !idr {
            bits.golomb(skipped);
            skipped = 0;
        }
        bits.golomb(if idr { 25 } else { 30 });
        bits.put(0, (8 - bits.used) % 8);
        let seed = coded.number * 2 + u32::from(bottom) + block as u32 * 7;
        for at in 0..384 {
            bits.put(16 + (seed * 37 + at * 5) % 200, 8);
        }
    }
    if skipped > 0 {
        bits.golomb(skipped);
    }
    bits.nal(match (idr, coded.reference) {
        (true, _) => 0x65,
        (false, true) => 0x41,
        (false, false) => 0x01,
    })
}

/// The frames in the order of decoding: of each two, the second is shown first and nothing refers to it.
fn pictures() -> Vec<(u32, Coded)> {
    let mut pictures = Vec::new();
    let mut number = 0;
    for start in (0..PICTURES).step_by(GOP as usize) {
        let mut frame_num = 0;
        let rest = (1..GOP - 1).step_by(2).flat_map(|at| [at + 1, at]);
        for shown in [0].into_iter().chain(rest).chain([GOP - 1]) {
            let reference = shown % 2 == 0 || shown == GOP - 1;
            let coded = Coded {
                shown,
                frame_num,
                reference,
                number,
            };
            frame_num += u32::from(reference);
            number += 1;
            pictures.push((start + shown, coded));
        }
    }
    pictures
}

/// How the fields lie in the buffers that go into the container.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Layout {
    /// Both of a frame in one.
    Together,
    /// Each in its own, with its own time.
    Apart,
    /// Each in its own, only the first with a time.
    FirstTimed,
}

fn made(path: &Path, muxer: &str, layout: Layout) {
    init();
    let lengths = muxer != "mpegtsmux";
    let framed = |nal: &[u8]| {
        let head = match lengths {
            true => (nal.len() as u32).to_be_bytes(),
            false => [0, 0, 0, 1],
        };
        [&head, nal].concat()
    };
    let (sps, pps) = (sequence(), parameters());
    let mut caps = gst::Caps::builder("video/x-h264")
        .field("alignment", "au")
        .field("stream-format", if lengths { "avc" } else { "byte-stream" })
        .field("width", 64)
        .field("height", 64)
        .field("framerate", gst::Fraction::new(25, 1));
    if lengths {
        let mut data = vec![1, 77, 0, 30, 0xff, 0xe1, 0, sps.len() as u8];
        data.extend(&sps);
        data.extend([1, 0, pps.len() as u8]);
        data.extend(&pps);
        caps = caps.field("codec_data", gst::Buffer::from_slice(data));
    }
    let line = format!(
        "appsrc name=in format=time ! video/x-h264 ! {muxer} ! filesink location={}",
        path.display()
    );
    let pipeline = gst::parse::launch(&line).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let source = pipeline.by_name("in").unwrap();
    let source = source.downcast::<gst_app::AppSrc>().unwrap();
    source.set_caps(Some(&caps.build()));
    let push = |bytes: Vec<u8>, pts: Option<u64>, dts: u64, key: bool| {
        let mut buffer = gst::Buffer::from_slice(bytes);
        let of = gst::ClockTime::from_mseconds;
        let plain = buffer.make_mut();
        plain.set_pts(pts.map(of));
        plain.set_dts(of(dts));
        if layout == Layout::Apart {
            plain.set_duration(of(20));
        } else {
            plain.set_duration(of(40));
        }
        if !key {
            plain.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        source.push_buffer(buffer).unwrap();
    };
    for (place, (shown, coded)) in pictures().into_iter().enumerate() {
        let key = coded.frame_num == 0;
        let mut first = framed(&field(coded, false));
        let second = framed(&field(coded, true));
        if key && !lengths {
            first = [framed(&sps), framed(&pps), first].concat();
        }
        // A second later, so that times of decoding stay positive.
        let (pts, dts) = (u64::from(shown) * 40 + 1000, place as u64 * 40 + 920);
        match layout {
            Layout::Together => push([first, second].concat(), Some(pts), dts, key),
            Layout::Apart => {
                push(first, Some(pts), dts, key);
                push(second, Some(pts + 20), dts + 20, false);
            }
            Layout::FirstTimed => {
                push(first, Some(pts), dts, key);
                push(second, None, dts + 20, false);
            }
        }
    }
    source.end_of_stream().unwrap();
    assert_eq!(run(&pipeline).error, None);
}

fn check(muxer: &str, layout: Layout) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fields");
    made(&path, muxer, layout);
    let name = format!("{muxer} {layout:?}");
    let all = compare(&name, &path, folder.path(), 0);
    assert_eq!(all, PICTURES as usize, "{name}");
}

#[test]
fn h264_fields_in_one_unit() {
    for muxer in ["qtmux", "matroskamux", "mpegtsmux"] {
        check(muxer, Layout::Together);
    }
}

#[test]
fn h264_fields_in_units_of_their_own() {
    for muxer in ["qtmux", "matroskamux", "mpegtsmux"] {
        check(muxer, Layout::Apart);
    }
    check("mpegtsmux", Layout::FirstTimed);
}
