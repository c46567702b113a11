"""Files of tensors: written whole or not at all, read with no trust in what they hold."""

from __future__ import annotations

import os
import pickletools
import zipfile
from pathlib import Path
from typing import Any

import torch

_DTYPES = (torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool)
# All that such a file has to name. torch also reads names that make arrays of any length.
_NAMED = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2"} | {
    f"torch {kind}Storage" for kind in ("Float", "Double", "Long", "Byte", "Bool")
}
# What names more, and what doubles a thing without a trace; torch.save writes none of them.
_ODD = {"STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4", "DUP", "MEMOIZE"}
_TUPLES = {"EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}
_MOST_AGAIN = 20  # times that a tuple is there once more
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

    It takes no more memory than the file has bytes.

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
        _check_zip(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
        _check_plain(found, {})
    except Exception as error:  # a broken file fails in any way
        why = str(error) if isinstance(error, _OddError) else type(error).__name__
        raise ValueError(foreign(path, what, f"torch can't read it ({why:.200})")) from error
    if not isinstance(found, dict):
        raise ValueError(foreign(path, what, "it holds something else"))
    return found


def foreign(path: str | os.PathLike[str], what: str, why: str) -> str:
    """Say why a file is not what it ought to be."""
    return f"{os.fspath(path)!r} must be {what}, and {why}; refit or find it"


class _OddError(ValueError):
    """Something that `write` would not write."""


def _check_zip(path: str | os.PathLike[str]) -> None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
        size = sum(member.file_size for member in members)
        if packed or size > os.path.getsize(path):
            raise _OddError("its parts are packed")
        for member in members:
            if member.filename.endswith(".pkl"):
                _check_names(archive.read(member))


def _check_names(pickled: bytes) -> None:
    # Tuples in tuples, each there twice, are hashed for ever.
    tuples, again, before = set(), 0, ""
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name in _ODD or (opcode.name == "GLOBAL" and argument not in _NAMED):
            raise _OddError(f"it names {argument}")
        if opcode.name.endswith("PUT") and before in _TUPLES:
            tuples.add(argument)
        again += opcode.name.endswith("GET") and argument in tuples
        if again > _MOST_AGAIN:
            raise _OddError("its tuples hold one another many times")
        before = opcode.name


def _check_plain(value: Any, sizes: dict[int, int]) -> int:
    """Refuse what `write` would not write; give how much there is of it, written out."""
    if isinstance(value, torch.Tensor):
        # A view can claim any size, so only what fills its own storage passes.
        if (
            value.dtype not in _DTYPES
            or value.layout is not torch.strided
            or not value.is_contiguous()
        ):
            raise _OddError("a tensor is a view")
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
        raise _OddError(f"it holds a {type(value).__name__}")
    if id(value) not in sizes:  # what is there many times is looked at once
        sizes[id(value)] = _MOST_ITEMS + 1  # of what holds itself
        sizes[id(value)] = 1 + sum(_check_plain(item, sizes) for item in items)
    if sizes[id(value)] > _MOST_ITEMS:
        raise _OddError("things hold one another many times")
    return sizes[id(value)]
