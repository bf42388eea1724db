#!/usr/bin/env python3
"""What others would do for the same tokens, and the parts of the floor; bench.py runs and measures each as a process of its own.

    bench_peers.py fps1   MODEL RECORDING           ffmpeg fps=1 at 224 px, piped to onnxruntime
    bench_peers.py after  MODEL RECORDING PLAN      decodes every frame, keeps the plan's
    bench_peers.py seek   MODEL RECORDING PLAN      seeks to every frame of the plan
    bench_peers.py needed MODEL RECORDING PLAN      decodes the compressed frames that the plan's frames need, and nothing else
    bench_peers.py count  -     RECORDING PLAN      counts the same, and decodes nothing
    bench_peers.py encode MODEL RECORDING PLAN      scales and encodes as many frames of each size as the plan has

Prints what it did as one line of JSON.
"""
import bisect, json, os, subprocess, sys

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import av
import numpy as np
import onnxruntime

PX = {"low": 112, "base": 224, "high": 448}
BATCH = 16


class Encoder:
    """Frames of one size, sixteen at once; onnxruntime with two threads that don't spin."""

    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.waiting, self.done = {}, 0

    def put(self, rgb):
        """rgb: [px, px, 3] u8."""
        batch = self.waiting.setdefault(rgb.shape[0], [])
        batch.append(rgb)
        # As many numbers at 448 px as sixteen frames of 112 px have.
        if len(batch) >= max(1, BATCH * 112 ** 2 // rgb.shape[0] ** 2):
            self.run(batch)

    def run(self, batch):
        numbers = (np.stack(batch).astype("f4") - 127) / 128
        self.session.run(["embedding"], {"image": np.ascontiguousarray(numbers.transpose(0, 3, 1, 2))})
        self.done += len(batch)
        batch.clear()

    def finish(self):
        for batch in self.waiting.values():
            if batch:
                self.run(batch)
        return self.done


def planned_frames(path):
    """[(seconds, px)] of a plan."""
    lines = [json.loads(line) for line in open(path)]
    return [(x["planned_ns"] / 1e9, PX[x["tier"]]) for x in lines if x["kind"] == "frame"]


def opened(path):
    container = av.open(path)
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    return container, stream


def small(frame, px):
    return frame.to_ndarray(format="rgb24", width=px, height=px, interpolation="BICUBIC")


def fps1(model, recording):
    encoder = Encoder(model)
    pipe = subprocess.Popen(["ffmpeg", "-v", "error", "-i", recording, "-an", "-vf", "fps=1,scale=224:224:flags=bicubic", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"], stdout=subprocess.PIPE)
    while len(data := pipe.stdout.read(224 * 224 * 3)) == 224 * 224 * 3:
        encoder.put(np.frombuffer(data, "u1").reshape(224, 224, 3))
    pipe.wait()
    return {"frames": encoder.finish()}


def after(model, recording, plan):
    encoder, wanted, decoded = Encoder(model), planned_frames(plan), 0
    container, stream = opened(recording)
    at, half = 0, .5 / float(stream.average_rate)
    for frame in container.decode(stream):
        decoded += 1
        while at < len(wanted) and frame.time >= wanted[at][0] - half:
            encoder.put(small(frame, wanted[at][1]))
            at += 1
    return {"decoded": decoded, "frames": encoder.finish()}


def seek(model, recording, plan):
    encoder, decoded = Encoder(model), 0
    container, stream = opened(recording)
    # Threads over frames only cost time where one frame is wanted.
    stream.thread_type = "SLICE"
    half = .5 / float(stream.average_rate)
    for at, px in planned_frames(plan):
        container.seek(int((at + half) / stream.time_base), stream=stream)
        for frame in container.decode(stream):
            decoded += 1
            if frame.time >= at - half:
                encoder.put(small(frame, px))
                break
    return {"decoded": decoded, "frames": encoder.finish()}


def spare(packet):
    """Whether no other frame refers to this one: nal_ref_idc of its first slice (H.264 with NAL units behind lengths of four bytes), else what the container says."""
    data, at = memoryview(packet), 0
    while packet.stream.codec_context.name == "h264" and at + 4 < len(data):
        if data[at + 4] & 31 in (1, 5):
            return not data[at + 4] & 96
        at += 4 + int.from_bytes(data[at:at + 4], "big")
    return packet.is_disposable


def sent(recording, plan):
    """Which of a recording's compressed frames the plan's frames need, counted from 0 in the order of decoding."""
    container, stream = opened(recording)
    packets = [(float(p.pts * p.time_base), p.is_keyframe, spare(p)) for p in container.demux(stream) if p.pts is not None]
    starts = [k for k, p in enumerate(packets) if p[1]]
    keys = [packets[k][0] for k in starts]
    half = .5 / float(stream.average_rate)
    wanted = {}
    for at, _ in planned_frames(plan):
        group = max(0, bisect.bisect_right(keys, at + half) - 1)
        end = starts[group + 1] if group + 1 < len(starts) else len(packets)
        nearest = min(range(starts[group], end), key=lambda k: abs(packets[k][0] - at))
        wanted.setdefault(group, set()).add(nearest)
    send = set()
    for group, those in wanted.items():
        send |= {k for k in range(starts[group], max(those) + 1) if not packets[k][2] or k in those}
    return send


def count(_model, recording, plan):
    return {"needed": len(sent(recording, plan))}


def needed(_model, recording, plan):
    send = sent(recording, plan)
    container, stream = opened(recording)
    decoded = 0
    for k, packet in enumerate(p for p in container.demux(stream) if p.pts is not None):
        if k in send:
            decoded += len(packet.decode())
    decoded += len(stream.decode(None))
    return {"needed": len(send), "decoded": decoded}


def encode(model, recording, plan):
    encoder = Encoder(model)
    container, stream = opened(recording)
    frame = next(container.decode(stream))
    for _, px in planned_frames(plan):
        encoder.put(small(frame, px))
    return {"frames": encoder.finish()}


if __name__ == "__main__":
    what = {f.__name__: f for f in (fps1, after, seek, needed, count, encode)}
    if len(sys.argv) < 4 or sys.argv[1] not in what:
        sys.exit(__doc__)
    print(json.dumps(what[sys.argv[1]](*sys.argv[2:])))
