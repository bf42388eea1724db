"""One feature file: opens it, reads it, closes it."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from . import _grid, _live, _verify
from ._attributes import decoded
from ._errors import DamagedFileError, EarmarkError
from ._features import Features
from ._grid import Grid
from ._store import Opened, open_file
from ._tables import AnchorTable, CandidateTable, ClipTable, CueTable, EventTable, FrameTable, Table

if TYPE_CHECKING:
    import pandas

AnyTable = TypeVar("AnyTable", bound=Table)

# Longest JPEG of a frame.
MOST_JPEG = 16 << 20


def open(
    path: str | os.PathLike[str],
    *,
    allow_incomplete: bool = False,
    verify: bool = False,
    live: bool = False,
    recording: str | None = None,
) -> Recording:
    """Opens a feature file.

    - `allow_incomplete`: take a file whose run did not end, too (`NAME.h5.partial`, or what `earmark recover` saved).
    - `verify`: read all of it and hold it against the digests that its writer left; else only its structure is checked.
    - `live`: take a file that is still being written, as far as it is written; `Recording.refresh` looks for more. `path` is the name that it
      will have, or has: `NAME.h5` or `NAME.h5.partial`.
    - `recording`: which one, of a file of many (`earmark export --format hdf5`).

    Raises `FileNotFoundError`; `ForeignFileError` for a file that is not a feature file or has an unknown schema; `DamagedFileError` for what is
    not as it was written; `IncompleteFileError`. All three are `EarmarkError`s.
    """
    opened = Recording(path, allow_incomplete=allow_incomplete, live=live, recording=recording)
    if verify:
        try:
            opened.verify()
        except BaseException:
            opened.close()
            raise
    return opened


class Recording:
    """A feature file. Made by `earmark.open`; used in a `with`, or closed by `close`.

    It may go to another process: what is pickled is the path, and the file is opened anew there.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        allow_incomplete: bool = False,
        live: bool = False,
        recording: str | None = None,
    ) -> None:
        self.path = os.path.abspath(os.fspath(path))
        self._allow_incomplete = allow_incomplete
        self._live = live
        self._name = recording
        self._held: Opened | None = None
        self._tables: dict[str, Table] = {}
        self._meta: dict[str, Any] | None = None
        self._held = self._open()
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _open(self) -> Opened:
        if self._live:
            return _live.open_live(self.path, self._name)
        return open_file(self.path, self._allow_incomplete, self._name)

    def _begin(self) -> None:
        """Reads the basic facts of the opened file."""
        self._tables = {}
        self._meta = None
        features = self._dataset("frames/features")
        if features.ndim != 2:
            raise DamagedFileError(self.path, f"/frames/features has {features.ndim} axes, not 2")
        self._rows = self._opened().height(self.path, "frames/features")
        if len(self.frames) != self._rows:
            raise DamagedFileError(self.path, f"columns differ in length: /frames/features {self._rows}, the others {len(self.frames)}")

    def _dataset(self, name: str) -> Any:
        return self._opened().dataset(self.path, name)

    def _opened(self) -> Opened:
        if self._held is None:
            raise ValueError(f"{self.path} is closed")
        if self._held.pid != os.getpid():
            # A forked process must not use its parent's HDF5 handles.
            self._held = self._open()
        return self._held

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self.path, self._allow_incomplete, self._live, self._name)

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; data that was read stays valid."""
        held, self._held = self._held, None
        if held is not None:
            held.close()

    def __del__(self) -> None:
        if getattr(self, "_held", None) is not None:
            self.close()

    def __repr__(self) -> str:
        if self._held is None:
            return f"<earmark.Recording {self.path}, closed>"
        state = "" if self.is_complete else ", being written" if self.is_live else ", not complete"
        return f"<earmark.Recording {self.video_id}: {len(self)} frames of {self.features.shape[1]} numbers, {len(self.anchors)} anchors{state}>"

    def __len__(self) -> int:
        """Number of frames."""
        return self._rows

    # About the file.

    @property
    def schema(self) -> str:
        """The version of the file's layout: `earmark/2`."""
        return self._opened().schema

    @property
    def is_complete(self) -> bool:
        """Whether the run that wrote it ended normally."""
        return self._opened().is_complete

    @property
    def incomplete_because(self) -> str | None:
        """Why it is not complete, if the run could say."""
        return self._opened().because

    @property
    def is_live(self) -> bool:
        """Whether more may come: a run was writing it when it was opened or refreshed."""
        return self._opened().is_live

    @property
    def meta(self) -> dict[str, Any]:
        """Every attribute of the file: text, numbers, booleans; `config`, `models`, `streams`, `times`, `versions`, `warnings` parsed."""
        if self._meta is None:
            try:
                self._meta = decoded(self._opened().root)
            except ValueError as error:
                raise DamagedFileError(self.path, str(error)) from None
        return dict(self._meta)

    @property
    def video_id(self) -> str:
        """Name of the recording; of an incomplete file, the name of the file."""
        name = os.path.basename(self.path).removesuffix(_live.PARTIAL)
        return str(self.meta.get("video_id") or os.path.splitext(name)[0])

    @property
    def duration_ns(self) -> int:
        """Length of the recording; until that is known, the time of the last frame or cue."""
        stated = self.meta.get("duration_ns")
        if stated is not None:
            return int(stated)
        ends = [int(times[-1]) for times in (self.times_ns, self.cues["pts_ns"]) if len(times)]
        return max(ends, default=0)

    @property
    def duration(self) -> float:
        """Length of the recording in seconds."""
        return self.duration_ns / 1e9

    # Its data, one row per frame.

    @property
    def features(self) -> Features:
        """Features `[N, D]`, read on demand."""
        dataset = self._dataset("frames/features")
        return Features(self._read_features, (len(self), int(dataset.shape[1])), dataset.dtype)

    def _read_features(self, rows: slice) -> NDArray[Any]:
        return self._opened().read(self.path, "frames/features", rows)

    @property
    def times(self) -> NDArray[np.float64]:
        """When each frame was shown, in seconds from the start of the recording."""
        return self.frames["pts_s"]

    @property
    def times_ns(self) -> NDArray[np.int64]:
        """The same in nanoseconds, exactly."""
        return self.frames["pts_ns"]

    @property
    def tiers(self) -> NDArray[np.str_]:
        """The tier of each frame: "low", "base", "high"."""
        return self.frames["tier"]

    @property
    def reasons(self) -> NDArray[np.str_]:
        """Why each frame was taken: "anchor", "background", "untrusted", "uniform"."""
        return self.frames["reason"]

    @property
    def tokens(self) -> NDArray[np.uint32]:
        """The price of each frame, in tokens."""
        return self.frames["tokens"]

    # Its tables.

    @property
    def frames(self) -> FrameTable:
        """Everything about the frames except their features."""
        return self._table(FrameTable)

    @property
    def anchors(self) -> AnchorTable:
        """Onsets that were chosen, with their windows; `frames["anchor"]` names rows of it."""
        return self._table(AnchorTable)

    @property
    def candidates(self) -> CandidateTable:
        """Onsets that were not taken: the likeliest `meta["candidates_per_min"]` of every minute; none in files of older versions."""
        return self._table(CandidateTable)

    @property
    def cues(self) -> CueTable:
        """The audio's output, one row per 80 ms."""
        return self._table(CueTable)

    @property
    def clips(self) -> ClipTable:
        """The frames of each row, in files of clips; no rows in other files."""
        return self._table(ClipTable)

    @property
    def events(self) -> EventTable:
        """The events that a parser found; no rows if there are none."""
        return self._table(EventTable)

    def _table(self, kind: type[AnyTable]) -> AnyTable:
        held = self._tables.get(kind.name)
        if not isinstance(held, kind):
            held = self._tables[kind.name] = kind(self.path, self._opened)
        return held

    def table(self, name: str) -> Table:
        """Any table by its name in the file."""
        if name not in self.tables:
            raise KeyError(f"{self.path} has no table {name!r}, only {', '.join(self.tables)}")
        kinds: tuple[type[Table], ...] = (FrameTable, AnchorTable, CandidateTable, ClipTable, CueTable, EventTable)
        for kind in kinds:
            if kind.name == name:
                return self._table(kind)
        if name not in self._tables:
            self._tables[name] = Table(self.path, self._opened, name)
        return self._tables[name]

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that the file has."""
        opened = self._opened()
        groups = [name for name, item in opened.root.items() if isinstance(item, h5py.Group)]
        return tuple(name for name in groups if name not in ("texts", "thumbnails"))

    def to_pandas(self, *, unit: str = "s") -> pandas.DataFrame:
        """The frames as a data frame, without their features; see `Table.to_pandas`."""
        return self.frames.to_pandas(unit=unit)

    # Derived data.

    def grid(self, stride: float = 0.5, *, fill: str = "nearest") -> Grid:
        """Features on an even grid whose cells last `stride` seconds.

        `fill` says what stands in a cell in which no frame was taken: the frame "nearest" to it, or "zero". The rules, and so the numbers, are
        those of `earmark export --format actionformer`.
        """
        return _grid.grid(self.path, self.times_ns, self.tokens, self.duration_ns, self.features, stride, fill)

    @property
    def has_thumbnails(self) -> bool:
        """Whether there is a small JPEG of every frame."""
        columns = self._opened().columns("frames")
        return "thumbnail_stop" in columns or "thumbnails" in columns

    def thumbnail(self, row: int) -> bytes:
        """The small JPEG of a frame; raises `KeyError` in files without (`earmark run --thumbnails` keeps them)."""
        if not self.has_thumbnails:
            raise KeyError(f"{self.path} has no thumbnails; `earmark run --thumbnails` keeps them")
        at = row + (len(self) if row < 0 else 0)
        if not 0 <= at < len(self):
            raise IndexError(f"frame {row} of {len(self)}")
        opened = self._opened()
        if "thumbnails" in opened.columns("frames"):
            return bytes(opened.read(self.path, "frames/thumbnails", slice(at, at + 1))[0])
        # Each begins where the one before ends.
        stops = opened.read(self.path, "frames/thumbnail_stop", slice(max(at - 1, 0), at + 1))
        begin, end = int(stops[0]) if at else 0, int(stops[-1])
        if not begin <= end <= opened.height(self.path, "thumbnails/jpeg") or end - begin > MOST_JPEG:
            raise DamagedFileError(self.path, f"/frames/thumbnail_stop says that a JPEG goes from byte {begin} to {end}")
        return opened.read(self.path, "thumbnails/jpeg", slice(begin, end)).tobytes()

    # Checks, and updates of live files.

    def problems(self) -> list[str]:
        """Reads the whole file and returns everything that is wrong with it, in words."""
        try:
            return _verify.problems(self.path, self._opened())
        except EarmarkError as error:
            return [error.problem]

    def verify(self) -> None:
        """Reads the whole file and raises `DamagedFileError` if it differs from what was written."""
        found = self.problems()
        if found:
            raise DamagedFileError(self.path, "; ".join(found))

    def refresh(self) -> int:
        """Reads what was written since the file was opened with `live=True`; returns the number of new frames."""
        opened = self._opened()
        if not self._live:
            raise ValueError(f"{self.path} was not opened with live=True")
        if opened.is_complete or not opened.is_live or _live.is_unchanged(opened):
            return 0
        before = len(self)
        if opened.is_swmr and os.path.exists(opened.file.filename) and _live.is_swmr(opened.file.filename):
            _live.grown(self.path, opened)
        else:
            if opened.is_swmr:
                # HDF5 cannot open a file in two modes at once.
                self.close()
            self._held = self._open()
            opened.close()
        self._begin()
        return len(self) - before


def _reopened(path: str, allow_incomplete: bool, live: bool, recording: str | None) -> Recording:
    return Recording(path, allow_incomplete=allow_incomplete, live=live, recording=recording)


