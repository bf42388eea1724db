"""The even grid: its rules, and that its numbers are those of `earmark export`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import earmark
import make
from earmark._grid import cells

SECOND = 1_000_000_000


def grid(pts_ms: list[int], tokens: list[int], fill: str = "nearest", duration: int = 3 * SECOND) -> list[tuple[int, bool]]:
    row, valid = cells(np.array(pts_ms, np.int64) * 1_000_000, np.array(tokens, np.uint32), duration, SECOND // 2, fill)
    return list(zip(row.tolist(), valid.tolist(), strict=True))


def test_a_cell_holds_its_dearest_frame_and_an_empty_one_the_nearest() -> None:
    # 0: 0 and 250 ms; 1: empty; 2: 1000 (dear) and 1260; 3 and 4: empty; 5: 2990.
    pts, tokens = [0, 250, 1000, 1260, 2990], [49, 49, 784, 49, 49]
    assert grid(pts, tokens) == [(1, True), (2, False), (2, True), (3, False), (4, False), (4, True)]
    zeros = grid(pts, tokens, "zero")
    assert zeros[1] == (-1, False) and zeros[2] == (2, True)


def test_the_grid_reaches_to_the_end_of_recording_and_frames() -> None:
    assert len(grid([100], [49], "zero")) == 6
    assert len(grid([100, 3000], [49, 49], "zero")) == 7
    assert grid([-20], [49], "zero")[0] == (0, True)
    assert grid([], []) == [(-1, False)] * 6
    assert len(grid([], [], duration=0)) == 1


def slowly(pts: list[int], tokens: list[int], duration: int, stride: int, fill: str) -> list[tuple[int, bool]]:
    """The rules, one cell after the other."""
    found, last = [], max(pts[-1] if pts else 0, duration - 1, 0)
    for cell in range(last // stride + 1):
        middle = cell * stride + stride // 2
        here = [k for k, t in enumerate(pts) if max(t // stride, 0) == cell]
        if here:
            found.append((min(here, key=lambda k: (-tokens[k], abs(pts[k] - middle), k)), True))
        elif pts and fill == "nearest":
            found.append((min(range(len(pts)), key=lambda k: (abs(pts[k] - middle), k)), False))
        else:
            found.append((-1, False))
    return found


def test_any_frames_lie_where_the_rules_say() -> None:
    random = np.random.default_rng(11)
    for _ in range(200):
        count = int(random.integers(0, 30))
        pts = np.sort(random.integers(-50, 4000, count))
        # Frames of one time, and ties, are rare otherwise.
        pts = np.sort(np.where(random.random(count) < 0.3, pts // 100 * 100, pts))
        tokens = random.choice([49, 196, 784], count)
        stride, duration = int(random.integers(1, 900)), int(random.integers(0, 4500))
        # Frames of one instant: which of them is nearest is the same to both.
        pts = np.unique(pts)
        tokens = tokens[: len(pts)]
        for fill in ("nearest", "zero"):
            row, valid = cells(pts, tokens.astype("u4"), duration, stride, fill)
            assert list(zip(row.tolist(), valid.tolist(), strict=True)) == slowly(pts.tolist(), tokens.tolist(), duration, stride, fill)


def test_a_grid_has_features_times_and_where_they_come_from(made: Path) -> None:
    recording = earmark.open(made)
    even = recording.grid(0.25)
    assert even.stride == 0.25 and len(even) == len(even.features) == int(recording.duration // 0.25) + 1
    np.testing.assert_allclose(even.times, (np.arange(len(even)) + 0.5) * 0.25)
    np.testing.assert_array_equal(even.features, recording.features[:][even.row])
    np.testing.assert_array_equal(even.pts, recording.times[even.row])
    assert np.array_equal(np.flatnonzero(even.valid), np.unique((recording.times // 0.25).astype(int)))
    zeros = recording.grid(0.25, fill="zero")
    assert (zeros.row[~zeros.valid] == -1).all() and not zeros.features[~zeros.valid].any() and np.isnan(zeros.pts[~zeros.valid]).all()
    np.testing.assert_array_equal(zeros.features[zeros.valid], even.features[even.valid])


@pytest.mark.parametrize("stride", [0, -1, float("nan"), float("inf"), 1e-9])
def test_what_is_no_stride_is_refused(made: Path, stride: float) -> None:
    with pytest.raises(ValueError, match="the stride is .* a number of seconds"):
        earmark.open(made).grid(stride)


def test_a_likely_mistake_causes_a_warning(made: Path, tmp_path: Path) -> None:
    recording = earmark.open(made)
    with pytest.warns(UserWarning, match="did you give milliseconds?"):
        recording.grid(500)
    with pytest.raises(ValueError, match="fill is 'mean'"):
        recording.grid(1, fill="mean")
    long = make.write(tmp_path / "long.h5", closing={"duration_ns": np.int64(40 * 3600 * SECOND)})
    with pytest.raises(ValueError, match="choose a longer stride"):
        earmark.open(long).grid(0.0001)


@pytest.mark.parametrize("fill", ["nearest", "zero"])
@pytest.mark.parametrize("stride_ms", [500, 333, 40])
def test_it_is_the_grid_of_export(earmark_run, kitchen: Path, tmp_path: Path, stride_ms: int, fill: str) -> None:
    earmark_run("export", kitchen, "--format", "actionformer", "--stride-ms", stride_ms, "--fill", fill, "--output", tmp_path / "npz")
    with earmark.open(kitchen) as recording, np.load(tmp_path / "npz/kitchen.npz") as wanted:
        even = recording.grid(stride_ms / 1000, fill=fill)
        np.testing.assert_array_equal(even.features, wanted["feats"])
        np.testing.assert_array_equal(even.valid, wanted["valid"])
        np.testing.assert_array_equal(even.row, wanted["row"])
        np.testing.assert_allclose(even.times, wanted["times_s"], rtol=1e-12)
        np.testing.assert_array_equal(even.pts, wanted["pts_s"])
