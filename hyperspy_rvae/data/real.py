"""Experimental images that the dependencies of this package install."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import hyperspy.api as hs

if TYPE_CHECKING:
    from hyperspy_rvae.signals import AtomLatticeImage

PEROVSKITE_PIXEL_NM = 0.009326


def mos2(*, lazy: bool = False) -> AtomLatticeImage:
    """Se-implanted monolayer MoS2 with a hole, about 2,000 columns.

    Parameters
    ----------
    lazy
        Whether to leave the pixels on disk.

    Returns
    -------
    image
        1024 x 1024 pixels of 12.7 pm, high-angle annular dark field; shipped with temul-toolkit
        (GPL-3).
    """
    path = _installed("temul", "example_data/experimental/example_Se_implanted_MoS2.dm3")
    image = hs.load(path, lazy=lazy)
    image.set_signal_type("atom_lattice")
    return image


def perovskite() -> AtomLatticeImage:
    """Perovskite oxide seen along [110], both cations resolved.

    The B columns lie halfway between A columns along x: ``position=(0.5, 0)`` of the A cell.

    Returns
    -------
    image
        380 x 400 pixels (x, y) of 9.3 pm, annular dark field, float32; shipped with atomap (GPL-3).
        The file has the pixel size without its unit.
    """
    path = _installed("atomap", "tests/datasets/test_ADF_cropped.hdf5")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the file was written by an old HyperSpy
        image = hs.load(path, file_format="HSPY")
    image.change_dtype("float32")
    for axis, name in zip(image.axes_manager.signal_axes, "xy", strict=True):
        axis.name, axis.scale, axis.units = name, PEROVSKITE_PIXEL_NM, "nm"
    image.metadata.General.title = "Perovskite"
    image.set_signal_type("atom_lattice")
    return image


def _installed(package: str, file: str) -> Path:
    """Path of a file in an installed package, without importing the package."""
    spec = find_spec(package)
    path = Path(str(spec.origin)).parent / file if spec else Path(file)
    if not path.exists():
        raise FileNotFoundError(
            f"{file} is not in the installed {package}; its release may have dropped it. "
            "Install another one."
        )
    return path
