"""The features of a file, read on demand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

# Two wanted rows this close are read together, with the rows between them.
APART = 64
# Most rows in memory twice.
TOGETHER = 4096


class Features:
    """Features `[N, D]`, one row per frame, in 32 or 16 bits as in the file. Rows are read from the file on demand.

    Rows are chosen as in NumPy, by a number, a slice, a mask or row numbers: `features[3]`, `features[:100]`, `features[recording.reasons ==
    "anchor"]`, `features[[7, 2]]`; a second index chooses columns. `features[:]` and `numpy.asarray(features)` read all of them.
    """

    def __init__(self, read: Callable[[slice], NDArray[Any]], shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        self._read = read
        self.shape = shape
        self.dtype = dtype
        self.ndim = 2

    def __repr__(self) -> str:
        return f"<earmark.Features {self.shape[0]} x {self.shape[1]} {self.dtype}>"

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("features are read from the file: an array of them is always a copy")
        rows = self._read(slice(0, len(self)))
        return rows if dtype is None else rows.astype(dtype, copy=False)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        if isinstance(key, tuple):
            if len(key) != 2:
                raise IndexError(f"features have two axes, not {len(key)}")
            rows = self[key[0]]
            return np.asarray(rows[..., key[1]])
        if key is Ellipsis:
            key = slice(None)
        if isinstance(key, slice):
            return self._slice(key)
        if isinstance(key, (int, np.integer)) and not isinstance(key, (bool, np.bool_)):
            at = int(key) + (len(self) if key < 0 else 0)
            if not 0 <= at < len(self):
                raise IndexError(f"row {key} of {len(self)}")
            return np.asarray(self._read(slice(at, at + 1))[0])
        return self._take(key)

    def _slice(self, key: slice) -> NDArray[Any]:
        rows = range(*key.indices(len(self)))
        if not rows:
            return np.empty((0, self.shape[1]), self.dtype)
        low, high = min(rows[0], rows[-1]), max(rows[0], rows[-1])
        if abs(rows.step) > APART:
            return self._take(np.asarray(rows))
        span = self._read(slice(low, high + 1))
        return span[:: abs(rows.step)] if rows.step > 0 else span[:: -abs(rows.step)]

    def _take(self, key: ArrayLike) -> NDArray[Any]:
        wanted = np.asarray(key)
        if wanted.size == 0 and wanted.dtype != bool:
            wanted = wanted.astype(np.int64)
        if wanted.ndim != 1:
            raise IndexError(f"rows are chosen by one axis, not {wanted.ndim}")
        if wanted.dtype == bool:
            if len(wanted) != len(self):
                raise IndexError(f"a mask of {len(wanted)} for {len(self)} rows")
            wanted = np.flatnonzero(wanted)
        if not np.issubdtype(wanted.dtype, np.integer):
            raise IndexError(f"rows are chosen by whole numbers or a mask, not by {wanted.dtype}")
        wanted = np.where(wanted < 0, wanted + len(self), wanted)
        if wanted.size and not (0 <= wanted.min() and wanted.max() < len(self)):
            raise IndexError(f"rows {wanted.min()} to {wanted.max()} of {len(self)}")
        found = np.empty((len(wanted), self.shape[1]), self.dtype)
        order = np.argsort(wanted, kind="stable")
        rising = wanted[order]
        apart = (np.diff(rising) > APART) | (np.diff(rising // TOGETHER) > 0)
        runs = np.split(order, np.flatnonzero(apart) + 1)
        for run in runs:
            if run.size:
                low, high = int(wanted[run[0]]), int(wanted[run[-1]])
                found[run] = self._read(slice(low, high + 1))[wanted[run] - low]
        return found
