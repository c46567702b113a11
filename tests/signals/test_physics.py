import hyperspy.api as hs
import numpy as np
import pytest

import hyperspy_rvae as hrv
from hyperspy_rvae.signals import AtomProperties

STEPS = np.stack(np.meshgrid(np.arange(18), np.arange(15)), -1).reshape(-1, 2)


@pytest.fixture
def strained(lattice_image, lazy):
    """A lattice with a known strain field in nm, seen with pixels that are not square."""
    xy = STEPS * 0.4 + 1.0  # nm
    x, y = xy.T
    moved = xy + np.column_stack([0.03 * np.sin(x / 2), 0.02 * np.cos(x / 2) - 0.01 * y])
    image = lattice_image({"A": moved / [0.02, 0.025]}, pixel=(0.02, 0.025), lazy=lazy)
    ux, vx, vy = 0.015 * np.cos(x / 2), -0.01 * np.sin(x / 2), np.full(len(x), -0.01)
    return image, np.column_stack([ux, vy, vx / 2, -vx / 2])


def inner(width=18, height=15):
    return ((STEPS > 0) & (STEPS < [width - 1, height - 1])).all(axis=1)


def test_a_known_strain_comes_back_within_a_thousandth(strained):
    image, true = strained
    e = image.strain_map("A", reference=np.diag([20.0, 16.0]))  # 0.4 nm, in pixels
    assert isinstance(e, AtomProperties) and e.columns == ["exx", "eyy", "exy", "rotation"]
    error = np.abs(np.asarray(e.data) - true)[inner()]
    assert np.abs(true).max() > 0.01
    assert error[:, :3].max() < 1e-3 and np.rad2deg(error[:, 3].max()) < 0.1
    assert [e.units_of(name) for name in e.columns] == ["", "", "", "rad"]


def test_strain_is_relative_to_the_mean_or_to_a_region(lattice_image):
    scale = np.where(STEPS[:, 0] < 9, 20.0, 20.6)
    x = 20 + np.cumsum(scale.reshape(15, 18), axis=1).ravel()
    image = lattice_image({"A": np.column_stack([x, 20 + 20.0 * STEPS[:, 1]])})
    left = hs.roi.RectangularROI(0, 0, 3.5, 100)  # nm
    exx = image.strain_map("A", reference=left).to_dataframe()["exx"].to_numpy()
    far = (STEPS[:, 0] > 10) & inner()
    np.testing.assert_allclose(exx[far], 0.03, atol=1e-6)
    np.testing.assert_allclose(exx[(STEPS[:, 0] < 7) & inner()], 0.0, atol=1e-6)
    mean = image.strain_map("A").to_dataframe()["exx"]
    assert abs(mean.mean()) < 1e-6 and mean.max() < 0.02


@pytest.mark.parametrize("extension", ["hspy", "zspy"])
def test_properties_survive_slices_files_and_are_drawn(strained, tmp_path, extension):
    image, _ = strained
    e = image.strain_map("A")
    e.inav[4:90:2].save(tmp_path / f"e.{extension}")
    for lazily in (False, True):
        again = hs.load(tmp_path / f"e.{extension}", lazy=lazily)
        assert type(again).__name__ == f"{'Lazy' if lazily else ''}AtomProperties"
        assert again.columns == e.columns
        both = [s.to_dataframe().drop(columns="sublattice") for s in (again, e.inav[4:90:2])]
        np.testing.assert_allclose(*both)
        ax = again.plot_map("eyy", image=image)
        assert ax.collections[0].get_array().shape == (43,)
    maps = again.plot(image=image)
    assert [a.figure.axes.index(a) for a in maps] == [0, 1, 2, 3] and len(maps[0].images) == 1
    assert len(image.cell_map("A").plot()) == 5
    assert e.isig[2:].columns == ["exy", "rotation"]
    assert ax.figure.axes[1].get_ylabel() == "eyy"
    assert e.plot_map("rotation").figure.axes[1].get_ylabel() == "rotation (rad)"
    assert e.deepcopy().as_lazy().columns == e.columns
    with pytest.raises(ValueError, match="no whole numbers"):
        e._deepcopy_with_new_data(e.data).rebin(scale=(1, 2)).columns  # noqa: B018


def test_cells_have_lengths_ratio_and_area(lattice_image):
    image = lattice_image({"A": STEPS * [20.0, 16.5] + 20}, pixel=(0.02, 0.025))
    cells = image.cell_map("A").to_dataframe()[["a", "b", "ratio", "gamma", "area"]]
    np.testing.assert_allclose(cells, [[0.4, 0.4125, 0.4125 / 0.4, np.pi / 2, 0.165]] * len(STEPS))


def test_strain_and_distances_agree_with_temul_and_atomap():
    import atomap.api as am
    from temul.topotem.polarisation import get_strain_map, rotation_of_atom_planes

    xy = STEPS * 20.0 + 30
    xy = xy + np.column_stack([0.0003 * (xy[:, 0] - 30) ** 2 / 2, np.zeros(len(xy))])
    image = np.zeros((360, 560))
    theirs = am.Sublattice(xy, image=image)
    theirs.construct_zone_axes()
    zones = theirs.zones_axis_average_distances
    across = next(k for k, (x, y) in enumerate(zones) if abs(x) < 1 < abs(y))
    x, y, strain = np.array(get_strain_map(theirs, across, 20.0, 1.0, return_x_y_z=True)[1:])
    ours = hs.signals.Signal2D(image)
    ours.set_signal_type("atom_lattice")
    ours.set_atoms(xy)
    e = ours.strain_map("A", reference=np.eye(2) * 20).to_dataframe()
    # temul's are halfway between two planes: the mean of ours on both, in percent
    row = e[np.abs(e["y"] - 130) < 1]
    here = np.flatnonzero(np.abs(y - 130) < 1)
    between = 100 * np.interp(x[here], row["x"], row["exx"])
    inside = (x[here] > row["x"].iloc[1]) & (x[here] < row["x"].iloc[-2])
    assert strain[here].max() > 8
    np.testing.assert_allclose(between[inside], strain[here][inside], atol=0.1)
    # and atomap's distances between atoms along x are our a
    along = next(k for k, (x, y) in enumerate(zones) if abs(y) < 1 < abs(x))
    x, y, distance = theirs.get_atom_distance_list_from_zone_vector(zones[along])
    a = ours.cell_map("A").to_dataframe()
    row = np.abs(np.array(y) - 130) < 1
    between = np.interp(np.array(x)[row], *a.loc[np.abs(a["y"] - 130) < 1, ["x", "a"]].to_numpy().T)
    np.testing.assert_allclose(between, np.array(distance)[row], atol=0.05)
    # a lattice turned counter-clockwise by 2 degrees: both see it
    angle = np.deg2rad(2.0)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned = (STEPS * 20.0) @ turn.T + [40, 80]
    theirs = am.Sublattice(turned, image=np.zeros((480, 480)))
    theirs.construct_zone_axes()
    zones = theirs.zones_axis_average_distances
    along = next(k for k, (x, y) in enumerate(zones) if abs(y) < 2 < abs(x))
    planes = np.array(rotation_of_atom_planes(theirs, along, return_x_y_z=True)[3])
    ours = hs.signals.Signal2D(np.zeros((480, 480)))
    ours.set_signal_type("atom_lattice")
    ours.set_atoms(turned)
    rotation = ours.strain_map("A", reference=np.eye(2) * 20).to_dataframe()["rotation"]
    np.testing.assert_allclose(rotation, angle, atol=1e-9)
    np.testing.assert_allclose(np.abs(planes), angle, atol=1e-3)  # temul counts with y down


def octahedra(tilt, sign):
    """B on a square lattice and the O between them, turned by antiphase tilts; `sign` per cell."""
    tan, a = np.tan(tilt) * 10, 20.0
    oxygen = {}
    for (i, j), s in zip(STEPS, sign, strict=True):
        oxygen[2 * i + 1, 2 * j] = [(i + 0.5) * a, j * a - tan * s]
        oxygen[2 * i - 1, 2 * j] = [(i - 0.5) * a, j * a + tan * s]
        oxygen[2 * i, 2 * j + 1] = [i * a + tan * s, (j + 0.5) * a]
        oxygen[2 * i, 2 * j - 1] = [i * a - tan * s, (j - 0.5) * a]
    return {"B": STEPS * a + 40, "O": np.array(list(oxygen.values())) + 40}


def test_an_antiphase_tilt_has_one_sign_and_its_boundary_the_other(lattice_image, lazy):
    parity = 1 - 2 * (STEPS.sum(1) % 2)
    t = lattice_image(octahedra(0.08, parity), lazy=lazy).tilt_map("O", centre="B")
    table = t.to_dataframe()
    np.testing.assert_allclose(np.abs(table["tilt"]), 0.08, atol=2e-3)
    np.testing.assert_array_equal(np.sign(table["tilt"]), parity * np.sign(table["tilt"].iloc[0]))
    assert len(set(np.sign(table["staggered"]))) == 1
    assert t.units_of("staggered") == "rad" and t.plot_map("staggered").collections
    side = np.where(STEPS[:, 0] < 9, 1, -1)
    table = lattice_image(octahedra(0.08, parity * side)).tilt_map("O").to_dataframe()
    far = np.abs(STEPS[:, 0] - 8.5) > 1
    np.testing.assert_allclose(
        (table["staggered"].to_numpy() * side)[far] * np.sign(table["staggered"].iloc[0]),
        0.08,
        atol=3e-3,
    )


def test_what_did_not_converge_has_no_strain_and_no_tilt_and_spoils_none(lattice_image):
    parity = 1 - 2 * (STEPS.sum(1) % 2)
    image = lattice_image(octahedra(0.08, parity))
    table = image.atoms.assign(converged=True)
    centre = table[["x", "y"]].mean()
    from_centre = np.hypot(*(table[["x", "y"]] - centre).T.to_numpy())
    for name in "BO":
        lost = table.index[table["sublattice"] == name][
            np.argmin(from_centre[table["sublattice"] == name])
        ]
        table.loc[lost, "converged"] = False
        table.loc[lost, "x"] += 4.0
    image.set_atoms(table)
    strain = image.strain_map("B", reference=20.0 * np.eye(2)).data
    assert np.isnan(strain).all(axis=1).sum() == 1
    assert np.nanmax(np.abs(strain)) < 1e-6
    tilt = np.abs(image.tilt_map("O", centre="B").data[:, 0])
    assert 2 <= np.isnan(tilt).sum() <= 3  # the two around the lost O, and the lost B
    np.testing.assert_allclose(tilt[np.isfinite(tilt)], 0.08, atol=2e-3)


def test_polarization_of_a_cell_worked_by_hand(polar):
    image, _, _ = polar(pixel=(0.02, 0.02))
    d = image.displacement_map("B", "A", units="pm")
    charges = {"A": 2.7, "B": 7.3, "O": -10.0}
    p = d.polarization(charges, cell_volume=64.0)
    # 7.3 e times (7, -12) pm in 64 cubic angstrom; e = 1.602177e-19 C
    by_hand = 7.3 * 1.602177e-19 * np.array([7e-12, -12e-12]) / 64e-30 * 100  # C/m2 to µC/cm2
    np.testing.assert_allclose(p.data[0], by_hand, rtol=1e-6)
    assert p.units == "µC/cm²" and p.data[0, 0] > 0  # where the positive ion goes
    for units in ("px", "axes"):
        again = image.displacement_map("B", "A", units=units).polarization(charges, 64.0)
        np.testing.assert_allclose(again.data, p.data, rtol=1e-9)
    assert p.plot(plot_style="vector").figure is not None


def test_measured_anions_count_too(lattice_image):
    a = 20.0
    b = STEPS * a + 60
    o = np.vstack([b + [a / 2, 0], b + [0, a / 2], b[:1] - [a / 2, 0], b[:1] - [0, a / 2]])
    corner = np.vstack([b - a / 2, b + a / 2])
    corner = np.unique(corner.round(6), axis=0)
    image = lattice_image({"A": corner, "B": b + [0.3, 0.0], "O": o - [0.2, 0.0]})
    d = image.displacement_map(["B", "O"], "A", method="neighbours", units="pm")
    charges = {"A": 2.0, "B": 4.0, "O": -6.0}
    p = d.polarization(charges, 60.0).to_dataframe()
    row = p[p["sublattice"] == "B"].dropna()
    assert p.loc[p["sublattice"] == "O", "u"].isna().all()
    by_hand = 1.602177e-19 * (4 * 6e-12 + 6 * 4e-12) / 60e-30 * 100
    np.testing.assert_allclose(row["u"].iloc[len(row) // 2], by_hand, rtol=1e-6)


@pytest.mark.parametrize(
    ("charges", "volume", "message"),
    [
        ({"A": 2.7, "B": 7.3}, 64, "sum to 10 e and not to 0"),
        ({"B": 7.3, "O": -7.3}, 64, "no charge of 'A'"),
        ({"A": 1.0, "B": -1.0}, 0, "cell_volume must be above 0"),
        ({"A": 1.0, "B": -1.0}, "64", "cell_volume must be above 0"),
        ({"A": 1.0, "B": np.nan}, 64, "must be numbers, in units of e, got nan"),
        ({"A": 1.0, "B": "-1"}, 64, "must be numbers, in units of e, got '-1'"),
    ],
)
def test_impossible_charges_are_refused(polar, charges, volume, message):
    d = polar()[0].displacement_map("B", "A")
    with pytest.raises(ValueError, match=message):
        d.polarization(charges, volume)
    with pytest.raises(TypeError, match="charges by sublattice"):
        d.polarization(7.3, 64)
    with pytest.raises(ValueError, match="a polarization already"):
        d.polarization({"A": 1.0, "B": -1.0}, 64).polarization({"A": 1.0, "B": -1.0}, 64)


def test_lengths_need_a_calibration(polar):
    image, _, _ = polar(units="")
    d = image.displacement_map("B", "A")
    with pytest.raises(ValueError, match="calibrate both signal axes"):
        d.polarization({"A": 1.0, "B": -1.0}, 64)
    with pytest.raises(ValueError, match="calibrate both signal axes"):
        image.displacement_map("B", "A", units="pm")
    assert image.cell_map("A").units_of("a") == "px"


def test_a_vortex_has_curl_and_a_source_has_divergence(lattice_image):
    b = STEPS * 20.0 + 40
    middle = b.mean(0)
    x, y = ((b - middle) * 0.02).T  # nm
    corners = np.unique(np.vstack([b - 10, b + 10]).round(6), axis=0)
    # counter-clockwise as displayed: right of the middle goes up, which is -v
    vortex = np.column_stack([y, -x]) * 0.002 / 0.02
    image = lattice_image({"A": corners, "B": b + vortex})
    g = image.displacement_map("B", "A", units="pm").gradient_map()
    values = g.to_dataframe().dropna()
    np.testing.assert_allclose(values["curl"], 2 * 2, rtol=1e-4)  # pm per nm
    np.testing.assert_allclose(values["divergence"], 0, atol=0.02)
    assert g.units_of("curl") == "pm/nm"
    source = np.column_stack([x, y]) * 0.002 / 0.02
    image = lattice_image({"A": corners, "B": b + source})
    values = image.displacement_map("B", "A", units="pm").gradient_map().to_dataframe().dropna()
    np.testing.assert_allclose(values["divergence"], 4, rtol=5e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.strain_map("Z"), "no sublattice 'Z'"),
        (lambda s: s.strain_map("A", reference=np.eye(3)), "two lattice vectors in pixels"),
        (lambda s: s.strain_map("A", reference=np.zeros((2, 2))), "that span a cell"),
        (lambda s: s.strain_map("A", reference=hs.roi.CircleROI(90, 90, 1)), "larger region"),
        (lambda s: s.tilt_map("A", centre="A"), "both 'A'"),
        (lambda s: s.tilt_map(), "no sublattice 'O'"),
    ],
)
def test_what_cannot_be_measured_is_refused(polar, call, message):
    with pytest.raises(ValueError, match=message):
        call(polar()[0])


def test_a_row_of_atoms_has_no_strain(lattice_image):
    image = lattice_image({"A": STEPS[:18] * 20.0 + 20})
    with pytest.raises(ValueError, match="no lattice repeats"):
        image.strain_map("A")


def test_atomaps_film_gives_a_straight_lattice():
    import atomap.api as am

    image = hrv.from_atomap(am.dummy_data.get_polarization_film_atom_lattice())
    e = image.strain_map("A").data
    assert np.nanmax(np.abs(e)) < 1e-3
