import logging

import numpy as np
import pytest

from hyperspy_rvae.lattice.tracks import followed_shares, link_tracks

GRID = 10.0 * np.stack(np.meshgrid(np.arange(6), np.arange(5)), -1).reshape(-1, 2)


def jittered(xy, seed):
    return xy + np.random.default_rng(seed).normal(0, 0.5, xy.shape)


def test_numbers_last_whatever_the_order():
    orders = [np.random.default_rng(f).permutation(len(GRID)) for f in range(4)]
    tracks = link_tracks([jittered(GRID, f)[order] for f, order in enumerate(orders)], 4.0)
    np.testing.assert_array_equal(tracks[0], np.arange(len(GRID)))
    for order, track in zip(orders, tracks, strict=True):
        np.testing.assert_array_equal(orders[0][track], order)


def test_an_atom_that_was_unseen_keeps_its_number():
    frames = [GRID, np.delete(GRID, 7, axis=0), GRID]
    remembered = link_tracks(frames, 4.0, memory=1)
    assert remembered[2][7] == remembered[0][7]
    forgotten = link_tracks(frames, 4.0)
    assert forgotten[2][7] == len(GRID)


def test_appearing_and_vanishing():
    tracks = link_tracks([GRID[:-1], GRID[1:]], 4.0)
    np.testing.assert_array_equal(tracks[1][:-1], tracks[0][1:])
    assert tracks[1][-1] == len(GRID) - 1
    np.testing.assert_allclose(followed_shares(tracks), 28 / 29)


def test_a_hop_into_a_vacancy_is_followed():
    vacant = 14
    before = np.delete(GRID, vacant, axis=0)
    after = np.delete(GRID, vacant + 1, axis=0)
    before, after = jittered(before, 0), jittered(after, 1)
    np.testing.assert_array_equal(*link_tracks([before, after], 4.0, hop=12.5))
    assert link_tracks([before, after], 4.0)[1][vacant] == len(before)


def test_a_hop_into_a_place_just_left_is_followed():
    """The atom of place 14 vanishes, and the one of place 15 takes its place a frame later."""
    frames = [GRID, np.delete(GRID, 14, axis=0), np.delete(GRID, 15, axis=0)]
    tracks = link_tracks(frames, 4.0, hop=12.5, memory=1)
    np.testing.assert_array_equal(tracks[2][14], tracks[0][15])


def test_an_atom_that_comes_back_has_not_hopped():
    """Places 14 and 15 are missed in turn, though neither is empty."""
    frames = [GRID, np.delete(GRID, 14, axis=0), np.delete(GRID, 15, axis=0), GRID]
    tracks = link_tracks(frames, 4.0, hop=12.5, memory=1)
    for track in (tracks[2][14], tracks[3][14]):
        assert track == tracks[0][14]
    assert tracks[3][15] == tracks[0][15]


def test_two_hops_of_one_atom():
    steps = [np.array([[0.0, 0.0], [10.0 * f, 30.0]]) for f in range(3)]
    tracks = link_tracks(steps, 4.0, hop=12.0)
    np.testing.assert_array_equal(tracks, [[0, 1]] * 3)


def test_a_frame_that_is_lost_altogether_has_not_hopped():
    tracks = link_tracks([GRID, GRID + [4.9, 4.9]], 4.0, hop=12.5)
    np.testing.assert_array_equal(followed_shares(tracks), 0.0)


def test_frames_without_atoms():
    none = np.empty((0, 2))
    tracks = link_tracks([none, GRID, none, GRID, none], 4.0, hop=12.0, memory=1)
    assert [len(track) for track in tracks] == [0, 30, 0, 30, 0]
    np.testing.assert_array_equal(tracks[1], tracks[3])
    assert np.isnan(followed_shares(tracks)).all()


def test_one_atom():
    np.testing.assert_array_equal(link_tracks([GRID[:1], GRID[:1] + 1], 4.0), [[0], [0]])


def test_crowds_are_refused():
    crowd = np.random.default_rng(0).random((3, 400, 2)) * 20
    with pytest.raises(ValueError, match="smaller reach"):
        link_tracks(list(crowd), 100.0)


def test_trackpy_keeps_quiet(capfd):
    link_tracks([GRID, GRID], 4.0)
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""
    level = logging.getLogger("trackpy").level
    link_tracks([GRID, GRID], 4.0)
    assert logging.getLogger("trackpy").level == level
