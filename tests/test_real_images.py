"""From experimental images to maps, as a user would."""

import hyperspy.api as hs
import numpy as np
import pytest

pytestmark = pytest.mark.filterwarnings("ignore:Loading old file")


def load(path, **kwargs):
    image = hs.load(path, **kwargs)
    image.set_signal_type("atom_lattice")
    return image


def test_barium_titanate_gives_its_displacement_map(real_data):
    s = load(real_data / "BaTiO3_1.dm4")
    s.find_atoms()
    s.find_sublattice("B", reference="A")
    counts = s.atoms["sublattice"].value_counts()
    # 1144 and 1127 columns have their centre on the image
    assert abs(counts["A"] - 1144) <= 10 and abs(counts["B"] - 1075) <= 15
    d = s.displacement_map("B", "A", units="pm")
    vectors = d.to_dataframe()[["u", "v"]].dropna()
    assert len(vectors) > 970
    # An independent joint fit has (2.4, 7.5) pm, right and down, and 3.0 pm about that; atomap,
    # which fits one column after the other, (6.6, 10.2).
    np.testing.assert_allclose(vectors.mean(), (2.4, 7.5), atol=0.8)
    assert np.hypot(*(vectors - vectors.mean()).to_numpy().T).mean() < 4
    assert s.atoms["converged"].all()
    assert d.plot(image=s).collections
    # the same image's regions: up at the top left, down at the bottom, once the mean is gone
    clean = d.correct("mean").denoise()
    assert max(clean.noise()) < max(d.noise()) < 4
    table = clean.cluster(3, features="vectors", seed=0).to_dataframe()
    top = table[(table["y"] < 80) & (table["x"] < 220)]
    bottom = table[table["y"] > 360]
    assert top["v"].mean() < -2 and bottom["v"].mean() > 1
    assert top["cluster"].mode()[0] != bottom["cluster"].mode()[0]


def test_displacements_do_not_depend_on_the_start(real_data):
    s = load(real_data / "BaTiO3_1.dm4")
    s.find_atoms(refine=False)
    s.find_sublattice("B", reference="A")
    before = s.displacement_map("B", "A", units="pm").data
    table = s.atoms
    table[["x", "y"]] += np.random.default_rng(0).uniform(-0.5, 0.5, (len(table), 2))
    s.set_atoms(table)
    s.refine_atoms()
    moved = s.displacement_map("B", "A", units="pm").data - before
    assert np.sqrt(np.nanmean(moved**2)) < 0.5


def test_refining_once_more_moves_nearly_no_displacement(real_data):
    s = load(real_data / "BaTiO3_1.dm4")
    s.find_atoms()
    s.find_sublattice("B", reference="A")
    before = s.displacement_map("B", "A", units="pm").data
    s.refine_atoms()
    moved = np.hypot(*(s.displacement_map("B", "A", units="pm").data - before).T)
    assert np.nanmedian(moved) < 0.3
    assert np.nanquantile(moved, 0.98) < 1.0  # some within two cells of the border move more


def test_a_polar_layer_is_told_from_its_neighbour(real_data):
    s = load(real_data / "PbTiO3_SrRuO3.hspy")
    s.find_atoms()
    s.find_sublattice("B", reference="A")
    d = s.displacement_map("B", "A", units="pm").denoise("pca")
    table = d.cluster(2, algorithm="kmeans", features="vectors", seed=0).to_dataframe().dropna()
    length = np.hypot(table["u"], table["v"])
    lead = (table["y"] < 30) | (table["y"] > 175)  # bright columns at the top and at the bottom
    ruthenate = table["y"].between(70, 130)
    assert length[lead].mean() > 2 * length[ruthenate].mean()
    assert (table["cluster"][ruthenate] == 0).mean() > 0.9
    assert (table["cluster"][lead] == 1).mean() > 0.6


def test_a_lazy_movie_with_dark_atoms_goes_to_latents(real_data, tmp_path):
    s = load(real_data / "perovskite_ABF_movie.hspy", lazy=True)
    s.find_atoms(contrast="dark", refine=False)
    s.refine_atoms(method="center_of_mass")
    counts = s.atoms["frame"].value_counts()
    assert len(counts) == 5 and counts.between(200, 210).all()
    assert s._lazy
    z = s.fit_rvae(window_size=25, latent_dim=2, epochs=3, seed=0)
    assert z._lazy and z.data.shape[0] == len(z.atoms) > 700
    z.save(tmp_path / "z.zspy")
    again = hs.load(tmp_path / "z.zspy")
    np.testing.assert_allclose(again.data, z.data.compute())
    assert again.plot_map("angle", frame=3, image=s).collections
    assert s.plot_atoms() is not None


def test_dumbbells_of_a_tilt_boundary_run_through(real_data):
    s = load(real_data / "CdTe_tilt.dm3")
    s.find_atoms()
    assert 850 < len(s.atoms) < 1000
    assert s.atoms["converged"].mean() > 0.97  # both columns of a dumbbell, and at the boundary
    z = s.fit_rvae(window_size=31, latent_dim=2, epochs=2, seed=0)
    assert np.isfinite(z.data).all()
    assert np.abs(z.to_dataframe()["angle"]).max() <= np.pi
    assert z.plot_manifold().images


def test_sublattices_of_a_superlattice_whose_brightness_crosses_over(real_data):
    """In SrRuO3 the A columns are no brighter than B; they are still those of PbTiO3."""
    s = load(real_data / "PbTiO3_SrRuO3.hspy")
    s.find_atoms(separation=4.3, refine=False)
    s.assign_sublattices(("A", "B"))
    s.find_cells("A")
    a = s.atoms[s.atoms["sublattice"] == "A"]
    assert abs(len(a) - 488) <= 6
    assert (a["grain"] == 0).mean() > 0.98
    assert not a[a["grain"] == 0].duplicated(["cell_a", "cell_b"]).any()
    assert s.plot_cells().collections


@pytest.mark.parametrize("refine", [False, True])
def test_dumbbells_of_two_grains_are_sorted_and_numbered(real_data, refine):
    s = load(real_data / "CdTe_tilt.dm3")
    s.find_atoms(refine=refine)
    s.assign_sublattices(("Te", "Cd"))
    counts = s.atoms["sublattice"].value_counts()
    assert abs(counts["Te"] - counts["Cd"]) < 60
    s.find_cells("Te")
    assert (s.atoms["grain"].value_counts()[[0, 1]] > 300).all()
    te = s.atoms[(s.atoms["sublattice"] == "Te") & (s.atoms["grain"] >= 0)]
    assert not te.duplicated(["grain", "cell_a", "cell_b"]).any()


def test_strontium_titanate_is_the_null_control(real_data):
    s = load(real_data / "SrTiO3.ser")
    s.find_atoms(refine=False)
    s.find_sublattice("B", reference="A")
    vectors = s.displacement_map("B", "A", units="pm").to_dataframe()[["u", "v"]].dropna()
    assert len(vectors) > 400
    # no shift is expected; tilt and scan leave about 9 pm, and 6 pm about that
    assert np.hypot(*vectors.mean()) < 12
    assert np.hypot(*(vectors - vectors.mean()).to_numpy().T).mean() < 7
