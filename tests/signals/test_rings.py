import hyperspy.api as hs
import networkx as nx
import numpy as np
import pandas as pd
import pytest

from hyperspy_rvae.data import drifting_crystal, graphene


def test_graphene_from_image_to_defects():
    s, truth = graphene(seed=2)
    s.find_atoms(separation=5, refine=False)
    found = s.rings().defects()
    assert sorted(found["defect"]) == ["divacancy", "divacancy", "stone-wales", "vacancy"]
    for name, rows in found.groupby("defect"):
        known = truth.loc[truth["defect"] == name, ["x", "y"]].mean()
        np.testing.assert_allclose(rows[["x", "y"]].mean(), known, atol=4)


def test_the_columns_of_the_table(sheet):
    s, truth = sheet
    r = s.rings()
    atoms = r.atoms
    pd.testing.assert_frame_equal(atoms[list(s.atoms)], s.atoms)
    named = atoms["defect"] != "border"
    np.testing.assert_array_equal(atoms["defect"][named], truth["defect"][named])
    border = atoms.loc[~named, ["x", "y"]].to_numpy()
    assert np.minimum(border, [511, 419] - border).min(1).max() < 35
    assert set(atoms.loc[atoms["defect"] == "", "coordination"]) == {3}
    assert set(atoms.loc[atoms["defect"] == "", "rings"]) == {"6-6-6"}
    kept = s.deepcopy()
    kept.set_atoms(atoms)
    np.testing.assert_array_equal(kept.atoms["defect"], atoms["defect"])


def test_tables_and_graph_say_the_same(sheet):
    r = sheet[0].rings()
    rings, graph = r.to_dataframe(), r.graph()
    assert isinstance(graph, nx.Graph)
    assert len(graph) == len(r.atoms)
    assert graph.number_of_edges() == len(r.bonds)
    for ids in rings["atoms"]:
        assert all(graph.has_edge(*bond) for bond in zip(ids, ids[1:] + ids[:1], strict=True))
    np.testing.assert_array_equal(rings["size"], rings["atoms"].map(len))
    np.testing.assert_array_equal(
        r.atoms["coordination"], [degree for _, degree in sorted(graph.degree)]
    )
    assert "stone-wales: 1" in repr(r)
    assert r.bonds["length"].max() < r.cut


def test_frames_do_not_see_each_other(lazy):
    s, truth = drifting_crystal(3, (90, 80), vanish=0.0, drift_px=(3.0, 4.0))
    s = s.as_lazy() if lazy else s
    truth = truth[truth["frame"] != 1]
    s.set_atoms(truth[["frame", "x", "y"]])
    r = s.rings()
    frame = r.atoms["frame"]
    np.testing.assert_array_equal(frame[r.bonds["first"]], frame[r.bonds["second"]])
    rings = r.to_dataframe()
    assert set(rings["frame"]) == {0, 2}
    one = s.inav[2].rings().to_dataframe()
    np.testing.assert_array_equal(one["atoms"], rings.loc[rings["frame"] == 2, "atoms"])


def test_pixels_that_are_not_square(sheet):
    s, truth = sheet
    flat = hs.signals.Signal2D(np.zeros((210, 512)))
    flat.set_signal_type("atom_lattice")
    flat.axes_manager.signal_axes.set(scale=(0.01, 0.02), units="nm")
    flat.set_atoms(np.stack([truth["x"], truth["y"] / 2], 1))
    squashed, square = flat.rings(), s.rings()
    assert len(squashed.bonds) == len(square.bonds)
    ratio = squashed.to_dataframe()["area"].median() / square.to_dataframe()["area"].median()
    assert ratio == pytest.approx(0.5, rel=1e-3)


def test_one_sublattice_of_two(sheet):
    s, truth = sheet
    both = s.deepcopy()
    more = truth[["x", "y"]].query("120 < x < 200 and 120 < y < 300") + 4.0
    table = pd.concat([truth[["x", "y"]].assign(sublattice="C"), more.assign(sublattice="Si")])
    both.set_atoms(table)
    assert len(both.rings("C").to_dataframe()) == len(s.rings().to_dataframe())


def test_two_seeds_on_one_column(sheet):
    s, truth = sheet
    twice = s.deepcopy()
    places = truth[["x", "y"]].to_numpy()
    inside = places[np.argmin(np.hypot(*(places - 200).T))]
    twice.set_atoms(np.vstack([places, inside + 0.8]))
    with pytest.warns(UserWarning, match="1 atoms lie within half a spacing"):
        r = twice.rings()
    assert r.atoms["defect"].iloc[-1] == "doubled"
    assert len(r.to_dataframe()) == len(s.rings().to_dataframe())


def test_atoms_without_rings(sheet):
    s = sheet[0].deepcopy()
    s.set_atoms(np.stack([np.arange(40.0, 400, 10), np.arange(40.0, 400, 10)], 1))
    with pytest.warns(UserWarning, match="no ring"):
        r = s.rings()
    assert r.to_dataframe().empty and r.defects().empty
    assert set(r.atoms["defect"]) == {"border", "loose"}
    r.plot()
    s.set_atoms(np.array([[40.0, 50.0]]))
    with pytest.raises(ValueError, match="two atoms"):
        s.rings()


def test_amorphous_atoms(sheet, scattered):
    s = sheet[0].deepcopy()
    s.set_atoms(scattered)
    with pytest.raises(ValueError, match="no lattice"):
        s.rings()


def test_rings_are_drawn(sheet):
    s, _ = sheet
    r = s.rings()
    ax = r.plot(image=s)
    drawn = [text.get_text() for text in ax.get_legend().get_texts()]
    sizes = r.to_dataframe()["size"].value_counts()
    assert drawn == [
        f"5: {sizes[5]}",
        f"6: {sizes[6]}",
        f"7: {sizes[7]}",
        f"8: {sizes[8]}",
        "10 or more: 2",
    ]
    ax = r.plot_map("defect", image=s)
    assert "stone-wales" in [text.get_text() for text in ax.get_legend().get_texts()]
    with pytest.raises(ValueError, match="frame 3 has no atoms"):
        r.plot(frame=3)


def test_the_boundary_of_real_graphene(real_data):
    """A chain of 5- and 7-rings; the columns were found by a network, by others."""
    found = np.load(real_data / "graphene_boundary_6nm_coord.npy", allow_pickle=True).item()[0]
    s = hs.signals.Signal2D(np.load(real_data / "graphene_boundary_6nm.npy"))
    s.set_signal_type("atom_lattice")
    s.set_atoms(found[:, 1::-1].astype(float))
    with pytest.warns(UserWarning, match="1 atoms lie within half"):
        r = s.rings()
    sizes = r.to_dataframe()["size"].value_counts()
    assert set(sizes.index) == {5, 6, 7}
    assert abs(sizes[5] - sizes[7]) <= 1
    assert set(r.defects()["defect"]) == {"boundary"}
