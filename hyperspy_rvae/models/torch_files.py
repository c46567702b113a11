"""Files of tensors: written whole or not at all, read with no trust in what they hold."""

from __future__ import annotations

import functools
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hyperspy_rvae.models import pickled
from hyperspy_rvae.models.pickled import OddError

_PARTS = re.compile(
    r"data\.pkl|data/\d+|version|byteorder|\.data/serialization_id|\.format_version"
    r"|\.storage_alignment",
    re.ASCII,
)
_ORDERS = {b"little": "<", b"big": ">"}
_MOST_ITEMS = 10**7  # characters and numbers, written out


def write(path: str | os.PathLike[str], content: dict[str, Any]) -> None:
    """Write plain values and tensors that ``torch.load(path, weights_only=True)`` reads.

    They are written beside `path` first, so that an older file stays whole until the new one is,
    on a full disk as in a power failure.
    """
    beside = Path(f"{os.fspath(path)}.part")
    try:
        with beside.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def read(path: str | os.PathLike[str], what: str) -> dict[str, Any]:
    """Read a dict that `write` wrote; no code in the file is run.

    A tensor takes as much memory as in the file, all else at most some 200 bytes for each there.
    It is not read by ``torch.load``, which knows older formats, takes a part's name in any case,
    calls a little of what is named and hashes any key.

    Parameters
    ----------
    path
        Of a file.
    what
        The file ought to be, for errors.

    Raises
    ------
    ValueError
        If it is anything else, or damaged.
    """
    try:
        found = _unpacked(path)
        _check_plain(found, {})
    except Exception as error:  # a broken file fails in any way
        why = str(error) if isinstance(error, OddError) else type(error).__name__
        raise ValueError(foreign(path, what, f"it can't be read ({why:.200})")) from error
    if not isinstance(found, dict):
        raise ValueError(foreign(path, what, "it holds something else"))
    return found


def foreign(path: str | os.PathLike[str], what: str, why: str) -> str:
    """Say why a file is not what it ought to be."""
    return f"{os.fspath(path)!r} must be {what}, and {why}; refit or find it"


def _unpacked(path: str | os.PathLike[str]) -> Any:
    with zipfile.ZipFile(path) as archive:
        parts = _parts(archive, os.path.getsize(path))
        order = _ORDERS[archive.read(parts["byteorder"])]

        @functools.cache
        def storage(key: str, kind: str) -> torch.Tensor:
            stored = archive.read(parts.pop(f"data/{key}"))  # so that it is read but once
            dtype = pickled.KINDS[kind]
            return torch.from_numpy(np.frombuffer(stored, f"{order}{dtype}").astype(dtype))

        return pickled.load(archive.read(parts["data.pkl"]), storage)


def _parts(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """Find what ``torch.save`` writes, by its name in the one folder that there is."""
    members = archive.infolist()
    packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
    if packed or sum(member.file_size for member in members) > size:
        raise OddError("its parts are packed")
    parts: dict[str, zipfile.ZipInfo] = {}
    folder = members[0].filename.partition("/")[0] if members else ""
    for member in members:
        name = member.filename.removeprefix(f"{folder}/")
        if name in parts or not _PARTS.fullmatch(name):
            raise OddError(f"it has a part {member.filename!r:.60}")
        parts[name] = member
    return parts


def _check_plain(value: Any, sizes: dict[int, int]) -> int:
    """Refuse what `write` would not write; give how much there is of it, written out."""
    if isinstance(value, torch.Tensor):
        return 1
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        items = [*value, *value.values()]
    elif isinstance(value, list | tuple):
        items = [*value]
    elif isinstance(value, int | float | None):
        return 1
    else:
        raise OddError(f"it holds a {type(value).__name__}")
    if id(value) not in sizes:  # what is there many times is looked at once
        sizes[id(value)] = _MOST_ITEMS + 1  # of what holds itself
        sizes[id(value)] = 1 + sum(_check_plain(item, sizes) for item in items)
    if sizes[id(value)] > _MOST_ITEMS:
        raise OddError("things hold one another many times")
    return sizes[id(value)]
