import numpy as np
import pandas as pd

from hyperspy_rvae.lattice.regions import along_line, grid_labels, on_grid, region_means


def test_parts_are_counted_row_by_row():
    xy = np.array([[0.0, 0.0], [59.0, 0.0], [0.0, 39.0], [59.4, 39.4], [-0.5, -0.5]])
    np.testing.assert_array_equal(grid_labels(xy, (40, 60), (3, 2)), [0, 2, 3, 5, 0])


def test_means_leave_out_what_is_not_there():
    table = pd.DataFrame({"x": [1.0, 3.0, 9.0], "y": [0.0, 2.0, 9.0], "u": [2.0, 4.0, np.nan]})
    means = region_means(table, np.array([5, 5, 5]), ["u"])
    assert means.loc[5, ["x", "y", "u", "count"]].tolist() == [2, 1, 3, 2]
    np.testing.assert_allclose(means.loc[5, "u_sem"], np.sqrt(2) / np.sqrt(2))


def test_across_is_counter_clockwise_of_along():
    along, across = along_line(np.array([[3.0, 0.0], [0.0, -2.0]]), np.zeros(2), np.array([5.0, 0]))
    np.testing.assert_allclose(along, [3, 0])
    np.testing.assert_allclose(across, [0, 2])  # up, as displayed


def test_a_linear_field_is_interpolated_exactly():
    rng = np.random.default_rng(0)
    xy = np.vstack([rng.uniform(0, 40, (200, 2)), [[0, 0], [40, 0], [0, 30], [40, 40]]])
    maps = on_grid(xy, np.stack([xy @ [2, -1], xy @ [0, 1] + 3], -1), (31, 45), step=2)
    assert maps.shape == (2, 16, 23)
    y, x = np.mgrid[0:31:2, 0:45:2]
    known = np.isfinite(maps[0])
    assert known.mean() > 0.8 and not known[:, -1].any()
    np.testing.assert_allclose(maps[0][known], (2 * x - y)[known], atol=1e-9)
    np.testing.assert_allclose(maps[1][known], (y + 3)[known], atol=1e-9)
