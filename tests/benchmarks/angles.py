"""How many angles, shifts and kinds a model finds on graphene's motifs, whose answer is known.

    python tests/benchmarks/angles.py --seeds 1 2 3 --n 2000

Angles are compared modulo each kind's symmetry and up to one origin a kind; a guess has 2 / 36 of
them within 10 degrees for a kind without symmetry. Shifts are compared up to one offset a kind,
which turns with the angle.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from hyperspy_rvae.data.motifs import graphene_motifs
from hyperspy_rvae.models import RVAE


def angle_errors(found: np.ndarray, true: np.ndarray, symmetry: int) -> np.ndarray:
    """Degrees off, up to one origin, modulo a turn by 360 / symmetry; shape ``(n,)``."""
    off = np.exp(1j * symmetry * (found - true))
    origins = np.exp(1j * np.linspace(-np.pi, np.pi, 360, endpoint=False))
    spread = np.median(np.abs(np.angle(off[:, None] / origins)), axis=0)
    return np.rad2deg(np.abs(np.angle(off / origins[spread.argmin()]))) / symmetry


def shift_errors(found: np.ndarray, true: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Pixels off along x and y, up to one offset that turns with the content; shape ``(n, 2)``."""
    turn = np.exp(1j * angle)
    off = (found - true) @ np.array([1, -1j])  # y up, so that the turn is counter-clockwise
    left = off - np.median((off / turn).real) * turn - 1j * np.median((off / turn).imag) * turn
    return np.stack([left.real, left.imag], 1)


def measure(n: int, window: int, seed: int, noise: float, **parameters: object) -> dict[str, float]:
    """Fit one model with the given parameters and say how well it did."""
    windows, truth = graphene_motifs(n, window, noise=noise, seed=seed)
    start = time.perf_counter()
    model = RVAE(latent_dim=2, seed=seed, **parameters).fit(windows)
    fitted = time.perf_counter()
    values = dict(zip(model.latent_names_, model.transform(windows).T, strict=True))
    encoded = time.perf_counter()
    result = {}
    shifts = np.zeros((n, 2))
    for kind, rows in truth.groupby("kind"):
        errors = angle_errors(
            values["angle"][rows.index], rows["angle"].to_numpy(), rows["symmetry"].iloc[0]
        )
        result[f"{kind} within 10 deg"] = float((errors < 10).mean())
        found = np.stack([values["shift_x"], values["shift_y"]], 1)[rows.index]
        shifts[rows.index] = shift_errors(
            found, rows[["shift_x", "shift_y"]].to_numpy(), values["angle"][rows.index]
        )
    content = np.stack([values["z1"], values["z2"]], 1)
    kinds = truth["kind"].nunique()
    groups = GaussianMixture(kinds, n_init=5, random_state=0, reg_covar=1e-4).fit_predict(content)
    neighbours = KNeighborsClassifier(15)
    return result | {
        "shift rms px": float(np.sqrt((shifts**2).mean())),
        "groups ARI": float(adjusted_rand_score(truth["kind"], groups)),
        "kind by neighbours": float(cross_val_score(neighbours, content, truth["kind"]).mean()),
        "noise variance / true": model.noise_variance_ / noise**2,
        "epochs": len(model.history_),
        "fit s": fitted - start,
        "transform per s": n / (encoded - fitted),
    }


def main() -> None:
    """Print a table, one column a seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--window", type=int, default=24)
    parser.add_argument("--noise", type=float, default=0.15)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--decoder", choices=["steerable", "spatial"], default="steerable")
    given = parser.parse_args()
    columns = [
        measure(
            given.n, given.window, seed, given.noise, epochs=given.epochs, decoder=given.decoder
        )
        for seed in given.seeds
    ]
    print(f"{'seed':28}" + "".join(f"{seed:>10}" for seed in given.seeds))
    for name in columns[0]:
        print(f"{name:28}" + "".join(f"{column[name]:10.3g}" for column in columns))


if __name__ == "__main__":
    main()
