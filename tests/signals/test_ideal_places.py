import logging

import hyperspy.api as hs
import numpy as np
import pytest

import hyperspy_rvae as hrv


@pytest.mark.parametrize("method", ["neighbours", "cells", "lattice", "planes"])
def test_every_ideal_place_gives_the_known_vectors(polar, lazy, method):
    image, known, _ = polar(lazy=lazy)
    d = image.displacement_map("B", "A", method=method, units="pm")
    np.testing.assert_allclose(d.data, known * 20, atol=1e-6)
    assert d.metadata.Atoms.displacement.method == method


def test_cells_are_atomaps_own():
    import atomap.api as am

    film = am.dummy_data.get_polarization_film_atom_lattice()
    ours = hrv.from_atomap(film).displacement_map("B", "A", method="cells").to_dataframe()
    a, b = film.sublattice_list
    a.construct_zone_axes()
    zones = a.zones_axis_average_distances[:2]
    theirs = np.array(
        a.get_polarization_from_second_sublattice(*zones, b).metadata.vector_list, dtype=float
    )
    atoms = theirs[:, :2] - theirs[:, 2:]  # atomap: centre minus atom
    distance = np.hypot(*(ours[["x", "y"]].to_numpy()[:, None] - atoms).transpose(2, 0, 1))
    match, same = distance.argmin(0), distance.min(0) < 0.1
    assert same.mean() > 0.95
    np.testing.assert_allclose(
        ours[["u", "v"]].to_numpy()[match[same]], -theirs[same, 2:], atol=1e-3
    )


def test_rumpled_planes_agree_with_temuls_line_fit():
    from temul.dummy_data import get_polarised_single_sublattice
    from temul.topotem.polarisation import atom_deviation_from_straight_line_fit

    theirs = get_polarised_single_sublattice(image_noise=False)
    theirs.construct_zone_axes(atom_plane_tolerance=1)
    image = hrv.from_atomap(theirs)
    name = image.atoms["sublattice"].iloc[0]
    ours = image.displacement_map(name, name, method="planes").to_dataframe().dropna()
    x, y, _u, v = map(np.array, atom_deviation_from_straight_line_fit(theirs, 0, n=5))
    distance = np.hypot(ours["x"].to_numpy() - x[:, None], ours["y"].to_numpy() - y[:, None])
    match, near = distance.argmin(1), distance.min(1) < 0.1
    assert near.sum() > 50
    # temul's vectors point from the atom to the line
    uv = ours[["u", "v"]].to_numpy()[match[near]]
    assert np.abs(v[near]).max() > 1
    np.testing.assert_allclose(uv[:, 1], -v[near], atol=0.1)


def test_a_film_shows_its_strain_against_the_substrate(lattice_image):
    steps = np.stack(np.meshgrid(np.arange(12), np.arange(14)), -1).reshape(-1, 2)
    y = np.where(steps[:, 1] < 6, 15.0 * steps[:, 1], 75 + 15.6 * (steps[:, 1] - 5))
    image = lattice_image({"A": np.column_stack([15.0 * steps[:, 0], y]) + 20})
    substrate = hs.roi.RectangularROI(0, 0, 50, 2.0)
    d = image.displacement_map("A", "A", method="lattice", region=substrate)
    np.testing.assert_allclose(d.data[:, 0], 0, atol=1e-9)
    np.testing.assert_allclose(d.data[:, 1], 0.6 * (steps[:, 1] - 5).clip(0), atol=1e-9)


def test_a_movie_is_compared_with_its_mean(lattice_image, lazy):
    steps = np.stack(np.meshgrid(np.arange(9), np.arange(8)), -1).reshape(-1, 2) * 15.0 + 20
    rng = np.random.default_rng(0)
    shakes = rng.normal(0, 0.3, (6, 72, 2))
    shakes -= shakes.mean((0, 1))
    image = lattice_image(
        *({"A": steps + [2.0 * k, -k] + shake} for k, shake in enumerate(shakes)), lazy=lazy
    )
    d = image.displacement_map("A", "Z", method="time")  # the reference is not looked at
    known = shakes - shakes.mean(0) - shakes.mean(1, keepdims=True)
    np.testing.assert_allclose(d.data.reshape(6, 72, 2), known, atol=0.02)
    table = image.atoms.assign(converged=True)
    table.loc[174, ["x", "converged"]] = [table["x"][174] + 5, False]
    image.set_atoms(table.astype({"converged": bool}))
    without = image.displacement_map("A", "A", method="time").data
    assert np.flatnonzero(np.isnan(without).any(axis=1)) == [174]
    np.testing.assert_allclose(np.delete(without, 174, 0), np.delete(d.data, 174, 0), atol=0.2)


def test_uncertainty_follows_from_the_positions(polar, lattice_image):
    image, _, _ = polar(x_std=0.1, y_std=0.2, pixel=(0.02, 0.03))
    d = image.displacement_map("B", "A", units="pm")
    # an atom and the mean of four
    np.testing.assert_allclose(d.atoms["u_std"], 20 * 0.1 * np.sqrt(1.25))
    np.testing.assert_allclose(d.atoms["v_std"], 30 * 0.2 * np.sqrt(1.25))
    assert d.units_of("u_std") == "pm"
    fitted = image.displacement_map("B", "A", method="lattice")
    np.testing.assert_allclose(fitted.atoms["v_std"], 0.2)
    assert "u_std" not in d.denoise().atoms
    assert "u_std" not in polar()[0].displacement_map("B", "A").atoms


def test_the_stated_uncertainty_is_that_of_the_errors(lattice_image):
    rng = np.random.default_rng(0)
    corners = np.stack(np.meshgrid(np.arange(31), np.arange(31)), -1).reshape(-1, 2) * 15.0 + 20
    centres = np.stack(np.meshgrid(np.arange(30), np.arange(30)), -1).reshape(-1, 2) * 15.0 + 27.5
    image = lattice_image(
        {k: xy + rng.normal(0, 0.1, xy.shape) for k, xy in (("A", corners), ("B", centres))},
        x_std=0.1,
        y_std=0.1,
    )
    d = image.displacement_map("B", "A")
    assert (d.data / d.atoms[["u_std", "v_std"]]).to_numpy().std() == pytest.approx(1, abs=0.05)


def test_noise_between_neighbours_is_reported_in_units(polar):
    d = polar(cells=(30, 26), noise=0.1)[0].displacement_map("B", "A", units="pm")
    np.testing.assert_allclose(d.noise(), 2.0, rtol=0.1)


def test_corrections_are_named_and_noted(polar, caplog):
    image, known, _ = polar()
    d = image.displacement_map("B", "A", units="pm")
    tilted = d._deepcopy_with_new_data(d.data + [6.0, -4.0])
    with caplog.at_level(logging.INFO, logger="hyperspy_rvae"):
        out = tilted.correct("mean")
    np.testing.assert_allclose(out.data, known * 20, atol=1e-6)
    assert "subtracted the field 'mean', on average (6, -4) pm" in caplog.text
    again = out.correct("plane", region=hs.roi.RectangularROI(0, 0, 2.8, 10))
    assert again.metadata.Atoms.displacement.corrections == ["mean", "plane"]
    np.testing.assert_allclose(again.data[:8], 0, atol=1e-6)
    assert np.isfinite(d.correct("smooth", width=40).data).all()
    assert "corrections" not in d.metadata.Atoms.displacement


def test_a_wrong_pixel_size_is_noticed(polar, caplog):
    polar(pixel=(0.02, 0.0203))[0].displacement_map("B", "A")
    assert not caplog.text
    polar(pixel=(0.02, 0.021))[0].displacement_map("B", "A")
    assert "differ by 4.8 %" in caplog.text


def test_atoms_without_an_ideal_place_are_counted(polar, caplog):
    image, _, _ = polar()
    image.set_atoms(image.atoms.drop(index=90))
    with caplog.at_level(logging.INFO, logger="hyperspy_rvae"):
        image.displacement_map("B", "A", method="cells")
    assert "4 of 192 atoms have no displacement: their cell" in caplog.text


def test_atoms_whose_fit_did_not_converge_are_counted_apart(polar, caplog):
    image, _, _ = polar()
    table = image.atoms.assign(converged=True)
    first = table.index[table["sublattice"] == "B"][0]
    table.loc[[90, first], "converged"] = False
    image.set_atoms(table)
    with caplog.at_level(logging.INFO, logger="hyperspy_rvae"):
        d = image.displacement_map("B", "A")
    assert "1 of 192 atoms have no displacement: their fit did not converge" in caplog.text
    assert "4 of 192 atoms have no displacement: a reference atom" in caplog.text
    assert np.isnan(d.data).any(axis=1).sum() == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "grid"}, "method must be one of"),
        ({"sublattice": "A"}, "displacements from neighbours need two"),
        ({"sublattice": "A", "method": "cells"}, "displacements from cells need two"),
        ({"method": "time"}, "needs a movie"),
        ({"position": (0.5, 2), "method": "cells"}, "two fractions of the cell"),
        ({"position": (0.1, 0.1), "method": "cells"}, "no atom has a displacement"),
        ({"region": hs.roi.CircleROI(1, 1, 1)}, "needs method='lattice'"),
        ({"region": hs.roi.CircleROI(90, 90, 1), "method": "lattice"}, "0 atoms fix no lattice"),
        ({"sublattice": ["B", "C"]}, "no sublattice 'C'"),
        ({"sublattice": []}, "name at least one"),
    ],
)
def test_what_has_no_ideal_place_is_refused(polar, arguments, message):
    with pytest.raises(ValueError, match=message):
        polar()[0].displacement_map(**arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: d.correct("tilt"), "field must be one of"),
        (lambda d: d.correct("mean", width=3), "for field='smooth' alone"),
        (lambda d: d.correct("smooth", width=-1), "above 0"),
        (lambda d: d.correct("mean", region=hs.roi.CircleROI(90, 90, 1)), "holds 0 vectors"),
    ],
)
def test_what_cannot_be_subtracted_is_refused(polar, call, message):
    with pytest.raises(ValueError, match=message):
        call(polar()[0].displacement_map("B", "A"))
