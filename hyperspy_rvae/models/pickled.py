"""Pickles of plain values and tensors, read opcode by opcode: nothing that they name is called.

``torch.load(weights_only=True)`` calls a little of it, with arguments of any size, and hashes
any key.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any

import torch

# Storages that a tensor may have, and how numpy calls what is in them.
KINDS = {
    "torch FloatStorage": "f4",
    "torch DoubleStorage": "f8",
    "torch LongStorage": "i8",
    "torch ByteStorage": "u1",
    "torch BoolStorage": "?",
}
_DICT, _TENSOR = "collections OrderedDict", "torch._utils _rebuild_tensor_v2"
_NAMED = {_DICT, _TENSOR, *KINDS}
_WRITTEN_OUT = {"BINFLOAT", "BININT", "BININT1", "BININT2", "BINUNICODE", "LONG1"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MOST_DIMENSIONS = 8  # each tensor has a copy of its shape


class OddError(ValueError):
    """Something that ``torch.save`` of plain values and tensors does not write."""


def load(pickled: bytes, storage: Callable[[str, str], torch.Tensor]) -> Any:
    """Read what ``torch.save`` pickled with protocol 2.

    Every opcode makes one small thing, or moves what is there, so that memory is in proportion
    to the pickle's length.

    Parameters
    ----------
    pickled
        Of dicts, lists, tuples, text, numbers and tensors.
    storage
        Gives the numbers of the storage of that key and name, one of `KINDS`, in one dimension.

    Raises
    ------
    OddError
        If something else is there.
    """
    stack = _Stack(storage)
    for opcode, argument, _ in pickletools.genops(pickled):
        stack.run(opcode.name, argument)
    return stack.items.pop()


class _Stack:
    """What was read and is in nothing yet, the last in the last place."""

    def __init__(self, storage: Callable[[str, str], torch.Tensor]) -> None:
        self.items: list[Any] = []
        self._marks: list[int] = []
        self._known: dict[int, Any] = {}
        self._storage = storage

    def run(self, name: str, argument: Any) -> None:
        """Do what an opcode says."""
        if name in _WRITTEN_OUT:
            self.items.append(argument)
        elif name in _CONSTANTS:
            self.items.append(_CONSTANTS[name])
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._known[argument] = self.items[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.items.append(self._known[argument])
        elif name == "GLOBAL" and argument in _NAMED:
            self.items.append(argument)
        elif name == "MARK":
            self._marks.append(len(self.items))
        elif name in ("EMPTY_DICT", "EMPTY_LIST"):
            self.items.append({} if name == "EMPTY_DICT" else [])
        elif name not in ("PROTO", "STOP"):
            self._gather(name, argument)

    def _gather(self, name: str, argument: Any) -> None:
        # Of what is on the stack to what holds it.
        if name in ("TUPLE", *_TUPLES):
            self.items.append(tuple(self._take(_TUPLES.get(name))))
        elif name in ("APPEND", "APPENDS"):
            values = self._take(1 if name == "APPEND" else None)
            _of(list, self.items[-1]).extend(values)
        elif name in ("SETITEM", "SETITEMS"):
            values = self._take(2 if name == "SETITEM" else None)
            _set(_of(dict, self.items[-1]), values)
        elif name == "BINPERSID":
            _, kind, key, *_ = _of(tuple, self.items.pop())
            self.items.append(self._storage(_of(str, key), _of(str, kind)))
        elif name == "REDUCE":
            made, given = self._take(2)
            self.items.append(_make(_of(str, made), _of(tuple, given)))
        elif name == "BUILD":  # the versions of a network's layers
            self.items.pop()
        else:
            raise OddError(f"it names {argument}, {name}")

    def _take(self, count: int | None) -> list[Any]:
        """Take that many, or as many as there are from the last mark."""
        start = self._marks.pop() if count is None else len(self.items) - count
        if not 0 <= start <= len(self.items):
            raise OddError("it takes what is not there")
        taken = self.items[start:]
        del self.items[start:]
        return taken


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise OddError(f"it has something of type {type(value).__name__}, not {kind.__name__}")
    return value


def _set(into: dict[Any, Any], values: list[Any]) -> None:
    # To hash a tuple of tuples takes any time, or all of C's stack.
    for key, value in zip(values[::2], values[1::2], strict=True):
        if type(key) not in (str, int):
            raise OddError(f"a key is a {type(key).__name__}")
        into[key] = value


def _make(name: str, given: tuple[Any, ...]) -> Any:
    if name == _DICT and not given:
        return {}
    if name != _TENSOR:
        raise OddError(f"it calls {name:.60}")
    storage, offset, shape, stride, *_ = given
    if len(_of(tuple, shape)) > _MOST_DIMENSIONS:
        raise OddError(f"a tensor has {len(shape)} dimensions")
    tensor = torch.as_strided(_of(torch.Tensor, storage), shape, stride, offset)
    if not tensor.is_contiguous():  # which could be of any size
        raise OddError("a tensor is a view")
    return tensor
