"""Latents written as they come: a file that is whole or absent, and goes on where it stopped."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import hyperspy.api as hs
import numpy as np
import zarr

from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.computing import compute
from hyperspy_rvae.signals.fitting import encode

if TYPE_CHECKING:
    from hyperspy_rvae.models import RVAE
    from hyperspy_rvae.signals.latents import LazyAtomLatents
    from hyperspy_rvae.signals.subimages import AtomSubimages

ROWS = 2**14  # atoms in a chunk of the file, at least
_LOOKED_AT = 3  # chunks that are there, the first and the last of them among these
_ALIKE = 0.99  # share of atoms of a chunk whose latents come out as they were

_logger = logging.getLogger(__name__)


def encode_to(
    subimages: AtomSubimages,
    model: RVAE,
    output: Any,
    resume: bool,
    show: bool,
    condition: Any = None,
) -> LazyAtomLatents:
    """Encode into a file; as ``AtomSubimages.encode``."""
    path = check_output(output, resume)
    if not subimages._lazy:
        record.atom_ids(subimages)
        (atom,) = record.navigation_of(subimages)
        there = range(subimages.data.ndim)
        subimages = subimages.as_lazy(
            chunks=tuple(ROWS if axis == atom.index_in_array else -1 for axis in there)
        )
    return write_latents(encode(subimages, model, condition), path, show)


def check_output(output: Any, resume: bool) -> Path:
    """Path to write to; nothing that is there is ever lost.

    Raises
    ------
    ValueError
        If it does not end in .zspy.
    FileExistsError
        If it is there, or an interrupted one is and `resume` is False.
    """
    if not isinstance(output, str | os.PathLike):
        raise TypeError(f"output must be the path of a .zspy file, got {output!r:.60}.")
    path = Path(output).resolve()
    if path.suffix != ".zspy":
        raise ValueError(
            f"output must end in .zspy, which can be written in parts, got {os.fspath(output)!r}; "
            "for another format encode without output and save() the result."
        )
    if resume:
        return path
    if path.exists():
        raise FileExistsError(f"{str(path)!r} is there already; delete it, or name another.")
    if beside(path).exists():
        raise FileExistsError(
            f"{str(beside(path))!r} holds latents of an encode that was interrupted; set "
            "resume=True to go on with it, or delete it to start anew."
        )
    return path


def beside(path: Path) -> Path:
    """Where a file is written until it is whole."""
    return path.with_name(f"{path.stem}.part.zspy")


def write_latents(latents: LazyAtomLatents, path: Path, show: bool) -> LazyAtomLatents:
    """Compute latents chunk by chunk into a .zspy file.

    Parameters
    ----------
    latents
        Not yet computed.
    path
        Of the file. Chunks that are in the one :func:`beside` it are not computed again.
    show
        Whether to show progress.

    Returns
    -------
    latents
        Lazy, reading the file.

    Raises
    ------
    ValueError
        If a file that is there, whole or in part, is of another model or other subimages.
    RuntimeError
        If a chunk can't be computed or written; it says which, and what was done stays.
    """
    if path.exists():
        _check_same(_open(path), latents, path)
        _check_pixels(_group(path)["data"], latents, path)
        return _open(path)
    part = beside(path)
    if _begun(part):
        _check_same(_open(part), latents, part)
        _check_pixels(_group(part)["data"], latents, part)
    else:
        _begin(latents, part)
    _fill(latents, part, show)
    zarr.consolidate_metadata(str(part))
    part.rename(path)
    return _open(path)


def _begin(latents: LazyAtomLatents, part: Path) -> None:
    """Write all but the numbers; their array comes last and says that the rest is whole."""
    if part.exists():
        shutil.rmtree(part)
    latents.save(part, write_dataset=False, overwrite=True)
    rows = max(ROWS, *latents.data.chunks[0])
    _group(part).create_dataset(
        "data",
        shape=latents.data.shape,
        chunks=(min(rows, len(latents.data)), latents.data.shape[1]),
        dtype=latents.data.dtype,
        dimension_separator="/",  # as RosettaSciIO has it
    )


def _begun(part: Path) -> bool:
    try:
        return "data" in _group(part)
    except (ValueError, KeyError):
        return False


def _group(part: Path) -> zarr.Group:
    whole = zarr.open_group(str(part), mode="r+")
    (group,) = whole["Experiments"].values()
    return group


def _open(path: Path) -> LazyAtomLatents:
    return hs.load(str(path), lazy=True)


def _fill(latents: LazyAtomLatents, part: Path, show: bool) -> None:
    array = _group(part)["data"]
    data = latents.data.rechunk({0: array.chunks[0]})
    missing = _missing(array, part)
    if not missing:
        return
    regions = [(rows, slice(None)) for rows in missing]
    try:
        parts = [data[rows] for rows in missing]
        written = da.store(parts, [array] * len(missing), regions=regions, compute=False)
        compute([written], show=show)
    except KeyboardInterrupt:
        _logger.warning("what was encoded stays in %s; resume=True goes on with it", part)
        raise
    except Exception as error:
        # Chunks were under way together; one by one they tell which of them it is.
        _logger.warning("encoding stopped (%s); going on chunk by chunk", error)
        for rows in _missing(array, part):
            try:
                array[rows] = data[rows].compute()
            except Exception as again:
                left = _missing(array, part)
                raise RuntimeError(_stopped(latents, rows, left, part, again)) from error


def _missing(array: zarr.Array, part: Path) -> list[slice]:
    """Rows of each chunk that is not in the file."""
    folder, rows = part / array.path, array.chunks[0]
    return [
        slice(start, min(start + rows, len(array)))
        for number, start in enumerate(range(0, len(array), rows))
        if not (folder / str(number) / "0").exists()
    ]


def _stopped(
    latents: LazyAtomLatents, rows: slice, left: list[slice], part: Path, error: Exception
) -> str:
    ids = record.atom_ids(latents)
    which = f"atoms {ids[rows.start]} to {ids[rows.stop - 1]}"
    if record.has_table(latents):
        frames = latents.atoms["frame"].iloc[rows]
        which += f" (frames {frames.min()} to {frames.max()})"
    done = len(ids) - sum(chunk.stop - chunk.start for chunk in left)
    return (
        f"{which} could not be encoded: {type(error).__name__}: {error}. The latents of {done} of "
        f"{len(ids)} atoms are in {str(part)!r}; encode again with resume=True to go on with them."
    )


def _check_same(found: LazyAtomLatents, wanted: LazyAtomLatents, path: Path) -> None:
    """Refuse a file of another model or other subimages."""
    differing = [
        key
        for key in wanted.metadata.get_item(record.NODE).keys()
        if not _equal(record.read(found, key), record.read(wanted, key))
    ]
    if found.data.shape != wanted.data.shape or found.data.dtype != wanted.data.dtype:
        differing.append(f"shape, {found.data.shape} for {wanted.data.shape}")
    elif not np.array_equal(record.atom_ids(found), record.atom_ids(wanted)):
        differing.append("ids of the atoms")
    if differing:
        raise ValueError(
            f"{str(path)!r} holds latents of another model or of other subimages; these differ: "
            f"{', '.join(differing)}. Encode the same with the same model, name another output, or "
            "delete it."
        )


def _check_pixels(array: zarr.Array, wanted: LazyAtomLatents, part: Path) -> None:
    """Encode some chunks that are there again, and refuse the file if one comes out otherwise."""
    missing = {rows.start for rows in _missing(array, part)}
    there = np.array([k for k in range(0, len(array), array.chunks[0]) if k not in missing])
    spread = np.linspace(0, len(there) - 1, min(_LOOKED_AT, len(there)))
    for start in there[spread.round().astype(int)]:
        rows = slice(start, start + array.chunks[0])
        alike = np.isclose(array[rows], wanted.data[rows].compute(), rtol=1e-3, atol=1e-4).all(1)
        if alike.mean() >= _ALIKE:
            continue
        raise ValueError(
            f"{str(part)!r} holds latents of other subimages: {np.sum(~alike)} of {len(alike)} "
            "come out otherwise now. Encode the same images, name another output, or delete it."
        )


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    one, other = np.asarray(one), np.asarray(other)
    numbers = one.dtype.kind == other.dtype.kind == "f"
    return bool(np.array_equal(one, other, equal_nan=numbers))
