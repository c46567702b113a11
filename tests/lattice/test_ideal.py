import numpy as np
import pytest

from hyperspy_rvae.lattice.ideal import (
    cell_places,
    fit_lattice,
    indices_in,
    lattice_places,
    mean_over_time,
    plane_crossings,
)

VECTORS = np.array([[12.0, 0.8], [-0.9, 13.5]])
PLACE = (0.5, 0.25)


@pytest.fixture
def crystal():
    """Reference atoms, atoms inside their cells, and the known shifts of the atoms."""
    corners = np.stack(np.meshgrid(np.arange(9), np.arange(7)), -1).reshape(-1, 2)
    cells = np.stack(np.meshgrid(np.arange(8), np.arange(6)), -1).reshape(-1, 2)
    shifts = np.random.default_rng(2).normal(0, 0.7, cells.shape)
    return corners @ VECTORS + 20, (cells + PLACE) @ VECTORS + 20 + shifts, shifts


@pytest.mark.parametrize("method", ["cells", "lattice", "planes"])
def test_known_shifts_come_back(crystal, method):
    reference, atoms, shifts = crystal
    cells, indices = indices_in(atoms, reference, VECTORS, PLACE)
    ideal = {
        "cells": lambda: cell_places(atoms, reference, VECTORS, PLACE),
        "lattice": lambda: lattice_places(cells, PLACE, reference, indices),
        "planes": lambda: plane_crossings(cells, PLACE, reference, indices),
    }[method]()
    np.testing.assert_allclose(atoms - ideal, shifts, atol=1e-9)


def test_a_film_is_measured_on_its_substrate(crystal):
    reference, _atoms, _shifts = crystal
    film = 0.02 * (reference[:, 1] - 60).clip(0)
    strained = reference + np.column_stack([np.zeros(len(film)), film])
    cells, indices = indices_in(strained, strained, VECTORS, (0.0, 0.0))
    found = lattice_places(cells, (0.0, 0.0), strained, indices, region=strained[:, 1] < 55)
    np.testing.assert_allclose(found, reference, atol=1e-9)


def test_own_planes_are_straight_where_the_lattice_is_not_even():
    steps = np.stack(np.meshgrid(np.arange(9), np.arange(7)), -1).reshape(-1, 2)
    uneven = np.array([0, 11, 24, 35, 48, 60, 73, 84, 97.0])  # a scan that jumps by columns
    xy = np.column_stack([uneven[steps[:, 0]], 13.0 * steps[:, 1]])
    moved = xy.copy()
    moved[30] += [0.0, 0.9]
    cells, indices = indices_in(moved, moved, np.diag([12.1, 13.0]), (0.0, 0.0))
    off = moved - plane_crossings(cells, (0.0, 0.0), moved, indices)
    # it pulls at its own line, by no more than the atoms of its half let it
    assert 0.9 * (1 - 1 / 4) < off[30, 1] < 0.9
    assert np.abs(off[:, 0]).max() < 0.02


def test_an_outlier_does_not_move_the_lattice():
    steps = np.stack(np.meshgrid(np.arange(8), np.arange(5)), -1).reshape(-1, 2)
    xy = steps @ VECTORS + [3.0, 4.0] + np.random.default_rng(0).normal(0, 0.01, steps.shape)
    xy[11] += 5
    origin, vectors = fit_lattice(xy, steps)
    np.testing.assert_allclose(origin, [3, 4], atol=0.02)
    np.testing.assert_allclose(vectors, VECTORS, atol=0.01)
    with pytest.raises(ValueError, match="one row"):
        fit_lattice(xy[:8], steps[:8])


def test_the_mean_over_time_moves_with_the_drift():
    rng = np.random.default_rng(4)
    steps = np.stack(np.meshgrid(np.arange(10), np.arange(8)), -1).reshape(-1, 2)
    sites = steps @ VECTORS + 30
    drift = np.array([[0.0, 0.0], [3.0, -1.0], [5.5, 1.0], [2.0, 4.0], [-1.0, 2.0]])
    shake = rng.normal(0, 0.3, (5, len(sites), 2))
    kept = [rng.permutation(len(sites))[:75] for _ in drift]  # some are missed in each frame
    frames = [(sites + d + s)[k] for d, s, k in zip(drift, shake, kept, strict=True)]
    ideal = mean_over_time(frames, 12.0)
    seen = np.zeros((len(sites), 2))
    times = np.zeros(len(sites))
    for s, k in zip(shake, kept, strict=True):
        seen[k] += s[k]
        times[k] += 1
    for frame, place, d, k in zip(frames, ideal, drift, kept, strict=True):
        assert place.shape == frame.shape
        # what the mean of the shakes leaves, up to the noise of the drift itself
        np.testing.assert_allclose(place - sites[k] - d, (seen / times[:, None])[k], atol=0.1)
        assert np.isfinite(place).all()
    tracked = mean_over_time(frames, 12.0, tracks=[k + 100 for k in kept])
    for place, other in zip(tracked, ideal, strict=True):
        np.testing.assert_allclose(place, other, atol=1e-9)
    unknown = mean_over_time(frames, 12.0, tracks=[np.where(k == 3, -1, k) for k in kept])
    for place, k in zip(unknown, kept, strict=True):
        np.testing.assert_array_equal(np.isnan(place[:, 0]), k == 3)
    nan = mean_over_time(frames, 12.0, tracks=[np.where(k == 3, np.nan, k) for k in kept])
    for here, there in zip(nan, unknown, strict=True):
        np.testing.assert_array_equal(here, there)
    lone = mean_over_time([sites, np.vstack([sites[1:], [[250.0, 250.0]]])], 12.0)
    assert np.isnan(lone[0][0]).all() and np.isnan(lone[1][-1]).all()
