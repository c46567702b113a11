"""How much of the error denoising takes away, and what becomes of a wall: the table of the docs.

Run as ``python tests/benchmarks/denoising.py``. Known vectors on 22 x 22 cells with a wave along
one axis and a sharp 180 degree wall across the other; noise of a quarter of the displacement on
each component, over several seeds; and the same with one atom in fifty wrong.
"""

from __future__ import annotations

import argparse
import time
from typing import get_args

import numpy as np

from hyperspy_rvae.analysis.denoising import (
    SMOOTHING,
    Denoising,
    PatchDenoiser,
    denoise_vectors,
)
from hyperspy_rvae.analysis.patches import patches
from hyperspy_rvae.lattice.mesh import lattice_neighbours, square_offsets

CELLS, SPACING, LENGTH = 22, 13.0, 0.6


def crystal(noise: float, wrong: float, seed: int) -> tuple[np.ndarray, ...]:
    """Places in cells, true vectors and noisy ones, in pixels."""
    rng = np.random.default_rng(seed)
    steps = np.stack(np.meshgrid(np.arange(CELLS), np.arange(CELLS)), -1).reshape(-1, 2)
    place = steps - [(CELLS - 1) / 2, 0]
    wave = 0.35 * np.cos(2 * np.pi * place[:, 1] / 9)
    true = LENGTH * np.column_stack([wave, np.sign(place[:, 0])])
    noisy = true + rng.normal(0, noise * LENGTH, true.shape)
    bad = rng.random(len(true)) < wrong
    noisy[bad] += rng.normal(0, 2.0, (bad.sum(), 2))
    return place, true, noisy


def main() -> None:
    """Print one line a method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--noise", type=float, default=0.25)
    parser.add_argument("--radius", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    offsets = square_offsets(given.radius)
    print("method       error  step   error with 2 % wrong atoms   seconds")
    for method in get_args(Denoising):
        rows, start = [], time.perf_counter()
        for seed in range(given.seeds):
            for wrong in (0.0, 0.02):
                place, true, noisy = crystal(given.noise, wrong, seed)
                around = lattice_neighbours(place * SPACING, np.eye(2) * SPACING, offsets)
                denoiser = method
                if method not in SMOOTHING:
                    denoiser = PatchDenoiser(method, seed=seed).fit(patches(noisy, around, offsets))
                found = denoise_vectors(noisy, around, offsets, denoiser)
                error = np.sqrt(((found - true) ** 2).sum() / ((noisy - true) ** 2).sum())
                sides = [found[place[:, 0] == x, 1].mean() for x in (-0.5, 0.5)]
                rows.append((error, (sides[1] - sides[0]) / (2 * LENGTH)))
        clean, wrong_too = np.array(rows)[::2].mean(0), np.array(rows)[1::2].mean(0)
        spent = (time.perf_counter() - start) / len(rows)
        print(f"{method:12s} {clean[0]:.2f}   {clean[1]:.2f}   {wrong_too[0]:.2f} {spent:28.2f}")


if __name__ == "__main__":
    main()
