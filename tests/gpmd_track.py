"""Puts a gpmd track with jolts into an MP4 file: gpmd_test.py VIDEO.mp4 OUT.mp4 SECONDS [JOLT_S ...]. A track is made box by box, as ffmpeg makes none of nothing."""
import struct, subprocess, sys

RATE = 200


def item(key, kind, size, payload):
    body = payload + b"\0" * (-len(payload) % 4)
    return struct.pack(">4sBBH", key, ord(kind) if kind else 0, size, len(payload) // size) + body


def payload(second, jolts):
    """A second of an accelerometer, 1/418 m/s2 a step; each jolt is 20 m/s2 for 50 ms."""
    rows = b""
    for k in range(RATE):
        t = second + k / RATE
        kick = 20 if any(at <= t < at + 0.05 for at in jolts) else 0
        rows += struct.pack(">3h", int(418 * 9.81), int(418 * kick), int(418 * 0.1 * (k % 3)))
    stream = item(b"STMP", "J", 8, struct.pack(">Q", second)) + item(b"SCAL", "s", 2, struct.pack(">h", 418)) + item(b"ACCL", "s", 6, rows)
    device = item(b"DVID", "L", 4, struct.pack(">I", 1)) + item(b"STRM", "", 1, stream)
    return item(b"DEVC", "", 1, device)


def box(kind, *parts):
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full(kind, *parts, flags=0):
    return box(kind, struct.pack(">I", flags), *parts)


def metadata(path, seconds, jolts):
    """An MP4 file with nothing but a gpmd track."""
    samples = [payload(second, jolts) for second in range(seconds)]
    ftyp = box(b"ftyp", b"mp41", struct.pack(">I", 0), b"mp41")
    first = len(ftyp) + 8
    offsets, at = [], first
    for sample in samples:
        offsets.append(at)
        at += len(sample)
    matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    n = len(samples)
    table = box(
        b"stbl",
        full(b"stsd", struct.pack(">I", 1), box(b"gpmd", b"\0" * 6, struct.pack(">HI", 1, 0))),
        full(b"stts", struct.pack(">III", 1, n, 1000)),
        full(b"stsc", struct.pack(">IIII", 1, 1, 1, 1)),
        full(b"stsz", struct.pack(">II", 0, n), *(struct.pack(">I", len(sample)) for sample in samples)),
        full(b"stco", struct.pack(">I", n), *(struct.pack(">I", offset) for offset in offsets)),
    )
    media = box(
        b"mdia",
        full(b"mdhd", struct.pack(">IIIIHH", 0, 0, 1000, 1000 * n, 0x55C4, 0)),
        full(b"hdlr", struct.pack(">I4s12s", 0, b"meta", b""), b"GoPro MET\0"),
        box(b"minf", full(b"nmhd"), box(b"dinf", full(b"dref", struct.pack(">I", 1), full(b"url ", flags=1))), table),
    )
    head = struct.pack(">IIIIIQHHHH", 0, 0, 1, 0, 1000 * n, 0, 0, 0, 0, 0)
    track = box(b"trak", full(b"tkhd", head, matrix, struct.pack(">II", 0, 0), flags=3), media)
    movie = full(b"mvhd", struct.pack(">IIIIIHHQ", 0, 0, 1000, 1000 * n, 0x10000, 0x100, 0, 0), matrix, b"\0" * 24, struct.pack(">I", 2))
    with open(path, "wb") as f:
        f.write(ftyp + box(b"mdat", *samples) + box(b"moov", movie, track))


def main():
    video, out, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    track = out + ".track.mp4"
    metadata(track, seconds, [float(at) for at in sys.argv[4:]])
    copy = ["-map", "0:v", "-map", "0:a?", "-map", "1:d", "-c", "copy", "-copy_unknown"]
    subprocess.run(["ffmpeg", "-y", "-v", "error", "-i", video, "-i", track, *copy, out], check=True)


main()
