#!/usr/bin/env python3
"""What clips cost: decoding, memory, a whole grid. Prints figures, asserts nothing.

    bench_clips.py [SECONDS [GRID_SECONDS]]      default: 120 10; 600 10 takes a quarter of an hour

Makes a recording of 1080p50 with a keyframe every 25 frames (and one of 250), H.264, no B frames, and takes a clip of 32 frames every 10 s by a
plan. CPU seconds (user and system, of a process and its children), with and without the decoder, so that the difference is decoding:

    clips      qtdemux ! h264parse ! anchorgate plan=... ! avdec_h264 ! framepick ! fakesink
    needed     the compressed frames that those need (from the keyframe to a clip's last frame), in a file of their own, decoded by the same decoder
    all        every frame, decoded by the same decoder

Then a randomly initialised R(2+1)D-18 (torchvision's shape: 16 frames of 112 x 112, 512 numbers, 31 million weights): peak memory of `earmark run` with
that plan, and of GRID_SECONDS of a whole grid (16 frames, every 16) the CPU seconds against those of decoding all and encoding as many clips with
onnxruntime. One thread decodes and one encodes, so that seconds of wall time don't count. Recordings are kept in target/bench. Needs ffmpeg, gst-launch-1.0, and
numpy, onnx and onnxruntime in $EARMARK_PYTHON.
"""
import hashlib, json, os, pathlib, subprocess, sys, time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
OUT = TARGET / "bench"
EARMARK = pathlib.Path(os.environ.get("EARMARK_BIN", TARGET / "release/earmark"))
FPS, EVERY_S, FRAMES = 50, 10, 32
os.environ.setdefault("EARMARK_MODELS", str(ROOT / "models"))
os.environ["GST_PLUGIN_PATH"] = str(TARGET / "release")
os.environ["GST_REGISTRY"] = str(OUT / "registry.bin")


def call(*args, **more):
    return subprocess.run(list(map(str, args)), check=True, **more)


def ffmpeg(*args):
    call("ffmpeg", "-y", "-loglevel", "error", "-nostdin", *args)


def measure(*command):
    """(CPU s, peak MiB, wall s) of one process and its children."""
    begun = time.monotonic()
    with open(OUT / "said", "w+b") as said:
        process = subprocess.Popen(list(map(str, command)), stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        if os.waitstatus_to_exitcode(status):
            said.seek(0)
            sys.exit(f"{command[0]} failed: {said.read().decode(errors='replace')[-2000:]}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, time.monotonic() - begun


def recording(seconds, gop):
    """target/bench/clips_GOP_SECONDS.mp4, made once: a minute of moving noise under a test pattern, again and again; silence with a burst every ten seconds."""
    path = OUT / f"clips_{gop}_{seconds}.mp4"
    if not path.exists():
        minute, partial = OUT / f"minute_{gop}.partial.mp4", path.with_suffix(".partial.mp4")
        ffmpeg("-f", "lavfi", "-i", f"testsrc2=s=1920x1080:r={FPS}", "-vf", "noise=alls=8:allf=t", "-t", min(seconds, 60), "-c:v", "libx264", "-preset", "ultrafast",
               "-tune", "fastdecode", "-g", gop, "-keyint_min", gop, "-sc_threshold", 0, "-bf", 0, "-b:v", "12M", "-pix_fmt", "yuv420p", minute)
        ffmpeg("-stream_loop", (seconds - 1) // 60, "-i", minute, "-f", "lavfi", "-i", f"aevalsrc='0.4*random(0)*lt(mod(t\\,{EVERY_S})\\,0.2)':s=16000",
               "-map", "0:v", "-map", "1:a", "-t", seconds, "-c:v", "copy", "-c:a", "aac", partial)
        minute.unlink()
        partial.rename(path)
    return path


def starts(seconds):
    """The number of each clip's first frame: three quarters of a second after every five, in the middle of a group."""
    return [s * FPS + 37 for s in range(EVERY_S // 2, seconds - 2, EVERY_S)]


def plan(seconds, tokens, frames):
    """A plan of those clips."""
    ns = lambda k: k * 1_000_000_000 // FPS
    path = OUT / f"clips_{seconds}_{frames}.jsonl"
    rows = [{"kind": "clip", "planned_ns": ns(s + frames // 2), "tier": "base", "tokens": tokens, "reason": "uniform", "start_ns": ns(s), "stop_ns": ns(s + frames),
             "frames_ns": [ns(s + k) for k in range(frames)]} for s in starts(seconds)]
    spent = tokens * len(rows)
    head = {"kind": "plan", "schema": "earmark-plan/2", "video_id": "clips", "duration_ns": ns(seconds * FPS), "budget_tokens": spent, "spent_tokens": spent, "config": {}}
    path.write_text("\n".join(map(json.dumps, [head, *rows])) + "\n")
    return path


def needed(path, seconds, gop):
    """A raw stream of the frames that the clips need, and how many those are."""
    out = OUT / f"clips_needed_{gop}_{seconds}.h264"
    data, count = b"", 0
    for first in starts(seconds):
        key = first // gop * gop
        n = first + FRAMES - key
        part = OUT / "part.h264"
        # From just before the keyframe, so that rounding does not lose it.
        ffmpeg("-ss", max(0, key / FPS - 0.001), "-i", path, "-map", "0:v", "-frames:v", n, "-c", "copy", "-bsf:v", "h264_mp4toannexb", "-f", "h264", part)
        data, count = data + part.read_bytes(), count + n
    out.write_bytes(data)
    return out, count


DECODER = ["avdec_h264", "max-threads=1"]


def decoding(seconds, gop):
    path = recording(seconds, gop)
    read = ["gst-launch-1.0", "-q", "filesrc", f"location={path}", "!", "qtdemux", "!", "h264parse"]
    raw, count = needed(path, seconds, gop)
    prices = [f"price-{tier}=1" for tier in ("low", "base", "high")]
    gate = ["!", "anchorgate", f"plan={plan(seconds, 1, FRAMES)}", *prices]
    alone = ["gst-launch-1.0", "-q", "filesrc", f"location={raw}", "!", "h264parse"]
    graphs = {"clips": ([*read, *gate], ["!", "framepick"]), "needed": (alone, []), "all": (read, [])}
    cpu = lambda before, decoder, after: measure(*before, *decoder, *after, "!", "fakesink")[0]
    whole = {name: cpu(before, ["!", *DECODER], after) for name, (before, after) in graphs.items()}
    decode = {name: whole[name] - cpu(before, [], []) for name, (before, _) in graphs.items()}
    listed = lambda found: ", ".join(f"{name} {s:.2f}" for name, s in found.items())
    ratio = lambda found: f"{found['clips'] / found['needed']:.2f} x the needed, {found['all'] / found['clips']:.1f} x less than all"
    print(f"GOP {gop}, {seconds} s: {len(starts(seconds))} clips of {FRAMES} frames need {count} of {seconds * FPS} frames. CPU s of decoding: {listed(decode)}: {ratio(decode)}; "
          f"with start and reading: {listed(whole)}: {ratio(whole)}", flush=True)


def r2plus1d():
    """target/bench/r2plus1d.onnx and its manifest: torchvision's R(2+1)D-18 without its last layer, random weights, norms folded in."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    rng, nodes, weights = np.random.default_rng(0), [], []

    def conv(x, i, o, kernel, stride, pad, relu=True):
        name = f"c{len(weights)}"
        scale = (2 / (i * np.prod(kernel))) ** .5
        weights.append(numpy_helper.from_array((scale * rng.standard_normal((o, i, *kernel))).astype("f4"), name))
        nodes.append(helper.make_node("Conv", [x, name], [name + "_y"], kernel_shape=kernel, strides=stride, pads=pad * 2))
        if relu:
            nodes.append(helper.make_node("Relu", [name + "_y"], [name + "_r"]))
        return name + ("_r" if relu else "_y")

    def factored(x, i, o, middle, stride, relu):
        x = conv(x, i, middle, [1, 3, 3], [1, stride, stride], [0, 1, 1])
        return conv(x, middle, o, [3, 1, 1], [stride, 1, 1], [1, 0, 0], relu)

    x = conv("clip", 3, 45, [1, 7, 7], [1, 2, 2], [0, 3, 3])
    x = conv(x, 45, 64, [3, 1, 1], [1, 1, 1], [1, 0, 0])
    i = 64
    for o, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for step in (stride, 1):
            middle = i * o * 27 // (i * 9 + 3 * o)
            y = factored(factored(x, i, o, middle, step, True), o, o, middle, 1, False)
            beside = x if i == o and step == 1 else conv(x, i, o, [1, 1, 1], [step] * 3, [0, 0, 0], False)
            name = f"s{len(nodes)}"
            nodes += [helper.make_node("Add", [y, beside], [name]), helper.make_node("Relu", [name], [name + "_r"])]
            x, i = name + "_r", o
    nodes += [helper.make_node("GlobalAveragePool", [x], ["pooled"]), helper.make_node("Flatten", ["pooled"], ["features"], axis=1)]
    tensor = lambda name, *shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape])
    graph = helper.make_graph(nodes, "r2plus1d", [tensor("clip", 3, 16, 112, 112)], [tensor("features", 512)], weights)
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    path = OUT / "r2plus1d.onnx"
    path.write_bytes(data)
    path.with_suffix(".yaml").write_text(f"""schema: earmark-model/1
name: r2plus1d
kind: clip-encoder
file: r2plus1d.onnx
sha256: "{hashlib.sha256(data).hexdigest()}"
input: {{ name: clip, frames: 16, every: {{ frames: 1 }}, layout: NCTHW, dtype: f32, mean: [110.2, 100.6, 96.0], std: [58.1, 56.5, 55.3], resize: bilinear, fit: crop }}
output: {{ name: features, dim: 512 }}
tiers: {{ low: {{ px: 112 }}, base: {{ px: 112 }}, high: {{ px: 112 }} }}
""")
    print(f"R(2+1)D-18: {sum(int(np.prod(w.dims)) for w in weights) / 1e6:.1f} million weights", flush=True)


def encode(model, clips):
    """In a process of its own: so many clips, one by one."""
    import numpy as np
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    clip = np.zeros((1, 3, 16, 112, 112), "f4")
    for _ in range(clips):
        session.run(None, {"clip": clip})


def pipeline(model):
    """slowfast.yaml, not heard, one thread each."""
    path = OUT / "clips.yaml"
    text = (ROOT / "pipelines/slowfast.yaml").read_text().replace("${model}", str(model.with_suffix(".yaml")))
    path.write_text("\n".join(line for line in text.splitlines() if "eventness" not in line and "probe:" not in line and "tagger:" not in line and not line.startswith("ears:")))
    return path


def main():
    if sys.argv[1:2] == ["encode"]:
        return encode(sys.argv[2], int(sys.argv[3]))
    if sys.argv[1:2] == ["model"]:
        return r2plus1d()
    seconds, grid_s = (int(x) for x in [*sys.argv[1:], *("120", "10")[len(sys.argv) - 1:]])
    OUT.mkdir(parents=True, exist_ok=True)
    python = os.environ.get("EARMARK_PYTHON", sys.executable)
    for gop in (25, 250):
        decoding(seconds, gop)
    # In a process of its own: a child counts the memory of the process that it was forked from.
    call(python, __file__, "model")
    model = OUT / "r2plus1d.onnx"
    output = OUT / "clips.h5"
    run = [EARMARK, "run", pipeline(model), "--threads", 1, "--overwrite", "--output", output, "--input"]
    tokens = 16 // 2 * 7 * 7
    cpu, peak, wall = measure(*run, recording(seconds, 25), "--plan", plan(seconds, tokens, 16))
    print(f"R(2+1)D-18, {len(starts(seconds))} clips of 16 frames: CPU {cpu:.1f} s, {wall:.1f} s of wall time, peak memory {peak:.0f} MiB", flush=True)
    path = recording(grid_s, 25)
    cpu, peak, wall = measure(*run, path, "--set", "budget.clip_end=video_features")
    clips = (grid_s * FPS - 16) // 16 + 1
    everything = measure("gst-launch-1.0", "-q", "filesrc", f"location={path}", "!", "qtdemux", "!", "h264parse", "!", *DECODER, "!", "fakesink")[0]
    one, more = (measure(python, __file__, "encode", model, n)[0] for n in (1, 1 + clips))
    parts = everything + more - one
    print(f"a grid over everything, {grid_s} s, {clips} clips: CPU {cpu:.1f} s; decoding all {everything:.1f} + encoding {more - one:.1f} = {parts:.1f} s: {cpu / parts:.3f} x; "
          f"peak memory {peak:.0f} MiB", flush=True)


main()
