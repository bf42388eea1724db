"""A folder of feature files as a sequence of items, and as a dataset of PyTorch where that is installed."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import earmark
import make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three recordings of 100, 40 and 7 frames."""
    for name, rows in (("P01", 100), ("P02", 40), ("P03", 7)):
        make.write(tmp_path / f"{name}.h5", rows, closing={"video_id": name})
    (tmp_path / "notes.txt").write_text("no feature file")
    return tmp_path


def near_an_onset(recording: earmark.Recording, times: np.ndarray) -> np.ndarray:
    """Whether a time lies in the window of an anchor."""
    anchors = recording.anchors
    return ((anchors.start <= times[:, None]) & (times[:, None] < anchors.stop)).any(1)


def test_items_are_recordings_in_the_order_of_their_names(folder: Path) -> None:
    files = earmark.Folder(folder)
    assert len(files) == 3 and files.video_ids == ["P01", "P02", "P03"] and files.dim == 6
    item = files[1]
    with earmark.open(folder / "P02.h5") as recording:
        np.testing.assert_array_equal(item.features, recording.features[:])
        np.testing.assert_array_equal(item.times, recording.times)
        np.testing.assert_array_equal(item.anchors[:, 0], recording.anchors.onset)
    assert item.video_id == "P02" and item.features.dtype == np.float32 and item.mask.all() and item.target is None
    assert item.anchors.shape == (6, 3)
    assert [len(item.times) for item in files] == [100, 40, 7]
    assert files[-1].video_id == "P03"
    with pytest.raises(IndexError):
        files[3]


def test_items_lie_on_a_grid_where_one_is_asked_for(folder: Path) -> None:
    item = earmark.Folder(folder, grid=0.5, fill="zero", target=near_an_onset)[0]
    with earmark.open(folder / "P01.h5") as recording:
        even = recording.grid(0.5, fill="zero")
    np.testing.assert_array_equal(item.features, even.features)
    np.testing.assert_array_equal(item.mask, even.valid)
    assert item.target.shape == even.times.shape and item.target.dtype == bool


def test_slices_are_folders(folder: Path) -> None:
    files = earmark.Folder(folder, grid=0.5)
    train, rest = files[:2], files[2:]
    assert (len(train), len(rest), len(files)) == (2, 1, 3) and rest[0].video_id == "P03" and train.video_ids == ["P01", "P02"]
    assert rest.grid == 0.5 and type(rest) is earmark.Folder


def test_files_may_be_named_one_by_one_or_lie_deeper(folder: Path) -> None:
    assert earmark.Folder([folder / "P03.h5", folder / "P01.h5"]).video_ids == ["P03", "P01"]
    (folder / "day 2 [b]").mkdir()
    make.write(folder / "day 2 [b]/P04.h5", 5, closing={"video_id": "P04"})
    assert len(earmark.Folder(folder)) == 3
    assert earmark.Folder(folder, recursive=True).video_ids == ["P01", "P02", "P03", "P04"]
    assert earmark.Folder(folder / "day 2 [b]").video_ids == ["P04"]
    assert earmark.Folder(folder, pattern="P0[12].h5").video_ids == ["P01", "P02"]


def test_what_is_no_folder_of_feature_files(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match="earmark.open reads a file"):
        earmark.Folder(folder / "P01.h5")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="has no feature files"):
        earmark.Folder(tmp_path / "empty")


def test_all_problems_are_reported_at_once_or_left_out(folder: Path) -> None:
    make.write(folder / "P00.h5", 5, complete=False)
    (folder / "P04.h5").write_bytes(b"x" * 100)
    make.write(folder / "P05.h5", 5, dim=7)
    make.write(folder / "P06.h5", 5, opening={"models": '[{"role":"encoder","name":"f","sha256":"9"}]'})
    with pytest.raises(earmark.EarmarkError) as caught:
        earmark.Folder(folder)
    for words in ("P00.h5: it is not complete", "P04.h5: it is not an HDF5 file", "P05.h5: it has 7 numbers a frame", "P06.h5: it was encoded by f"):
        assert words in str(caught.value)
    files = earmark.Folder(folder, skip_bad=True)
    assert files.video_ids == ["P01", "P02", "P03"] and len(files.skipped) == 4 and files.skipped[0][0].endswith("P00.h5")
    assert earmark.Folder(folder, skip_bad=True, allow_incomplete=True).paths[0].endswith("P00.h5")


def test_a_folder_goes_to_other_processes(folder: Path) -> None:
    files = earmark.Folder(folder, grid=0.5, target=near_an_onset)
    again = pickle.loads(pickle.dumps(files))
    np.testing.assert_array_equal(again[2].features, files[2].features)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        for there, here in zip(pool.map(files.__getitem__, range(3)), files, strict=True):
            np.testing.assert_array_equal(there.features, here.features)


def test_a_batch_is_padded_to_its_longest(folder: Path) -> None:
    files = earmark.Folder(folder, target=near_an_onset)
    batch = earmark.collate([files[0], files[2]])
    assert batch.video_id == ["P01", "P03"] and batch.features.shape == (2, 100, 6) and batch.lengths.tolist() == [100, 7]
    np.testing.assert_array_equal(batch.features[1, :7], files[2].features)
    assert not batch.features[1, 7:].any() and batch.mask.sum(1).tolist() == [100, 7] and batch.mask.dtype == bool
    assert batch.target.shape == (2, 100) and batch.target[0].sum() == 14
    assert [len(a) for a in batch.anchors] == [14, 1]
    with pytest.raises(ValueError, match="at least one item"):
        earmark.collate([])


def test_targets_of_other_shapes_are_listed(folder: Path) -> None:
    files = earmark.Folder(folder, target=lambda recording, times: recording.video_id)
    assert earmark.collate([files[0], files[1]]).target == ["P01", "P02"]
    whole = earmark.Folder(folder, target=lambda recording, times: np.ones((len(times), 3)))
    assert earmark.collate([whole[1], whole[2]]).target.shape == (2, 40, 3)
    assert earmark.collate([item for item in earmark.Folder(folder)]).target is None


def test_without_torch_it_says_what_to_install(folder: Path) -> None:
    code = (
        "import sys; sys.modules.update(torch=None, pandas=None)\n"
        "import earmark\n"
        f"files = earmark.Folder({str(folder)!r}); print(earmark.collate(list(files)).features.shape)\n"
        "for what in (lambda: earmark.dataset('x'), earmark.open(files.paths[0]).to_pandas):\n"
        "    try: what()\n"
        "    except ImportError as error: print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shape, torch, pandas = run.stdout.splitlines()
    assert shape == "(3, 100, 6)"
    assert torch == "earmark.dataset (earmark.Folder works without it) needs torch, which is not installed here: pip install 'earmark[torch]'"
    assert pandas == "a data frame needs pandas, which is not installed here: pip install 'earmark[pandas]'"


@pytest.mark.parametrize("workers", [0, 2])
def test_with_torch_it_is_a_dataset(folder: Path, workers: int) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed here: the dataset of PyTorch is not tested")
    files = earmark.dataset(folder, grid=0.5, target=near_an_onset)
    assert isinstance(files, torch.utils.data.Dataset) and isinstance(files, earmark.Folder)
    item = files[0]
    plain = earmark.Folder(folder, grid=0.5, target=near_an_onset)[0]
    for name in ("features", "times", "mask", "anchors", "target"):
        tensor = getattr(item, name)
        assert isinstance(tensor, torch.Tensor)
        np.testing.assert_array_equal(tensor.numpy(), getattr(plain, name))
    loader = torch.utils.data.DataLoader(files, batch_size=2, collate_fn=earmark.collate, num_workers=workers)
    batches = list(loader)
    assert [batch.features.shape[0] for batch in batches] == [2, 1]
    assert batches[0].features.dtype == torch.float32 and batches[0].mask.dtype == torch.bool and batches[0].lengths.dtype == torch.int64
    assert batches[0].features.shape == (2, int(batches[0].lengths.max()), 6)
    assert [name for batch in batches for name in batch.video_id] == ["P01", "P02", "P03"]
    train, test = torch.utils.data.random_split(files, [2, 1])
    assert len(train) == 2 and isinstance(test[0].features, torch.Tensor)
    assert isinstance(files[:2], torch.utils.data.Dataset)
