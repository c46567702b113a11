import numpy as np
import pytest
from scipy.ndimage import center_of_mass, rotate
from scipy.sparse.csgraph import shortest_path

from hyperspy_rvae.data.motifs import SYMMETRY, graphene_motifs, motif


@pytest.mark.parametrize(
    ("kind", "coordination"), [("threefold", 3), ("edge", 2), ("stone-wales", 3), ("fourfold", 4)]
)
def test_the_middle_has_the_neighbours_of_its_kind(kind, coordination):
    places, _ = motif(kind)
    distance = np.hypot(*places.T)
    assert distance[0] == 0
    assert (distance[1:] < 1.47).sum() == coordination


def test_the_turned_bond_makes_fives_and_sevens():
    """Two sevens share the bond, and a five lies at each of its ends."""
    places, _ = motif("stone-wales")
    distance = np.hypot(*(places[:, None] - places).transpose(2, 0, 1))
    bonds = np.where((distance > 0) & (distance < 1.25), 1, 0)
    near = np.flatnonzero(bonds[0])
    partner = near[np.argmin(np.abs(places[near, 0]))]
    beside = near[near != partner]
    opened = bonds.copy()
    opened[0, partner] = opened[partner, 0] = 0
    assert shortest_path(opened)[0, partner] + 1 == 7
    opened = bonds.copy()
    opened[0] = opened[:, 0] = 0
    assert shortest_path(opened)[tuple(beside)] + 2 == 5


@pytest.mark.parametrize("kind", SYMMETRY)
def test_kinds_look_the_same_after_a_turn_of_their_symmetry(kind):
    places, _ = motif(kind)
    near = places[np.hypot(*places.T) < 3]
    for n in range(2, 7):
        turn = np.exp(2j * np.pi / n)
        moved = (near @ [1, 1j]) * turn
        off = np.abs(moved[:, None] - (places @ [1, 1j])).min(1).max()
        assert (off < 0.05) == (SYMMETRY[kind] % n == 0)


def test_angles_are_counter_clockwise_and_shifts_right_and_down():
    quiet = {"noise": 0.0, "jitter": 0.0, "seed": 3}
    straight, _ = graphene_motifs(1, 41, kinds=["edge"], turn=0, shift_px=0, **quiet)
    windows, truth = graphene_motifs(20, 41, kinds=["edge"], shift_px=0, **quiet)
    inner = np.hypot(*(np.indices((41, 41)) - 20)) < 18
    for window, angle in zip(windows, truth["angle"], strict=True):
        turned = rotate(straight[0], np.rad2deg(angle), reshape=False, order=3)
        assert np.corrcoef(turned[inner], window[inner])[0, 1] > 0.98
    moved, truth = graphene_motifs(20, 41, kinds=["fourfold"], turn=0, **quiet)
    for window, row in zip(moved, truth.itertuples(), strict=True):
        y, x = center_of_mass(np.where(window > 0.75 * window.max(), window, 0))
        np.testing.assert_allclose([x - 20, y - 20], [row.shift_x, row.shift_y], atol=0.35)


def test_shares_and_seeds():
    windows, truth = graphene_motifs(
        500, 16, kinds=["edge", "threefold"], shares=[0.9, 0.1], seed=1
    )
    assert 400 < (truth["kind"] == "edge").sum() < 490
    again, _ = graphene_motifs(500, 16, kinds=["edge", "threefold"], shares=[0.9, 0.1], seed=1)
    np.testing.assert_array_equal(windows, again)
