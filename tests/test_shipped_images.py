"""All that can be called, on a real image that every installation has."""

import hyperspy.api as hs
import matplotlib.axes
import numpy as np
import pytest

import hyperspy_rvae as hrv
from hyperspy_rvae.models import RVAE


@pytest.fixture(scope="module")
def found():
    """A perovskite along [110] with both cations, found and refined once."""
    s = hrv.data.perovskite()
    s.find_atoms()
    s.find_sublattice("B", reference="A", position=(0.5, 0))
    return s


@pytest.fixture
def image(found, lazy):
    return found.as_lazy() if lazy else found.deepcopy()


def test_both_cations_are_found_where_the_image_is_bright(found):
    counts = found.atoms["sublattice"].value_counts()
    # 13 rows of 9 columns of A, as counted by eye, and B halfway between two of a row
    assert dict(counts) == {"A": 13 * 9, "B": 13 * 8}
    x, y = np.rint(found.atoms[["x", "y"]].to_numpy()).astype(int).T
    assert (found.data[y, x] > np.median(found.data)).all()


def test_cations_sit_in_the_middle_of_each_other(image):
    """This crystal is not polar: what is left is noise and a little tilt."""
    d = image.displacement_map("B", "A", units="pm")
    _, _, u, v = d.to_temul()
    assert len(u) > 80 and d.columns == ["u", "v"] and d.units == "pm"
    assert np.hypot(u, v).mean() < 5
    assert abs(u.mean()) < 2 and abs(v.mean()) < 2
    assert isinstance(d.plot(image=image), matplotlib.axes.Axes)
    assert list(d.atoms.index) == list(d.to_dataframe().index)


def test_refining_again_moves_little(image):
    before = image.atoms
    image.refine_atoms("A")
    a = before["sublattice"] == "A"
    moved = np.hypot(*(image.atoms[["x", "y"]] - before[["x", "y"]])[a].to_numpy().T)
    assert np.median(moved) < 0.1
    image.refine_atoms(method="center_of_mass")
    assert len(image.atoms) == len(before)


def test_the_lattice_goes_to_atomap_and_back(image):
    lattice = image.to_atomap()
    assert [len(part.atom_list) for part in lattice.sublattice_list] == [117, 104]
    assert lattice.sublattice_list[0].pixel_size == pytest.approx(0.009326)
    again = hrv.from_atomap(lattice, signal=image)
    assert again._lazy == image._lazy
    np.testing.assert_allclose(again.atoms[["x", "y"]], image.atoms[["x", "y"]])


def test_the_two_cations_are_told_apart_by_a_plain_vae(image):
    """A and B differ in brightness, and nothing was said of it to the model."""
    z = image.fit_vae(window_size=21, latent_dim=1, epochs=15, seed=0)
    table = z.to_dataframe()
    a = (table["sublattice"] == "A").to_numpy()
    side = table["z1"].to_numpy() > (table["z1"][a].median() + table["z1"][~a].median()) / 2
    assert max((side == a).mean(), (side != a).mean()) > 0.95


def test_latents_are_mapped_stored_and_used_again(image, tmp_path):
    p = image.extract_subimages(21, "A")
    z = p.fit_rvae(latent_dim=2, epochs=3, seed=0)
    assert z._lazy == image._lazy
    for ax in (z.plot_map("angle", image=image), z.plot_manifold(size=3), image.plot_atoms()):
        assert isinstance(ax, matplotlib.axes.Axes)
    z.save(tmp_path / "z.hspy")
    model = hs.load(tmp_path / "z.hspy").model
    again = image.extract_subimages(21, "B").encode(model)
    assert again.columns == z.columns and set(again.atoms["sublattice"]) == {"B"}


def test_the_estimator_works_on_real_windows(image, tmp_path):
    windows = np.asarray(image.extract_subimages(21).data)
    model = RVAE(latent_dim=2, epochs=10, seed=0).fit(windows)
    values, std = model.transform(windows, return_std=True)
    assert np.isfinite(values).all() and (std > 0).all()
    rebuilt = model.reconstruct(windows)
    assert ((rebuilt - windows) ** 2).mean() < 0.3 * windows.var()
    np.testing.assert_allclose(model.inverse_transform(values), rebuilt, rtol=1e-4)
    assert model.score(windows) > RVAE(epochs=1, seed=0).fit(windows).score(windows)
    assert model.components_.shape == (5, 21 * 21)
    model.save(tmp_path / "model.pt")
    np.testing.assert_array_equal(RVAE.load(tmp_path / "model.pt").transform(windows), values)
    described = RVAE.rebuild(model.configuration(), model.weights())
    np.testing.assert_array_equal(described.transform(windows), values)
