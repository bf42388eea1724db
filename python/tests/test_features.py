"""Features are chosen as NumPy chooses rows, and read only where they are wanted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import earmark
import make

ROWS = 700


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[earmark.Features, np.ndarray]:
    recording = earmark.open(make.write(tmp_path_factory.mktemp("features") / "a.h5", ROWS))
    return recording.features, make.columns(ROWS, 6)["frames/features"]


KEYS = {
    "a row": 3,
    "the last row": -1,
    "a number of numpy": np.int64(5),
    "all": slice(None),
    "an ellipsis": ...,
    "a slice": slice(60, 70),
    "a step": slice(5, 600, 7),
    "a long step": slice(0, None, 300),
    "backwards": slice(None, None, -1),
    "backwards by two": slice(600, 3, -2),
    "beyond the end": slice(690, 10000),
    "nothing": slice(5, 5),
    "a list": [7, 2, 2, -1],
    "an empty list": [],
    "far apart": np.array([699, 0, 350]),
    "a mask": np.arange(ROWS) % 100 == 3,
    "a mask of none": np.zeros(ROWS, bool),
    "a column": (slice(None), 2),
    "a row and a column": (3, 2),
    "rows and columns": ([1, 5], slice(0, 3)),
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
def test_rows_are_those_of_numpy(pair: tuple[earmark.Features, np.ndarray], key: object) -> None:
    features, wanted = pair
    got = features[key]
    assert isinstance(got, np.ndarray) or np.isscalar(got)
    index = np.array(key, np.int64) if isinstance(key, list) else key
    np.testing.assert_array_equal(got, wanted[index])
    assert np.asarray(got).dtype == wanted.dtype


def test_any_rows_in_any_order(pair: tuple[earmark.Features, np.ndarray]) -> None:
    features, wanted = pair
    random = np.random.default_rng(7)
    for _ in range(30):
        rows = random.integers(-ROWS, ROWS, random.integers(0, 200))
        np.testing.assert_array_equal(features[rows], wanted[rows])
        start, stop = random.integers(-ROWS - 5, ROWS + 5, 2)
        step = int(random.choice([-200, -70, -3, -1, 1, 2, 65, 300]))
        np.testing.assert_array_equal(features[start:stop:step], wanted[start:stop:step])


@pytest.mark.parametrize("key", [700, -701, [700], [0.5], np.zeros(3, bool), [[1, 2]], (1, 2, 3), "a"])
def test_what_chooses_no_rows_is_an_index_error(pair: tuple[earmark.Features, np.ndarray], key: object) -> None:
    with pytest.raises(IndexError):
        pair[0][key]


def test_it_is_an_array_where_one_is_wanted(pair: tuple[earmark.Features, np.ndarray]) -> None:
    features, wanted = pair
    assert features.shape == wanted.shape and len(features) == ROWS and features.ndim == 2
    np.testing.assert_array_equal(np.asarray(features), wanted)
    assert np.asarray(features, np.float64).dtype == np.float64
    assert np.mean(features) == pytest.approx(wanted.mean())


def test_only_what_is_wanted_is_read(tmp_path: Path) -> None:
    reads: list[slice] = []
    rows = np.arange(10000.0).reshape(5000, 2)

    def read(wanted: slice) -> np.ndarray:
        reads.append(wanted)
        return rows[wanted]

    features = earmark.Features(read, (5000, 2), rows.dtype)
    features[[4000, 3, 10, 4001]]
    assert [(r.start, r.stop) for r in reads] == [(3, 11), (4000, 4002)]
    reads.clear()
    np.testing.assert_array_equal(features[np.arange(5000)], rows)
    assert [(r.start, r.stop) for r in reads] == [(0, 4096), (4096, 5000)]
