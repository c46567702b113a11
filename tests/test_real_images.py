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
    assert abs(counts["A"] - 1054) <= 10 and abs(counts["B"] - 990) <= 10
    d = s.displacement_map("B", "A", units="pm")
    vectors = d.to_dataframe()[["u", "v"]].dropna()
    assert len(vectors) > 970
    # An independent joint fit has (2.4, 7.5) pm, right and down, and 3.0 pm about that; atomap,
    # which fits one column after the other, (6.6, 10.2).
    np.testing.assert_allclose(vectors.mean(), (2.4, 7.5), atol=0.8)
    assert np.hypot(*(vectors - vectors.mean()).to_numpy().T).mean() < 4
    assert s.atoms["converged"].all()
    assert d.plot(image=s).collections


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


def test_a_lazy_movie_with_dark_atoms_goes_to_latents(real_data, tmp_path):
    s = load(real_data / "perovskite_ABF_movie.hspy", lazy=True)
    s.find_atoms(contrast="dark", refine=False)
    s.refine_atoms(method="center_of_mass")
    counts = s.atoms["frame"].value_counts()
    assert len(counts) == 5 and counts.between(170, 200).all()
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
    s.find_atoms(refine=False)
    assert 850 < len(s.atoms) < 1000
    z = s.fit_rvae(window_size=31, latent_dim=2, epochs=2, seed=0)
    assert np.isfinite(z.data).all()
    assert np.abs(z.to_dataframe()["angle"]).max() <= np.pi
    assert z.plot_manifold().images


def test_strontium_titanate_is_the_null_control(real_data):
    s = load(real_data / "SrTiO3.ser")
    s.find_atoms(refine=False)
    s.find_sublattice("B", reference="A")
    vectors = s.displacement_map("B", "A", units="pm").to_dataframe()[["u", "v"]].dropna()
    assert len(vectors) > 400
    # no shift is expected; tilt and scan leave about 9 pm, and 6 pm about that
    assert np.hypot(*vectors.mean()) < 12
    assert np.hypot(*(vectors - vectors.mean()).to_numpy().T).mean() < 7
