"""What is damaged, unfinished or something else is refused, and said."""

from __future__ import annotations

import gzip
import pickle
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import earmark
import make
from conftest import ROOT


def refused(path: Path, kind: type[Exception], words: str, **options: bool) -> None:
    with pytest.raises(kind, match=words) as caught:
        earmark.open(path, **options)  # type: ignore[arg-type]
    assert path.name in str(caught.value)


def test_what_is_not_there(tmp_path: Path) -> None:
    refused(tmp_path / "none.h5", FileNotFoundError, "No such file")
    with pytest.raises(IsADirectoryError, match="earmark.Folder reads those"):
        earmark.open(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x89HD", b"x" * 5000, b"\x89HDF\r\n\x1a\n" + b"x" * 5000, b"\x89HDF\r\n\x1a\n"])
def test_what_is_no_hdf5_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(content)
    refused(path, earmark.EarmarkError, "not an HDF5 file|it has no seal.*HDF5 cannot read it")


def test_hdf5_files_of_others(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(5)
    refused(path, earmark.ForeignFileError, "no attribute `schema`")
    make.write(path, schema="earmark/9")
    refused(path, earmark.ForeignFileError, "its schema is 'earmark/9'; this version knows earmark/1, earmark/2")
    make.write(path, schema="earmark/9", sealed=False)
    refused(path, earmark.ForeignFileError, "its schema is 'earmark/9'")


def test_a_file_whose_run_did_not_end(tmp_path: Path) -> None:
    path = make.write(tmp_path / "P01.h5", complete=False, opening={"incomplete_because": "the disk was full"})
    refused(path, earmark.IncompleteFileError, "not complete: the disk was full; pass allow_incomplete=True")
    with earmark.open(path, allow_incomplete=True, verify=True) as recording:
        assert not recording.is_complete and recording.incomplete_because == "the disk was full" and len(recording) == 100


def test_a_file_whose_run_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "P01.h5.partial"
    data = make.columns(100, 6)
    with h5py.File(path, "w") as file:
        make.begin(file, data)
        for name, values in data.items():
            # Its last flush brought some columns further than others, and fewer anchors than the frames name.
            rows = {"frames/tokens": 70, "anchors/label": 8}.get(name, 80 if name.startswith("frames") else len(values))
            make.append(file, name, values[:rows])
    refused(path, earmark.IncompleteFileError, "the run that wrote it did not end")
    refused(tmp_path / "P01.h5", earmark.IncompleteFileError, "there is only .*P01.h5.partial")
    with earmark.open(path, allow_incomplete=True) as recording:
        # Frame 59 is that of anchor 8, which is not all there.
        assert len(recording) == 59 and len(recording.anchors) == 8 and recording.features[:].shape == (59, 6)
        assert recording.video_id == "P01" and recording.duration_ns == recording.times_ns[-1]
        assert recording.problems() == []
        assert len(recording.grid(0.5)) > 10


def test_chunks_that_were_never_written_are_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "P01.h5.partial"
    data = make.columns(200, 6)
    with h5py.File(path, "w") as file:
        make.begin(file, data)
        for name, values in data.items():
            if name == "frames/features":
                make.append(file, name, values[:64])
                file[name].resize(200, axis=0)
            else:
                make.append(file, name, values)
    assert len(earmark.open(path, allow_incomplete=True)) == 64


def test_every_bit_of_the_structure_is_held(made: Path, tmp_path: Path) -> None:
    whole = made.read_bytes()
    with h5py.File(made) as file:
        chunks = [file[name].id.get_chunk_info(k) for name in make.columns(1, 1) for k in range(file[name].id.get_num_chunks())]
    rows = [(chunk.byte_offset, chunk.byte_offset + chunk.size) for chunk in chunks]
    random = np.random.default_rng(3)
    path = tmp_path / "spoilt.h5"
    held = 0
    for _ in range(60):
        at = int(random.integers(8, len(whole)))
        if any(begin <= at < end for begin, end in rows):
            continue
        spoilt = bytearray(whole)
        spoilt[at] ^= 1 << int(random.integers(8))
        path.write_bytes(spoilt)
        with pytest.raises(earmark.EarmarkError):
            earmark.open(path)
        held += 1
        if held == 12:
            break
    assert held > 5


def test_whatever_is_spoilt_in_a_file_without_a_seal_is_an_error_or_can_be_read(tmp_path: Path) -> None:
    whole = gzip.decompress((ROOT / "tests/old/earmark1.h5.gz").read_bytes())
    random = np.random.default_rng(5)
    path = tmp_path / "old.h5"
    outcomes = set()
    for _ in range(16):
        spoilt = bytearray(whole)
        for at in random.integers(8, 12000, random.choice([1, 20])):
            spoilt[at] ^= 1 << int(random.integers(8))
        path.write_bytes(spoilt)
        try:
            with earmark.open(path, allow_incomplete=True) as recording:
                recording.problems()
                for table in (recording.frames, recording.anchors, recording.cues):
                    table.arrays()
                outcomes.add((recording.features[:].shape, recording.grid(0.5).features.shape, type(recording.meta)) and "read")
        except earmark.EarmarkError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def leads_away(file: h5py.File, how: str, other: Path) -> None:
    """Puts something into a file that lies elsewhere."""
    del file["anchors/score"]
    if how == "soft link":
        file["anchors/score"] = h5py.SoftLink("/anchors/uncertainty")
    elif how == "external link":
        file["anchors/score"] = h5py.ExternalLink(str(other), "/anchors/score")
    elif how == "virtual":
        layout = h5py.VirtualLayout(shape=(14,), dtype="f4")
        layout[:] = h5py.VirtualSource(str(other), "anchors/score", shape=(14,))
        file.create_virtual_dataset("anchors/score", layout)
    else:
        file.create_dataset("anchors/score", shape=(14,), dtype="f4", external=[(str(other), 0, h5py.h5f.UNLIMITED)])


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "not sealed"])
@pytest.mark.parametrize("how", ["soft link", "external link", "virtual", "external storage"])
def test_what_leads_to_other_files_is_refused(tmp_path: Path, made: Path, how: str, sealed: bool) -> None:
    path = make.write(tmp_path / "P02.h5", complete=sealed, sealed=False)
    with h5py.File(path, "r+") as file:
        leads_away(file, how, made)
    if sealed:
        make.seal(path)
    words = "/anchors/score (links to another file or name|lies in another file)"
    refused(path, earmark.DamagedFileError, words, allow_incomplete=True)


def test_a_dataset_that_cannot_be_opened_is_not_overlooked(tmp_path: Path) -> None:
    path = make.write(tmp_path / "P01.h5", complete=False, sealed=False)
    with h5py.File(path) as file:
        # Its object header begins with its version.
        header = h5py.h5o.get_info(file["anchors/score"].id).addr
    spoilt = bytearray(path.read_bytes())
    spoilt[header] = 77
    path.write_bytes(spoilt)
    refused(path, earmark.DamagedFileError, "HDF5 cannot read it", allow_incomplete=True)


def test_a_file_that_is_cut_off(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.h5"
    for part in (0.3, 0.9, 0.999):
        path.write_bytes(made.read_bytes()[: int(made.stat().st_size * part)])
        refused(path, earmark.DamagedFileError, "it has no seal: its end is cut off or damaged")


def test_spoilt_rows_are_found_when_they_are_read(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "spoilt.h5"
    shutil.copy(made, path)
    with h5py.File(made) as file:
        chunk = file["frames/features"].id.get_chunk_info(1)
    spoilt = bytearray(path.read_bytes())
    spoilt[chunk.byte_offset + 9] ^= 4
    path.write_bytes(spoilt)
    refused(path, earmark.DamagedFileError, "/frames/features cannot be read", verify=True)
    with earmark.open(path) as recording:
        assert recording.features[:64].shape == (64, 6)
        with pytest.raises(earmark.DamagedFileError, match="/frames/features cannot be read"):
            recording.features[:]
        assert recording.problems() == [problem for problem in recording.problems() if "/frames/features" in problem]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: file["frames/tokens"].write_direct(np.full(100, 1, "u4")), "/frames/tokens is not as it was written"),
        (lambda file: make.put(file, "video_id", "P02"), "`video_id` is not as it was written"),
        (lambda file: file["frames"].create_dataset("mine", data=np.arange(100), chunks=(50,)), "/frames/mine was put in by another program"),
        (lambda file: make.put(file, "mine", "x"), "`mine` was put in by another program"),
        (lambda file: file.attrs.__delitem__("warnings"), "`warnings` cannot be read"),
        (lambda file: file["frames/tokens"].attrs.__delitem__("units"), "`frames/tokens.units` cannot be read"),
        (lambda file: make.put(file, "digests", "{}"), "`digests` or `sha256` is not as it was written"),
    ],
    ids=["rows", "attribute", "dataset", "new attribute", "attribute gone", "units gone", "digests"],
)
def test_what_was_changed_is_named(tmp_path: Path, change, words: str) -> None:
    path = make.write(tmp_path / "P01.h5", sealed=False)
    with h5py.File(path, "r+") as file:
        change(file)
    # Without its seal it is not even opened; with a new one, what was changed is found.
    refused(path, earmark.DamagedFileError, "it has no seal.*`earmark verify` lists what was changed")
    make.seal(path)
    earmark.open(path).close()
    refused(path, earmark.DamagedFileError, words, verify=True)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("frames/pts_ns", lambda v: v[::-1], "/frames/pts_ns is not ascending"),
        ("frames/anchor", lambda v: np.full_like(v, 99), "/frames/anchor names a row that is not among the 14"),
        ("anchors/stop_ns", lambda v: v + 10_000_000_000, "the windows of /anchors are not in order, or overlap"),
        ("anchors/score", lambda v: v + 2, "/anchors/score holds values outside"),
        ("frames/features", lambda v: v * np.nan, "rows 0 to 99 of /frames/features hold values that are not numbers"),
    ],
    ids=["pts", "anchor", "windows", "score", "features"],
)
def test_broken_rules_are_named(tmp_path: Path, column: str, value, words: str) -> None:
    data = make.columns(100, 6)
    data[column] = value(data[column])
    path = make.write(tmp_path / "P01.h5", data=data)
    refused(path, earmark.DamagedFileError, words, verify=True)


def test_more_tokens_than_allowed_are_reported(tmp_path: Path) -> None:
    for budget in (0, 10):
        path = make.write(tmp_path / f"{budget}.h5", closing={"budget_tokens": np.uint64(budget)})
        refused(path, earmark.DamagedFileError, f"spent 15190 tokens of {budget}", verify=True)


def test_columns_of_other_lengths_are_damage(tmp_path: Path) -> None:
    data = make.columns(100, 6)
    data["frames/tokens"] = data["frames/tokens"][:50]
    refused(make.write(tmp_path / "a.h5", data=data), earmark.DamagedFileError, "columns differ in length")
    data = make.columns(100, 6)
    data["frames/features"] = data["frames/features"][:50]
    refused(make.write(tmp_path / "b.h5", data=data), earmark.DamagedFileError, "/frames/features 50, the others 100")


def test_a_dataset_that_is_missing_is_named(tmp_path: Path) -> None:
    data = make.columns(10, 6)
    del data["frames/features"]
    refused(make.write(tmp_path / "a.h5", data=data), earmark.DamagedFileError, "/frames/features is missing")


def test_errors_survive_the_way_from_a_worker(made: Path) -> None:
    error = earmark.DamagedFileError(made, "broken")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is earmark.DamagedFileError and str(again) == f"{made}: broken" and again.problem == "broken"
