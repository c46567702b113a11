"""How fast models train and read, in this run and on this machine, beside AtomAI where it is.

    python tests/benchmarks/training.py --windows 24 33 --peer-python /path/to/python

AtomAI's torch is another one: give it an environment of its own (``pip install atomai six``).
Times are wall clock, the least of some rounds; each side runs alone and has warmed up.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import subprocess
import tempfile
import time
from collections.abc import Callable

import numpy as np

ROUNDS = 2
COUNT = 2000


def seconds(work: Callable[[], object]) -> float:
    """Wall clock time of a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def per_epoch(fit: Callable[[int], object], more: int) -> float:
    """Time of one epoch: the difference between fits leaves preparation out."""
    fit(1)
    return min(
        (seconds(lambda: fit(1 + more)) - seconds(lambda: fit(1))) / more for _ in range(ROUNDS)
    )


def ours(windows: np.ndarray) -> dict[str, float]:
    """Seconds per epoch of both engines, subimages read per second."""
    from hyperspy_rvae.models import RVAE

    def model(epochs: int, **parameters: object) -> RVAE:
        return RVAE(2, epochs=epochs, validation_fraction=0.0, seed=0, **parameters).fit(windows)

    fitted = model(8)
    many = np.concatenate([windows] * 4)
    reading = min(seconds(lambda: fitted.transform(many)) for _ in range(2 * ROUNDS))
    return {
        "steerable": per_epoch(model, 10),
        "spatial": per_epoch(lambda epochs: model(epochs, decoder="spatial"), 2),
        "read": len(many) / reading,
    }


def atomai(windows: np.ndarray) -> float:
    """Seconds per epoch of AtomAI's rVAE with its default batches of 200."""
    import atomai as aoi

    shape = windows.shape[1:]

    def fit(epochs: int) -> None:
        model = aoi.models.rVAE(shape, latent_dim=2, translation=True, seed=0)
        with tempfile.TemporaryDirectory() as folder:
            name = os.path.join(folder, "model")
            model.fit(windows, training_cycles=epochs, batch_size=200, filename=name)

    return per_epoch(fit, 1)


def beside(python: str, windows: np.ndarray) -> float:
    """AtomAI's time, measured by another interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "windows.npy")
        np.save(path, windows)
        command = [python, os.path.abspath(__file__), "--peer", path]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Print one line for each size of window."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, nargs="+", default=[24, 33])
    parser.add_argument("--peer-python", help="an interpreter that has AtomAI")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peer:
        with contextlib.redirect_stdout(io.StringIO()):
            time_of_peer = atomai(np.load(given.peer))
        print(time_of_peer)
        return
    from hyperspy_rvae.data.motifs import graphene_motifs

    for window in given.windows:
        windows, _ = graphene_motifs(COUNT, window, seed=0)
        here = ours(windows)
        scale = 10_000 / COUNT
        print(f"{window} px, seconds per epoch of 10,000 subimages:")
        print(f"  steerable {scale * here['steerable']:.3f}, spatial {scale * here['spatial']:.2f}")
        print(f"  subimages read per second, with standard deviations: {here['read']:.0f}")
        if given.peer_python:
            there = beside(given.peer_python, windows)
            times = there / here["steerable"], there / here["spatial"]
            print(f"  AtomAI {scale * there:.2f}: {times[0]:.1f} and {times[1]:.1f} times as long")


if __name__ == "__main__":
    main()
