import numpy as np
from scipy.ndimage import center_of_mass

from hyperspy_rvae.data import polar_perovskite
from hyperspy_rvae.data.synthetic import gaussian_columns


def test_columns_are_where_the_truth_says():
    image, truth = polar_perovskite(
        (5, 4), lattice_px=24.0, noise=0.0, brightness=1.0, displacement_px=(0.7, -1.1)
    )
    pixels = image.data - 0.2
    for row in truth.itertuples():
        x, y = round(row.x), round(row.y)
        window = pixels[y - 6 : y + 7, x - 6 : x + 7] ** 4
        found_y, found_x = center_of_mass(window)
        np.testing.assert_allclose([x - 6 + found_x, y - 6 + found_y], [row.x, row.y], atol=0.1)


def test_displacements_are_atom_minus_centre_and_turn_over_at_the_wall():
    image, truth = polar_perovskite((6, 4), displacement_px=(0.4, -0.6))
    a, b = (truth[truth["sublattice"] == name] for name in "AB")
    corners = a[["x", "y"]].to_numpy()
    for row in b.itertuples():
        around = corners[np.argsort(np.hypot(*(corners - [row.x, row.y]).T))[:4]]
        np.testing.assert_allclose([row.x, row.y] - around.mean(0), [row.u, row.v], atol=1e-9)
    assert (b["u"][b["x"] < image.data.shape[1] / 2] == 0.4).all()
    assert (b["u"][b["x"] > image.data.shape[1] / 2] == -0.4).all()


def test_seeds_make_the_noise():
    first, again, other = (polar_perovskite((3, 2), seed=seed)[0].data for seed in (1, 1, 2))
    assert (first == again).all() and not (first == other).all()
    assert abs(np.std(first - other) / np.sqrt(2) - 0.02) < 2e-3


def test_a_gaussian_column_has_its_peak_and_its_volume():
    image = gaussian_columns((40, 50), np.array([[21.0, 18.0]]), np.array([3.0]), 2.5)
    assert image.max() == image[18, 21] == 3.0
    np.testing.assert_allclose(image.sum(), 3.0 * 2 * np.pi * 2.5**2, rtol=1e-4)
