"""Decodes the attributes of a file: text, numbers, booleans, JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

# The group of texts that are too long for an attribute: a dataset of bytes each.
TEXTS = "texts"
# Attributes that are JSON.
JSON = ("config", "digests", "models", "streams", "times", "versions", "warnings")
# Longest text that is read.
MOST_TEXT = 64 << 20


def raw(group: Any, name: str) -> str | bool | int | float:
    """An attribute of a group as it was written; raises `KeyError` if it is missing and `ValueError` if it is invalid."""
    if TEXTS in group and name in group[TEXTS]:
        text = group[TEXTS][name]
        if text.size > MOST_TEXT:
            raise ValueError(f"it says that it is {text.size} bytes of text, more than {MOST_TEXT}")
        return bytes(np.asarray(text[...], np.uint8).tobytes()).decode()
    value = group.attrs[name]
    if isinstance(value, bytes):  # np.bytes_ too
        return bytes(value).decode()
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value)
    raise ValueError(f"it is {type(value).__name__}, neither text nor a number")


def decoded(group: Any) -> dict[str, Any]:
    """All attributes of a group, with JSON parsed; raises `ValueError` if one cannot be read."""
    found: dict[str, Any] = {}
    for name in sorted(group.attrs):
        try:
            value: Any = raw(group, name)
            if name in JSON and isinstance(value, str):
                value = json.loads(value) if value else None
        except ValueError as error:
            raise ValueError(f"the attribute `{name}` cannot be read: {error}") from None
        found[name] = value
    return found


def text_of(dataset: Any, name: str) -> str:
    """A short text attribute of a dataset: its `units` or `axes`."""
    value = dataset.attrs[name]
    return bytes(value).decode() if isinstance(value, bytes) else str(value)
