"""Windows around atoms of graphene and its defects, turned and shifted by known amounts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy.spatial import KDTree

from hyperspy_rvae.data.springs import relaxed

Kind = Literal["threefold", "fourfold", "edge", "stone-wales"]
SYMMETRY = {"threefold": 3, "fourfold": 2, "edge": 1, "stone-wales": 1}
SILICON = 1.8
COLUMN_WIDTH = 0.27
AT_ONCE = 500


def graphene_motifs(
    n: int = 4000,
    window: int = 24,
    *,
    kinds: Sequence[Kind] = get_args(Kind),
    shares: Sequence[float] | None = None,
    bond_px: float = 6.0,
    shift_px: float = 2.0,
    turn: float = np.pi,
    log_scale: float = 0.0,
    jitter: float = 0.03,
    noise: float = 0.15,
    seed: int = 0,
) -> tuple[np.ndarray, pd.DataFrame]:
    """Windows around atoms of four kinds, each turned and shifted at random.

    Parameters
    ----------
    n
        Number of windows.
    window
        Side of a window in pixels.
    kinds
        Out of "threefold" (pristine), "fourfold" (silicon in a divacancy), "edge" (zigzag) and
        "stone-wales" (one of the two atoms of the turned bond).
    shares
        How often each kind occurs; equally often if not given.
    bond_px
        Length of a bond in pixels.
    shift_px
        Shifts are uniform within plus and minus this, in pixels along x and along y.
    turn
        Angles are uniform within plus and minus this, in radians.
    log_scale
        Logarithms of the factors that enlarge windows are uniform within plus and minus this.
    jitter
        Standard deviation of the neighbours' places, in bonds.
    noise
        Standard deviation of the white noise; a carbon atom is about 0.55 high.
    seed
        Of everything that is random.

    Returns
    -------
    windows
        Shape ``(n, window, window)``, float32.
    truth
        Columns ``kind``; ``angle`` (radians, counter-clockwise as displayed); ``shift_x`` and
        ``shift_y`` (pixels, right and down); ``scale``; ``symmetry`` (the kind looks the same
        after a turn by 2 pi over this).
    """
    rng = np.random.default_rng(seed)
    kind = rng.choice(np.asarray(kinds), n, p=shares)
    angle, (dx, dy) = rng.uniform(-turn, turn, n), rng.uniform(-shift_px, shift_px, (2, n))
    scale = np.exp(np.random.default_rng([seed, 1]).uniform(-log_scale, log_scale, n))
    reach = (0.75 * window + shift_px + bond_px) * np.exp(log_scale)
    windows = np.empty((n, window, window), dtype=np.float32)
    for name in kinds:
        places, heights = motif(name)
        near = np.hypot(*places.T) * bond_px < reach
        for rows in np.array_split(np.flatnonzero(kind == name), max(1, n // AT_ONCE)):
            moved = places[near] + rng.normal(0, jitter, (len(rows), near.sum(), 2))
            moved[:, 0] = places[0]
            cos, sin = np.cos(angle[rows])[:, None], np.sin(angle[rows])[:, None]
            bond = bond_px * scale[rows, None]
            x = bond * (cos * moved[..., 0] + sin * moved[..., 1]) + dx[rows, None]
            y = bond * (cos * moved[..., 1] - sin * moved[..., 0]) + dy[rows, None]
            windows[rows] = _render(x, y, heights[near], window, COLUMN_WIDTH * bond)
    windows += rng.normal(0, noise, windows.shape).astype(np.float32)
    symmetry = [SYMMETRY[name] for name in kind]
    return windows, pd.DataFrame(
        {
            "kind": kind,
            "angle": angle,
            "shift_x": dx,
            "shift_y": dy,
            "scale": scale,
            "symmetry": symmetry,
        }
    )


def motif(kind: Kind) -> tuple[np.ndarray, np.ndarray]:
    """Places and heights of the atoms around the one in the middle, which comes first.

    Parameters
    ----------
    kind
        As in :func:`graphene_motifs`.

    Returns
    -------
    places
        Shape ``(m, 2)``, x and y in bonds, y down.
    heights
        Shape ``(m,)``; carbon is 0.55.
    """
    places = _honeycomb()
    heights = np.full(len(places), 0.55)
    if kind == "edge":
        kept = places[:, 0] < 0.3
        places, heights = places[kept], heights[kept]
    if kind == "fourfold":
        around = (places - [0.5, 0.0])[2:]  # the middle and its neighbour along x come first
        distance = np.hypot(*around.T)
        around[distance < 1.4] *= 1.08
        places = np.concatenate([[[0.0, 0.0]], around])
        heights = np.r_[0.55 * SILICON, np.full(len(around), 0.55)]
    if kind == "stone-wales":
        places = _stone_wales(places)
        places -= places[0]
    return places, heights


def _honeycomb(radius: float = 7.5) -> np.ndarray:
    """Atoms of graphene in bonds; the one in the middle first, then its neighbour along x."""
    i, j = np.meshgrid(np.arange(-9, 10), np.arange(-9, 10))
    cells = np.stack([1.5 * (i + j), np.sqrt(3) / 2 * (i - j)], -1).reshape(-1, 2)
    places = np.concatenate([cells, cells + [1.0, 0.0]])
    places = places[np.hypot(*places.T) < radius]
    first = np.hypot(*places.T).round(6) + np.where(np.isclose(places[:, 0], 1), 0, 1e-3)
    return places[np.argsort(first, kind="stable")]


def _stone_wales(places: np.ndarray) -> np.ndarray:
    """Turn the bond between the first two atoms by a quarter and let its surroundings relax."""
    pairs = KDTree(places).query_pairs(1.1, output_type="ndarray")
    turned = places.copy()
    turned[:2] = [[0.5, -0.5], [0.5, 0.5]]
    outer = pairs.max(1)
    theirs = (pairs.min(1) < 2) & (outer >= 2)  # now bonds of the one on the same side
    pairs[theirs, 0] = (places[outer[theirs], 1] > 0).astype(int)
    pairs[theirs, 1] = outer[theirs]
    free = np.hypot(*(places - [0.5, 0.0]).T) < 5.5
    return relaxed(turned, pairs, free)


def _render(
    x: np.ndarray, y: np.ndarray, heights: np.ndarray, window: int, sigma: np.ndarray
) -> np.ndarray:
    """Round Gaussians at x and y, shape ``(n, m)``, in pixels from the middle; sigma ``(n, 1)``."""
    grid, sigma = np.arange(window) - (window - 1) / 2, sigma[..., None]
    rows = heights[:, None] * np.exp(-((grid - y[..., None]) ** 2) / (2 * sigma**2))
    columns = np.exp(-((grid - x[..., None]) ** 2) / (2 * sigma**2))
    return rows.swapaxes(1, 2) @ columns
