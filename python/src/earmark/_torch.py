"""A folder of feature files as a dataset of PyTorch; imported only where torch is wanted."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.utils.data

from ._folder import Folder, Item
from ._recording import Recording


class TorchFolder(Folder, torch.utils.data.Dataset):
    """A `Folder` that is a `torch.utils.data.Dataset`: items hold tensors."""

    def _item(self, recording: Recording) -> Item:
        item = super()._item(recording)
        return item._replace(**{name: tensor(getattr(item, name)) for name in ("features", "times", "mask", "anchors", "target")})


def tensor(value: Any) -> Any:
    """An array as a tensor of its own memory; anything else as it is."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        return value
    return torch.from_numpy(value if value.flags.writeable else value.copy())
