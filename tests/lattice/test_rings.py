import networkx as nx
import numpy as np
import pytest

from hyperspy_rvae.data import graphene, graphene_boundary
from hyperspy_rvae.lattice.bonds import bond_cut, bond_pairs, doubled
from hyperspy_rvae.lattice.rings import trace_faces


def grid(across, down, jitter=0.03, seed=0):
    xy = np.stack(np.meshgrid(np.arange(across), np.arange(down)), -1).reshape(-1, 2) * 1.0
    return xy + np.random.default_rng(seed).normal(0, jitter, xy.shape)


@pytest.mark.parametrize("kind", ["stone-wales", "5-8-5", "boundary"])
def test_rings_are_those_of_the_smallest_cycle_basis(kind):
    """networkx finds the smallest cycles of any graph, without its drawing, in cubic time."""
    if kind == "boundary":
        truth = graphene_boundary(size=(200, 240))[1]
        middle = truth.loc[truth["rings"] == "5-6-7", ["x", "y"]].to_numpy()[0]
    else:
        truth = graphene((kind,), size=(200, 200), edge=False, jitter=0.04)[1]
        middle = np.array([99.5, 99.5])
    xy = truth[["x", "y"]].to_numpy()
    cut = bond_cut([xy])
    xy = xy[np.hypot(*(xy - middle).T) < 48]
    bonds = bond_pairs(xy, cut)
    found = {frozenset(face.atoms.tolist()) for face in trace_faces(xy, bonds) if face.ring}
    basis = {frozenset(cycle) for cycle in nx.minimum_cycle_basis(nx.Graph(bonds.tolist()))}
    assert found == basis
    assert 5 in {len(ring) for ring in found}


def test_faces_fulfil_eulers_formula():
    xy = np.random.default_rng(1).random((200, 2))
    bonds = bond_pairs(xy, 0.15)
    graph = nx.k_core(nx.Graph(bonds.tolist()), 2)
    faces = trace_faces(xy, bonds)
    pieces = nx.number_connected_components(graph)
    assert len(graph) - graph.number_of_edges() + len(faces) == 2 * pieces
    assert sum(face.outer for face in faces) == pieces
    outside = sum(face.area for face in faces if face.outer)
    assert sum(face.area for face in faces) == pytest.approx(0.0, abs=1e-9)
    assert outside < 0


def test_areas_of_a_square_lattice():
    faces = trace_faces(grid(5, 4, 0.0), bond_pairs(grid(5, 4, 0.0), 1.2))
    rings = [face for face in faces if face.ring]
    assert len(rings) == 12
    np.testing.assert_allclose([face.area for face in rings], 1.0)
    assert all(len(face.atoms) == 4 for face in rings)


def test_a_loose_atom_hides_no_ring():
    xy = np.vstack([grid(3, 3, 0.0)[[0, 1, 2, 3, 5, 6, 7, 8]], [[1.0, 0.6]]])
    faces = trace_faces(xy, bond_pairs(xy, 1.05))
    assert [len(face.atoms) for face in faces if face.ring] == [8]


def test_chains_are_left_out_of_the_rings_that_they_hang_on():
    """A square with a chain inwards, a chain outwards, and a second square at the chain's end."""
    square = np.array([[0, 0], [4, 0], [4, 4], [0, 4]])
    xy = np.vstack([square, [[1, 1], [2, 2]], [[5, 5], [6, 6]], square + 7, [[20, 20], [21, 21]]])
    sides = [[0, 1], [1, 2], [2, 3], [0, 3]]
    chains = [[0, 4], [4, 5], [2, 6], [6, 7], [12, 13]]
    second = [[8 + a, 8 + b] for a, b in sides]
    apart = trace_faces(xy * 1.0, np.array(sides + chains + second))
    assert sorted((len(face.atoms), face.area) for face in apart) == [
        (4, -16.0),
        (4, -16.0),
        (4, 16.0),
        (4, 16.0),
    ]
    joined = trace_faces(xy * 1.0, np.array([*sides, *chains, *second, [7, 8]]))
    assert [face.area for face in joined if face.ring] == [16.0, 16.0]
    assert [face.area for face in joined if face.outer] == [-32.0]


@pytest.mark.parametrize(
    ("cell", "second"), [((1.0, 0.0), np.sqrt(2)), ((0.5, np.sqrt(3) / 2), np.sqrt(3))]
)
def test_the_cut_lies_between_the_shells(cell, second):
    xy = grid(20, 20, 0.0) @ np.array([[1.0, 0.0], cell[:2] if cell[1] else [0.0, 1.0]])
    xy = 8 * (xy + np.random.default_rng(2).normal(0, 0.04, xy.shape))
    assert 8 * 1.1 < bond_cut([xy]) < 8 * (second - 0.1)


def test_many_frames_have_one_cut():
    frames = [grid(6, 5, seed=s) for s in range(4)]
    assert bond_cut([*frames, np.empty((0, 2))]) == pytest.approx(bond_cut(frames))


def test_no_lattice_no_cut():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="no lattice"):
        bond_cut([rng.random((800, 2))])
    apart = np.empty((0, 2))
    while len(apart) < 400:
        new = 100 * rng.random(2)
        if (np.hypot(*(apart - new).T) > 3).all():
            apart = np.vstack([apart, new])
    with pytest.raises(ValueError, match="no lattice"):
        bond_cut([apart])


def test_one_atom_has_no_bonds():
    with pytest.raises(ValueError, match="two atoms"):
        bond_cut([np.zeros((1, 2)), np.empty((0, 2))])
    assert bond_pairs(np.zeros((1, 2)), 1.0).shape == (0, 2)
    assert trace_faces(np.zeros((1, 2)), np.empty((0, 2), dtype=int)) == []


def test_atoms_on_a_line():
    order = np.array([3, 0, 2, 1, 4])
    line = np.stack([order * 2.0, order * 1.0], 1)
    cut = bond_cut([line])
    bonds = bond_pairs(line, cut)
    assert {frozenset(order[pair].tolist()) for pair in bonds} == {
        frozenset((k, k + 1)) for k in range(4)
    }
    assert trace_faces(line, bonds) == []


def test_two_seeds_on_one_column():
    xy = np.vstack([grid(5, 5), grid(5, 5)[7] + 0.1])
    np.testing.assert_array_equal(np.flatnonzero(doubled(xy, 1.0)), [25])
