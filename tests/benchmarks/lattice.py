"""How finding, numbering and atom planes grow with the number of atoms, in time and memory.

    python tests/benchmarks/lattice.py --atoms 100 1000 10000 100000

Times are seconds of one core, the best of two; memory is what Python allocated at most beyond what
was there. Where atomap's ``construct_zone_axes`` can run, its time is given beside ours, from the
same run: compare those two and not the seconds.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

from hyperspy_rvae.lattice.atomap_planes import set_zone_axes
from hyperspy_rvae.lattice.cells import index_cells
from hyperspy_rvae.lattice.finding import bright_atoms, find_positions
from hyperspy_rvae.lattice.planes import zone_axes
from hyperspy_rvae.lattice.scale import measure_scale
from hyperspy_rvae.lattice.sublattices import column_features, sort_columns

SPACING = 12.0
ATOMAP_AT_MOST = 2500


def perovskite(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Image of about n columns, half of them faint, 2 % missing; and where they are."""
    rng = np.random.default_rng(seed)
    side = int(np.sqrt(n / 2))
    cells = np.stack(np.mgrid[:side, :side], -1).reshape(-1, 2)
    bright, faint = (cells + 1 + offset for offset in (0.0, 0.5))
    places = SPACING * np.concatenate([bright, faint]) + rng.normal(0, 0.3, (2 * len(cells), 2))
    peaks = np.repeat([1.0, 0.5], len(cells))
    kept = rng.random(len(places)) > 0.02
    places, peaks = places[kept], peaks[kept]
    size = int(SPACING * (side + 2))
    image = rng.poisson(20.0, (size, size)).astype(np.float64)
    grid = np.arange(-8, 9)
    for (x, y), peak in zip(places, peaks, strict=True):
        column, row = round(x), round(y)
        spot = np.exp(-(np.add.outer((grid + row - y) ** 2, (grid + column - x) ** 2)) / 8)
        image[row - 8 : row + 9, column - 8 : column + 9] += 100 * peak * spot
    return image, places


def measured(call: Callable[[], Any]) -> tuple[float, float]:
    """Best of two times in seconds, and the peak of memory in MB."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return min(times), peak


def main() -> None:
    """Print one line a step and number of atoms."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--atoms", type=int, nargs="+", default=[100, 1000, 10000, 100000])
    for n in parser.parse_args().atoms:
        image, places = perovskite(n)
        pixels = bright_atoms(image)
        scale = measure_scale(pixels)
        steps: dict[str, Callable[[], Any]] = {
            "scale": lambda pixels=pixels: measure_scale(pixels),
            "find": lambda image=image, scale=scale: find_positions(image, scale),
            "cells": lambda places=places: index_cells(places),
            "sublattices": lambda pixels=pixels, places=places: sort_columns(
                places, column_features(pixels, places)
            ),
            "zone axes": lambda places=places: zone_axes(places),
            "to atomap": lambda places=places: set_zone_axes(sublattice(places)),
        }
        if n <= ATOMAP_AT_MOST:
            steps["atomap's"] = lambda places=places: sublattice(places).construct_zone_axes()
        for name, call in steps.items():
            seconds, megabytes = measured(call)
            print(
                f"{len(places):7d} atoms  {name:12s} {seconds:8.3f} s {megabytes:8.1f} MB "
                f"{1e6 * seconds / len(places):8.1f} us an atom",
                flush=True,
            )


def sublattice(places: np.ndarray) -> Any:
    """Give an atomap sublattice without an image."""
    from atomap.api import Sublattice

    return Sublattice(places, np.ones((9, 9)))


if __name__ == "__main__":
    main()
