"""What is exported is read as the loaders of other projects read it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import earmark
import make


@pytest.fixture
def files(tmp_path: Path) -> earmark.Folder:
    """Two recordings."""
    (tmp_path / "in").mkdir()
    for name, rows in (("P01", 100), ("P02", 40)):
        make.write(tmp_path / f"in/{name}.h5", rows, closing={"video_id": name})
    return earmark.Folder(tmp_path / "in")


def as_actionformer_does(name: str, settings: dict, load) -> tuple[np.ndarray, object]:
    """Features `[C, T]`, and where an instant lies among them, by the formula of its loaders."""
    features = load((settings["file_prefix"] or "") + name + settings["file_ext"]).astype(np.float32).transpose()
    stride, frames, fps = (settings[key] for key in ("feat_stride", "num_frames", "default_fps"))
    assert features.shape[0] == settings["input_dim"]
    return features, lambda seconds: (seconds * fps - 0.5 * frames) / stride


def frames_lie_in_their_cells(files: earmark.Folder, settings: dict, load) -> None:
    """An instant that an annotation gives falls on the cell that shows it."""
    for k, name in enumerate(files.video_ids):
        features, position = as_actionformer_does(name, settings, load)
        with files.recording(k) as recording:
            assert features.shape[1] == int(np.ceil(recording.duration * settings["default_fps"] / settings["feat_stride"]))
            dear = np.flatnonzero(recording.reasons == "anchor")
            for row in dear:
                cell = round(float(position(recording.times[row])))
                np.testing.assert_array_equal(features[:, cell], recording.features[row])


@pytest.mark.parametrize("grid", [0.25, 0.1])
def test_npy_as_thumos_activitynet_and_ego4d_load_it(files: earmark.Folder, tmp_path: Path, grid: float) -> None:
    done = earmark.export_npy(files, tmp_path / "out/npy", grid=grid)
    assert sorted(os.listdir(tmp_path / "out/npy")) == ["P01.npy", "P02.npy"] and list(done.files) == ["P01", "P02"]
    stride = round(grid * 1000)
    wanted = {"feat_stride": stride, "num_frames": stride, "default_fps": 1000, "input_dim": 6, "file_prefix": None, "file_ext": ".npy"}
    assert done.dataset == wanted
    frames_lie_in_their_cells(files, done.dataset, lambda name: np.load(tmp_path / "out/npy" / name))
    assert (os.stat(done.files["P01"]).st_mode & 0o777) == 0o666 & ~earmark._export.umask()


def test_pt_as_ego4d_gives_it_out(files: earmark.Folder, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed here: .pt files are not tested")
    done = earmark.export_pt(files, tmp_path / "pt", grid=0.25)
    tensor = torch.load(done.files["P02"], weights_only=True)
    assert tensor.dtype == torch.float32 and tensor.ndim == 2 and done.dataset["file_ext"] == ".pt"
    frames_lie_in_their_cells(files, done.dataset, lambda name: torch.load(tmp_path / "pt" / name, weights_only=True).numpy())


def test_without_torch_pt_says_what_to_install(files: earmark.Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(ImportError, match=r"earmark.export_npy works without it\) needs torch.*pip install 'earmark\[torch\]'"):
        earmark.export_pt(files, tmp_path / "pt")
    assert not (tmp_path / "pt").exists()


def test_zeros_stay_zeros(files: earmark.Folder, tmp_path: Path) -> None:
    done = earmark.export_npy(files, tmp_path / "out", grid=0.1, fill="zero")
    features = np.load(done.files["P01"])
    with files.recording(0) as recording:
        assert not features[~recording.grid(0.1).valid].any()


def test_obstacles_are_reported_before_anything_is_written(files: earmark.Folder, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "P02.npy").write_text("mine")
    with pytest.raises(FileExistsError, match="P02.npy exists already; overwrite=True"):
        earmark.export_npy(files, out)
    assert os.listdir(out) == ["P02.npy"] and (out / "P02.npy").read_text() == "mine"
    earmark.export_npy(files, out, overwrite=True)
    assert np.load(out / "P02.npy").shape[1] == 6
    make.write(tmp_path / "in/other.h5", 5, closing={"video_id": "P01"})
    make.write(tmp_path / "in/zz.h5", 5, closing={"video_id": "../x"})
    with pytest.raises(earmark.EarmarkError, match="another file is also of the recording P01"):
        earmark.export_npy(earmark.Folder(tmp_path / "in", pattern="*[!z].h5"), tmp_path / "b")
    with pytest.raises(earmark.EarmarkError, match="'../x' cannot name a file"):
        earmark.export_npy(earmark.Folder(tmp_path / "in", pattern="zz.h5"), tmp_path / "b")
    with pytest.raises(ValueError, match="it must be whole milliseconds"):
        earmark.export_npy(files, tmp_path / "b", grid=0.0005)
    with pytest.raises(ValueError, match="fill is 'mean'"):
        earmark.export_npy(files, tmp_path / "b", fill="mean")
    assert not (tmp_path / "b").exists()
