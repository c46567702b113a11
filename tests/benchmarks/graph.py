"""Time and memory of neighbours, clusters, rings and tracks, from 100 to 100,000 atoms.

    python tests/benchmarks/graph.py --atoms 100 1000 10000 100000

Each size runs in a process of its own, so that the peak of its memory is its own. Tracks are of
three frames without pixels; drift is given. Compare sizes within one run.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable


def measure(atoms: int) -> dict[str, tuple[float, float]]:
    """Seconds, and MB by which the peak of memory rose, of each step."""
    import hyperspy.api as hs
    import networkx  # noqa: F401  imported here so that no step pays for it
    import numpy as np
    import sklearn.mixture  # noqa: F401
    import trackpy  # noqa: F401

    from hyperspy_rvae.data.graphene import _honeycomb

    hs.preferences.General.show_progressbar = False
    half = np.sqrt(atoms * 3 * np.sqrt(3) / 4) / 2
    places = _honeycomb(1.5 * half)[0]
    places = places[(np.abs(places) < half).all(1)]
    rng = np.random.default_rng(0)
    places = places[rng.random(len(places)) > 0.01]  # vacancies
    xy = 10 * (places + half + 1)
    side = int(20 * (half + 1)) + 1
    image, movie = (
        hs.signals.Signal2D(np.broadcast_to(np.zeros(1, dtype=np.uint8), shape))
        for shape in ((side, side), (3, side, side))
    )
    for signal in (image, movie):
        signal.set_signal_type("atom_lattice")
    image.set_atoms(np.clip(xy + rng.normal(0, 0.3, xy.shape), 0, side - 1))
    movie.set_atoms({f: np.clip(xy + rng.normal(0, 0.3, xy.shape), 0, side - 1) for f in range(3)})
    steps: dict[str, Callable[[], object]] = {
        "neighbours": lambda: image.neighbours(3),
        "cluster": lambda: image.neighbours(3).cluster(3, seed=0),
        "cluster, n estimated": lambda: image.neighbours(3).cluster(seed=0),
        "rings": image.rings,
        "tracks, 3 frames": lambda: movie.track_atoms(drift=np.zeros((3, 2))),
    }
    result = {}
    for name, step in steps.items():
        before, start = _peak(), time.perf_counter()
        step()
        result[name] = time.perf_counter() - start, _peak() - before
    return result


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    """Print a table, one row a step, and how time grows with the number of atoms."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--atoms", type=int, nargs="+", default=[100, 1000, 10_000, 100_000])
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        warnings.simplefilter("ignore")
        print(json.dumps(measure(given.atoms[0])))
        return
    results = []
    for atoms in given.atoms:
        command = [sys.executable, __file__, "--one", "--atoms", str(atoms)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        results.append(json.loads(done.stdout.splitlines()[-1]))
    print(f"{'atoms':22}" + "".join(f"{atoms:>18,}" for atoms in given.atoms))
    for name in results[0]:
        cells = "".join(f"{r[name][0]:9.3f} s{r[name][1]:5.0f} MB" for r in results)
        print(f"{name:22}{cells}")


if __name__ == "__main__":
    main()
