from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import KDTree

from hyperspy_rvae.lattice.atomap import image_from_lattice, table_from_lattice, to_atom_lattice
from hyperspy_rvae.lattice.atomap_peaks import find_peaks

FITTED = ["sigma_x", "sigma_y", "rotation", "amplitude"]
HEIGHT, WIDTH = 70, 95
SIGMA_X, SIGMA_Y, TURN = 3.2, 2.1, 0.5


def draw(sites, heights, background=0):
    """Ellipses with the long axis turned counter-clockwise as displayed by TURN."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    image = np.full((HEIGHT, WIDTH), float(background))
    for (x0, y0), height in zip(sites, heights, strict=True):
        along = (x - x0) * np.cos(TURN) - (y - y0) * np.sin(TURN)
        across = (x - x0) * np.sin(TURN) + (y - y0) * np.cos(TURN)
        image += height * np.exp(-(along**2) / (2 * SIGMA_X**2) - across**2 / (2 * SIGMA_Y**2))
    return image


@pytest.fixture
def sites():
    """Columns well apart, at positions that are no whole pixels."""
    j, i = np.mgrid[:3, :4]
    shift = np.random.default_rng(2).uniform(-1, 1, (12, 2))
    return np.stack([i.ravel() * 23.0 + 13, j.ravel() * 22.0 + 12], axis=1) + shift


@pytest.fixture
def heights():
    return np.linspace(50, 120, 12)


@pytest.fixture
def sublattice():
    """atomap's own of 400 columns with widths and, here, amplitudes."""
    from atomap.api import dummy_data

    sublattice = dummy_data.get_simple_cubic_sublattice()
    for number, atom in enumerate(sublattice.atom_list):
        atom.amplitude_gaussian = 40.0 + number
    return sublattice


def test_find_peaks_is_atomaps():
    from atomap.api import dummy_data, get_atom_positions

    image = dummy_data.get_simple_cubic_signal().data
    theirs = get_atom_positions(SimpleNamespace(data=image), separation=5, threshold_rel=0.02)
    np.testing.assert_array_equal(find_peaks(image, 5), theirs)
    assert find_peaks(np.zeros((30, 40)), 5).shape == (0, 2)


def test_table_of_a_sublattice(sublattice):
    sublattice.name = "Sr"
    table = table_from_lattice(sublattice)
    assert list(table) == ["frame", "x", "y", "sublattice", *FITTED]
    assert list(table.dtypes[:3]) == [np.int64, np.float64, np.float64]
    np.testing.assert_array_equal(table[["x", "y"]], sublattice.atom_positions)
    np.testing.assert_array_equal(table["sigma_x"], sublattice.sigma_x)
    np.testing.assert_array_equal(table["rotation"], sublattice.rotation)
    np.testing.assert_array_equal(table["amplitude"], sublattice.atom_amplitude_gaussian2d)
    assert set(table["sublattice"]) == {"Sr"} and set(table["frame"]) == {0}


def test_unfitted_atoms_have_no_widths(sublattice):
    from atomap.api import Sublattice

    fresh = Sublattice(sublattice.atom_positions[:7], sublattice.image)
    assert list(table_from_lattice(fresh)) == ["frame", "x", "y", "sublattice"]
    table = table_from_lattice([fresh, sublattice])
    assert list(table["sublattice"].value_counts()[["A", "B"]]) == [7, 400]
    assert table.loc[table["sublattice"] == "A", FITTED].isna().all(axis=None)
    assert table.loc[table["sublattice"] == "B", "sigma_x"].notna().all()


def test_amplitudes_lost_in_a_file_are_left_out(sublattice):
    for atom in sublattice.atom_list:
        atom.amplitude_gaussian = 1.0  # what atomap's reader leaves
    assert list(table_from_lattice(sublattice)) == [
        *["frame", "x", "y", "sublattice"],
        *["sigma_x", "sigma_y", "rotation"],
    ]


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (["Sr", "Ti", "O"], ["Sr", "Ti", "O"]),
        (["", "", ""], ["A", "B", "C"]),
        (["B", "", ""], ["B", "A", "C"]),
        (["Sr", "Sr", "O"], ["A", "B", "O"]),
    ],
)
def test_names(sublattice, given, taken):
    from atomap.api import Sublattice

    parts = [Sublattice([[5 + k, 7]], sublattice.image, name=n) for k, n in enumerate(given)]
    assert list(table_from_lattice(parts)["sublattice"]) == taken


def test_lattice_of_two_sublattices():
    from atomap.api import dummy_data

    lattice = dummy_data.get_polarization_film_atom_lattice()
    lattice.set_scale(0.05, "nm")
    table = table_from_lattice(lattice)
    np.testing.assert_array_equal(table["x"], lattice.x_position)
    np.testing.assert_array_equal(table["y"], lattice.y_position)
    image, pixel_size, units = image_from_lattice(lattice)
    assert (pixel_size, units) == (0.05, "nm")
    np.testing.assert_array_equal(image, lattice.image)
    image[:] = 0
    assert lattice.image.any()


def test_lattice_with_zone_axes(sublattice):
    before = table_from_lattice(sublattice)
    sublattice.construct_zone_axes()  # makes atomap's objects recurse
    pd.testing.assert_frame_equal(table_from_lattice(sublattice), before)


def test_calibration_lies_in_the_sublattices(sublattice):
    from atomap.api import Atom_Lattice, Sublattice

    original = np.arange(300.0 * 300).reshape(300, 300)
    part = Sublattice([[5, 7]], sublattice.image, original, pixel_size=0.2, units="Å")
    image, pixel_size, units = image_from_lattice(Atom_Lattice(sublattice_list=[part]))
    assert (pixel_size, units) == (0.2, "Å")
    np.testing.assert_array_equal(image, original)
    image, pixel_size, units = image_from_lattice([part, sublattice])
    assert (pixel_size, units) == (0.2, "Å")
    assert image_from_lattice(sublattice)[1:] == (1.0, "pixel")


def test_classes_inside_temul():
    pytest.importorskip("temul")
    from temul.dummy_data import get_polarisation_dummy_dataset

    lattice = get_polarisation_dummy_dataset()
    table = table_from_lattice(lattice)
    assert len(table) == sum(len(part.atom_list) for part in lattice.sublattice_list)
    assert list(table["sublattice"].unique()) == ["A", "B"]  # it names none
    np.testing.assert_array_equal(table["x"], lattice.x_position)
    image, pixel_size, units = image_from_lattice(lattice)
    np.testing.assert_array_equal(image, lattice.image)
    assert (pixel_size, units) == (1.0, "pixel")
    lattice.sublattice_list[0].pixel_size = 0.1  # temul's has no units
    assert image_from_lattice(lattice)[1:] == (0.1, "")
    second = table_from_lattice(lattice.sublattice_list[1])
    np.testing.assert_array_equal(second["y"], table.loc[table["sublattice"] == "B", "y"])


@pytest.mark.parametrize("wrong", [None, 3, "lattice", [], [1, 2], np.zeros((4, 2)), {"x": 1}])
def test_anything_else_is_refused(wrong):
    for read in (table_from_lattice, image_from_lattice):
        with pytest.raises(TypeError, match="must be an atomap Atom_Lattice with sublattices"):
            read(wrong)


def test_lattice_without_an_image(sublattice):
    bare = SimpleNamespace(atom_list=sublattice.atom_list, name="")
    with pytest.raises(ValueError, match="holds no image"):
        image_from_lattice(bare)


def test_there_and_back(sites, heights):
    image = draw(sites, heights)
    table = pd.DataFrame(sites, columns=["x", "y"])
    table = table.assign(sigma_x=SIGMA_X, sigma_y=SIGMA_Y, rotation=TURN, amplitude=40 * heights)
    table.insert(0, "frame", 0)
    table.insert(3, "sublattice", np.where(np.arange(12) % 3, "Ti", "Sr"))
    table = table.sort_values("sublattice", kind="stable", ignore_index=True)
    table.loc[4, FITTED] = np.nan
    lattice = to_atom_lattice(image, table, pixel_size=0.03, units="nm")
    assert [part.name for part in lattice.sublattice_list] == ["Sr", "Ti"]
    pd.testing.assert_frame_equal(table_from_lattice(lattice), table, check_dtype=False)
    back, pixel_size, units = image_from_lattice(lattice)
    assert (pixel_size, units) == (0.03, "nm") == (lattice.pixel_size, lattice.units)
    np.testing.assert_array_equal(back, image)
    assert lattice.sublattice_list[0].signal.axes_manager[0].scale == 0.03


def test_bare_table_of_a_float16_image(sites):
    table = pd.DataFrame(sites, columns=["x", "y"]).assign(sublattice="A")
    image = draw(sites, np.ones(12)).astype("float16")
    lattice = to_atom_lattice(image, table, pixel_size=1.0, units="px")
    np.testing.assert_array_equal(lattice.sublattice_list[0].atom_positions, sites)
    assert KDTree(sites).query(table_from_lattice(lattice)[["x", "y"]])[0].max() == 0


def test_zone_axes_are_there_for_atomap_and_temul():
    polarisation = pytest.importorskip("temul.topotem.polarisation")
    square = 16.0 * np.stack(np.mgrid[1:12, 1:10], -1).reshape(-1, 2)
    inner = square[(square < [170, 140]).all(axis=1)] + [8.6, 7.5]
    table = pd.DataFrame(np.concatenate([square, inner]), columns=["x", "y"])
    table["sublattice"] = np.repeat(["A", "B"], [len(square), len(inner)])
    lattice = to_atom_lattice(np.ones((170, 200)), table, pixel_size=1.0, units="px")
    a, b = lattice.sublattice_list
    first, second = a.zones_axis_average_distances[:2]
    assert {first, second} == {(16.0, 0.0), (0.0, 16.0)}
    vectors = a.get_polarization_from_second_sublattice(first, second, b).metadata.vector_list
    assert len(vectors) == len(inner)
    # atomap's is the middle minus the atom
    np.testing.assert_allclose(np.array(vectors)[:, 2:], [[-0.6, 0.5]] * len(inner), atol=1e-4)
    *_, strain = polarisation.get_strain_map(
        a, 0, 15.0, sampling=1.0, units="px", return_x_y_z=True, save=None
    )
    np.testing.assert_allclose(strain, 100 / 15, rtol=0.02)  # atomap lays splines through it
