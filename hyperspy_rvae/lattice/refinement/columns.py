"""From an image and its columns' seeds to fitted columns, checked one by one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from hyperspy_rvae.lattice.refinement.joint import Fit, fit
from hyperspy_rvae.lattice.refinement.kernel import TAIL_COLUMNS
from hyperspy_rvae.lattice.refinement.scene import Scene
from hyperspy_rvae.lattice.refinement.shapes import Own, own_shapes
from hyperspy_rvae.lattice.refinement.weights import coverage, discs, saturated

FIT_COLUMNS = [
    *["sigma_x", "sigma_y", "rotation", "amplitude", "background", "x_std", "y_std"],
    *TAIL_COLUMNS,
]
EXACT = ("amplitude", "background")  # of pixels, whose offset may be large
USUAL_RADIUS = 0.5  # of the distance to the nearest neighbour, where a sublattice stands alone
LEASH = 0.5  # of that distance; a column that is drawn farther belongs to something else
DOUBLE = 0.2  # of the usual distance: two seeds nearer than that are on one column
RESTLESS = 0.05  # of the usual distance, in the last round
VAGUE = 0.25  # of it, as a standard deviation
MOSTLY = 0.5  # of the columns; if fewer are found alone, they touch
FAINTEST = 3.0  # standard deviations of the height


def fit_gaussians(
    image: np.ndarray,
    columns: pd.DataFrame,
    *,
    dark: bool = False,
    radii: np.ndarray | None = None,
) -> pd.DataFrame:
    """Fit all columns of an image together.

    The columns are elliptical Gaussians on a smooth background. To be found, those of one
    sublattice have the same width, those of several the same shape; each is then given its own.
    Where there are several sublattices, or columns of one that touch, the list is taken to be
    complete between its columns, and they may have tails.

    Parameters
    ----------
    image
        Shape ``(height, width)``, of any real type. Pixels that are not finite, or on a plateau
        at the highest value (for dark columns: the lowest), do not count.
    columns
        With ``x``, ``y`` (pixels) and ``sublattice``.
    dark
        Whether the columns are darker than the rest; their amplitudes are then negative.
    radii
        Radius in pixels around each column within which pixels count, shape ``(n,)``. If not
        given, half the distance to the nearest neighbour where there is one sublattice, and all
        pixels between the columns where there are several.

    Returns
    -------
    fitted
        Same index: ``x``, ``y``, the fit's columns, and ``converged``. Where that is False, the
        position is the seed and the rest NaN. ``amplitude`` is the volume under the column,
        ``background`` the level below it, ``x_std`` and ``y_std`` standard deviations in pixels.
    """
    seeds = columns[["x", "y"]].to_numpy(np.float64)
    fitted = pd.DataFrame(seeds, columns=["x", "y"], index=columns.index)
    kinds = pd.factorize(columns["sublattice"])[0].astype(np.int64)
    level = _level(image)
    if level is None or not len(seeds):
        return _failed(fitted)
    nearest, single = _nearest(seeds, image.shape)
    usable = ~single
    several = len(np.unique(kinds[usable])) > 1
    sound, values = np.zeros(len(seeds), bool), None
    # Columns of one sublattice that touch, such as dumbbells, show it by not being found alone.
    for crowded in [several] if several or radii is not None else [False, True]:
        scene = _scene(
            image, level, seeds[usable], nearest[usable], kinds[usable], dark, radii, crowded
        )
        found = _fitted(scene, level, crowded and radii is None, image.shape, dark)
        if found is not None and (values is None or found[1].sum() > sound.sum()):
            values, sound[usable] = found
        if sound.sum() > MOSTLY * usable.sum():
            break
    if values is None:  # no solution: nothing there is like a column
        return _failed(fitted)
    sound &= ~_doubled(seeds, single)
    table = pd.DataFrame(np.nan, index=columns.index, columns=list(values))
    table.loc[usable] = values.to_numpy()
    fitted = fitted.join(table.drop(columns=["x", "y"]))
    fitted.loc[sound, ["x", "y"]] = table.loc[sound, ["x", "y"]]
    fitted.loc[~sound, FIT_COLUMNS] = np.nan
    halves = dict.fromkeys((name for name in FIT_COLUMNS if name not in EXACT), np.float32)
    return fitted.astype(halves).assign(converged=sound)


def _fitted(
    scene: Scene, level: Level, crowded: bool, shape: tuple[int, ...], dark: bool
) -> tuple[pd.DataFrame, np.ndarray] | None:
    """Fit, and tell which columns were found; None without a solution."""
    try:
        with np.errstate(all="ignore"):
            result = fit(scene, crowded=crowded)
            own = own_shapes(result.scene, result.state, result.seen, crowded=crowded)
            return _values(result, own, level), _sound(result, shape, dark)
    except (np.linalg.LinAlgError, ValueError):
        return None


@dataclasses.dataclass(frozen=True)
class Level:
    """What pixels are made of before the fit: ``(image - base) / unit``."""

    base: float
    unit: float


def _level(image: np.ndarray) -> Level | None:
    """Find base and unit of the finite pixels; None if they are all alike."""
    known = np.asarray(image, np.float64)[np.isfinite(image)]
    if not known.size or known.min() == known.max():
        return None
    return Level(float(np.median(known)), float(known.max() - known.min()))


def _failed(seeds: pd.DataFrame) -> pd.DataFrame:
    return seeds.assign(**dict.fromkeys(FIT_COLUMNS, np.nan), converged=False)


def _nearest(seeds: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each column to the nearest other, and which are the second on one column."""
    if len(seeds) == 1:
        return np.array([min(shape) / 2]), np.zeros(1, bool)
    distance = np.asarray(cKDTree(seeds).query(seeds, k=2)[0])[:, 1]
    close = cKDTree(seeds).query_pairs(DOUBLE * float(np.median(distance)), output_type="ndarray")
    second = np.zeros(len(seeds), bool)
    second[close.max(axis=1, initial=-1) if len(close) else []] = True
    if second.any() and (~second).sum() > 1:
        kept = seeds[~second]
        distance = distance.copy()
        distance[~second] = np.asarray(cKDTree(kept).query(kept, k=2)[0])[:, 1]
    return distance, second


def _doubled(seeds: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Which columns have two seeds."""
    doubled = second.copy()
    if second.any():
        distance = np.asarray(cKDTree(seeds).query(seeds, k=2)[0])[:, 1]
        pairs = cKDTree(seeds).query_pairs(
            DOUBLE * float(np.median(distance)), output_type="ndarray"
        )
        doubled[pairs.ravel()] = True
    return doubled


def _scene(
    image: np.ndarray,
    level: Level,
    seeds: np.ndarray,
    nearest: np.ndarray,
    kinds: np.ndarray,
    dark: bool,
    radii: np.ndarray | None,
    crowded: bool,
) -> Scene:
    spacing = float(np.median(nearest))
    pixels = (np.asarray(image, np.float64) - level.base) / level.unit
    known = np.isfinite(pixels)
    pixels = np.where(known, pixels, 0.0).astype(np.float32)
    if radii is not None:
        mask = discs(pixels.shape, seeds, radii)
    elif crowded:
        mask = coverage(pixels.shape, seeds, spacing)
    else:
        mask = discs(pixels.shape, seeds, USUAL_RADIUS * nearest)
    valid = (known & ~saturated(-pixels if dark else pixels)).astype(np.float32)
    return Scene.of(pixels, valid, valid * mask, seeds, LEASH * nearest, kinds, spacing)


def _values(result: Fit, own: Own, level: Level) -> pd.DataFrame:
    """Put the fit in the units of the image."""
    scene, state, kernel = result.scene, result.state, result.state.kernel
    sigma, turn = _axes(own.precision)
    volume = 2 * np.pi * sigma.prod(axis=0) * (kernel.shares @ kernel.widths**2)
    background = scene.background.at(state.xy, state.coefficients) + own.levels
    shares = np.zeros(len(TAIL_COLUMNS))
    shares[: len(kernel.shares) - 1] = kernel.shares[1:]
    return pd.DataFrame(
        {
            "x": state.xy[:, 0],
            "y": state.xy[:, 1],
            "sigma_x": sigma[0],
            "sigma_y": sigma[1],
            "rotation": turn,
            "amplitude": own.heights * volume * level.unit,
            "background": background * level.unit + level.base,
            "x_std": result.std[:, 1],
            "y_std": result.std[:, 2],
            **dict(zip(TAIL_COLUMNS, shares, strict=True)),
        }
    )


def _axes(precision: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Widths along the long and the short axis, ``(2, n)``, and the direction of the long one."""
    xx, xy, yy = precision.T
    mean, apart = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    sigma = np.stack([mean - apart, mean + apart]) ** -0.5
    return sigma, (np.arctan2(2 * xy, yy - xx) / 2) % np.pi  # y is down


def _sound(result: Fit, shape: tuple[int, ...], dark: bool) -> np.ndarray:
    """Which columns were found: seen well enough, at rest, and where they were looked for."""
    scene, xy = result.scene, result.state.xy
    heights = result.state.heights * (-1 if dark else 1)
    sound = (scene.loose > 0).all(axis=1)
    sound &= np.isfinite(xy).all(axis=1) & np.isfinite(result.std).all(axis=1)
    sound &= ((xy >= -0.5) & (xy < np.array(shape[::-1]) - 0.5)).all(axis=1)
    sound &= np.hypot(*(xy - scene.seeds).T) < 0.99 * scene.leash
    sound &= heights > FAINTEST * result.std[:, 0]
    sound &= result.std[:, 1:].max(axis=1) < VAGUE * scene.spacing
    sound &= result.moves < RESTLESS * scene.spacing
    met = cKDTree(np.nan_to_num(xy)).query_pairs(DOUBLE * scene.spacing, output_type="ndarray")
    sound[met.ravel()] = False
    return sound
