"""What single columns of the synthetic ferroelectric tell, for comparison with latents."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

from hyperspy_rvae.data import ferroelectric
from hyperspy_rvae.data.ferroelectric import LEVEL, SIGMA_NM


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's r; 0 for a latent that is the same everywhere."""
    if np.ptp(first) == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def fitted_columns(cells: tuple[int, int], seed: int, rows: pd.Index) -> dict[str, float]:
    """What Gaussians that are fitted to the columns tell, for comparison.

    The mis-tilt is how far they are drawn out along its direction, which is taken as known.
    """
    image, truth = ferroelectric(cells, seed=seed)
    image.set_atoms(truth[["sublattice", "x", "y"]])
    start = time.process_time()
    image.refine_atoms()
    spent = time.process_time() - start
    found = image.atoms.loc[rows]
    found, truth = found[found["converged"]], truth.loc[rows][found["converged"]]
    direction = np.arctan2(-truth["tilt_y"], truth["tilt_x"])
    drawn = (found["sigma_x"] ** 2 - found["sigma_y"] ** 2) * np.cos(
        2 * (found["rotation"] - direction)
    )
    tilt, is_b = np.hypot(truth["tilt_x"], truth["tilt_y"]), truth["sublattice"] == "B"
    off = (found[["x", "y"]].to_numpy() - truth[["ideal_x", "ideal_y"]].to_numpy())[is_b]
    return {
        "x~u": correlation(off[:, 0], truth["u"][is_b]),
        "y~v": correlation(off[:, 1], truth["v"][is_b]),
        "z~tilt, A": correlation(drawn[~is_b], tilt[~is_b]),
        "z~tilt, B": correlation(drawn[is_b], tilt[is_b]),
        "fit s": spent,
    }


def known_columns(cells: tuple[int, int], seed: int, rows: pd.Index) -> dict[str, dict[str, float]]:
    """What can be told of a column's mis-tilt, knowing all else of it but its place.

    Brightness and width are taken as known, and the direction of the mis-tilt as well, or not: a
    bound for what is told of each column by itself.
    """
    image, truth = ferroelectric(cells, seed=seed)
    truth = truth.loc[rows]
    sigma, found = SIGMA_NM / image.axes_manager[0].scale, {}
    for name, turns in (("known columns", False), ("known columns, tilted anyhow", True)):
        found[name] = {}
        for sublattice, peak in (("A", 1.0), ("B", 0.4)):
            here = truth[truth["sublattice"] == sublattice]
            gained = [drawn_out(image.data, c, peak, sigma, turns) for c in here.itertuples()]
            tilt = np.hypot(here["tilt_x"], here["tilt_y"]).to_numpy()
            found[name][f"z~tilt, {sublattice}"] = correlation(np.array(gained), tilt)
    return found


def drawn_out(image: np.ndarray, column: Any, peak: float, sigma: float, turns: bool) -> float:
    """Variance that a Gaussian has gained along the mis-tilt, by weighted least squares."""
    x0, y0 = round(column.ideal_x), round(column.ideal_y)
    y, x = np.mgrid[y0 - 5 : y0 + 6, x0 - 5 : x0 + 6]
    inside = (x - x0) ** 2 + (y - y0) ** 2 <= 5.5**2
    inside &= (x >= 0) & (y >= 0) & (x < image.shape[1]) & (y < image.shape[0])
    x, y = x[inside], y[inside]
    values = image[y, x]
    direction = 2 * np.arctan2(column.tilt_y, column.tilt_x)

    def off(place: np.ndarray) -> np.ndarray:
        drawn = place[2:] if turns else place[2] * np.array([np.cos(direction), np.sin(direction)])
        mean = sigma**2 + (np.hypot(*drawn) if turns else place[2]) / 2
        xx, yy, xy = mean + drawn[0] / 2, mean - drawn[0] / 2, drawn[1] / 2
        area = max(xx * yy - xy**2, 0.1)
        u, v = x - place[0], y - place[1]
        square = (yy * u**2 + xx * v**2 - 2 * xy * u * v) / area
        shown = LEVEL + peak * sigma**2 / np.sqrt(area) * np.exp(-square / 2)
        return (shown - values) / np.sqrt(values.clip(0.05))

    start = np.array([np.cos(direction), np.sin(direction)]) / 2 if turns else [0.5]
    found = least_squares(off, [column.x, column.y, *start]).x[2:]
    return float(np.hypot(*found) if turns else found[0])
