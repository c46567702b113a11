from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.ndimage import map_coordinates, spline_filter

from hyperspy_rvae.subimages.splines import coefficients, sample

ORDERS = range(6)


@pytest.mark.parametrize("shape", [(31, 47), (3, 200), (2, 5), (1, 9)])
@pytest.mark.parametrize("order", ORDERS)
def test_coefficients_are_scipys(order, shape):
    image = np.random.default_rng(order).normal(1e4, 10, shape)
    expected = spline_filter(image, order, mode="mirror") if order > 1 else image
    np.testing.assert_allclose(coefficients(image, order), expected, rtol=1e-11)


@pytest.mark.parametrize("size", [5, 12, 29])
@pytest.mark.parametrize("order", ORDERS)
def test_windows_are_scipys_within_the_image_and_beyond(order, size):
    rng = np.random.default_rng(size)
    image = rng.random((30, 44)).astype(np.float32)
    xy = rng.uniform(-0.5, [43.5, 29.5], (60, 2))
    grid = np.arange(size) - (size - 1) / 2
    points = np.broadcast_arrays(xy[:, 1, None, None] + grid[:, None], xy[:, 0, None, None] + grid)
    expected = map_coordinates(image.astype(float), points, order=order, mode="mirror")
    windows = sample(coefficients(image, order), xy, size, order)
    assert windows.dtype == np.float32
    np.testing.assert_allclose(windows, expected, atol=1e-6)


@pytest.mark.parametrize("place", [2.0**63 - 1024, -(2.0**63)])
def test_a_place_out_of_all_reach_reads_nothing_beyond_the_image(place):
    spline = coefficients(np.ones((30, 44)), 1)
    windows = sample(spline, np.array([[place, place]]), 2049, 1)
    np.testing.assert_array_equal(windows, 1)


def test_an_image_is_left_as_it_was():
    image = np.random.default_rng(0).random((9, 11))
    before = image.copy()
    coefficients(image, 3)
    np.testing.assert_array_equal(image, before)


def test_threads_do_not_meet():
    rng = np.random.default_rng(1)
    image, xy = rng.random((60, 50)), rng.uniform(10, 40, (400, 2))
    spline = coefficients(image, 3)
    whole = sample(spline, xy, 9, 3)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda part: sample(spline, part, 9, 3), np.split(xy, 20)))
    np.testing.assert_array_equal(np.concatenate(parts), whole)
