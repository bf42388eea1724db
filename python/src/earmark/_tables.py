"""The tables of a file: columns as arrays, rows as a data frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ._errors import DamagedFileError, missing
from ._store import Opened

if TYPE_CHECKING:
    import pandas

# Columns with another name in files of older versions.
RENAMED = {"frames": {"requested_ns": "planned_ns"}}
# Today's names of codes that had other names in older files; an enum with the second name of a key is of an older file.
NAMES_BEFORE = {("frames/reason", "fallback"): {"fallback": "untrusted", "uniform": "background"}}
# Columns read in another way: features on demand, thumbnails one by one.
APART = {"frames": ("features", "thumbnail_stop", "thumbnails")}


class Table:
    """Columns of one length, by name: `table["onset_ns"]`; `len(table)` is the number of rows.

    A column is read when it is first asked for, and kept; arrays can't be written to. Codes are text ("low", "anchor"), by the names that the file
    itself gives them. Of every column that ends in `_ns` there is one in seconds, too, which ends in `_s`. What the file has in a group inside the
    table has that group's name before its own: `/frames/quality/score` is `frames["quality_score"]`.
    """

    name = ""
    # Columns, with their types, of a table that the file lacks: it then has no rows.
    usual: dict[str, Any] = {}

    def __init__(self, path: str, opened: Callable[[], Opened], name: str = "") -> None:
        self._path = path
        self._opened = opened
        self._name = name or self.name
        self._kept: dict[str, NDArray[Any]] = {}
        there = [column for column in opened().columns(self._name) if column not in APART.get(self._name, ())]
        renamed = RENAMED.get(self._name, {})
        # If both exist, the new name counts.
        self._columns = {renamed.get(column, column).replace("/", "_"): column for column in sorted(there, key=lambda c: c not in renamed)}
        self._is_there = bool(there)
        heights = {self._path_of(column): self._height(self._path_of(column)) for column in self._columns}
        if len(set(heights.values())) > 1:
            listed = ", ".join(f"/{column} {height}" for column, height in heights.items())
            raise DamagedFileError(path, f"columns differ in length: {listed}")
        self._rows = next(iter(heights.values()), 0)

    def _path_of(self, column: str) -> str:
        return f"{self._name}/{self._columns[column]}"

    def _height(self, name: str) -> int:
        return self._opened().height(self._path, name)

    def __repr__(self) -> str:
        return f"<earmark.{type(self).__name__} /{self._name}: {len(self)} rows of {', '.join(self.columns)}>"

    def __len__(self) -> int:
        return self._rows

    # Iteration over rows or over columns would both be a guess.
    __iter__ = None

    def __contains__(self, column: object) -> bool:
        return column in self.columns

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(sorted(self._columns if self._is_there else self.usual))

    def __getitem__(self, column: str) -> NDArray[Any]:
        if not isinstance(column, str):
            raise TypeError(f"a table takes the name of a column, not {column!r}; columns are {', '.join(self.columns)}")
        if column not in self._kept:
            values = self._column(column)
            values.setflags(write=False)
            self._kept[column] = values
        return self._kept[column]

    def _column(self, column: str) -> NDArray[Any]:
        if column in self._columns:
            return self._decoded(self._path_of(column))
        if column in self.columns:
            return np.zeros(0, self.usual[column])
        if column.endswith("_s") and f"{column[:-2]}_ns" in self:
            return np.asarray(self[f"{column[:-2]}_ns"] / 1e9)
        raise KeyError(f"/{self._name} of {self._path} has no column {column!r}, only {', '.join(self.columns)}")

    def _decoded(self, name: str) -> NDArray[Any]:
        opened = self._opened()
        kind = opened.dataset(self._path, name).dtype
        values = opened.read(self._path, name, slice(0, len(self)))
        codes = h5py.check_enum_dtype(kind)
        if codes is not None and kind.kind != "b":
            return self._named(name, values, codes)
        if h5py.check_string_dtype(kind) is not None:
            if kind.kind == "S":
                return np.char.decode(values, "utf-8", "replace") if len(values) else np.zeros(0, "U1")
            texts = [bytes(value).decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values]
            return np.array(texts, dtype=np.str_) if texts else np.zeros(0, "U1")
        return values

    def _named(self, name: str, values: NDArray[Any], codes: dict[str, int]) -> NDArray[Any]:
        before = next((today for (own, sign), today in NAMES_BEFORE.items() if own == name and sign in codes), {})
        names = {code: before.get(text, text) for text, code in codes.items()}
        unknown = np.setdiff1d(values, list(names))
        if unknown.size:
            raise DamagedFileError(self._path, f"/{name} has the code {unknown[0]}, which has no name")
        width = max(map(len, names.values()), default=1)
        table = np.zeros(256 if values.dtype.itemsize == 1 else max(names) + 1, f"U{width}")
        for code, text in names.items():
            table[code] = text
        return np.asarray(table[values])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Every column, by name."""
        return {column: self[column] for column in self.columns}

    def to_pandas(self, *, unit: str = "s") -> pandas.DataFrame:
        """The table as a data frame; times in seconds (`pts_s`) or, with `unit="ns"`, as they are (`pts_ns`).

        What has more than one number a row becomes a column for each: `bands_0`, `bands_1`.
        """
        if unit not in ("s", "ns"):
            raise ValueError(f"unit is {unit!r}; it is 's' or 'ns'")
        try:
            import pandas
        except ImportError:
            raise missing("pandas", "pandas", "a data frame") from None
        found: dict[str, Any] = {}
        for column in self.columns:
            name = f"{column[:-3]}_s" if unit == "s" and column.endswith("_ns") else column
            values = self[name]
            if values.ndim == 1:
                found[name] = values
            else:
                found.update({f"{name}_{k}": values[:, k] for k in range(values.shape[1])})
        return pandas.DataFrame(found)


class FrameTable(Table):
    """`/frames` without the features: one row per frame."""

    name = "frames"

    def _column(self, column: str) -> NDArray[Any]:
        # Older files lack the time asked for where a frame was not moved.
        if column == "asked_ns" and column not in self._columns:
            return np.array(self["planned_ns"])
        return super()._column(column)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(sorted({*self._columns, "asked_ns"})) if self._is_there else ()


class AnchorTable(Table):
    """`/anchors`: one row per anchor, with its window `[start, stop)`, in the order of windows."""

    name = "anchors"
    usual = {"onset_ns": "i8", "start_ns": "i8", "stop_ns": "i8", "score": "f4", "uncertainty": "f4", "class_id": "i4", "label": "U1"}

    @property
    def onset(self) -> NDArray[np.float64]:
        """When the sound of the event begins, in seconds."""
        return self["onset_s"]

    @property
    def start(self) -> NDArray[np.float64]:
        """First instant of the window, in seconds."""
        return self["start_s"]

    @property
    def stop(self) -> NDArray[np.float64]:
        """First instant after the window, in seconds."""
        return self["stop_s"]

    @property
    def score(self) -> NDArray[np.float32]:
        """How likely an event begins here, 0 to 1."""
        return self["score"]

    @property
    def uncertainty(self) -> NDArray[np.float32]:
        """How unsure that is, 0 to 1."""
        return self["uncertainty"]

    @property
    def class_id(self) -> NDArray[np.int32]:
        """The tagger's class, or -1."""
        return self["class_id"]

    @property
    def label(self) -> NDArray[np.str_]:
        """Its name, or an empty text."""
        return self["label"]


class CandidateTable(Table):
    """`/candidates`: onsets that were not taken, mostly because the budget was spent elsewhere; no rows in files of older versions."""

    name = "candidates"
    usual = {"onset_ns": "i8", "score": "f4", "more_tokens": "i8"}

    @property
    def onset(self) -> NDArray[np.float64]:
        """When each sound begins, in seconds."""
        return self["onset_s"]

    @property
    def score(self) -> NDArray[np.float32]:
        """How likely an event begins there, 0 to 1."""
        return self["score"]

    @property
    def more_tokens(self) -> NDArray[np.int64]:
        """How many more tokens the budget needs to take it; -1 if unknown, or if no budget would."""
        return self["more_tokens"]


class CueTable(Table):
    """`/cues`: the audio's output, one row per 80 ms."""

    name = "cues"
    usual = {"pts_ns": "i8", "eventness": "f4", "uncertainty": "f4", "speech": "f4"}

    @property
    def times(self) -> NDArray[np.float64]:
        """Start of each cue, in seconds."""
        return self["pts_s"]

    @property
    def eventness(self) -> NDArray[np.float32]:
        """How likely an event begins in the cue, 0 to 1."""
        return self["eventness"]

    @property
    def uncertainty(self) -> NDArray[np.float32]:
        """How unsure that is, 0 to 1."""
        return self["uncertainty"]

    @property
    def speech(self) -> NDArray[np.float32]:
        """How likely somebody speaks, 0 to 1."""
        return self["speech"]


class ClipTable(Table):
    """`/clips`: the frames of each row of `/frames`, where rows are clips; no rows in files of single frames.

    `clips["frame_pts_ns"]` is `[N, T]`: the time of each frame, -1 where there is none.
    """

    name = "clips"
    usual = {"start_ns": "i8", "stop_ns": "i8", "frame_pts_ns": "i8"}

    @property
    def start(self) -> NDArray[np.float64]:
        """When the first frame of each is shown, in seconds."""
        return self["start_s"]

    @property
    def stop(self) -> NDArray[np.float64]:
        """When the last frame of each ends, in seconds."""
        return self["stop_s"]


class EventTable(Table):
    """`/events`: the events that a parser found; no rows if there are none."""

    name = "events"
    usual = {"onset_ns": "i8", "offset_ns": "i8", "class": "U1", "modality": "U1", "score": "f4"}

    @property
    def onset(self) -> NDArray[np.float64]:
        """When each event begins, in seconds."""
        return self["onset_s"]

    @property
    def offset(self) -> NDArray[np.float64]:
        """When each event ends, in seconds."""
        return self["offset_s"]

    @property
    def score(self) -> NDArray[np.float32]:
        """How likely each is, 0 to 1."""
        return self["score"]
