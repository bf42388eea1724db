#!/usr/bin/env python3
"""Cues from the motion of a GoPro: the accelerometer of a recording's gpmd track -> cues.jsonl for `anchors: { cues_from: FILE }`.

    gpmd_cues.py GX010001.MP4 > GX010001.cues.jsonl        [--threshold M_PER_S2] [--apart S]

A cue is a jolt: the acceleration, less its mean over the last second, is largest within `--apart` seconds (default 0.5) and above `--threshold` (default
4 m/s2). Its probability grows with its strength, .5 at the threshold; calibrate it on your own labels. GPMF is described at https://github.com/gopro/gpmf-parser.
Needs ffmpeg and ffprobe; nothing is decoded.
"""
import argparse, json, math, struct, subprocess, sys

NUMBERS = {"b": "b", "B": "B", "s": "h", "S": "H", "l": "i", "L": "I", "f": "f", "d": "d", "j": "q", "J": "Q"}


def track(path):
    """(start_s, duration_s, bytes) of every packet of the gpmd track."""
    probe = ["ffprobe", "-v", "error", "-of", "json", "-show_streams", "-show_packets", "-select_streams", "d", path]
    probed = json.loads(subprocess.run(probe, capture_output=True, check=True).stdout)
    index = next((s["index"] for s in probed.get("streams", []) if s.get("codec_tag_string") == "gpmd"), None)
    if index is None:
        sys.exit(f"{path} has no gpmd track: is it from a GoPro, as the camera wrote it?")
    copy = ["ffmpeg", "-v", "error", "-i", path, "-map", f"0:{index}", "-c", "copy", "-f", "data", "-"]
    data, at = subprocess.run(copy, capture_output=True, check=True).stdout, 0
    for packet in probed["packets"]:
        if packet["stream_index"] == index:
            size = int(packet["size"])
            yield float(packet["pts_time"]), float(packet.get("duration_time", 1)), data[at : at + size]
            at += size


def items(data):
    """(key, type, size of a sample, samples, payload) of a GPMF payload; stops at anything cut off."""
    at = 0
    while at + 8 <= len(data):
        key, kind, size, repeat = struct.unpack(">4sBBH", data[at : at + 8])
        payload = data[at + 8 : at + 8 + size * repeat]
        if key == b"\0\0\0\0" or len(payload) < size * repeat:
            return
        yield key, chr(kind) if kind else "", size, repeat, payload
        at += 8 + (size * repeat + 3) // 4 * 4


def numbers(kind, payload):
    one = struct.calcsize(">" + NUMBERS[kind])
    return struct.unpack(f">{len(payload) // one}{NUMBERS[kind]}", payload)


def accelerations(data):
    """(x, y, z) in m/s2 of each sample, in the order in which the track has them."""
    for key, kind, _, _, payload in items(data):
        if kind == "" and key in (b"DEVC", b"STRM"):
            yield from accelerations(payload)
    streams = {key: (kind, size, payload) for key, kind, size, _, payload in items(data) if key in (b"ACCL", b"SCAL")}
    if b"ACCL" in streams and streams[b"ACCL"][0] in NUMBERS:
        kind, size, payload = streams[b"ACCL"]
        scale = numbers(streams[b"SCAL"][0], streams[b"SCAL"][2]) if b"SCAL" in streams else (1,)
        flat = numbers(kind, payload)
        wide = max(1, size // struct.calcsize(">" + NUMBERS[kind]))
        for row in range(0, len(flat) - wide + 1, wide):
            yield tuple(x / (scale[k % len(scale)] or 1) for k, x in enumerate(flat[row : row + wide]))


def jolts(samples, threshold, apart):
    """(time, strength) of jolts, in order of time."""
    mean, found, last = None, [], None
    for t, axes in samples:
        if mean is None:
            mean = axes
        share = 1 - math.exp(-(t - last) / 1.0) if last is not None else 0
        mean, last = tuple(m + share * (x - m) for m, x in zip(mean, axes)), t
        strength = math.dist(axes, mean)
        if strength < threshold:
            continue
        if found and t - found[-1][0] < apart:
            found[-1] = max(found[-1], (t, strength), key=lambda one: one[1])
        else:
            found.append((t, strength))
    return found


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("recording")
    args.add_argument("--threshold", type=float, default=4.0)
    args.add_argument("--apart", type=float, default=0.5)
    args = args.parse_args()
    samples = []
    for start, duration, data in track(args.recording):
        rows = list(accelerations(data))
        samples += [(start + duration * k / len(rows), row) for k, row in enumerate(rows)]
    if not samples:
        sys.exit(f"{args.recording}: its gpmd track has no accelerometer (ACCL)")
    for at, strength in jolts(samples, args.threshold, args.apart):
        # .5 at the threshold, .8 at twice that.
        p = strength**2 / (strength**2 + args.threshold**2)
        print(json.dumps({"time_s": round(at, 3), "p": round(p, 3), "label": "motion"}))


main()
