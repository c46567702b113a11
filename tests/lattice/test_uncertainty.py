import numpy as np
import pytest

from hyperspy_rvae.lattice.corrections import background_field
from hyperspy_rvae.lattice.mesh import lattice_neighbours
from hyperspy_rvae.lattice.uncertainty import centre_variances, neighbour_noise

BESIDE = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])


def lattice(across=40, down=30):
    return np.stack(np.meshgrid(np.arange(across), np.arange(down)), -1).reshape(-1, 2) * 10.0


def test_the_variance_of_a_centre_is_that_of_a_mean():
    rng = np.random.default_rng(0)
    corners = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    variances = np.array([[1.0, 0.1], [2.0, 0.2], [3.0, 0.3], [4.0, 0.4]])
    found = centre_variances(np.array([[5.0, 5.0]]), corners, variances, 4)
    many = rng.normal(0, np.sqrt(variances), (20000, 4, 2)).mean(1).var(0)
    np.testing.assert_allclose(found[0], many, rtol=0.05)
    assert np.isnan(centre_variances(corners, corners[:2], variances[:2], 4)).all()


def test_noise_is_read_off_neighbours_and_not_off_the_field():
    xy = lattice()
    rng = np.random.default_rng(1)
    field = np.column_stack([np.sign(xy[:, 0] - 195), xy[:, 1] / 100])  # a wall and a slope
    noisy = field + rng.normal(0, [0.2, 0.1], xy.shape)
    neighbours = lattice_neighbours(xy, np.eye(2) * 10, BESIDE)
    np.testing.assert_allclose(neighbour_noise(noisy, neighbours), [0.2, 0.1], rtol=0.08)
    assert np.isnan(neighbour_noise(noisy[:2], np.full((2, 4), -1))).all()


@pytest.mark.parametrize("field", ["mean", "plane"])
def test_a_field_of_the_form_goes_away_and_the_rest_stays(field):
    xy = lattice(21, 16)
    part = xy[:, 0] < 100
    slope = np.array([[0.01, 0.002], [-0.003, 0.02]]) * (field == "plane")
    known = xy @ slope.T + [0.4, -0.3]
    signal = np.where(part[:, None], 0.0, [1.0, 0.5])
    taken = background_field(xy, known + signal, field, part)
    np.testing.assert_allclose(known + signal - taken, signal, atol=1e-9)


def test_a_smooth_field_is_the_weighted_mean_around():
    xy = lattice(21, 16)
    values = np.random.default_rng(2).normal(size=xy.shape)
    found = background_field(xy, values, "smooth", width=12.0)
    weights = np.exp(-((xy - xy[100]) ** 2).sum(1) / (2 * 12.0**2))
    np.testing.assert_allclose(found[100], weights @ values / weights.sum(), rtol=0.02, atol=0.02)
    lone = background_field(
        np.array([[0.0, 0], [500, 0]]), np.ones((2, 2)), "smooth", np.array([True, False]), 5.0
    )
    np.testing.assert_array_equal(np.isnan(lone[:, 0]), [False, True])
