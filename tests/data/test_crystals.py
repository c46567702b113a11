import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial import KDTree

from hyperspy_rvae.data import crystal


@pytest.mark.parametrize(
    ("material", "nearest_nm", "share"),
    [("MoS2", 0.182, 0.39), ("perovskite", 0.276, 0.55), ("CdTe", 0.162, 0.87)],
)
def test_columns_are_where_and_as_bright_as_they_should_be(material, nearest_nm, share):
    image, truth = crystal(material, (200, 170), jitter=0.0, noise=0.0, pixel_pm=9.0)
    positions = truth[["x", "y"]].to_numpy()
    distance = KDTree(positions).query(positions, k=2)[0][:, 1]
    assert np.median(distance) * 0.009 == pytest.approx(nearest_nm, rel=0.02)
    x, y = np.rint(positions).astype(int).T
    peaks = image.data[y, x] - gaussian_filter(image.data, 1)[y, x]
    bright, faint = truth["sublattice"].unique()
    ratio = np.median(peaks[truth["sublattice"] == faint])
    ratio /= np.median(peaks[truth["sublattice"] == bright])
    assert ratio == pytest.approx(share, rel=0.1)


def test_cells_repeat_and_turn_counter_clockwise():
    for rotation in (0.0, 0.3):
        _, truth = crystal("perovskite", jitter=0.0, rotation=rotation)
        at = truth[truth["sublattice"] == "Sr"].set_index(["cell_a", "cell_b"])[["x", "y"]]
        step = (at.loc[(2, 1)] - at.loc[(0, 1)]).to_numpy() / 2
        length = 390.5 / 18
        np.testing.assert_allclose(step, length * np.array([np.cos(rotation), -np.sin(rotation)]))


def test_two_grains_leave_a_gap_and_vacancies_are_missing():
    _, whole = crystal("MoS2", misfit=0.2)
    assert set(whole["grain"]) == {0, 1}
    left, right = (whole[whole["grain"] == grain]["x"] for grain in (0, 1))
    assert left.max() < 160 < right.min()
    _, fewer = crystal("MoS2", misfit=0.2, vacancies=0.1)
    assert len(fewer) / len(whole) == pytest.approx(0.9, abs=0.04)


def test_unknown_material():
    with pytest.raises(ValueError, match="material must be one of"):
        crystal("salt")
