"""Refinement through the door: movies, files, failures, the plot of the residual."""

import hyperspy.api as hs
import numpy as np
import pandas as pd
import pytest

from hyperspy_rvae.data import polar_perovskite

FIT = ["sigma_x", "sigma_y", "rotation", "amplitude", "background", "x_std", "y_std"]


@pytest.fixture(scope="module")
def perovskite():
    return polar_perovskite(
        (6, 5), lattice_px=13.0, brightness=0.4, displacement_px=(0.5, -0.3), seed=2
    )


@pytest.fixture(scope="module")
def rough(perovskite):
    """Both sublattices at whole pixels, B in the centres of the cells."""
    truth = perovskite[1]
    return pd.DataFrame(
        {
            "x": np.rint(truth["x"] - truth["u"]),
            "y": np.rint(truth["y"] - truth["v"]),
            "sublattice": truth["sublattice"],
        }
    )


@pytest.fixture
def movie(perovskite, rough, lazy):
    """Three frames: good, all zeros, good with other noise."""
    image = perovskite[0].data
    noise = np.random.default_rng(7).normal(0, 0.02, image.shape)
    s = hs.signals.Signal2D(np.stack([image, np.zeros_like(image), image + noise]))
    s.set_signal_type("atom_lattice")
    s.set_atoms(pd.concat([rough.assign(frame=k) for k in range(3)]))
    return s.as_lazy() if lazy else s


def test_a_frame_of_zeros_is_marked_and_no_frame_is_lost(movie, perovskite, caplog):
    before = movie.atoms
    with caplog.at_level("WARNING", logger="hyperspy_rvae"):
        movie.refine_atoms()
    after = movie.atoms
    assert f"{len(before) // 3} of {len(before)} atoms did not converge" in caplog.text
    assert list(after.groupby("frame")["converged"].mean()) == [1.0, 0.0, 1.0]
    assert after["converged"].dtype == bool
    dark = after["frame"] == 1
    pd.testing.assert_frame_equal(after.loc[dark, ["x", "y"]], before.loc[dark, ["x", "y"]])
    assert after.loc[dark, FIT].isna().all(axis=None)
    assert after.loc[~dark, FIT].notna().all(axis=None)
    truth = perovskite[1]
    for frame in (0, 2):
        found = after.loc[after["frame"] == frame, ["x", "y"]].to_numpy()
        assert np.sqrt(((found - truth[["x", "y"]].to_numpy()) ** 2).mean()) < 0.08


@pytest.mark.parametrize("contrast", ["bright", "dark"])
def test_one_pixel_that_is_not_finite_costs_one_centre_of_mass(perovskite, rough, contrast):
    s = perovskite[0].deepcopy()
    s.data = s.data.astype(float) * (1 if contrast == "bright" else -1)
    s.data[tuple(np.rint(rough[["y", "x"]].to_numpy()[40]).astype(int))] = np.nan
    s = s.as_lazy()
    s.set_atoms(rough)
    s.refine_atoms(method="center_of_mass")
    np.testing.assert_array_equal(np.flatnonzero(~s.atoms["converged"]), [40])


def test_lazy_and_eager_give_the_same(movie):
    other = movie.deepcopy()
    other = hs.signals.Signal2D(np.asarray(movie.data)) if movie._lazy else other.as_lazy()
    other.set_signal_type("atom_lattice")
    other.set_atoms(movie.atoms)
    movie.refine_atoms()
    other.refine_atoms()
    pd.testing.assert_frame_equal(movie.atoms, other.atoms, check_exact=True)


@pytest.mark.parametrize("extension", ["hspy", "zspy"])
def test_marks_survive_files_and_slices(movie, tmp_path, extension):
    movie.refine_atoms()
    movie.save(tmp_path / f"s.{extension}")
    for lazily in (False, True):
        again = hs.load(tmp_path / f"s.{extension}", lazy=lazily)
        pd.testing.assert_frame_equal(again.atoms, movie.atoms, check_dtype=False)
        assert again.atoms["converged"].dtype == bool
        assert not again.inav[1].atoms["converged"].any()


def test_atoms_that_did_not_converge_have_no_displacement(movie):
    movie.refine_atoms()
    d = movie.displacement_map("B", "A").to_dataframe()
    assert d.loc[d["frame"] == 1, ["u", "v"]].isna().all(axis=None)
    assert d.loc[d["frame"] == 0, ["u", "v"]].notna().all(axis=None)


def test_atoms_that_were_only_found_are_not_taken_for_fitted(perovskite, rough):
    s = perovskite[0].deepcopy()
    s.set_atoms(rough)
    s.refine_atoms("A")
    table = s.atoms
    assert table.groupby("sublattice")["converged"].all().to_dict() == {"A": True, "B": False}
    b = table["sublattice"] == "B"
    pd.testing.assert_frame_equal(table.loc[b, ["x", "y"]], rough.loc[b, ["x", "y"]])


def test_masks_are_given_by_radius_or_by_fraction(perovskite, rough):
    a = rough[rough["sublattice"] == "A"]
    positions = []
    for wish in ({"percent_to_nn": 0.4}, {"mask_radius": 0.4 * 13}, {"mask_radius": 3}):
        s = perovskite[0].deepcopy()
        s.set_atoms(a)
        s.refine_atoms(**wish)
        assert s.atoms["converged"].all()
        positions.append(s.atoms[["x", "y"]].to_numpy())
    np.testing.assert_allclose(positions[0], positions[1], atol=0.02)
    assert np.abs(positions[2] - positions[1]).max() > 1e-4
    with pytest.raises(ValueError, match="not both"):
        s.refine_atoms(percent_to_nn=0.4, mask_radius=5)
    for wrong in (0, -2, np.nan, "a", True):
        with pytest.raises(ValueError, match="mask_radius must be a number of pixels from 1"):
            s.refine_atoms(mask_radius=wrong)


def test_the_residual_is_what_the_noise_left(movie):
    movie.refine_atoms()
    axes = movie.plot_residual(frame=2)
    image, model, rest = (ax.images[0].get_array() for ax in axes)
    np.testing.assert_allclose(rest, image - model)
    inner = rest[25:60, 25:70]
    assert 0.8 * 0.028 < inner.std() < 1.2 * 0.028
    assert [ax.get_title() for ax in axes] == ["image", "model", "image less model"]
    with pytest.raises(ValueError, match="a fit of no atom"):
        movie.plot_residual(frame=1)
    with pytest.raises(ValueError, match="frames 0 to 2"):
        movie.plot_residual(frame=3)
    table = movie.atoms
    movie.set_atoms(table[table["frame"] != 2])
    with pytest.raises(ValueError, match="frame 2 has no atoms"):
        movie.plot_residual(frame=2)


def test_the_residual_needs_a_fit_and_marks_what_failed(perovskite, rough):
    s = perovskite[0].deepcopy()
    s.set_atoms(rough)
    with pytest.raises(ValueError, match=r"no column sigma_x: .* refine_atoms\(\)"):
        s.plot_residual()
    lost = pd.DataFrame({"x": [3.0], "y": [2.0], "sublattice": "A"})
    s.set_atoms(pd.concat([rough, lost]))
    s.refine_atoms()
    (crosses,) = s.plot_residual()[2].lines
    np.testing.assert_array_equal(crosses.get_xydata(), [[3.0, 2.0]])


def test_backgrounds_follow_a_rebin(perovskite, rough):
    s = perovskite[0].deepcopy()
    s.set_atoms(rough)
    s.refine_atoms()
    low = s.rebin(scale=(2, 2))
    np.testing.assert_allclose(low.atoms["background"], 4 * s.atoms["background"])
    model, rest = (ax.images[0].get_array() for ax in low.plot_residual()[1:])
    assert np.abs(rest[15:30, 15:30]).mean() < 0.1 * model.std()


def test_atomap_gets_gaussians_as_high_as_the_columns(perovskite, rough):
    s = perovskite[0].deepcopy()
    s.set_atoms(rough)
    s.refine_atoms()
    table = s.atoms.assign(tail_1=0.1, tail_2=0.05)
    s.set_atoms(table)
    atoms = [atom for part in s.to_atomap().sublattice_list for atom in part.atom_list]
    volume = np.array([atom.amplitude_gaussian for atom in atoms])
    spread = 0.85 + 0.1 * 1.6**2 + 0.05 * 2.4**2
    table = table.sort_values("sublattice", kind="stable")
    np.testing.assert_allclose(volume, table["amplitude"] / spread)
