"""How time and memory of finding and refining grow with the number of atoms, and atomap's beside.

    python tests/benchmarks/refinement.py --atoms 100 1000 10000 100000

Each number of atoms runs in a process of its own, so that its peak of memory is its own. Times are
the least of two runs. atomap's Gaussian fit is timed on the first number of atoms, in this run:
once for isolated columns, and three times for overlapped ones, where it fits A, subtracts A and
fits B.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
import warnings
from collections.abc import Callable

import hyperspy.api as hs
import numpy as np
import pandas as pd

SPACING, SIGMA, CROWDED = 20.0, 4.0, 13.1


def isolated(count: int, seed: int = 0) -> tuple[np.ndarray, pd.DataFrame]:
    """Columns of 100 counts with jitter, and their nearest pixels."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(count)))
    corners = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2)
    xy = (corners + 1.5) * SPACING + rng.normal(0, 0.5, (side**2, 2))
    size = int((side + 2) * SPACING)
    image = rng.poisson(5 + _columns(xy, np.full(len(xy), 100.0), SIGMA, size)).astype(np.float32)
    return image, pd.DataFrame(np.rint(xy), columns=["x", "y"]).assign(sublattice="A")


def overlapped(count: int, seed: int = 0) -> tuple[np.ndarray, pd.DataFrame]:
    """Perovskite with faint B columns beside A columns."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(count / 2)))
    corners = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2)
    xy = (np.concatenate([corners, corners[(corners < side - 1).all(1)] + 0.5]) + 1.5) * CROWDED
    kind = np.where(np.arange(len(xy)) < side**2, "A", "B")
    shift = np.where(kind == "B", 0.5, 0.0)[:, None]
    peaks = np.where(kind == "A", 1.0, 0.4)
    size = int((side + 2) * CROWDED)
    image = 0.2 + _columns(xy + shift, peaks, 2.4, size) + rng.normal(0, 0.03, (size, size))
    table = pd.DataFrame(np.rint(xy), columns=["x", "y"]).assign(sublattice=kind)
    return image.astype(np.float32), table


def _columns(xy: np.ndarray, peaks: np.ndarray, sigma: float, size: int) -> np.ndarray:
    reach = np.arange(-int(5 * sigma), int(5 * sigma) + 1)
    image = np.zeros((size, size))
    for start in range(0, len(xy), 2000):
        here = xy[start : start + 2000]
        near = np.rint(here).astype(int)[:, :, None] + reach
        across, down = np.exp(-((near - here[:, :, None]) ** 2) / (2 * sigma**2)).swapaxes(0, 1)
        value = peaks[start : start + 2000, None, None] * down[:, :, None] * across[:, None]
        y, x = np.broadcast_arrays(near[:, 1, :, None], near[:, 0, None])
        inside = (y >= 0) & (y < size) & (x >= 0) & (x < size)
        flat = y[inside] * size + x[inside]
        image += np.bincount(flat, value[inside], size**2).reshape(size, size)
    return image


def _signal(image: np.ndarray, table: pd.DataFrame | None) -> hs.signals.Signal2D:
    s = hs.signals.Signal2D(image)
    s.set_signal_type("atom_lattice")
    if table is not None:
        s.set_atoms(table)
    return s


STEPS: dict[str, tuple[Callable, Callable]] = {
    "find": (isolated, lambda s: s.find_atoms(separation=8, refine=False)),
    "refine": (isolated, lambda s: s.refine_atoms()),
    "refine, overlapped": (overlapped, lambda s: s.refine_atoms()),
    "center of mass": (isolated, lambda s: s.refine_atoms(method="center_of_mass")),
    "residual": (isolated, lambda s: s.plot_residual()),
}


def measure(step: str, count: int, results: multiprocessing.SimpleQueue) -> None:
    """Time one step, and put seconds, MB of memory over what the image takes, and atoms."""
    import matplotlib

    matplotlib.use("agg")
    warnings.simplefilter("ignore")
    hs.preferences.General.show_progressbar = False
    make, run = STEPS[step]
    small = _signal(*make(100))
    if step == "residual":
        small.refine_atoms()
    run(small)  # compiles
    image, table = make(count)
    s = _signal(image, None if step == "find" else table)
    if step == "residual":
        s.refine_atoms()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        run(s)
        seconds.append(time.perf_counter() - start)
        if step.startswith(("refine", "center")):
            s.set_atoms(table)
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    results.put((min(seconds), more, len(table)))


def atomap_seconds(count: int) -> float:
    """Seconds per atom of atomap's Gaussian fit on isolated columns."""
    from atomap.api import Sublattice

    warnings.simplefilter("ignore")
    image, table = isolated(count)
    sublattice = Sublattice(table[["x", "y"]].to_numpy(), image)
    sublattice.find_nearest_neighbors()
    options = {"percent_to_nn": 0.4, "show_progressbar": False}
    start = time.perf_counter()
    sublattice.refine_atom_positions_using_2d_gaussian(**options)
    return (time.perf_counter() - start) / len(table)


def main() -> None:
    """Print a table, one row a step and number of atoms."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--atoms", type=int, nargs="+", default=[100, 1000, 10000, 100000])
    parser.add_argument("--steps", nargs="+", choices=list(STEPS), default=list(STEPS))
    given = parser.parse_args()
    theirs = atomap_seconds(given.atoms[0])
    print(f"atomap's Gaussian fit: {1e3 * theirs:.2f} ms an atom")
    print(f"{'step':20}{'atoms':>8}{'s':>9}{'ms/atom':>10}{'more MB':>9}{'times atomap':>14}")
    context = multiprocessing.get_context("spawn")
    for step in given.steps:
        for count in given.atoms:
            results = context.SimpleQueue()
            process = context.Process(target=measure, args=(step, count, results))
            process.start()
            process.join()
            seconds, more, atoms = results.get()
            each = seconds / atoms
            cost = {"refine": 1, "refine, overlapped": 3}.get(step)
            ratio = f"{cost * theirs / each:14.0f}" if cost else ""
            print(
                f"{step:20}{atoms:8}{seconds:9.3f}{1e3 * each:10.4f}{more:9.0f}{ratio}", flush=True
            )


if __name__ == "__main__":
    main()
