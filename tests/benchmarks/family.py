"""All members of the family side by side, on data whose answer is known.

    python tests/benchmarks/family.py --data ferroelectric --seeds 0 1 2 --figure family.png
    python tests/benchmarks/family.py --data motifs --seeds 0 1 2 --n 1000

`ferroelectric`: the eight models of no, rotation, translation and both invariances, without and
with the sublattice as condition, both also with a prior of the angle; and mixtures, principal
components and fitted Gaussians for comparison. Windows lie where the columns of a synthetic
ferroelectric would be without displacement, and show one column each. So a shift should follow the
polarization (u, v), and content what is left: which sublattice it is, and how far the mis-tilt
draws it out. With `--centres found --window 27`, windows lie at the columns and show their
neighbours; around a displaced one all others are off the other way, and a shift has the opposite
sign.

`motifs`: every member on windows of graphene's motifs that vary in what the member should know.

ELBO: evidence lower bound of a subimage in nats. ARI: how well a Gaussian mixture of the content
latents, or the model's classes, tell the sublattice, or the kinds; class: share of windows whose
class is that of their kind. Leak: share of the variance of what content should not know (shift,
sine and cosine of the angle, scale) that neighbours in the content latents foretell. x~u and y~v: r
of the shift with the displacement of B columns. angle~uv: length of the mean of the angle's
direction less that of (u, v), 1 if they turn together. z~tilt: largest |r| of one content latent
with the mis-tilt, in each sublattice; zz~tilt: of the best linear combination of two.
domains: ARI of a mixture of shift and content with the domains. In std: share of errors that one
standard deviation covers, of angles those within 10 degrees. Times are of the processor.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from angles import angle_errors, shift_errors
from scipy.optimize import linear_sum_assignment
from single_columns import correlation, fitted_columns, known_columns
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsRegressor

from hyperspy_rvae.data import ferroelectric, graphene_motifs
from hyperspy_rvae.models import RVAE


@dataclass(frozen=True)
class Member:
    """A model of the family, and in what the motifs differ that it is shown."""

    parameters: dict[str, Any]
    varies: tuple[str, ...] = ()
    conditional: bool = False
    labelled: float = 0.0
    channels: int = 1


ALIGNED = 0.2  # radians, width of the prior of the angle
TURNS, MOVES, SWELLS = "rotation", "translation", "scale"
BOTH = (TURNS, MOVES)
POSES = {"VAE": (), "rVAE": (TURNS,), "tVAE": (MOVES,), "trVAE": BOTH}
MEMBERS = {  # what is not said is the default: both invariances, the steerable decoder
    **{name: Member({"invariances": poses}, poses) for name, poses in POSES.items()},
    **{
        f"C-{name}": Member({"invariances": poses}, poses, conditional=True)
        for name, poses in POSES.items()
    },
    "with scale": Member({"invariances": (*BOTH, SWELLS)}, (*BOTH, SWELLS)),
    "joint": Member({"discrete_classes": 4}, BOTH),
    "semi-supervised": Member({"discrete_classes": 4}, BOTH, labelled=0.05),
    "semi-supervised, z1": Member({"latent_dim": 1, "discrete_classes": 4}, BOTH, labelled=0.05),
    "ensemble of 3": Member({"n_models": 3}, BOTH),
    "two channels": Member({}, BOTH, channels=2),
    "spatial, mlp": Member({"decoder": "spatial"}, BOTH),
    "spatial, conv": Member({"decoder": "spatial", "encoder": "conv"}, BOTH),
}
ORDER = [
    "ELBO",
    "ARI",
    "class",
    "leak",
    "within 10 deg",
    "angle in std",
    "shift rms px",
    "shift in std",
    "log scale rms",
    "x~u",
    "y~v",
]
ORDER += ["angle~uv", "z~tilt, A", "zz~tilt, A", "z~tilt, B", "zz~tilt, B", "domains", "fit s"]
SILICON = "fourfold"
GROUPS = 16  # of windows of one scale


def best_single(columns: np.ndarray, target: np.ndarray) -> float:
    """Largest \\|r\\| of one of the columns ``(n, k)`` with the target."""
    return max(abs(correlation(column, target)) for column in columns.T)


def combined(columns: np.ndarray, target: np.ndarray) -> float:
    """Correlation of the best linear combination of the columns ``(n, k)`` with the target."""
    design = np.column_stack([columns, np.ones(len(columns))])
    return correlation(design @ np.linalg.lstsq(design, target, rcond=None)[0], target)


def foretold(columns: np.ndarray, target: np.ndarray) -> float:
    """R2 of the target ``(n, k)``, foretold by neighbours in the columns; at least 0."""
    folds = np.random.default_rng(0).permutation(len(target))
    scores = cross_val_score(KNeighborsRegressor(15), columns[folds], target[folds], cv=5)
    return max(0.0, float(scores.mean()))


def found_groups(columns: np.ndarray, truth: pd.Series) -> float:
    """ARI of a Gaussian mixture of as many groups as there are in truth; 0 where all is alike."""
    if not np.ptp(columns, axis=0).any():
        return 0.0
    mixture = GaussianMixture(truth.nunique(), n_init=5, random_state=0, reg_covar=1e-4)
    return float(adjusted_rand_score(truth, mixture.fit_predict(columns)))


def ferroelectric_windows(
    cells: tuple[int, int], window: int, centres: str, seed: int
) -> tuple[np.ndarray, pd.DataFrame]:
    """Windows around all columns, and the truth of each."""
    image, truth = ferroelectric(cells, seed=seed)
    image.set_atoms(truth[["sublattice"]].assign(x=truth["ideal_x"], y=truth["ideal_y"]))
    if centres == "found":
        image.refine_atoms()
    subimages = image.extract_subimages(window)
    truth["tilt"] = np.hypot(truth["tilt_x"], truth["tilt_y"])
    ids = subimages.atoms.index
    return subimages.data, truth.loc[ids].rename_axis("row").reset_index()


def follow(latents: pd.DataFrame, truth: pd.DataFrame) -> dict[str, float]:
    """How latents follow what is true: of B columns, which are displaced, and the tilt of both."""
    content = latents.filter(regex=r"^z\d+$").to_numpy()
    is_b = (truth["sublattice"] == "B").to_numpy()
    b, tilt = truth[is_b], truth["tilt"].to_numpy()
    seen = b[["x", "y"]].to_numpy() - b[["ideal_x", "ideal_y"]].to_numpy()
    result = {
        "ARI": found_groups(content, truth["sublattice"]),
        "leak": foretold(content[is_b], seen),
    }
    for shift, component in (("shift_x", "u"), ("shift_y", "v")):
        if shift in latents:
            result[f"{shift[-1]}~{component}"] = correlation(latents[shift][is_b], b[component])
    if "angle" in latents:
        turned = latents["angle"][is_b] - np.arctan2(-b["v"], b["u"])
        result["angle~uv"] = float(np.abs(np.exp(1j * turned).mean()))
    for sublattice, rows in (("A", ~is_b), ("B", is_b)):
        result[f"z~tilt, {sublattice}"] = best_single(content[rows], tilt[rows])
        result[f"zz~tilt, {sublattice}"] = combined(content[rows], tilt[rows])
    place = [name for name in latents if name != "angle"]
    return result | {"domains": found_groups(latents[place][is_b].to_numpy(), b["domain"])}


def fit_ferroelectric(
    parameters: dict[str, Any],
    conditional: bool,
    windows: np.ndarray,
    truth: pd.DataFrame,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, float]]:
    """One of the eight models: its latents, and how they follow the truth."""
    condition = truth["sublattice"] if conditional else None
    start = time.process_time()
    model = RVAE(2, seed=seed, **parameters).fit(windows, condition=condition)
    spent = time.process_time() - start
    values = model.transform(windows, condition=condition)
    latents = pd.DataFrame(values, columns=list(model.latent_names_))
    elbo = model.score(windows, condition=condition)
    return latents, {"ELBO": elbo, **follow(latents, truth), "fit s": spent}


def baselines(windows: np.ndarray, truth: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Mixture of the pixels, principal components, and a mixture of these."""
    pixels = windows.reshape(len(windows), -1)
    is_b = (truth["sublattice"] == "B").to_numpy()
    rows = {}
    for name, components in (("GMM", None), ("PCA, 2", 2), ("PCA, 5", 5)):
        start = time.process_time()
        if components is None:
            mixture = GaussianMixture(
                8, covariance_type="diag", n_init=3, random_state=0, reg_covar=1e-3
            ).fit(pixels)
            group = mixture.predict(pixels)
            rows[name] = {
                "ARI": adjusted_rand_score(truth["sublattice"], group),
                "domains": adjusted_rand_score(truth["domain"][is_b], group[is_b]),
            }
        else:
            values = PCA(components, random_state=0).fit_transform(pixels)
            names = [f"z{k}" for k in range(1, components + 1)]
            rows[name] = follow(pd.DataFrame(values, columns=names), truth)
        rows[name]["fit s"] = time.process_time() - start
    return rows


def measure_ferroelectric(
    cells: tuple[int, int], window: int, centres: str, seed: int
) -> tuple[dict[str, dict[str, float]], dict[str, pd.DataFrame], pd.DataFrame]:
    """Rows of the table, latents of the models, and truth."""
    windows, truth = ferroelectric_windows(cells, window, centres, seed)
    rows, latents = {}, {}
    models = {name: {"invariances": poses} for name, poses in POSES.items()}
    models["trVAE, aligned"] = {"invariances": BOTH, "rotation_prior": ALIGNED}
    for conditional, (name, parameters) in product((False, True), models.items()):
        full = f"C-{name}" if conditional else name
        latents[full], rows[full] = fit_ferroelectric(parameters, conditional, windows, truth, seed)
    rows |= baselines(windows, truth)
    rows["Gaussian fit"] = fitted_columns(cells, seed, truth["row"])
    rows |= known_columns(cells, seed, truth["row"])
    return rows, latents, truth


def draw(latents: dict[str, pd.DataFrame], truth: pd.DataFrame, path: str) -> None:
    """Maps of B columns: the truth, and what each model says."""
    import matplotlib.pyplot as plt

    from hyperspy_rvae.plotting.maps import plot_map

    is_b = truth["sublattice"] == "B"
    shown = ["shift_x", "shift_y", "angle", "z1", "z2"]
    figure, axes = plt.subplots(
        len(latents) + 1, len(shown), figsize=(18, 2.4 * len(latents) + 2.4), layout="constrained"
    )
    places = truth.loc[is_b, ["ideal_x", "ideal_y"]].to_numpy()
    for ax, name in zip(axes[0], ["u", "v", None, "tilt", "domain"], strict=True):
        if name is None:
            ax.set_axis_off()
        else:
            plot_map(places, truth.loc[is_b, name].to_numpy(), f"true {name}", ax=ax)
    for row, (model, values) in zip(axes[1:], latents.items(), strict=True):
        for ax, name in zip(row, shown, strict=True):
            if name in values:
                plot_map(places, values.loc[is_b, name].to_numpy(), name, ax=ax)
                ax.set_title(model)
            else:
                ax.set_axis_off()
    figure.savefig(path, dpi=60)


def motifs(n: int, member: Member, seed: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Windows of graphene's motifs that vary as the member should know, and the truth."""
    varies = {
        "turn": np.pi if TURNS in member.varies else 0.0,
        "shift_px": 2.0 if MOVES in member.varies else 0.0,
    }
    rng = np.random.default_rng(seed)
    scales = np.exp(rng.uniform(-0.15, 0.15, GROUPS)) if SWELLS in member.varies else [1.0]
    parts = []
    for part, scale in enumerate(scales):
        one = {"bond_px": 6.0 * scale, "seed": seed + 1000 * part, **varies}
        windows, truth = graphene_motifs(n // len(scales), **one)
        parts.append((windows, truth.assign(scale=scale)))
    windows = np.concatenate([part for part, _ in parts])
    truth = pd.concat([part for _, part in parts], ignore_index=True)
    if member.channels == 2:
        windows = np.stack([windows, silicon(windows.shape, truth, rng)], 1)
    return windows, truth


def silicon(shape: tuple[int, ...], truth: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """A second channel, which shows silicon only; as noisy as the first."""
    grid = np.arange(shape[1]) - (shape[1] - 1) / 2
    here = (truth["kind"] == SILICON).to_numpy()[:, None, None]
    x, y = (truth[name].to_numpy()[:, None] - grid for name in ("shift_x", "shift_y"))
    drawn = np.exp(-(y[:, :, None] ** 2 + x[:, None] ** 2) / (2 * 1.6**2))
    return (here * drawn + rng.normal(0, 0.15, shape)).astype(np.float32)


def judge(
    latents: pd.DataFrame, std: pd.DataFrame, truth: pd.DataFrame, varies: tuple[str, ...]
) -> dict[str, float]:
    """Errors of what a model says of motifs, and how many its standard deviations cover."""
    content = latents.filter(regex=r"^z\d+$").to_numpy()
    result = {"ARI": found_groups(content, truth["kind"])}
    if "class" in latents:
        counts = pd.crosstab(latents["class"], truth["kind"]).to_numpy()
        result["ARI"] = float(adjusted_rand_score(truth["kind"], latents["class"]))
        result["class"] = counts[linear_sum_assignment(-counts)].sum() / len(truth)
    angles, shifts, scales, leaks = [], [], [], [0.0]
    covered: dict[str, list[np.ndarray]] = {"angle in std": [], "shift in std": []}
    for _, rows in truth.groupby("kind"):
        here, inner = latents.loc[rows.index], content[rows.index]
        angle, symmetry = rows["angle"].to_numpy(), rows["symmetry"].iloc[0]
        true = rows[["shift_x", "shift_y"]].to_numpy()
        if TURNS in varies:
            cycles = np.stack([np.cos(symmetry * angle), np.sin(symmetry * angle)], 1)
            leaks.append(foretold(inner, cycles))
            angles.append(angle_errors(here["angle"].to_numpy(), angle, symmetry))
            near, told = angles[-1] < 10, np.rad2deg(std["angle"][rows.index].to_numpy())
            covered["angle in std"].append((angles[-1] < told)[near])
        if MOVES in varies:
            leaks.append(foretold(inner, true))
            turn = here["angle"].to_numpy() if TURNS in varies else np.zeros(len(here))
            found = here[["shift_x", "shift_y"]].to_numpy()
            shifts.append(shift_errors(found, true, turn))
            told = std.loc[rows.index, ["shift_x", "shift_y"]].to_numpy()
            covered["shift in std"].append((np.abs(shifts[-1]) < told).ravel())
        if SWELLS in varies:
            leaks.append(foretold(inner, rows[["scale"]].to_numpy()))
            off = np.log(here["scale"].to_numpy() / rows["scale"].to_numpy())
            scales.append(off - np.median(off))
    if angles:
        result["within 10 deg"] = float((np.concatenate(angles) < 10).mean())
    if shifts:
        result["shift rms px"] = float(np.sqrt((np.concatenate(shifts) ** 2).mean()))
    if scales:
        result["log scale rms"] = float(np.sqrt((np.concatenate(scales) ** 2).mean()))
    shares = {name: float(np.concatenate(rows).mean()) for name, rows in covered.items() if rows}
    return result | shares | {"leak": max(leaks)}


def fit_motifs(name: str, n: int, epochs: int | None, seed: int) -> dict[str, float]:
    """One row of the table of all members."""
    member = MEMBERS[name]
    windows, truth = motifs(n, member, seed)
    given = {"condition": truth["kind"]} if member.conditional else {}
    labels = truth["kind"].where(np.random.default_rng(seed).random(len(truth)) < member.labelled)
    start = time.process_time()
    model = RVAE(**{"epochs": epochs, "seed": seed} | member.parameters)
    model.fit(windows, labels if member.labelled else None, **given)
    spent = time.process_time() - start
    values, std = (
        pd.DataFrame(found, columns=list(model.latent_names_))
        for found in model.transform(windows, return_std=True, **given)
    )
    return {
        "ELBO": model.score(windows, **given),
        **judge(values, std, truth, member.varies),
        "fit s": spent,
    }


def show(rows: dict[str, dict[str, float]]) -> pd.DataFrame:
    """Print a table, one line a member."""
    table = pd.DataFrame.from_dict(rows, orient="index")
    table = table[[name for name in ORDER if name in table]]
    print(table.to_string(float_format=lambda value: f"{value:.3g}", na_rep="-"), flush=True)
    return table


def summarise(tables: list[pd.DataFrame]) -> None:
    """Print the mean over the seeds, and the smallest and the largest value."""
    together = pd.concat(tables).groupby(level=0, sort=False)
    mean, least, most = together.mean(), together.min(), together.max()
    texts = mean.map(lambda value: f"{value:.3g}") + " (" + least.map(lambda value: f"{value:.3g}")
    texts += ".." + most.map(lambda value: f"{value:.3g}") + ")"
    print(f"mean of {len(tables)} seeds")
    print(texts.where(mean.notna(), "-").to_string(), flush=True)


def main() -> None:
    """Print a table for each seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=["ferroelectric", "motifs"], default="ferroelectric")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--n", type=int, default=2000, help="windows of motifs")
    parser.add_argument("--epochs", type=int, help="of motifs; None: as the data ask")
    parser.add_argument("--members", nargs="+", choices=MEMBERS, default=list(MEMBERS))
    parser.add_argument("--cells", type=int, nargs=2, default=[32, 24])
    parser.add_argument("--window", type=int, default=11, help="pixels; a cell has 16")
    parser.add_argument("--centres", choices=["ideal", "found"], default="ideal")
    parser.add_argument("--figure", help="where to draw the maps of the first seed")
    given = parser.parse_args()
    tables = []
    for seed in given.seeds:
        print(f"seed {seed}")
        if given.data == "motifs":
            rows = {name: fit_motifs(name, given.n, given.epochs, seed) for name in given.members}
            tables.append(show(rows))
            continue
        rows, latents, truth = measure_ferroelectric(
            tuple(given.cells), given.window, given.centres, seed
        )
        tables.append(show(rows))
        if given.figure and seed == given.seeds[0]:
            draw(latents, truth, given.figure)
    if len(tables) > 1:
        summarise(tables)


if __name__ == "__main__":
    main()
