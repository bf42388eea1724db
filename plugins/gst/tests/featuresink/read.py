"""Reads with h5py what the test in sink.rs wrote: FILE PRECISION."""
import hashlib, io, json, sys
import h5py
import numpy as np
from PIL import Image

TIERS, REASONS = {"low": 0, "base": 1, "high": 2}, {"anchor": 0, "untrusted": 1, "background": 2, "uniform": 3}


def columns(table):
    """Datasets of a table, and of groups inside it."""
    found = {}
    table.visititems(lambda name, item: found.update({name: item} if isinstance(item, h5py.Dataset) else {}))
    return found


with h5py.File(sys.argv[1]) as f:
    a = f.attrs
    assert a["schema"] == b"earmark/2" and a["complete"] == True and a["video_id"] == b"kitchen", dict(a)  # noqa: E712
    assert a["duration_ns"] == 30_000_000_000 and a["budget_tokens"] == 5880 and a["spent_tokens"] == f["frames/tokens"][:].sum()
    assert a["frames_missed"] == 1 and a["access_units_seen"] == 250 and a["access_units_passed"] == 20
    assert json.loads(a["warnings"]) == ["one thing"] and json.loads(a["models"])[0]["name"] == "colour"
    assert json.loads(a["config"])["budget"]["tokens_per_s"] == 196 and "hdf5" in json.loads(a["versions"])
    for group, rows in (("frames", 30), ("anchors", 5), ("cues", 375)):
        for name, d in columns(f[group]).items():
            assert d.shape[0] == rows and d.chunks and d.attrs["units"] and d.attrs["axes"], (group, name, d.shape)
            assert len(d.attrs["axes"].decode().split(", ")) == d.ndim
    assert h5py.check_enum_dtype(f["frames/tier"].dtype) == TIERS and h5py.check_enum_dtype(f["frames/reason"].dtype) == REASONS
    types = {"frames/features": sys.argv[2].replace("f32", "<f4").replace("f16", "<f2"), "frames/pts_ns": "<i8", "frames/planned_ns": "<i8", "frames/asked_ns": "<i8",
             "frames/tokens": "<u4", "frames/anchor": "<i4", "anchors/onset_ns": "<i8", "anchors/start_ns": "<i8", "anchors/stop_ns": "<i8",
             "anchors/score": "<f4", "anchors/uncertainty": "<f4", "anchors/class_id": "<i4", "cues/pts_ns": "<i8", "cues/eventness": "<f4",
             "cues/uncertainty": "<f4", "cues/speech": "<f4", "cues/class_id": "<u2", "cues/class_p": "<f2", "cues/bands": "|u1", "cues/change": "<f4"}
    assert {n: f[n].dtype.str for n in types} == types
    label = f["anchors/label"]
    assert h5py.check_string_dtype(label.dtype).encoding == "utf-8" and label.asstr()[2] == 'Käfer, "2"'

    ms = np.arange(30) * 1000 + 40
    assert (f["frames/pts_ns"][:] == ms * 1_000_000).all() and (f["frames/planned_ns"][:] == (ms - 3) * 1_000_000).all()
    colours = np.stack([ms % 251, ms // 251 % 251, np.full(30, 200)], 1) / 255
    assert np.abs(f["frames/features"][:].astype("f4") - colours).max() < 2e-3, "a row holds another frame"
    assert f["frames/tier"][1] == TIERS["high"] and f["frames/anchor"][6] == 1 and f["frames/reason"][7] == REASONS["untrusted"]
    assert (f["cues/bands"][:] == (np.arange(375 * 16) % 256).reshape(375, 16)).all()
    hop = np.arange(375)
    assert np.array_equal(f["cues/change"][:], np.where(hop % 3 > 0, hop % 64 / 8, np.nan).astype("f4"), equal_nan=True)
    assert ("thumbnail_stop" in f["frames"]) == ("thumbnails" in f) == (sys.argv[2] == "f16")
    for k, side in ((0, 96), (1, 320), (7, 160)) if "thumbnails" in f else ():
        stop = np.concatenate([[0], f["frames/thumbnail_stop"][:]]).astype(int)
        picture = Image.open(io.BytesIO(f["thumbnails/jpeg"][stop[k]:stop[k + 1]].tobytes()))
        assert picture.format == "JPEG" and picture.size == (side, side * 3 // 4), (k, picture.size)
        assert np.abs(np.array(picture.convert("RGB")).astype(int).mean((0, 1)) - colours[k] * 255).max() < 4, "a thumbnail shows another frame"
    assert (f["cues/pts_ns"][:] == np.arange(375) * 80_000_000).all()
    assert (f["cues/class_id"][5] == np.arange(5)).all() and (f["cues/class_id"][0] == 65535).all() and f["cues/class_p"][5, 0] == 0.5

    digests = json.loads(a["digests"])
    assert hashlib.sha256(a["digests"]).hexdigest().encode() == a["sha256"]
    there = {f"{g}/{n}" for g in ("frames", "anchors", "candidates", "cues", "thumbnails") if g in f for n in columns(f[g])}
    assert there == set(digests["datasets"]) and set(a) - {"digests", "sha256"} == {n for n in digests["attributes"] if "/" not in n}
    for name, digest in digests["datasets"].items():
        d = f[name]
        assert hashlib.sha256(d[:].tobytes()).hexdigest() == digest and d.fletcher32, name
        assert h5py.check_vlen_dtype(d.dtype) is None and d.dtype != object, f"{name} has a variable length"
    assert all(a.get_id(n).dtype != object for n in a), "an attribute has a variable length"
