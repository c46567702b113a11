from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from hyperspy_rvae.models.geometry import canonical_frame, exact_turns, pixel_grid, vector_angle


def content(position):
    """Two blobs that no rotation maps on themselves."""
    x, y = position[..., 0], position[..., 1]
    strong = np.exp(-((x - 2) ** 2 + (y - 1) ** 2) / 8)
    return strong + 0.5 * np.exp(-((x + 4) ** 2 + (y + 3) ** 2) / 8)


def draw(height, width, angle, shift):
    angles = torch.tensor([angle], dtype=torch.float32)
    turn, offset = canonical_frame(angles, torch.tensor([shift]))
    position = pixel_grid(height, width) @ turn[0].T + offset[0]
    return content(position.numpy()).reshape(height, width)


def test_pixel_grid():
    grid = pixel_grid(3, 4).numpy().reshape(3, 4, 2)
    np.testing.assert_allclose(grid.mean((0, 1)), 0, atol=1e-6)
    np.testing.assert_allclose(grid[0, 1] - grid[0, 0], [1, 0])
    np.testing.assert_allclose(grid[1, 0] - grid[0, 0], [0, 1])


def test_a_quarter_turn_is_rot90():
    np.testing.assert_allclose(
        draw(21, 21, np.pi / 2, (0.0, 0.0)), np.rot90(draw(21, 21, 0.0, (0.0, 0.0))), atol=1e-5
    )


@pytest.mark.parametrize("degrees", [20, -75, 140])
def test_turns_as_displayed(degrees):
    # Drawn with y down, ndimage.rotate turns the content counter-clockwise by +angle.
    still = draw(31, 31, 0.0, (0.0, 0.0))
    truth = ndimage.rotate(still, degrees, reshape=False, order=5)
    np.testing.assert_allclose(draw(31, 31, np.deg2rad(degrees), (0.0, 0.0)), truth, atol=2e-3)


def test_shifts_right_and_down():
    truth = ndimage.shift(draw(31, 33, 0.0, (0.0, 0.0)), (2, -3), order=1)
    np.testing.assert_allclose(draw(31, 33, 0.0, (-3.0, 2.0)), truth, atol=2e-2)


def test_turns_first_and_shifts_then():
    turned = draw(31, 31, 1.1, (0.0, 0.0))
    truth = ndimage.shift(turned, (-2, 3), order=1)
    np.testing.assert_allclose(draw(31, 31, 1.1, (3.0, -2.0)), truth, atol=2e-2)


@pytest.mark.parametrize(("shape", "turns"), [((6, 6), 4), ((6, 7), 2)])
def test_exact_turns(shape, turns):
    image = np.random.default_rng(0).random(shape)
    orders, back = exact_turns(*shape)
    assert len(orders) == len(back) == turns
    for k in range(turns):
        turned = image.ravel()[orders[k].numpy()].reshape(shape)
        np.testing.assert_array_equal(turned, np.rot90(image, k * 4 // turns))
        angle = 0.3 + 2 * np.pi * k / turns  # of a vector, displayed with y down
        vector = np.array([np.cos(angle), -np.sin(angle)])
        np.testing.assert_allclose(back[k].numpy() @ vector, [np.cos(0.3), -np.sin(0.3)], atol=1e-6)


def test_vector_angle():
    vectors = torch.tensor([[2.0, 0], [0, -3], [-1, 0.0], [-1, -0.0], [0, 1], [1, -1]])
    expected = np.array([0, 0.5, 1, 1, -0.5, 0.25]) * np.pi
    np.testing.assert_allclose(vector_angle(vectors).numpy(), expected, atol=1e-6)
