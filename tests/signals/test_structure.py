"""Sublattices and cells of images and movies, in memory and lazy."""

import hyperspy.api as hs
import numpy as np
import pytest

from hyperspy_rvae.data import crystal


@pytest.fixture(scope="module")
def known():
    return crystal("MoS2", (240, 200), seed=4)


@pytest.fixture
def image(known, lazy):
    s = known[0].deepcopy()
    s.set_atoms(known[1][["x", "y"]])
    return s.as_lazy() if lazy else s


@pytest.fixture
def movie(known, lazy):
    """Four frames: one without atoms, one with three on a line."""
    s = hs.signals.Signal2D(np.stack([known[0].data] * 4))
    s.set_signal_type("atom_lattice")
    places = known[1][["x", "y"]].to_numpy()
    s.set_atoms({0: places, 2: np.array([[9.0, 9], [20, 9], [31, 9]]), 3: places[:-20]})
    return s.as_lazy() if lazy else s


def test_sublattices_get_the_names_given(image, known):
    before = image.atoms
    image.assign_sublattices(("Mo", "S"))
    assert (image.atoms["sublattice"] == known[1]["sublattice"]).mean() > 0.995
    np.testing.assert_array_equal(image.atoms[["x", "y"]], before[["x", "y"]])
    image.assign_sublattices()
    named = image.atoms["sublattice"].map({"A": "Mo", "B": "S"})
    assert (named == known[1]["sublattice"]).mean() > 0.995


def test_the_strongest_are_the_darkest_where_atoms_are_dark(image, known):
    image.data = 2 - image.data
    image.assign_sublattices(("Mo", "S"))
    assert (image.atoms["sublattice"] == known[1]["sublattice"]).mean() > 0.995


def test_cells_are_those_of_the_truth(image, known):
    image.assign_sublattices(("Mo", "S"))
    image.find_cells("Mo")
    table, true = image.atoms, known[1]
    assert (table["grain"] == 0).mean() > 0.99
    for name in ("Mo", "S"):
        own = (table["sublattice"] == name) & (table["grain"] == 0)
        found = table.loc[own, ["cell_a", "cell_b"]].to_numpy()
        cells = true.loc[own, ["cell_a", "cell_b"]].to_numpy()
        design = np.column_stack([found, np.ones(len(found))])
        step = np.rint(np.linalg.lstsq(design, cells, rcond=None)[0])
        assert abs(np.linalg.det(step[:2])) == pytest.approx(1)
        off = cells - found @ step[:2]
        assert (off == np.median(off, axis=0)).all(axis=1).mean() > 0.98
    image.find_cells("S")
    assert list(image.atoms)[-3:] == ["cell_a", "cell_b", "grain"]


def test_cells_stay_with_their_atoms_in_a_crop(image):
    image.find_cells("A")
    part = image.isig[50:150, 40:120]
    whole = image.atoms.loc[part.atoms.index]
    np.testing.assert_array_equal(part.atoms["cell_a"], whole["cell_a"])


def test_frames_without_a_lattice_are_flagged(movie, known, caplog):
    movie.assign_sublattices(("Mo", "S"))
    assert "frame 2: a lattice needs at least 4 atoms, got 3" in caplog.text
    counts = movie.atoms.groupby("frame")["sublattice"].unique()
    assert set(counts[0]) == set(counts[3]) == {"Mo", "S"} and set(counts[2]) == {"A"}
    movie.find_cells("Mo")
    table = movie.atoms
    assert "frame 2" in caplog.text and len(table) == 2 * len(known[1]) - 20 + 3
    assert (table.loc[table["frame"] == 2, "grain"] == -1).all()
    assert table["grain"].dtype == table["cell_a"].dtype == np.int32
    assert movie.plot_cells(frame=3).collections
    with pytest.raises(ValueError, match="frame 2 has no atom in a grain"):
        movie.plot_cells(frame=2)
    with pytest.raises(ValueError, match="frame 4 is not there"):
        movie.plot_cells(frame=4)


def test_no_frame_has_a_lattice(known):
    image = known[0].deepcopy()
    image.set_atoms(np.random.default_rng(0).uniform(5, 190, (300, 2)))
    with pytest.raises(ValueError, match=r"frame 0: .*no lattice"):
        image.assign_sublattices()
    with pytest.raises(ValueError, match=r"frame 0: .*no lattice"):
        image.find_cells()
    assert set(image.atoms["sublattice"]) == {"A"} and "grain" not in image.atoms


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.assign_sublattices("MoS"), "names must be a sequence"),
        (lambda s: s.assign_sublattices(()), "names must be a sequence"),
        (lambda s: s.assign_sublattices(("A", "A")), "a name of its own"),
        (lambda s: s.assign_sublattices(("A", "")), "needs a name"),
        (lambda s: s.assign_sublattices(list("ABCDE")), "5 sublattices are asked"),
        (lambda s: s.find_cells("Z"), "no sublattice 'Z'"),
        (lambda s: s.plot_cells("A"), r"call find_cells\(\) first"),
    ],
)
def test_what_cannot_be_done_is_refused(image, call, message):
    before = image.atoms
    with pytest.raises(ValueError, match=message):
        call(image)
    assert image.atoms.equals(before)


def test_cells_are_drawn_from_atom_to_atom(image):
    image.assign_sublattices(("Mo", "S"))
    image.find_cells("Mo")
    ax = image.plot_cells("S", every=4)
    table = image.atoms.query("grain == 0 and sublattice == 'S'")
    labels = {text.get_text() for text in ax.texts}
    wanted = table[(table["cell_a"] % 4 == 0) & (table["cell_b"] % 4 == 0)]
    assert labels == {f"{a},{b}" for a, b in wanted[["cell_a", "cell_b"]].to_numpy()}
    places = {tuple(place) for place in table[["x", "y"]].to_numpy().round(6)}
    for line in ax.collections[0].get_segments():
        assert {tuple(end) for end in line.round(6)} <= places
    assert image.plot_cells(ax=ax) is ax
