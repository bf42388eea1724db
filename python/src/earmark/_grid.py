"""An even grid of time, by the rules of `earmark export --format actionformer`."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._features import Features

# Largest grid in memory.
MOST_BYTES = 16 << 30


@dataclass(frozen=True)
class Grid:
    """Features on an even grid: cell k lasts from k to k + 1 strides.

    A cell holds the dearest frame that was taken in it (of several that cost the same, the one nearest to its middle). A cell in which none was
    taken holds the one nearest to its middle, or zeros, and is not `valid`.
    """

    # Length of a cell, seconds.
    stride: float
    # [T, D], 32 bits.
    features: NDArray[np.float32]
    # [T]: whether a frame was taken in the cell.
    valid: NDArray[np.bool_]
    # [T]: the row of its frame; -1 for zeros.
    row: NDArray[np.int64]
    # [T]: the cell's middle, in seconds.
    times: NDArray[np.float64]
    # [T]: the time of that frame, in seconds; NaN for zeros.
    pts: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.times)

    def __repr__(self) -> str:
        return f"<earmark.Grid {len(self)} cells of {self.stride} s, {int(self.valid.sum())} with a frame>"


def stride_ns(stride: float) -> int:
    """A stride in nanoseconds; refuses invalid ones."""
    if not math.isfinite(stride) or stride < 1e-6:
        raise ValueError(f"the stride is {stride!r} s; it is a number of seconds, at least a millionth")
    return round(stride * 1e9)


def cells(pts_ns: NDArray[Any], tokens: NDArray[Any], duration_ns: int, stride: int, fill: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The row of each cell (-1: none), and whether it was taken in the cell."""
    last = max(int(pts_ns[-1]) if len(pts_ns) else 0, duration_ns - 1, 0)
    count = last // stride + 1
    row = np.full(count, -1, np.int64)
    valid = np.zeros(count, np.bool_)
    if not len(pts_ns):
        return row, valid
    # A frame before the start belongs to it.
    cell = np.maximum(pts_ns // stride, 0)
    middle = np.arange(count, dtype=np.int64) * stride + stride // 2
    far = np.abs(pts_ns - middle[cell])
    # The most expensive first, then the nearest, then the first.
    order = np.lexsort((far, -tokens.astype(np.int64), cell))
    first = order[np.flatnonzero(np.diff(cell[order], prepend=-1))]
    row[cell[first]] = first
    valid[cell[first]] = True
    if fill == "nearest":
        after = np.searchsorted(pts_ns, (np.arange(count, dtype=np.int64) + 1) * stride)
        before = np.clip(after - 1, 0, len(pts_ns) - 1)
        after = np.clip(after, 0, len(pts_ns) - 1)
        nearer = np.where(np.abs(pts_ns[after] - middle) < np.abs(pts_ns[before] - middle), after, before)
        row = np.where(valid, row, nearer)
    return row, valid


def grid(
    path: str, pts_ns: NDArray[Any], tokens: NDArray[Any], duration_ns: int, features: Features, stride: float, fill: str
) -> Grid:
    """The grid of a recording."""
    if fill not in ("nearest", "zero"):
        raise ValueError(f"fill is {fill!r}; it is 'nearest' or 'zero'")
    step = stride_ns(stride)
    if step > max(duration_ns, 10_000_000_000):
        warnings.warn(
            f"{path}: a stride of {stride} s is longer than the recording ({duration_ns / 1e9} s); did you give milliseconds?", stacklevel=3
        )
    count = max(int(pts_ns[-1]) if len(pts_ns) else 0, duration_ns - 1, 0) // step + 1
    if count * features.shape[1] * 4 > MOST_BYTES:
        raise ValueError(f"{path}: {count} cells of {stride} s need more than {MOST_BYTES >> 30} GiB of memory; choose a longer stride")
    row, valid = cells(pts_ns, tokens, duration_ns, step, fill)
    shown = np.zeros((count, features.shape[1]), np.float32)
    pts = np.full(count, np.nan)
    filled = row >= 0
    rows, inverse = np.unique(row[filled], return_inverse=True)
    shown[filled] = features[rows].astype(np.float32, copy=False)[inverse.reshape(-1)]
    pts[filled] = pts_ns[row[filled]] / 1e9
    times = (np.arange(count, dtype=np.float64) + 0.5) * (step / 1e9)
    return Grid(step / 1e9, shown, valid, row, times, pts)
