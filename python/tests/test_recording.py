"""A file opened: what is in it, under which names, and where it may go."""

from __future__ import annotations

import concurrent.futures
import gzip
import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest

import earmark
import make

OLD = Path(__file__).resolve().parents[2] / "tests/old/earmark1.h5.gz"


def test_every_table_is_there_as_arrays(made: Path) -> None:
    wanted = make.columns(100, 6)
    with earmark.open(made) as recording:
        assert (recording.schema, recording.video_id, recording.is_complete, len(recording)) == ("earmark/2", "P01", True, 100)
        np.testing.assert_array_equal(recording.features[:], wanted["frames/features"])
        np.testing.assert_array_equal(recording.times_ns, wanted["frames/pts_ns"])
        assert recording.times.dtype == np.float64
        np.testing.assert_allclose(recording.times, wanted["frames/pts_ns"] / 1e9)
        assert recording.tiers[:5].tolist() == ["low", "low", "low", "high", "low"]
        assert recording.reasons[:5].tolist() == ["background"] * 3 + ["anchor", "background"]
        assert recording.tokens[3] == 784
        for name, values in wanted.items():
            table, _, column = name.partition("/")
            column = column.replace("/", "_")
            if table == "thumbnails" or column in ("features", "tier", "reason", "label", "thumbnail_stop"):
                continue
            np.testing.assert_array_equal(recording.table(table)[column], values)
        assert recording.anchors.label[1] == "Käse 1"
        assert len(recording.anchors) == 14 and recording.anchors.onset[0] == pytest.approx(1.03)
        assert (recording.anchors.start < recording.anchors.onset).all() and (recording.anchors.onset < recording.anchors.stop).all()
        assert recording.cues.times[1] == 0.08 and recording.cues["bands"].shape == (100, 16)
        assert recording.duration == pytest.approx(recording.times[-1] + 4)
        assert recording.tables == ("anchors", "cues", "frames")
        assert set(recording.frames.arrays()) == {"pts_ns", "planned_ns", "asked_ns", "tier", "reason", "tokens", "anchor", "quality_score", "quality_sharpness"}


def test_attributes_are_decoded(made: Path) -> None:
    meta = earmark.open(made).meta
    assert meta["config"] == {"a": 1} and meta["warnings"] == ["it rained"] and meta["complete"] is True
    assert meta["models"][0]["role"] == "encoder" and meta["input_uri"] == "file:///x.mp4"
    assert type(meta["spent_tokens"]) is int


def test_a_long_text_is_found_where_it_lies(tmp_path: Path) -> None:
    data = {**make.columns(10, 2), "texts/config": np.frombuffer(b'{"long":"' + b"x" * 40000 + b'"}', "u1")}
    path = make.write(tmp_path / "a.h5", data=data, closing={"config": "see texts/config"})
    recording = earmark.open(path)
    assert len(recording.meta["config"]["long"]) == 40000
    assert "texts" not in recording.tables


def test_codes_have_the_names_in_the_file(tmp_path: Path) -> None:
    data = make.columns(20, 2, reasons={"uniform": 0, "background": 7, "anchor": 200}, tiers={"high": 1, "low": 9})
    recording = earmark.open(make.write(tmp_path / "a.h5", data=data))
    assert recording.reasons[2:5].tolist() == ["background", "anchor", "background"]
    assert recording.tiers[2:5].tolist() == ["low", "high", "low"]


def test_a_code_without_a_name_is_damage(tmp_path: Path) -> None:
    data = make.columns(20, 2)
    data["frames/reason"] = np.full(20, 77, data["frames/reason"].dtype)
    recording = earmark.open(make.write(tmp_path / "a.h5", data=data))
    with pytest.raises(earmark.DamagedFileError, match="/frames/reason has the code 77, which has no name"):
        recording.reasons


def test_names_of_versions_before_are_read_as_those_of_today(tmp_path: Path) -> None:
    data = make.columns(20, 2)
    kind = make.h5py.enum_dtype({"anchor": 0, "fallback": 1, "uniform": 2}, "u1")
    data["frames/reason"] = np.array([2, 1, 2, 0, 2, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 0, 2, 2], kind)
    data["frames/requested_ns"] = data.pop("frames/planned_ns")
    del data["frames/asked_ns"]
    recording = earmark.open(make.write(tmp_path / "a.h5", data=data))
    assert recording.reasons[:5].tolist() == ["background", "untrusted", "background", "anchor", "background"]
    np.testing.assert_array_equal(recording.frames["planned_ns"], data["frames/requested_ns"])
    # What was not moved was asked for when it was planned.
    np.testing.assert_array_equal(recording.frames["asked_ns"], data["frames/requested_ns"])


def test_a_file_of_the_schema_before_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.h5"
    path.write_bytes(gzip.decompress(OLD.read_bytes()))
    with earmark.open(path, verify=True) as recording:
        assert (recording.schema, recording.video_id, len(recording)) == ("earmark/1", "short", 3)
        assert recording.anchors.label.tolist() == ['Käse, "chopping"']
        assert recording.reasons.tolist() == ["anchor", "background", "untrusted"]
        assert recording.frames["planned_ns"].shape == (3,)
        assert recording.thumbnail(1).startswith(b"\xff\xd8") and recording.thumbnail(-1).endswith(b"\xff\xd9")
        assert recording.meta["streams"]["audio"]
        assert len(recording.events) == 0


def test_a_file_without_a_seal_is_checked_once_while_it_stays_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from earmark import _store

    checks = []
    ask = _store.ask
    monkeypatch.setattr(_store, "ask", lambda *args: checks.append(args) or ask(*args))
    path = tmp_path / "old.h5"
    path.write_bytes(gzip.decompress(OLD.read_bytes()))
    for _ in range(3):
        earmark.open(path).close()
    assert len(checks) == 1
    spoilt = bytearray(path.read_bytes())
    spoilt[100:400] = bytes(300)
    path.write_bytes(spoilt)
    with pytest.raises(earmark.DamagedFileError):
        earmark.open(path)
    assert len(checks) == 2


def test_events_are_there_where_the_file_has_them_and_empty_elsewhere(made: Path, tmp_path: Path) -> None:
    events = earmark.open(made).events
    assert len(events) == 0 and events.onset.shape == (0,) and events["class"].shape == (0,)
    data = make.columns(20, 2)
    text = make.h5py.string_dtype("utf-8", 256)
    data["events/onset_ns"] = np.array([1_000_000_000, 2_500_000_000])
    data["events/offset_ns"] = np.array([1_500_000_000, 9_000_000_000])
    data["events/class"] = np.array([b"cut", "Käse reiben".encode()], text)
    data["events/modality"] = np.array([0, 1], make.h5py.enum_dtype({"sound": 0, "sight": 1}, "u1"))
    data["events/score"] = np.array([0.5, 0.75], "f4")
    recording = earmark.open(make.write(tmp_path / "a.h5", data=data), verify=True)
    events = recording.events
    assert len(events) == 2 and events.onset.tolist() == [1.0, 2.5] and events.offset.tolist() == [1.5, 9.0]
    assert events["class"].tolist() == ["cut", "Käse reiben"] and events["modality"].tolist() == ["sound", "sight"]
    assert "events" in recording.tables


def test_candidates_are_there_where_the_file_has_them_and_empty_elsewhere(made: Path, tmp_path: Path) -> None:
    assert len(earmark.open(made).candidates) == 0 and earmark.open(made).candidates.onset.shape == (0,)
    data = make.columns(20, 2)
    data["candidates/onset_ns"] = np.array([1_000_000_000, 2_500_000_000])
    data["candidates/score"] = np.array([0.5, 0.75], "f4")
    data["candidates/more_tokens"] = np.array([784, -1])
    path = make.write(tmp_path / "a.h5", data=data)
    candidates = earmark.open(path, verify=True).candidates
    assert candidates.onset.tolist() == [1.0, 2.5] and candidates.more_tokens.tolist() == [784, -1]
    data["candidates/score"][1] = 1.5
    problems = earmark.open(make.write(tmp_path / "b.h5", data=data)).problems()
    assert problems == ["/candidates/score holds values outside [0, 1]"]


def test_a_table_that_this_version_does_not_know_is_read_by_its_name(tmp_path: Path) -> None:
    data = {**make.columns(20, 2), "bells/onset_ns": np.arange(3) * 1_000_000_000, "bells/price": np.ones(3, "f4")}
    recording = earmark.open(make.write(tmp_path / "a.h5", data=data), verify=True)
    assert recording.table("bells")["onset_s"].tolist() == [0, 1, 2]
    with pytest.raises(KeyError, match="has no table 'clips', only anchors, bells"):
        recording.table("clips")


def test_tables_say_what_they_have(made: Path) -> None:
    anchors = earmark.open(made).anchors
    assert "onset_ns" in anchors and "offset_ns" not in anchors
    with pytest.raises(KeyError, match="no column 'onset', only class_id, label"):
        anchors["onset"]
    with pytest.raises(TypeError, match="the name of a column, not 0"):
        anchors[0]  # type: ignore[index]
    with pytest.raises(TypeError):
        list(anchors)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="read-only"):
        anchors.onset[0] = 1


def test_tables_are_data_frames(made: Path) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed here")
    recording = earmark.open(made)
    frames = recording.to_pandas()
    assert list(frames.columns) == ["anchor", "asked_s", "planned_s", "pts_s", "quality_score", "quality_sharpness", "reason", "tier", "tokens"] and len(frames) == 100
    assert frames.groupby("reason").tokens.sum().to_dict() == {"anchor": 14 * 784, "background": 86 * 49}
    exact = recording.anchors.to_pandas(unit="ns")
    assert exact.onset_ns.dtype == np.int64 and exact.label[0] == "Käse 0"
    cues = recording.cues.to_pandas()
    assert cues.shape == (100, 5 + 5 + 5 + 16) and cues.class_id_1[0] == 65535
    assert list(recording.events.to_pandas().columns) == ["class", "modality", "offset_s", "onset_s", "score"]
    with pytest.raises(ValueError, match="unit is 'ms'"):
        recording.to_pandas(unit="ms")


def test_thumbnails_are_the_bytes_between_their_ends(made: Path, tmp_path: Path) -> None:
    recording = earmark.open(made)
    assert recording.has_thumbnails
    assert [recording.thumbnail(k) for k in (0, 1, 99, -100)] == [bytes(3), b"\x01" * 4, b"\x63" * 7, bytes(3)]
    with pytest.raises(IndexError):
        recording.thumbnail(100)
    data = make.columns(10, 2)
    del data["frames/thumbnail_stop"], data["thumbnails/jpeg"]
    without = earmark.open(make.write(tmp_path / "a.h5", data=data))
    assert not without.has_thumbnails
    with pytest.raises(KeyError, match="--thumbnails"):
        without.thumbnail(0)


def test_a_closed_recording_says_so(made: Path) -> None:
    with earmark.open(made) as recording:
        times = recording.times
    assert "closed" in repr(recording) and len(times) == 100
    with pytest.raises(ValueError, match="P01.h5 is closed"):
        recording.features
    recording.close()


def sum_of(recording: earmark.Recording) -> float:
    return float(recording.features[:].sum())


def test_a_recording_goes_to_other_processes_by_its_path(made: Path) -> None:
    recording = earmark.open(made)
    wanted = sum_of(recording)
    assert sum_of(pickle.loads(pickle.dumps(recording))) == wanted
    for way in ("spawn", "fork"):
        context = multiprocessing.get_context(way)
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
            assert list(pool.map(sum_of, [recording] * 3)) == [wanted] * 3


def in_a_fork(recording: earmark.Recording, wanted: float, to: object) -> None:
    to.send(sum_of(recording) == wanted and recording.anchors.label[0] == "Käse 0")  # type: ignore[attr-defined]


def test_a_recording_that_is_inherited_is_opened_anew(made: Path) -> None:
    recording = earmark.open(made)
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=in_a_fork, args=(recording, sum_of(recording), there))
    child.start()
    assert here.recv() is True
    child.join()
    assert len(recording.features[:]) == 100


def test_a_file_of_many_is_asked_for_one(tmp_path: Path) -> None:
    path = tmp_path / "all.h5"
    with make.h5py.File(path, "w") as file:
        make.put(file, "schema", "earmark-merged/2")
        make.put(file, "complete", np.bool_(True))
        for name in ("P01", "P02"):
            data = make.columns(20 if name == "P01" else 30, 3)
            group = file.create_group(name)
            make.begin(group, data)
            for column, values in data.items():
                make.append(group, column, values)
            make.close(group, data, True, video_id=name)
    make.seal(path)
    with pytest.raises(earmark.ForeignFileError, match="many recordings; choose one with recording=: P01, P02"):
        earmark.open(path)
    with pytest.raises(earmark.ForeignFileError, match="no recording 'P03', only P01, P02"):
        earmark.open(path, recording="P03")
    with earmark.open(path, recording="P02", verify=True) as recording:
        assert recording.video_id == "P02" and len(recording) == 30 and recording.meta["spent_tokens"] == recording.tokens.sum()


def test_a_file_may_be_open_in_h5py_too(made: Path) -> None:
    with make.h5py.File(made) as raw, earmark.open(made) as recording:
        np.testing.assert_array_equal(recording.tokens, raw["frames/tokens"][:])
    with earmark.open(made) as recording, make.h5py.File(made, locking=False) as raw:
        np.testing.assert_array_equal(recording.tokens, raw["frames/tokens"][:])


def test_half_precision_stays_what_it_is(tmp_path: Path) -> None:
    recording = earmark.open(make.write(tmp_path / "a.h5", half=True), verify=True)
    assert recording.features.dtype == np.float16 and recording.features[3].dtype == np.float16
    assert recording.grid(0.5).features.dtype == np.float32


def test_a_recording_without_frames_is_read(tmp_path: Path) -> None:
    recording = earmark.open(make.write(tmp_path / "a.h5", rows=0), verify=True)
    assert len(recording) == 0 and recording.features[:].shape == (0, 6) and recording.anchors.label.shape == (0,)
    assert recording.reasons.shape == (0,) and recording.to_pandas is not None
    grid = recording.grid(0.5)
    assert len(grid) == 8 and not grid.valid.any() and not grid.features.any()
