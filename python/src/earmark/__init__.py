"""Reads the feature files of Earmark: arrays, data frames, even grids, PyTorch datasets.

    import earmark

    with earmark.open("kitchen.h5") as recording:
        recording.features, recording.times, recording.anchors.label

Modules, in reading order: `_recording` (a file), `_tables` and `_features` (what is in it), `_grid` (an even grid of time), `_folder` and `_torch`
(many files), `_export` (files for other loaders), `_verify` (is a file as it was written?), `_live` (a file that is still written); below them `_store` (a file opened), `_seal`,
`_child` (files that HDF5 may not survive), `_attributes` and `_errors`.
"""

from ._errors import DamagedFileError, EarmarkError, ForeignFileError, IncompleteFileError
from ._export import Exported, export_npy, export_pt
from ._features import Features
from ._folder import Batch, Folder, Item, collate, dataset
from ._grid import Grid
from ._recording import Recording, open
from ._tables import AnchorTable, CandidateTable, ClipTable, CueTable, EventTable, FrameTable, Table

__version__ = "0.1.0"

__all__ = [
    "AnchorTable",
    "Batch",
    "CandidateTable",
    "ClipTable",
    "CueTable",
    "DamagedFileError",
    "EarmarkError",
    "EventTable",
    "Exported",
    "Features",
    "Folder",
    "ForeignFileError",
    "FrameTable",
    "Grid",
    "IncompleteFileError",
    "Item",
    "Recording",
    "Table",
    "collate",
    "dataset",
    "export_npy",
    "export_pt",
    "open",
]
