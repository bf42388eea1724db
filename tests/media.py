#!/usr/bin/env python3
"""Makes the recordings that the input tests read: every picture carries its own number, every click has a known time.

    media.py NAME FOLDER        writes FOLDER/NAME.EXT and prints its path; `media.py list` names them all
    media.py encoder FOLDER     writes a tiny image encoder (ONNX + manifest) whose features are the picture's 8 x 8 cells
    media.py clips FOLDER       the same for clips: 8 frames, and 16 of which a slow pathway gets 4; their features are the cells of every frame
    media.py tagger FOLDER      writes a tiny audio tagger (ONNX + manifest + classes) of three classes

A picture is 320 x 240: 8 x 8 cells of which the first 12 hold the picture's number in binary (white = 1), the next 12 the
same number inverted, the rest a slow gradient and some noise, so that encoders use P and B pictures. The sound is quiet
noise with a loud click at 2.0, 4.5, 7.0 and 9.0 s. Needs ffmpeg, numpy and (for the models) onnx.
"""
import pathlib, subprocess, sys
import numpy as np

RATE, FPS, SECONDS, W, H = 48000, 25, 10, 320, 240
CLICKS = (2.0, 4.5, 7.0, 9.0)
X264 = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -crf 20"
X265 = "-c:v libx265 -preset ultrafast -pix_fmt yuv420p -crf 20 -x265-params log-level=error"
VP8 = "-c:v libvpx -deadline realtime -cpu-used 8 -b:v 1M -g 50"
VP9 = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -row-mt 1 -b:v 1M -g 50"
AV1 = "-c:v libsvtav1 -preset 12 -g 50 -crf 30 -pix_fmt yuv420p"
MJPEG = "-c:v mjpeg -q:v 4 -pix_fmt yuvj420p"
MPEG = "-c:v mpeg{}video -b:v 1M -g 25 -bf 2"
PCM = "-c:a pcm_s16le"
# Frames at uneven times: a jitter, and 0.8 s without a frame after every 60 frames.
VFR = "-vf settb=1/90000,setpts='(N/25+0.012*mod(N\\,3)+0.8*floor(N/60))/TB' -fps_mode vfr -enc_time_base 1/90000"

RECORDINGS = {  # name: (extension, video options or None, audio options or None, more options)
    "mp4_h264_aac": ("mp4", f"{X264} -g 50 -bf 2", "-c:a aac", ""),
    "mp4_h264_pyramid": ("mp4", f"{X264} -g 100 -bf 4 -b-pyramid normal -refs 4", "-c:a aac", ""),
    "mp4_h264_open_gop": ("mp4", f"{X264} -g 25 -bf 3 -x264-params open-gop=1:scenecut=0:log=0", "-c:a aac", ""),
    "mkv_h264_open_gop": ("mkv", f"{X264} -g 25 -bf 3 -x264-params open-gop=1:scenecut=0:log=0", "-c:a libopus", ""),
    "mp4_h265_aac": ("mp4", f"{X265} -g 50 -bf 3 -tag:v hvc1", "-c:a aac", ""),
    "mkv_h265_opus": ("mkv", f"{X265} -g 50 -bf 2", "-c:a libopus", ""),
    "mkv_h265_open_gop": ("mkv", "-c:v libx265 -preset ultrafast -pix_fmt yuv420p -x265-params log-level=error:open-gop=1:keyint=25:min-keyint=25:bframes=3:scenecut=0", "-c:a libvorbis", ""),
    "mkv_h264_mp3": ("mkv", f"{X264} -g 50 -bf 2", "-c:a libmp3lame", ""),
    "mkv_h264_pcm": ("mkv", f"{X264} -g 50 -bf 2", "-c:a pcm_s16le", ""),
    "mp4_h264_mp3": ("mp4", f"{X264} -g 50 -bf 0", "-c:a libmp3lame", ""),
    "webm_vp8_vorbis": ("webm", VP8, "-c:a libvorbis", ""),
    "webm_vp9_opus": ("webm", VP9, "-c:a libopus", ""),
    "mkv_vp9_pcm": ("mkv", VP9, "-c:a pcm_s16le", ""),
    "ts_h264_aac": ("ts", f"{X264} -g 50 -bf 2", "-c:a aac", ""),
    "mkv_h265_fields": ("mkv", "-c:v libx265 -preset ultrafast -pix_fmt yuv420p -x265-params log-level=error:interlace=tff:keyint=50", "-c:a libopus", ""),
    "ts_h265_mp3": ("ts", f"{X265} -g 50 -bf 2", "-c:a libmp3lame", ""),
    "mp4_vfr": ("mp4", f"{X264} -g 50 -bf 2 {VFR}", "-c:a aac", ""),
    "mkv_vfr": ("mkv", f"{X264} -g 50 -bf 2 {VFR}", "-c:a libopus", ""),
    "mp4_rotated": ("mp4", f"{X264} -g 50 -bf 2", "-c:a aac", "rotated"),
    "mkv_starts_at_5s": ("mkv", f"{X264} -g 50 -bf 2", "-c:a libopus", "-output_ts_offset 5"),
    "mp4_starts_at_5s": ("mp4", f"{X264} -g 50 -bf 2", "-c:a aac", "-output_ts_offset 5"),
    "ts_starts_at_90s": ("ts", f"{X264} -g 50 -bf 2", "-c:a aac", "-output_ts_offset 90"),
    "mkv_av1_opus": ("mkv", AV1, "-c:a libopus", ""),
    "mp4_av1_aac": ("mp4", AV1, "-c:a aac", ""),
    "mp4_interlaced": ("mp4", f"{X264} -g 50 -bf 2 -flags +ilme+ildct -x264-params tff=1:log=0", "-c:a aac", ""),
    "ts_wraps": ("ts", f"{X264} -g 50 -bf 2", "-c:a aac", "-output_ts_offset 95438"),
    "mp4_edit_list": ("mp4", f"{X264} -g 50 -bf 2", "-c:a aac", "edit list"),
    "ts_no_first_keyframe": ("ts", f"{X264} -g 50 -bf 2", "-c:a aac", "no first keyframe"),
    "ts_resized": ("ts", f"{X264} -g 50 -bf 2", "-c:a aac", "resized"),
    "mp4_intra_only": ("mp4", f"{X264} -g 1", "-c:a aac", ""),
    "mp4_one_gop": ("mp4", f"{X264} -g 9999 -keyint_min 9999 -bf 2", "-c:a aac", ""),
    "mkv_two_tracks": ("mkv", f"{X264} -g 50 -bf 2", "-c:a libopus", "two tracks"),
    "mp4_no_audio": ("mp4", f"{X264} -g 50 -bf 2", None, ""),
    "mkv_silent": ("mkv", f"{X264} -g 50 -bf 2", "-c:a libopus", "silent"),
    # Other codecs, five seconds each: pictures that stand alone,
    "avi_mjpeg": ("avi", MJPEG, PCM, "-t 5"),
    "mov_mjpeg": ("mov", MJPEG, PCM, "-t 5"),
    "mkv_mjpeg": ("mkv", MJPEG, PCM, "-t 5"),
    "mov_prores": ("mov", "-c:v prores_ks -profile:v 0 -pix_fmt yuv422p10le", PCM, "-t 5"),
    "mov_cineform": ("mov", "-c:v cfhd -pix_fmt yuv422p10le", PCM, "-t 5"),
    "mov_dnxhd": ("mov", "-vf scale=1280:720 -c:v dnxhd -b:v 60M -pix_fmt yuv422p", PCM, "-t 2.6"),
    "avi_dv": ("avi", "-vf scale=720:576 -c:v dvvideo -pix_fmt yuv420p", PCM, "-t 5"),
    "avi_huffyuv": ("avi", "-c:v huffyuv -pix_fmt yuv422p", PCM, "-t 5"),
    "mkv_png": ("mkv", "-c:v png", PCM, "-t 5"),
    "avi_raw": ("avi", "-c:v rawvideo -pix_fmt bgr24", PCM, "-t 3"),
    "mkv_raw": ("mkv", "-c:v rawvideo -pix_fmt yuv420p", PCM, "-t 3"),
    # FFV1 whose keyframes are rare and whose keyframes are all,
    "mkv_ffv1_groups": ("mkv", "-c:v ffv1 -level 3 -g 25 -context 1 -pix_fmt yuv420p", PCM, "-t 5"),
    "avi_ffv1": ("avi", "-c:v ffv1 -level 3 -g 1 -pix_fmt yuv420p", PCM, "-t 5"),
    # groups of pictures,
    "mpg_mpeg1": ("mpg", MPEG.format(1), "-c:a mp2", "-t 5"),
    "mpg_mpeg2": ("mpg", MPEG.format(2), "-c:a mp2", "-t 5"),
    "mkv_mpeg2": ("mkv", MPEG.format(2), "-c:a mp2", "-t 5"),
    "mp4_mpeg4": ("mp4", "-c:v mpeg4 -b:v 1M -g 25 -bf 2", "-c:a aac", "-t 5"),
    "flv_flv1": ("flv", "-c:v flv -b:v 1M -g 25", "-c:a libmp3lame -ar 44100", "-t 5"),
    "wmv_wmv2": ("wmv", "-c:v wmv2 -b:v 1M -g 25", "-c:a wmav2", "-t 5"),
    "mkv_theora": ("mkv", "-c:v libtheora -b:v 1M -g 25", "-c:a libvorbis", "-t 5"),
    "avi_vp8": ("avi", VP8, PCM, "-t 5"),
    # of which the gate knows nothing,
    "mov_qtrle": ("mov", "-c:v qtrle -g 25", PCM, "-t 5"),
    "avi_zmbv": ("avi", "-c:v zmbv -pix_fmt bgr0 -g 25", PCM, "-t 5"),
    # and without presentation times: with and without pictures that are shown in another order, and what can't be put in order.
    "avi_h264": ("avi", f"{X264} -g 9999 -keyint_min 9999 -sc_threshold 0 -bf 0", PCM, "-t 5"),
    "avi_h264_b": ("avi", f"{X264} -g 25 -bf 2", PCM, "-t 5"),
    "avi_h264_pyramid": ("avi", f"{X264} -g 50 -bf 4 -b-pyramid normal -refs 4", PCM, "-t 5"),
    "avi_mpeg2_b": ("avi", MPEG.format(2), PCM, "-t 5"),
    "avi_mpeg4_b": ("avi", "-c:v mpeg4 -b:v 1M -g 25 -bf 2", PCM, "-t 5"),
    "h264_alone": ("h264", f"{X264} -g 25 -bf 2", None, "-t 5"),
    "m2v_alone": ("m2v", MPEG.format(2), None, "-t 5"),
    "avi_xvid_packed": ("avi", "-c:v libxvid -b:v 1M -g 25 -bf 2", PCM, "-t 5"),
    "h265_alone": ("h265", f"{X265} -g 25 -bf 2", None, "-t 5"),
    "avi_h265": ("avi", f"{X265} -g 25 -bf 2", PCM, "-t 5"),
    "avi_utvideo": ("avi", "-c:v utvideo -pix_fmt yuv420p", PCM, "-t 5"),
    "mp4_short_video": ("mp4", f"{X264} -g 50 -bf 2", "-c:a aac", "short video"),
    "mp4_short_first_track": ("mp4", f"{X264} -g 50 -bf 2", "-c:a aac", "short first track"),
    "mp4_two_edits": ("mp4", f"{X264} -g 50 -bf 2", "-c:a aac", "two edits"),
    "m4a_no_video": ("m4a", None, "-c:a aac", ""),
    "wav_no_video": ("wav", None, "-c:a pcm_s16le", ""),
}


def picture(number, rng):
    """[H, W, 3] u8: the picture's number in cells."""
    bits = [(number >> k) & 1 for k in range(12)]
    cells = np.full(64, 128.0)
    cells[:12] = [235 if b else 20 for b in bits]
    cells[12:24] = [20 if b else 235 for b in bits]
    cells[24:] = 90 + 60 * np.sin(np.arange(40) * .4 + number / 15)
    image = np.kron(cells.reshape(8, 8), np.ones((H // 8, W // 8)))
    image = image + rng.normal(0, 3, image.shape)
    return np.repeat(np.clip(image, 0, 255).astype("u1")[..., None], 3, 2)


def sound(clicks=CLICKS, silent=False):
    """[RATE * SECONDS] i16."""
    rng = np.random.default_rng(7)
    x = 0.001 * rng.standard_normal(RATE * SECONDS)
    for at in clicks:
        n = RATE // 10
        a = int(at * RATE)
        x[a:a + n] += .5 * rng.standard_normal(n) * np.exp(-np.arange(n) / RATE / .02)
    return (np.clip(x * (not silent), -1, 1) * 32767).astype("<i2")


def make(name, folder):
    """Writes the recording and returns its path."""
    extension, video, audio, more = RECORDINGS[name]
    folder = pathlib.Path(folder)
    path = folder / f"{name}.{extension}"
    command = ["ffmpeg", "-y", "-loglevel", "error"]
    maps = []
    if video is not None:
        command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{W}x{H}", "-r", str(FPS), "-i", "-"]
        maps += ["-map", "0:v"]
    if audio is not None:
        tracks = [sound(silent=more == "silent")] if more != "two tracks" else [sound(clicks=(1.0,)), sound()]
        for i, samples in enumerate(tracks):
            raw = folder / f"{name}.{i}.s16"
            raw.write_bytes(samples.tobytes())
            command += ["-f", "s16le", "-ar", str(RATE), "-ac", "1", "-i", str(raw)]
            maps += ["-map", f"{(video is not None) + i}:a"]
    command += maps + (video or "").replace("'", "").split() + (audio or "").split()
    if more.startswith("-"):
        command += more.split()
    run = subprocess.Popen(command + [str(path)], stdin=subprocess.PIPE)
    if video is not None:
        rng = np.random.default_rng(3)
        seconds = float(more.split()[1]) if more.startswith("-t ") else SECONDS
        for i in range(int(FPS * seconds)):
            run.stdin.write(picture(i, rng).tobytes())
    run.stdin.close()
    if run.wait():
        sys.exit(f"ffmpeg could not make {name}")
    for raw in folder.glob(f"{name}.*.s16"):
        raw.unlink()
    if more == "rotated":
        rotate(path)
    if more == "edit list":
        again(path, ["-ss", "1.3"], ["-c", "copy"])
    if more == "no first keyframe":
        without_start(path)
    if more == "short video":
        again(path, ["-t", "1.5"], ["-c", "copy", "-map", "0:v", "-map", "1:a"], ["-i"])
    if more == "short first track":
        again(path, ["-t", "4"], ["-c", "copy", "-map", "0:v", "-map", "1:v", "-map", "1:a"], ["-i"])
    if more == "two edits":
        edit(path, [(0, 3), (5, 8)])
    if more == "resized":
        resize(path, video.split())
    return path


def again(path, before, after, twice=()):
    """Sends a recording through ffmpeg once more; with `twice`, what stands before its name when it is read a second time."""
    old = path.with_name("old_" + path.name)
    path.rename(old)
    subprocess.run(["ffmpeg", "-y", "-loglevel", "error", *before, "-i", str(old), *(twice and [*twice, str(old)]), *after, str(path)], check=True)
    old.unlink()


def resize(path, video):
    """From 5 s on, pictures are 480 x 360."""
    parts = []
    for k, (trim, sound) in enumerate((("trim=end=5", ["-c:a", "copy"]), ("trim=start=5,scale=480:360", ["-an"]))):
        parts.append(path.with_name(f"part{k}_" + path.name))
        subprocess.run(["ffmpeg", "-y", "-loglevel", "error", "-copyts", "-i", str(path), *video, "-vf", trim, *sound, "-muxdelay", "0", "-muxpreload", "0", str(parts[k])], check=True)
    # The sound stays in the first part: it is over before the larger pictures begin to be read.
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    for part in parts:
        part.unlink()


def without_start(path):
    """Cuts a transport stream's first second of packets away, but for the tables."""
    data = path.read_bytes()
    packets = [data[at:at + 188] for at in range(0, len(data), 188)]
    tables = [p for p in packets if int.from_bytes(p[1:3], "big") & 0x1fff in (0, 0x11, 0x1000)][:3]
    path.write_bytes(b"".join(tables + packets[len(packets) // 10:]))


def edit(path, cuts):
    """Gives an MP4 file's pictures an edit list of stretches (in seconds). The box `moov` must stand last, where ffmpeg puts it."""
    data = path.read_bytes()

    def boxes(at, stop):
        while at + 8 <= stop:
            size = int.from_bytes(data[at:at + 4], "big")
            yield data[at + 4:at + 8], at, at + size
            at += size

    def find(names, at, stop):
        for name, start, end in boxes(at, stop):
            if name == names[0]:
                yield from [(start, end)] if len(names) == 1 else find(names[1:], start + 8, end)

    word = lambda at: int.from_bytes(data[at:at + 4], "big")
    movie = next(find([b"moov"], 0, len(data)))
    scale = word(next(find([b"mvhd"], movie[0] + 8, movie[1]))[0] + 20)
    for track in find([b"trak"], movie[0] + 8, movie[1]):
        inside = lambda *names: next(find(names, track[0] + 8, track[1]))
        if data[inside(b"mdia", b"hdlr")[0] + 16:][:4] != b"vide":
            continue
        ticks, old = word(inside(b"mdia", b"mdhd")[0] + 20), inside(b"edts")
        first = word(inside(b"edts", b"elst")[0] + 20)
        entries = [n.to_bytes(4, "big") for a, b in cuts for n in (int((b - a) * scale), int(a * ticks) + first, 1 << 16)]
        entries = len(cuts).to_bytes(4, "big") + b"".join(entries)
        box = lambda name, inner: (len(inner) + 8).to_bytes(4, "big") + name + inner
        new = box(b"edts", box(b"elst", bytes(4) + entries))
        out = bytearray(data[:old[0]] + new + data[old[1]:])
        header = inside(b"tkhd")[0]
        out[header + 28:header + 32] = int(sum(b - a for a, b in cuts) * scale).to_bytes(4, "big")
        for outer in (movie, track):
            out[outer[0]:outer[0] + 4] = (word(outer[0]) + len(new) - (old[1] - old[0])).to_bytes(4, "big")
        path.write_bytes(out)
        return


def rotate(path):
    """Writes "turn by 90 degrees clockwise to show" into the first track header of an MP4 file."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    matrix = [0, 1 << 16, 0, -(1 << 16), 0, 0, H << 16, 0, 1 << 30]
    data[at:at + 36] = b"".join(v.to_bytes(4, "big", signed=True) for v in matrix)
    path.write_bytes(data)


def write_model(folder, name, nodes, inputs, outputs, constants, manifest):
    """Writes NAME.onnx and NAME.yaml (with the file's SHA-256)."""
    import hashlib
    import onnx
    from onnx import helper, numpy_helper
    graph = helper.make_graph(nodes, name, inputs, outputs, [numpy_helper.from_array(v, k) for k, v in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    data = model.SerializeToString()
    folder = pathlib.Path(folder)
    (folder / f"{name}.onnx").write_bytes(data)
    (folder / f"{name}.yaml").write_text(manifest.replace("SHA256", hashlib.sha256(data).hexdigest()))
    return folder / f"{name}.yaml"


def encoder(folder):
    """An encoder of 192 features: the mean colour of each of 8 x 8 cells, channel by channel, as x / 255."""
    from onnx import TensorProto, helper
    return write_model(
        folder, "cells",
        [helper.make_node("AveragePool", ["picture"], ["pooled"], kernel_shape=[8, 8], strides=[8, 8]),
         helper.make_node("Flatten", ["pooled"], ["cells"], axis=1)],
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["n", 3, 64, 64])],
        [helper.make_tensor_value_info("cells", TensorProto.FLOAT, ["n", 192])], {},
        """schema: earmark-model/1
name: cells
kind: encoder
file: cells.onnx
sha256: SHA256
source: { package: none, version: "1", licence: MIT, sha256: none, note: made by a test }
input: { name: picture, layout: NCHW, dtype: f32, colour: RGB, mean: [0, 0, 0], std: [255, 255, 255], resize: bilinear, fit: squash }
output: { name: cells, dim: 192 }
tiers: { low: { px: 64, tokens: 49 }, base: { px: 64, tokens: 196 }, high: { px: 64, tokens: 784 } }
""")


def clips(folder):
    """Two encoders of clips: a convolution in 3-D gives the mean colour of each of 8 x 8 cells of every frame. `clips8` takes [n, 3, 8, 64, 64] and
    gives (channel, frame, cell); `clips16` takes 4 and 16 frames [n, t, 3, 64, 64] and gives those of the slow pathway, then the fast one's."""
    from onnx import TensorProto, helper
    kernel = np.full((3, 1, 1, 8, 8), 1 / 64, "f4")
    pool = lambda of, to: [helper.make_node("Conv", [of, "kernel"], [to + "_pooled"], kernel_shape=[1, 8, 8], strides=[1, 8, 8], group=3),
                           helper.make_node("Flatten", [to + "_pooled"], [to], axis=1)]
    swap = lambda of, to: [helper.make_node("Transpose", [of], [to], perm=[0, 2, 1, 3, 4])]
    tensor = lambda name, *shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape])
    about = """schema: earmark-model/1
name: NAME
kind: clip-encoder
file: NAME.onnx
sha256: SHA256
input: { INPUT, dtype: f32, colour: RGB, mean: [0, 0, 0], std: [255, 255, 255], resize: bilinear, fit: squash }
output: { name: cells, dim: DIM }
tiers: { low: { px: 64 }, base: { px: 64 }, high: { px: 64 } }
"""
    say = lambda name, takes, dim: about.replace("NAME", name).replace("INPUT", takes).replace("DIM", str(dim))
    write_model(folder, "clips8", pool("clip", "cells"), [tensor("clip", 3, 8, 64, 64)], [tensor("cells", 8 * 192)], {"kernel": kernel},
                say("clips8", "name: clip, frames: 8, every: { frames: 1 }, layout: NCTHW", 8 * 192))
    return write_model(
        folder, "clips16",
        [*swap("slow", "slow_c"), *swap("fast", "fast_c"), *pool("slow_c", "a"), *pool("fast_c", "b"), helper.make_node("Concat", ["a", "b"], ["cells"], axis=1)],
        [tensor("slow", 4, 3, 64, 64), tensor("fast", 16, 3, 64, 64)], [tensor("cells", 20 * 192)], {"kernel": kernel},
        say("clips16", "pathways: [{ name: slow, frames: 4 }, { name: fast, frames: 16 }], every: { frames: 2 }, layout: NTCHW", 20 * 192))


def tagger(folder):
    """A tagger of three classes: the sigmoid of the mean log-mel of the low, the middle and the high bands."""
    from onnx import TensorProto, helper
    weights = np.zeros((64, 3), "f4")
    weights[:21, 0] = weights[21:42, 1] = weights[42:, 2] = 1 / 21
    pathlib.Path(folder, "thirds.csv").write_text("index,mid,display_name\n0,/m/a,Low\n1,/m/b,Middle\n2,/m/c,High\n")
    return write_model(
        folder, "thirds",
        [helper.make_node("ReduceMean", ["log_mel"], ["bands"], axes=[1, 2], keepdims=0),
         helper.make_node("MatMul", ["bands", "weights"], ["logits"]),
         helper.make_node("Sigmoid", ["logits"], ["scores"])],
        [helper.make_tensor_value_info("log_mel", TensorProto.FLOAT, ["n", 1, 96, 64])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 3])], {"weights": weights},
        """schema: earmark-model/1
name: thirds
kind: tagger
file: thirds.onnx
sha256: SHA256
source: { package: none, version: "1", licence: MIT, sha256: none, note: made by a test }
input: { name: log_mel, layout: NCTF, dtype: f32, sample_rate: 16000, frames: 96, bands: 64, hop_frames: 48 }
output: { name: scores, dim: 3 }
classes: thirds.csv
speech_classes: [1]
""")


def main():
    if sys.argv[1:] == ["list"]:
        print("\n".join(RECORDINGS))
    elif len(sys.argv) == 3 and sys.argv[1] in RECORDINGS:
        print(make(sys.argv[1], sys.argv[2]))
    elif len(sys.argv) == 3 and sys.argv[1] in ("encoder", "clips", "tagger"):
        print(globals()[sys.argv[1]](sys.argv[2]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
