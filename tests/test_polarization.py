"""A ferroelectric from image to latents: what the shift and the content of a model follow."""

import numpy as np
import pytest
from scipy.spatial import KDTree
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from hyperspy_rvae.data import ferroelectric

WINDOW = 11


@pytest.fixture(scope="module")
def sites():
    """Image with its atoms at their places in the lattice of the A columns, and the truth."""
    image, truth = ferroelectric((16, 12), seed=5)
    image.find_atoms(show_progressbar=False)
    image.find_sublattice("B", reference="A", show_progressbar=False)
    vectors = image.displacement_map("B", "A").to_dataframe()
    atoms = image.atoms
    atoms.loc[vectors.index, ["x", "y"]] -= vectors[["u", "v"]].to_numpy()
    image.set_atoms(atoms.dropna(subset=["x", "y"]))
    near = KDTree(truth[["ideal_x", "ideal_y"]]).query(image.atoms[["x", "y"]])[1]
    return image, truth.iloc[near].set_index(image.atoms.index)


@pytest.fixture(scope="module")
def latents(sites):
    """What a model with shifts and with the sublattice as condition says of all columns."""
    options = {"invariances": ("translation",), "seed": 1, "show_progressbar": False}
    return sites[0].fit_rvae(WINDOW, condition="sublattice", **options)


def test_shift_follows_the_polarization_and_content_the_tilt(sites, latents):
    table = latents.to_dataframe()
    truth = sites[1].loc[table.index]
    assert (table["sublattice"] == truth["sublattice"]).all()
    b = truth["sublattice"] == "B"
    for shift, component in (("shift_x", "u"), ("shift_y", "v")):
        assert np.corrcoef(table.loc[b, shift], truth.loc[b, component])[0, 1] > 0.9
    tilt = np.hypot(truth["tilt_x"], truth["tilt_y"])
    for here, least in ((~b, 0.7), (b, 0.5)):  # B columns are fainter
        content = table.loc[here, ["z1", "z2"]].assign(one=1.0).to_numpy()
        combined = content @ np.linalg.lstsq(content, tilt[here], rcond=None)[0]
        assert np.corrcoef(combined, tilt[here])[0, 1] > least


def test_content_knows_nothing_of_the_sublattice(latents):
    table = latents.to_dataframe()
    groups = GaussianMixture(2, n_init=5, random_state=0).fit_predict(table[["z1", "z2"]])
    assert adjusted_rand_score(table["sublattice"], groups) < 0.05


def test_lazy_windows_say_the_same(sites, latents):
    windows = sites[0].as_lazy().extract_subimages(WINDOW)
    assert windows._lazy
    again = windows.encode(latents.model)
    again.compute(show_progressbar=False)
    np.testing.assert_allclose(again.data, latents.data, atol=1e-3)
