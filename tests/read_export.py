#!/usr/bin/env python3
"""Reads what `earmark export` wrote as its consumers do, and holds it against the feature files it was made of.

    read_export.py FORMAT OUTPUT [--fill nearest|zero] FILE.h5...

FORMAT is actionformer, pt, npy, safetensors, hdf5, parquet or quality. Prints what it compared; any failure ends it with a message and status 1.
Needs numpy and h5py; for parquet pyarrow, without which it says `skipped` (the file is then read back in Rust only).
"""
import csv, json, pathlib, pickle, struct, sys, zipfile
import h5py
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "python/src"))
import earmark

# The layout as safetensors documents it: little-endian, by these names.
DTYPES = {"F32": "<f4", "I64": "<i8", "I32": "<i4", "U8": "u1"}


def need(condition, message):
    if not condition:
        sys.exit(f"read_export: {message}")


def same(a, b, what):
    a, b = np.asarray(a), np.asarray(b)
    need(a.shape == b.shape and np.array_equal(a, b), f"{what} differs: {a.shape} and {b.shape}")


def raw(recording):
    """The file itself."""
    return h5py.File(recording.path, locking=False)


# Shares of the sound, of the frames and of the product of both, by scene: the built-in ones.
WEIGHTS = {"speech": (.17, .17, .66), "music": (.35, .13, .52), "action": (.13, .35, .52), "ambience": (.25, .25, .5)}


def scores(f):
    """Quality of the sound, of the frame and of both at every frame, [N, 3], from the file's own columns."""
    f = raw(f)
    pts, cues = f["frames/pts_ns"][:], f["cues/pts_ns"][:]
    nothing = np.full(len(pts), np.nan)
    frame = f["frames/quality/score"][:].astype("f8") if "quality" in f["frames"] else nothing
    cue = np.searchsorted(cues, pts, "right") - 1
    near = (cue >= 0) & (pts - cues[np.maximum(cue, 0)] < 160_000_000)
    sound = np.where(near, f["cues/quality/score"][:].astype("f8")[np.maximum(cue, 0)], np.nan) if "quality" in f["cues"] else nothing
    both, labels = nothing.copy(), [label.decode() for label in f["anchors/label"][:]]
    for stretch in np.unique(pts // 10_000_000_000):
        rows = pts // 10_000_000_000 == stretch
        heard = cues // 10_000_000_000 == stretch
        speech = f["cues/speech"][:][heard].mean() if heard.any() else 0
        anchors = [labels[a] for a in f["frames/anchor"][:][rows] if a >= 0]
        music = any("Music" in label or "usical" in label for label in anchors)
        w = WEIGHTS["speech" if speech >= .3 else "music" if music else "action" if anchors else "ambience"]
        both[rows] = w[0] * sound[rows] + w[1] * frame[rows] + w[2] * sound[rows] * frame[rows]
    return np.stack([sound, frame, both], 1)


def near(a, b, what):
    """Equal but for the precision of what is stored; NaN equals NaN."""
    need(np.shape(a) == np.shape(b) and np.allclose(a, b, atol=3e-3, equal_nan=True), f"{what} differs: {a} and {b}")


def section(out):
    """`dataset.yaml`, as far as such a file goes: a name, and pairs below `dataset`."""
    lines = [line for line in (out / "dataset.yaml").read_text().splitlines() if not line.startswith("#")]
    need(lines[0].startswith("dataset_name: ") and lines[1] == "dataset:", f"{lines[:2]}")
    pairs = dict(line.strip().split(": ", 1) for line in lines[2:])
    simple = {"~": None, "true": True, "false": False}
    value = lambda text: simple[text] if text in simple else int(text) if text.isdigit() else json.loads(text) if text[0] == '"' else text
    return lines[0].split(": ")[1], {name: value(text) for name, text in pairs.items()}


def loaded(out, id):
    """Features [T, C], stride and offset of the grid in frames, as the loader of that name in ActionFormer's libs/datasets makes them."""
    name, s = section(out)
    path = pathlib.Path(s["feat_folder"]) / f"{s['file_prefix'] or ''}{id}{s['file_ext']}"
    data = np.load(path)
    if name == "epic":
        feats = data["feats"].astype(np.float32)
    else:
        feats = data.astype(np.float32)
    feats, stride = feats[::s["downsample_rate"], :], s["feat_stride"] * s["downsample_rate"]
    need(feats.shape[1] == s["input_dim"], f"{id}: input_dim is {s['input_dim']}")
    if name == "anet":
        need(s["feat_stride"] > 0 and not s["force_upsampling"], f"{id}: {s}")
        grid = lambda t: (t * s["default_fps"] - 0.5 * s["num_frames"]) / stride
    else:
        grid = lambda t: t * s["default_fps"] / stride - 0.5 * s["num_frames"] / stride
    return name, feats, grid


def actionformer(out, sources, fill):
    for id, f in sources.items():
        name, feats, grid = loaded(out, id)
        even = f.grid(section(out)[1]["feat_stride"] / 1e3, fill=fill)
        same(feats, even.features, f"{id}: the package's grid")
        np.testing.assert_allclose([grid(t) for t in even.times], np.arange(len(feats)), atol=1e-6)
        print(f"  {id}: {len(feats)} cells, as the loader `{name}` reads them")
    if name == "epic":
        epic(out, sources, fill)


def epic(out, sources, fill):
    """As libs/datasets/epic_kitchens.py of ActionFormer reads it: `feats` [T, C], cell k at (k * stride + frames / 2) / fps seconds."""
    for id, f in sources.items():
        with np.load(out / f"{id}.npz") as data:
            feats = data["feats"].astype(np.float32)
            stride, frames, fps = (int(data[k]) for k in ("feat_stride", "num_frames", "default_fps"))
            valid, row, times, shown = data["valid"], data["row"], data["times_s"], data["pts_s"]
            quality = np.where((row >= 0)[:, None], scores(f)[row], np.nan)
            near(data["quality"], quality, f"{id}: quality")
        pts = f.times
        position = lambda t: (t * fps - .5 * frames) / stride
        need(feats.dtype == np.float32 and feats.shape == (len(times), f.features.shape[1]), f"{id}: feats is {feats.shape}")
        need((len(times) - 1) * stride / fps < max(f.duration, pts[-1] + 1e-9) <= len(times) * stride / fps, f"{id}: the grid ends elsewhere")
        np.testing.assert_allclose(position(times), np.arange(len(times)), atol=1e-6)
        cells = np.clip(np.floor(pts * fps / stride).astype(int), 0, None)
        # An event at a picture's time lies in that picture's cell.
        need((np.abs(position(pts) - cells) <= .5 + 1e-6).all(), f"{id}: times go astray")
        same(np.flatnonzero(valid), np.unique(cells), f"{id}: valid")
        x, tokens = f.features[:].astype("f4"), f.tokens
        for k in range(len(times)):
            if valid[k]:
                here = np.flatnonzero(cells == k)
                need(row[k] in here and tokens[row[k]] == tokens[here].max(), f"{id}: cell {k} holds row {row[k]}")
            elif fill == "zero":
                need(row[k] == -1 and np.isnan(shown[k]) and not feats[k].any(), f"{id}: cell {k} is not zero")
                continue
            else:
                far = np.abs(pts - times[k])
                need(far[row[k]] <= far.min() + 1e-9, f"{id}: cell {k} does not hold the nearest picture")
            same(feats[k], x[row[k]], f"{id}: cell {k}")
            need(shown[k] == pts[row[k]], f"{id}: pts_s of cell {k}")
        even = f.grid(stride / fps, fill=fill)
        same(feats, even.features, f"{id}: the package's grid")
        same(row, even.row, f"{id}: rows of the package's grid")
        print(f"  {id}: {len(times)} cells of {stride / fps} s, {valid.sum()} with a picture")


def npy(out, sources, _):
    for id, f in sources.items():
        x, t = np.load(out / f"{id}.npy"), np.load(out / f"{id}.times.npy")
        need(x.dtype == np.float32 and t.dtype == np.float64, f"{id}: {x.dtype}, {t.dtype}")
        same(x, f.features[:].astype("f4"), f"{id}: features")
        same(t, f.times, f"{id}: times")
        near(np.load(out / f"{id}.quality.npy"), scores(f), f"{id}: quality")
        if len(f.clips):
            at = f.clips["frame_pts_ns"]
            np.testing.assert_array_equal(np.load(out / f"{id}.frames.npy"), np.where(at < 0, np.nan, at / 1e9))
        need((out / f"{id}.frames.npy").exists() == (len(f.clips) > 0), f"{id}: frames of clips")
        print(f"  {id}: {x.shape}")


class Tensors(pickle.Unpickler):
    """What `torch.load` makes of a pickle, without torch: an array of the storages of the archive."""

    def __init__(self, archive, folder):
        super().__init__(archive.open(folder + "data.pkl"))
        self.storage = lambda key: archive.read(f"{folder}data/{key}")

    def find_class(self, module, name):
        rebuild = lambda storage, offset, shape, strides, *_: np.lib.stride_tricks.as_strided(storage[offset:], shape, [4 * s for s in strides])
        return {("torch._utils", "_rebuild_tensor_v2"): rebuild, ("torch", "FloatStorage"): "FloatStorage", ("collections", "OrderedDict"): dict}[module, name]

    def persistent_load(self, said):
        kind, of, key, where, count = said
        need((kind, of, where) == ("storage", "FloatStorage", "cpu"), f"{said}")
        storage = np.frombuffer(self.storage(key), "<f4")
        need(len(storage) == count, f"the storage has {len(storage)} numbers, {count} are promised")
        return storage


def tensor(path):
    """A tensor's file, read without torch, and by torch where there is one."""
    with zipfile.ZipFile(path) as archive:
        need(archive.read("archive/version") == b"3\n" and archive.read("archive/byteorder") == b"little", f"{path.name}: another format")
        need(all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist()), f"{path.name}: compressed")
        x = Tensors(archive, "archive/").load()
    try:
        import torch
        loaded = torch.load(path, weights_only=True)
        need(loaded.dtype == torch.float32 and loaded.is_contiguous(), f"{path.name}: {loaded.dtype}")
        need(np.array_equal(loaded.numpy(), x, equal_nan=True), f"{path.name}: torch loads something else")
        print("  as torch loads it:")
    except ImportError:
        print("  skipped: no torch here; the pickle is read without it")
    return x


def pt(out, sources, fill):
    for id, f in sources.items():
        x, quality = (tensor(out / f"{id}{ending}") for ending in (".pt", ".quality.pt"))
        even = f.grid(.5, fill=fill)
        same(x, f.features[:].astype("f4") if len(f.clips) else even.features, f"{id}: features")
        row = np.arange(len(x)) if len(f.clips) else even.row
        near(quality, np.where((row >= 0)[:, None], scores(f)[row], np.nan), f"{id}: quality")
        print(f"  {id}: {x.shape}")


def safetensors(out, sources, _):
    for id, f in sources.items():
        data = (out / f"{id}.safetensors").read_bytes()
        size = struct.unpack("<Q", data[:8])[0]
        header, body = json.loads(data[8:8 + size]), data[8 + size:]
        about = header.pop("__metadata__")
        need(all(isinstance(v, str) for v in about.values()), f"{id}: metadata that is not text")
        need(about["video_id"] == id, f"{id}: {about}")
        frames = raw(f)["frames"]
        for codes, column in (("tiers", "tier"), ("reasons", "reason")):
            names = h5py.check_enum_dtype(frames[column].dtype)
            need(about[codes].split(",") == sorted(names, key=names.get), f"{id}: {about}")
        end = 0
        for name, info in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            start, stop = info["data_offsets"]
            dtype = np.dtype(DTYPES[info["dtype"]])
            need(start == end, f"{id}: {name} leaves a hole")
            need((8 + size + start) % dtype.itemsize == 0, f"{id}: {name} is not aligned")
            have = np.frombuffer(body[start:stop], dtype).reshape(info["shape"])
            if name.startswith("quality."):
                near(have, scores(f)[:, ["sound", "frame", "both"].index(name[8:])], f"{id}: {name}")
                end = stop
                continue
            column = raw(f)[name.replace(".", "/")] if "." in name else frames[name]
            same(have, column[:].astype(dtype), f"{id}: {name}")
            end = stop
        need(end == len(body), f"{id}: {len(body) - end} bytes too many")
        anchors = {f"anchors.{name}" for name in ("onset_ns", "start_ns", "stop_ns", "score")}
        anchors |= {f"quality.{name}" for name in ("sound", "frame", "both")}
        clips = {f"clips.{name}" for name in ("start_ns", "stop_ns", "frame_pts_ns") if len(f.clips)}
        need(set(header) == {"features", "pts_ns", "planned_ns", "asked_ns", "tokens", "tier", "reason", "anchor"} | anchors | clips, f"{id}: {sorted(header)}")
        need(json.loads(about["anchor_labels"]) == list(f.anchors.label), f"{id}: labels of anchors")
        print(f"  {id}: {len(header)} tensors")


def columns(table):
    """Datasets of a table, and of groups inside it."""
    found = {}
    table.visititems(lambda name, item: found.update({name: item} if isinstance(item, h5py.Dataset) else {}))
    return found


def hdf5(out, sources, _):
    with h5py.File(out) as merged:
        need(bool(merged.attrs["complete"]) and merged.attrs["schema"] == b"earmark-merged/2", f"{dict(merged.attrs)}")
        need(set(merged) == set(sources), f"groups {sorted(merged)}")
        for id, f in sources.items():
            f, group, count = raw(f), merged[id], 0
            need(set(group.attrs) == set(f.attrs), f"{id}: attributes differ")
            for name, value in f.attrs.items():
                need(group.attrs[name] == value and type(group.attrs[name]) is type(value), f"{id}: attribute {name}")
            for table in f:
                need(set(group[table]) == set(f[table]), f"{id}: /{table} has other columns")
                for name, d in columns(f[table]).items():
                    have = group[table][name]
                    need(have.dtype == d.dtype and have.chunks == d.chunks and have.compression == d.compression, f"{id}: {have.name} is stored in another way")
                    need(h5py.check_enum_dtype(have.dtype) == h5py.check_enum_dtype(d.dtype), f"{id}: {have.name} has other names")
                    need(dict(have.attrs) == dict(d.attrs), f"{id}: {have.name} has other units or axes")
                    a, b = have[:], d[:]
                    need(a.shape == b.shape and (a.tobytes() == b.tobytes() if a.dtype != object else all(np.array_equal(x, y) for x, y in zip(a, b))), f"{id}: {have.name} differs")
                    count += 1
            print(f"  {id}: {count} datasets")


def quality(out, sources, _):
    if out.suffix == ".json":
        rows = json.loads(out.read_text())["stretches"]
    else:
        rows = list(csv.DictReader(out.open()))
    for id, f in sources.items():
        own = [row for row in rows if row["recording"] == id]
        if not own:
            need(np.isnan(scores(f)).all(), f"{id}: is missing")
            continue
        start = np.array([float(row["start_s"]) for row in own])
        value = lambda name: np.array([np.nan if row[name] in (None, "") else float(row[name]) for row in own])
        need((start % 10 == 0).all() and (np.diff(start) > 0).all(), f"{id}: {start}")
        need(all(0 < float(row["stop_s"]) - float(row["start_s"]) <= 10 for row in own), f"{id}: {own}")
        mean = scores(f)[:, 1]
        stretch = (f.times // 10 * 10).astype(int)
        frames = np.array([mean[stretch == at].mean() if (stretch == at).any() else np.nan for at in start.astype(int)])
        near(value("frames"), frames, f"{id}: quality of frames")
        w = np.array([WEIGHTS[row["scene"]] for row in own])
        a, v = value("sound"), value("frames")
        near(value("both"), w[:, 0] * a + w[:, 1] * v + w[:, 2] * a * v, f"{id}: quality of both")
        print(f"  {id}: {len(own)} stretches")


def parquet(out, sources, _):
    try:
        import pyarrow.parquet
    except ImportError:
        print("  skipped: no pyarrow here")
        return
    table = pyarrow.parquet.read_table(out)
    dim = next(iter(sources.values())).features.shape[1]
    need(table.schema.field("features").type == pyarrow.list_(pyarrow.field("element", pyarrow.float32(), nullable=False), dim), f"{table.schema}")
    frame = {name: table[name].to_pylist() for name in table.column_names if name != "features"}
    features = np.stack(table["features"].combine_chunks().flatten().to_numpy().reshape(table.num_rows, -1))
    at = 0
    for id, f in sources.items():
        n = len(f)
        rows = slice(at, at + n)
        need(set(frame["video_id"][rows]) == {id}, f"rows {at} to {at + n} are not of {id}")
        same(frame["pts_s"][rows], f.times, f"{id}: pts_s")
        same(frame["planned_s"][rows], f["frames/planned_ns"][:] / 1e9, f"{id}: planned_s")
        same(frame["tokens"][rows], f.tokens, f"{id}: tokens")
        same(frame["tier"][rows], f.tiers, f"{id}: tier")
        same(frame["reason"][rows], f.reasons, f"{id}: reason")
        labels = f.anchors.label
        anchors = [int(a) if a >= 0 else None for a in f.frames["anchor"]]
        need(frame["anchor"][rows] == anchors, f"{id}: anchor")
        for k, name in enumerate(("quality_sound", "quality_score", "quality_both")):
            near(np.array(frame[name][rows], float), scores(f)[:, k], f"{id}: {name}")
        need(frame["label"][rows] == [None if a is None else labels[a] for a in anchors], f"{id}: label")
        for name in ("score", "sharpness", "freeze"):
            have = f.frames[f"quality_{name}"].tolist() if f"quality_{name}" in f.frames else [None] * n
            need(frame[f"quality_{name}"][rows] == have, f"{id}: quality_{name}")
        same(features[rows], f.features[:].astype("f4"), f"{id}: features")
        at += n
    need(at == table.num_rows, f"{table.num_rows} rows, {at} wanted")
    print(f"  {table.num_rows} rows: {table.schema.names}")


def main():
    args = sys.argv[1:]
    fill = "nearest"
    if "--fill" in args:
        at = args.index("--fill")
        fill = args[at + 1]
        del args[at:at + 2]
    kind, out, *files = args
    sources = {}
    for file in files:
        f = earmark.open(file, verify=True)
        sources[f.video_id] = f
    {"actionformer": actionformer, "pt": pt, "npy": npy, "safetensors": safetensors, "hdf5": hdf5, "parquet": parquet, "quality": quality}[kind](pathlib.Path(out), sources, fill)


if __name__ == "__main__":
    main()
