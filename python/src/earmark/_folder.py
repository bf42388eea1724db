"""A folder of feature files as a sequence of training items, and batches of them."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from ._errors import EarmarkError, ForeignFileError, missing
from ._recording import Recording, open

if TYPE_CHECKING:
    from ._torch import TorchFolder

Self = TypeVar("Self", bound="Folder")

# Most files that an error names.
MOST = 10


class Item(NamedTuple):
    """A recording as a training item."""

    video_id: str
    # [T, D], 32 bits: one row per frame, or per cell of the grid.
    features: Any
    # [T]: seconds.
    times: Any
    # [T]: whether a frame was taken there; always, without a grid.
    mask: Any
    # [A, 3]: onset, start and stop of the window of each anchor, in seconds.
    anchors: Any
    # The result of `target`.
    target: Any = None


class Batch(NamedTuple):
    """Items of one batch, padded with zeros to the longest, T."""

    video_id: list[str]
    # [B, T, D].
    features: Any
    # [B, T].
    times: Any
    # [B, T]; false where padded.
    mask: Any
    # [B]: the length of each item.
    lengths: Any
    # One [A, 3] for each item.
    anchors: list[Any]
    # Arrays whose first axis is T are padded, too; others are listed.
    target: Any


class Folder(Sequence[Item]):
    """The feature files of a folder, in the order of their names: `folder[k]` is an `Item` of arrays.

    Every file is checked when the folder is opened: all must be complete and from the same encoder. Rows are read when an item is asked for.
    No file stays open, so that a folder may go to worker processes. Slices are folders, too.

    - `path`: a folder, or the files themselves.
    - `grid`: seconds of a cell of an even grid, on which every item lies (see `Recording.grid`); None: a row for each frame, at its own time.
    - `fill`: what stands in cells without a frame, "nearest" or "zero".
    - `target`: what is to be learned, a function of the recording and the times of the item's rows.
    - `pattern`, `recursive`: which files of the folder are meant.
    - `allow_incomplete`: take files whose run did not end, too.
    - `skip_bad`: leave out files that can't be used instead of raising an error; `skipped` says which and why.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        grid: float | None = None,
        fill: str = "nearest",
        target: Callable[[Recording, NDArray[np.float64]], Any] | None = None,
        pattern: str = "*.h5",
        recursive: bool = False,
        allow_incomplete: bool = False,
        skip_bad: bool = False,
    ) -> None:
        self.grid = grid
        self.fill = fill
        self.target = target
        self._allow_incomplete = allow_incomplete
        self.skipped: list[tuple[str, str]] = []
        self.paths: list[str] = []
        self.video_ids: list[str] = []
        self.dim = 0
        self._read(found(path, pattern, recursive), skip_bad)

    def _read(self, paths: list[str], skip_bad: bool) -> None:
        first: tuple[str, int, Any] | None = None
        bad: list[str] = []
        for path in paths:
            try:
                with self._open(path) as recording:
                    own = (path, recording.features.shape[1], encoder(recording))
                    first = first or own
                    unlike(first, own)
                    video_id = recording.video_id
            except (EarmarkError, OSError) as error:
                bad.append(str(error))
                self.skipped.append((path, str(error)))
                continue
            self.paths.append(path)
            self.video_ids.append(video_id)
        if bad and not skip_bad:
            more = f"\n  and {len(bad) - MOST} more" if len(bad) > MOST else ""
            raise EarmarkError(
                os.path.dirname(paths[0]) or ".", "files that can't be used (skip_bad=True leaves them out):\n  " + "\n  ".join(bad[:MOST]) + more
            )
        self.dim = first[1] if first else 0

    def _open(self, path: str) -> Recording:
        return open(path, allow_incomplete=self._allow_incomplete)

    def __repr__(self) -> str:
        return f"<earmark.{type(self).__name__}: {len(self)} recordings of {self.dim} numbers a frame>"

    def __len__(self) -> int:
        return len(self.paths)

    def recording(self, index: int) -> Recording:
        """The file of an item, opened."""
        return self._open(self.paths[index])

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self: Self, index: slice) -> Self: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self._part(index)
        with self.recording(index) as recording:
            return self._item(recording)

    def _part(self: Self, index: slice) -> Self:
        part: Self = object.__new__(type(self))
        part.__dict__.update(self.__dict__)
        part.paths, part.video_ids = self.paths[index], self.video_ids[index]
        return part

    def _item(self, recording: Recording) -> Item:
        if self.grid is None:
            features = recording.features[:].astype(np.float32, copy=False)
            times, mask = np.array(recording.times), np.ones(len(recording), np.bool_)
        else:
            even = recording.grid(self.grid, fill=self.fill)
            features, times, mask = even.features, even.times, even.valid
        anchors = recording.anchors
        windows = np.stack([anchors.onset, anchors.start, anchors.stop], 1)
        target = None if self.target is None else self.target(recording, times)
        return Item(recording.video_id, features, times, mask, windows, target)


def found(path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], pattern: str, recursive: bool) -> list[str]:
    """The selected files, in the order of their names."""
    if not isinstance(path, (str, os.PathLike)):
        return [os.path.abspath(os.fspath(one)) for one in path]
    folder = os.path.abspath(os.fspath(path))
    if not os.path.isdir(folder):
        raise NotADirectoryError(f"{folder} is not a folder; earmark.open reads a file")
    where = glob.escape(folder)
    paths = glob.glob(os.path.join(where, "**", pattern) if recursive else os.path.join(where, pattern), recursive=recursive)
    if not paths:
        raise FileNotFoundError(f"the folder {folder} has no feature files ({pattern})")
    return sorted(paths)


def encoder(recording: Recording) -> tuple[str, str, str | None] | None:
    """Name, SHA-256 and the manifest's SHA-256 of a recording's encoder, as far as the file says."""
    for model in recording.meta.get("models") or []:
        if isinstance(model, dict) and model.get("role") == "encoder":
            return str(model.get("name")), str(model.get("sha256")), model.get("manifest_sha256")
    return None


def unlike(first: tuple[str, int, Any], other: tuple[str, int, Any]) -> None:
    """Refuses a file from another encoder than the first one's. Ignores values that an older version did not record."""
    if first[1] != other[1]:
        raise ForeignFileError(other[0], f"it has {other[1]} numbers a frame, but {first[0]} has {first[1]}: they are from different models")
    one, two = first[2], other[2]
    if one is None or two is None:
        return
    if one[1] != two[1] or (one[2] and two[2] and one[2] != two[2]):
        raise ForeignFileError(
            other[0], f"it was encoded by {two[0]}, {first[0]} by {one[0]}, or with other settings: their numbers can't be compared"
        )


def dataset(path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], **options: Any) -> TorchFolder:
    """A `Folder` that is a `torch.utils.data.Dataset`: its items hold tensors. The options are those of `Folder`.

    `torch.utils.data.DataLoader(earmark.dataset("features/", grid=0.5), batch_size=8, collate_fn=earmark.collate, num_workers=4)` gives `Batch`es.
    Without torch, `Folder` gives the same items as NumPy arrays.
    """
    try:
        from ._torch import TorchFolder
    except ImportError:
        raise missing("torch", "torch", "earmark.dataset (earmark.Folder works without it)") from None
    return TorchFolder(path, **options)


def collate(items: Sequence[Item]) -> Batch:
    """Joins items, padded to the longest: tensors for tensors, arrays for arrays."""
    if not items:
        raise ValueError("a batch has at least one item")
    lengths = [len(item.times) for item in items]
    longest = max(lengths)

    def padded(values: Sequence[Any]) -> Any:
        whole = filled(values[0], (len(values), longest, *values[0].shape[1:]))
        for k, value in enumerate(values):
            whole[k, : lengths[k]] = value
        return whole

    targets = [item.target for item in items]
    fits = all(getattr(t, "ndim", 0) >= 1 and len(t) == n for t, n in zip(targets, lengths, strict=True))
    alike = fits and len({(tuple(t.shape[1:]), str(t.dtype)) for t in targets}) == 1
    return Batch(
        video_id=[item.video_id for item in items],
        features=padded([item.features for item in items]),
        times=padded([item.times for item in items]),
        mask=padded([item.mask for item in items]),
        lengths=like(items[0].times, lengths),
        anchors=[item.anchors for item in items],
        target=padded(targets) if alike else None if all(t is None for t in targets) else targets,
    )


def filled(example: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of the same type as an example."""
    return np.zeros(shape, example.dtype) if isinstance(example, np.ndarray) else example.new_zeros(shape)


def like(example: Any, numbers: list[int]) -> Any:
    """Integers of the same type as an example."""
    if isinstance(example, np.ndarray):
        return np.array(numbers, np.int64)
    import torch

    return torch.tensor(numbers, dtype=torch.int64)
