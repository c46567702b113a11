import numpy as np
import pytest

from hyperspy_rvae.lattice.mesh import lattice_neighbours, square_offsets
from hyperspy_rvae.lattice.strain import (
    cell_shapes,
    local_cells,
    local_gradients,
    strain_tensors,
)

VECTORS = np.array([[12.0, 0.5], [-0.7, 13.0]])
OFFSETS = square_offsets(1)[1:]


def lattice(across=15, down=13):
    steps = np.stack(np.meshgrid(np.arange(across), np.arange(down)), -1).reshape(-1, 2)
    return steps @ VECTORS + 40


def turn(angle):
    """Matrix that turns x right, y down counter-clockwise as displayed."""
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


@pytest.mark.parametrize("angle", [0.0, 0.02, -0.4])
def test_a_uniform_deformation_is_exact(angle):
    stretch = np.array([[1.013, 0.004], [0.004, 0.991]])
    xy = lattice()
    deformed = xy @ (stretch @ turn(angle)).T
    vectors = VECTORS @ (stretch @ turn(angle)).T
    neighbours = lattice_neighbours(deformed, vectors, OFFSETS)
    found = strain_tensors(local_cells(deformed, neighbours, OFFSETS), VECTORS)
    np.testing.assert_allclose(found, [[0.013, -0.009, 0.004, angle]] * len(xy), atol=1e-12)


def test_a_varying_field_is_recovered_to_a_thousandth_and_a_tenth_of_a_degree():
    xy = lattice(24, 20)
    x, y = xy.T
    u = 0.8 * np.sin(x / 60) + 0.3 * np.cos(y / 50)
    v = 0.5 * np.cos(x / 55) - 0.7 * np.sin(y / 65)
    noisy = xy + np.stack([u, v], -1)
    neighbours = lattice_neighbours(noisy, VECTORS, OFFSETS)
    found = strain_tensors(local_cells(noisy, neighbours, OFFSETS), VECTORS)
    ux, uy = 0.8 / 60 * np.cos(x / 60), -0.3 / 50 * np.sin(y / 50)
    vx, vy = -0.5 / 55 * np.sin(x / 55), -0.7 / 65 * np.cos(y / 65)
    inner = (neighbours >= 0).all(axis=1)
    true = np.stack([ux, vy, (uy + vx) / 2, (uy - vx) / 2], -1)  # y is down
    assert np.abs(true).max() > 0.01
    error = np.abs(found - true)[inner]
    assert error[:, :3].max() < 1e-3 and np.rad2deg(error[:, 3].max()) < 0.1


def test_too_few_or_aligned_neighbours_give_none():
    xy = lattice(3, 1)
    neighbours = lattice_neighbours(xy, VECTORS, OFFSETS)
    assert np.isnan(local_cells(xy, neighbours, OFFSETS)).all()
    corner = np.vstack([xy[:2], xy[0] + VECTORS[1]])
    neighbours = lattice_neighbours(corner, VECTORS, OFFSETS)
    assert np.isnan(local_cells(corner, neighbours, OFFSETS)).all()


def test_cells_have_their_shape():
    shapes = cell_shapes(np.array([[[3.0, 0.0], [0.0, 4.0]], [[2.0, 0.0], [1.0, np.sqrt(3)]]]))
    np.testing.assert_allclose(shapes[0], [3, 4, 4 / 3, np.pi / 2, 12])
    np.testing.assert_allclose(shapes[1], [2, 2, 1, np.pi / 3, 2 * np.sqrt(3)])


def test_gradients_of_a_linear_field_are_exact():
    xy = lattice()
    slopes = np.array([[0.02, -0.03], [0.01, 0.04], [0.0, 0.5]])
    neighbours = lattice_neighbours(xy, VECTORS, OFFSETS[:4])
    found = local_gradients(xy, xy @ slopes.T + 7, neighbours)
    corner = (neighbours >= 0).sum(1) < 3
    assert corner.sum() == 4 and np.isnan(found[corner]).all()
    np.testing.assert_allclose(found[~corner], np.broadcast_to(slopes, found[~corner].shape))
