import hyperspy.api as hs
import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import NearestNeighbors

from hyperspy_rvae.data import drifting_crystal, polar_perovskite


def test_vectors_distances_and_angles(sheet):
    s, truth = sheet
    n = s.neighbours(6)
    distance, index = NearestNeighbors(n_neighbors=6).fit(truth[["x", "y"]].to_numpy()).kneighbors()
    np.testing.assert_array_equal(n.ids, index)
    np.testing.assert_allclose(n.distances, distance, rtol=1e-6)
    u, v = np.moveaxis(n.vectors, -1, 0)
    np.testing.assert_allclose(n.distances * np.exp(1j * n.angles), u - 1j * v, rtol=1e-5)
    table = n.to_dataframe()
    assert len(table) == 6 * len(truth)
    end = truth[["x", "y"]].to_numpy()[table["neighbour"]]
    start = truth[["x", "y"]].to_numpy()[table["atom"]]
    np.testing.assert_allclose(table[["u", "v"]], end - start, rtol=1e-5)


def test_k_is_the_coordination(sheet):
    s, truth = sheet
    n = s.neighbours()
    assert n.ids.shape[1] == 3
    inside = truth["defect"].eq("") & n.complete
    assert (n.atoms.loc[inside, "coordination"] == 3).all()
    assert (n.atoms.loc[truth["defect"].eq("edge"), "coordination"] < 3).any()
    s.neighbours(4)
    squares, truth = drifting_crystal(2, (90, 80))
    squares.set_atoms(truth[["frame", "x", "y"]])
    assert squares.neighbours().ids.shape[1] == 4


def test_complete_atoms_are_those_far_enough_from_the_border(sheet):
    n = sheet[0].neighbours(3)
    xy = n.atoms[["x", "y"]].to_numpy()
    depth = np.minimum(xy, [511, 419] - xy).min(1)
    np.testing.assert_array_equal(n.complete, n.distances[:, -1] <= depth)


def test_neighbours_are_of_the_same_frame(lazy):
    s, truth = drifting_crystal(3, (90, 80))
    s = s.as_lazy() if lazy else s
    s.set_atoms(pd.concat([truth[truth["frame"] == 0], truth[truth["frame"] == 2].iloc[:2]]))
    n = s.neighbours(4)
    frame = s.atoms["frame"].to_numpy()
    there = n.ids >= 0
    assert (frame[n.ids] == frame[:, None])[there].all()
    assert (n.ids[-2:, 1:] == -1).all() and np.isnan(n.vectors[-2:, 1:]).all()
    assert not n.complete[-2:].any()


def test_one_sublattice_around_another():
    s, truth = polar_perovskite(displacement_px=(0.4, -0.6))
    s.set_atoms(truth[["x", "y", "sublattice"]])
    n = s.neighbours(sublattice="B", reference="A", units="pm")
    assert n.ids.shape[1] == 4
    assert set(s.atoms.loc[n.ids.ravel(), "sublattice"]) == {"A"}
    known = truth.loc[truth["sublattice"] == "B", ["u", "v"]].to_numpy()
    np.testing.assert_allclose(-n.vectors.mean(1), 25 * known, atol=1e-6)
    assert n.units == "pm"


@pytest.mark.parametrize("k", [4, None])
def test_frames_without_the_reference_have_no_neighbours(lattice_image, k):
    corners = np.stack(np.meshgrid(np.arange(6), np.arange(5)), -1).reshape(-1, 2) * 14.0 + 12
    both, alone = {"A": corners, "B": corners[:-1] + 7}, {"A": corners}
    n = lattice_image(both, alone, both).neighbours(k, sublattice="A", reference="B")
    one = lattice_image(both).neighbours(k, sublattice="A", reference="B")
    assert n.ids.shape[1] == 4
    middle = (n.atoms["frame"] == 1).to_numpy()
    assert (n.ids[middle] == -1).all() and np.isnan(n.vectors[middle]).all()
    assert not n.complete[middle].any() and (n.atoms.loc[middle, "coordination"] == 0).all()
    for frame in (0, 2):
        rows = (n.atoms["frame"] == frame).to_numpy()
        np.testing.assert_array_equal(n.vectors[rows], one.vectors)
        np.testing.assert_array_equal(n.complete[rows], one.complete)


def test_clusters_are_the_sublattices_and_the_defects(sheet):
    s, truth = sheet
    n = s.neighbours(3).cluster(2, seed=0)
    pristine = truth["defect"].eq("") & n.complete
    labels = n.atoms.loc[pristine, "cluster"]
    angle = np.angle(np.exp(3j * n.angles[pristine, 0]))  # differs by pi between the sublattices
    side = np.abs(np.angle(np.exp(1j * (angle - angle[0])))) < np.pi / 2
    assert max((side == (labels == label)).mean() for label in (0, 1)) > 0.99
    assert (n.atoms.loc[~n.complete, "cluster"] == -1).all()
    turned = s.neighbours(3).cluster(2, rotation_invariant=True, algorithm="kmeans", seed=0)
    assert (turned.atoms.loc[pristine, "cluster"] == 0).mean() > 0.99


def test_amorphous_atoms_have_no_coordination(sheet, scattered):
    s = sheet[0].deepcopy()
    s.set_atoms(scattered)
    with pytest.raises(ValueError, match="k cannot be estimated"):
        s.neighbours()
    with pytest.warns(UserWarning, match="coordination is -1"):
        n = s.neighbours(5)
    assert (n.atoms["coordination"] == -1).all()
    assert np.isfinite(n.vectors).all()


def test_one_atom_has_no_neighbours(sheet):
    s = sheet[0].deepcopy()
    s.set_atoms(np.array([[40.0, 50.0]]))
    with pytest.raises(ValueError, match="no atom has a neighbour"):
        s.neighbours(3)


def test_atoms_on_a_line_and_two_seeds_on_a_column(sheet):
    s = sheet[0].deepcopy()
    line = np.stack([np.arange(40.0, 400, 10), np.full(36, 200.0)], 1)
    s.set_atoms(np.vstack([line, [[100.5, 200.0]]]))
    with pytest.warns(UserWarning, match="1 atoms lie within half a spacing"):
        n = s.neighbours()
    assert n.ids.shape[1] == 2
    assert n.distances.min() == 0.5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"k": 0}, "k must be"),
        ({"k": 2.5}, "k must be"),
        ({"k": 3, "units": "m"}, "units must be"),
        ({"k": 3, "sublattice": "Z"}, "no sublattice 'Z'"),
    ],
)
def test_what_cannot_be_meant_is_refused(sheet, given, message):
    with pytest.raises(ValueError, match=message):
        sheet[0].neighbours(**given)


def test_impossible_clusters_are_refused(sheet):
    n = sheet[0].neighbours(3)
    with pytest.raises(ValueError, match="needs the number"):
        n.cluster(algorithm="kmeans")
    with pytest.raises(ValueError, match="algorithm must be"):
        n.cluster(2, algorithm="best")
    with pytest.raises(ValueError, match="too few"):
        n.cluster(10**6)


def test_clouds_and_maps_are_drawn(sheet):
    s, _ = sheet
    n = s.neighbours(3).cluster(3, seed=0)
    ax = n.plot("cluster")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["0", "1", "2"]
    assert sum(len(points.get_offsets()) for points in ax.collections) == 3 * n.complete.sum()
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    n.plot_map("cluster", image=s)
    s.neighbours(12).plot()
    with pytest.raises(ValueError, match="no column 'colour'"):
        n.plot("colour")


def test_pixels_that_are_not_square(sheet):
    _, truth = sheet
    flat = hs.signals.Signal2D(np.zeros((210, 512)))
    flat.set_signal_type("atom_lattice")
    flat.axes_manager.signal_axes.set(scale=(0.01, 0.02), units="nm")
    flat.set_atoms(np.stack([truth["x"], truth["y"] / 2], 1))
    n = flat.neighbours(units="pm")
    assert n.ids.shape[1] == 3
    assert np.median(n.distances) == pytest.approx(100, rel=0.02)
