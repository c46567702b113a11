import numpy as np
import pytest
from scipy.integrate import quad

from hyperspy_rvae.data import ferroelectric
from hyperspy_rvae.data.ferroelectric import DECAY_NM, _depth

FINE = {"lattice_px": 24.0, "displacement_px": 1.5, "dose": np.inf}


def fitted(image, truth):
    """Columns as the package's own fit finds them from whole pixels, half a cell inside."""
    image.set_atoms(truth[["x", "y", "sublattice"]].round())
    image.refine_atoms()
    truth = truth.drop(columns=["frame", "sublattice"]).rename(
        columns={"x": "x_true", "y": "y_true"}
    )
    found = image.atoms[image.atoms["converged"]].join(truth)
    height, width = image.data.shape
    return found[found["x"].between(12, width - 13) & found["y"].between(12, height - 13)]


def test_columns_are_where_the_truth_says():
    image, truth = ferroelectric((8, 7), **FINE, seed=3)
    found = fitted(image, truth)
    off = found[["x", "y"]].to_numpy() - found[["x_true", "y_true"]].to_numpy()
    assert len(found) > 70
    assert np.sqrt((off**2).mean()) < 0.02


def test_displacements_are_atom_minus_the_centre_of_the_cell():
    image, truth = ferroelectric((9, 8), tilt_mrad=0.0, jitter_px=0.0, **FINE, seed=2)
    found = fitted(image, truth)
    image.set_atoms(found[["x", "y", "sublattice"]])
    measured = image.displacement_map("B", "A").to_dataframe().dropna(subset=["u", "v"])
    b = truth[truth["sublattice"] == "B"]
    near = np.hypot(*(measured[["x", "y"]].to_numpy()[:, None] - b[["x", "y"]].to_numpy()).T)
    true = b[["u", "v"]].to_numpy()[near.argmin(0)]
    assert len(true) > 40 and np.hypot(*true.T).max() > 0.8
    assert np.sqrt(((measured[["u", "v"]].to_numpy() - true) ** 2).mean()) < 0.03


def test_tilt_draws_columns_out_and_feigns_a_displacement():
    image, truth = ferroelectric((8, 7), jitter_px=0.0, **FINE, seed=4)
    found = fitted(image, truth)
    tilt = found[["tilt_x", "tilt_y"]].to_numpy()
    size = np.hypot(*tilt.T)
    assert truth[["tilt_x", "tilt_y"]].pow(2).sum(axis=1).pow(0.5).max() == pytest.approx(
        6, abs=0.7
    )
    for name, decay in DECAY_NM.items():
        rows = (found["sublattice"] == name).to_numpy() & (size > 3)
        here = found[rows]
        mean, spread = _depth(decay, 20.0)
        long = here[["sigma_x", "sigma_y"]].max(axis=1)
        drawn = here["sigma_x"] ** 2 - here["sigma_y"] ** 2
        along = here["rotation"] + np.where(drawn > 0, 0, np.pi / 2)
        off = along - np.arctan2(-tilt[rows, 1], tilt[rows, 0])  # counter-clockwise as displayed
        assert np.abs(np.sin(off)).max() < 0.2
        expected = np.sqrt(2.7**2 + (spread * size[rows] * 1e-3 * 60) ** 2)  # 60 px in a nanometre
        np.testing.assert_allclose(long, expected, rtol=0.05)
        feigned = here[["x", "y"]].to_numpy() - here[["ideal_x", "ideal_y"]].to_numpy()
        feigned = feigned - here[["u", "v"]].to_numpy()
        shift = (mean - _depth(DECAY_NM["A"], 20.0)[0]) * tilt[rows] * 1e-3 * 60
        np.testing.assert_allclose(feigned, shift, atol=0.05)


@pytest.mark.parametrize("decay", [8.0, 16.0])
def test_depths_are_those_of_an_exponential(decay):
    whole, first, second = (
        quad(lambda z, k=k: z**k * np.exp(-z / decay), 0, 20)[0] for k in range(3)
    )
    mean = first / whole
    expected = mean, np.sqrt(second / whole - mean**2)
    np.testing.assert_allclose(_depth(decay, 20.0), expected)


@pytest.mark.parametrize("seed", range(3))
def test_domains_have_four_polarizations_and_walls_of_finite_width(seed):
    _, truth = ferroelectric(seed=seed, wall_cells=2.0)
    b = truth[truth["sublattice"] == "B"]
    assert (truth.loc[truth["sublattice"] == "A", ["u", "v"]] == 0).all(axis=None)
    assert ((b["u"] > 0) == b["domain"].isin([1, 3])).all()
    assert ((b["v"] > 0) == b["domain"].isin([2, 3])).all()
    assert (b["domain"].value_counts(normalize=True) > 0.08).reindex(range(4)).all()
    length = np.hypot(b["u"], b["v"])
    assert 0.6 < length.max() <= 1.0
    part = np.abs(b["u"]) / np.quantile(np.abs(b["u"]), 0.98)
    assert 0.1 < ((part > 0.1) & (part < 0.6)).mean() < 0.6
    steps = np.abs(np.diff(np.sort(b["u"]))).max()
    assert steps < 0.15  # no jump


def test_noise_is_that_of_counted_electrons():
    quiet, truth = ferroelectric((10, 9), dose=np.inf, seed=1)
    noisy, same = ferroelectric((10, 9), dose=50.0, seed=1)
    assert truth.equals(same)
    score = (noisy.data - quiet.data) / np.sqrt(quiet.data / 50)
    assert np.std(score) == pytest.approx(1, abs=0.02)
    bright = quiet.data > 0.6
    assert np.std(score[bright]) == pytest.approx(1, abs=0.05)
    other, _ = ferroelectric((10, 9), dose=50.0, seed=2)
    assert not np.allclose(other.data, noisy.data)
