"""The seal at the end of a finished file: a SHA-256 of everything except rows, checked before HDF5 opens the file.

HDF5 trusts what a file says about shapes and places, and one flipped bit there can crash it. Rows have checksums of their own. The end of a
sealed file is, with the least byte first:

    16 n  place and length of each stretch of rows, ascending
    8     length of the HDF5 part
    8     n
    32    SHA-256 of the HDF5 part without those stretches, and of all of the above
    16    MAGIC
"""

from __future__ import annotations

import hashlib
import os
import struct
from typing import BinaryIO

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAGIC = b"\nearmark seal 1\n"
FIXED = 64
STRETCH = 16
BLOCK = 1 << 20

MISSING = "it has no seal: its end is cut off or damaged, or another program changed it"
DIFFERS = "its structure is damaged: it is not as it was written"


def broken(file: BinaryIO) -> str | None:
    """Why the structure of a file cannot be trusted; None if it is intact."""
    length = file.seek(0, os.SEEK_END)
    if length < FIXED:
        return MISSING
    file.seek(length - FIXED)
    fixed = file.read(FIXED)
    inner, count = struct.unpack("<QQ", fixed[:16])
    if fixed[48:] != MAGIC or inner + count * STRETCH + FIXED != length:
        return MISSING
    file.seek(inner)
    table = file.read(count * STRETCH)
    if len(table) != count * STRETCH:
        return MISSING
    stretches = [struct.unpack_from("<QQ", table, at) for at in range(0, len(table), STRETCH)]
    digest = hashlib.sha256()
    at = 0
    for begin, size in [*stretches, (inner, 0)]:
        if begin < at or begin > inner:
            return DIFFERS
        file.seek(at)
        while at < begin:
            block = file.read(min(BLOCK, begin - at))
            if not block:
                return MISSING
            digest.update(block)
            at += len(block)
        at += size
    digest.update(table + fixed[:16])
    return None if digest.digest() == fixed[16:48] else DIFFERS
