from __future__ import annotations

import numpy as np
import pytest

from hyperspy_rvae.data.motifs import graphene_motifs
from hyperspy_rvae.models import RVAE
from hyperspy_rvae.models.steerable import gauge

ORDERS = np.repeat(np.arange(8), 5)


def turned(b, angle):
    return b * np.exp(-1j * ORDERS * angle)


def off(first, second):
    return np.abs(np.angle(np.exp(1j * (first - second))))


@pytest.fixture(scope="module")
def pattern():
    rng = np.random.default_rng(0)
    return rng.normal(size=40) + 1j * rng.normal(size=40)


def test_turns_undo_known_ones(pattern):
    angles = np.array([0.0, 0.7, -2.5, 3.1])
    contents = np.stack([turned(pattern, a) for a in angles])
    found = gauge.turns(contents, ORDERS, np.array([9, 1, 1, 1]))
    assert off(found, -angles).max() < np.deg2rad(0.3)


def test_the_commonest_content_keeps_its_origin(pattern):
    contents = np.stack([turned(pattern, a) for a in (0.0, 1.0)])
    found = gauge.turns(contents, ORDERS, np.array([1, 9]))
    assert found[1] == 0
    assert off(found[0], 1.0) < np.deg2rad(0.3)


def test_turns_go_by_way_of_what_is_most_alike(pattern):
    rng = np.random.default_rng(1)
    other = rng.normal(size=40) + 1j * rng.normal(size=40)
    middle = turned(0.6 * pattern + 0.6 * other, 1.2)
    last = turned(other, -2.0)
    found = gauge.turns(np.stack([pattern, middle, last]), ORDERS, np.array([5, 1, 1]))
    assert off(found, np.array([0, -1.2, 2.0])).max() < np.deg2rad(4)


def test_content_in_one_orientation_is_not_turned(pattern):
    rng = np.random.default_rng(2)
    contents = pattern + 0.1 * (rng.normal(size=(24, 40)) + 1j * rng.normal(size=(24, 40)))
    assert not gauge.turns(contents, ORDERS, np.ones(24)).any()


def test_content_without_a_direction_is_not_turned():
    contents = np.zeros((3, 40), complex)
    contents[:, ORDERS == 0] = [[1.0], [2.0], [3.0]]
    assert not gauge.turns(contents, ORDERS, np.ones(3)).any()


def test_cells_of_few_contents_repeat_the_last():
    content = np.array([[0.0, 1.0], [0.0, 1.0], [2.0, 3.0]])
    centres, sizes = gauge.cells(content)
    assert centres.shape == (gauge.CELLS, 2)
    assert sizes.sum() == 3
    assert sorted(sizes)[-2:] == [1, 2]
    assert {tuple(c) for c in centres} == {(0.0, 1.0), (2.0, 3.0)}


def test_one_motif_in_two_surroundings_has_one_origin():
    windows, truth = graphene_motifs(1200, 24, kinds=["edge"], shift_px=0.5, noise=0.15, seed=5)
    y, x = np.mgrid[:24, :24] - 11.5
    haze = np.exp(-((np.hypot(x, y) - 10) ** 2) / 8)  # knows no direction
    hazy = np.arange(1200) % 3 == 0
    windows[hazy] += 1.5 * haze
    model = RVAE(latent_dim=2, epochs=12, seed=3).fit(windows)
    error = model.transform(windows)[:, 0] - truth["angle"].to_numpy()
    origins = [np.angle(np.exp(1j * error[rows]).mean()) for rows in (hazy, ~hazy)]
    assert off(*origins) < np.deg2rad(5)
    assert (off(error, origins[0]) < np.deg2rad(10)).mean() > 0.99


def test_decoding_puts_the_turns_back():
    windows, _ = graphene_motifs(800, 24, kinds=["edge", "fourfold"], noise=0.1, seed=6)
    model = RVAE(latent_dim=2, epochs=12, seed=4).fit(windows)
    inside = np.hypot(*np.mgrid[:24, :24] - 11.5) < 10
    left = (model.reconstruct(windows) - windows)[:, inside]
    assert left.var() < 1.5 * 0.1**2
