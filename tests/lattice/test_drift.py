import numpy as np
import pytest
from scipy import ndimage

from hyperspy_rvae.data.synthetic import gaussian_columns
from hyperspy_rvae.lattice.drift import correlation_ready, frame_shift, next_drift


def crystal(shift, noise=0.3, seed=0):
    """A lattice with vacancies, moved by `shift`, with noise that does not move."""
    rng = np.random.default_rng(seed)
    grid = 14.0 * np.stack(np.meshgrid(np.arange(-3, 14), np.arange(-3, 12)), -1).reshape(-1, 2)
    grid = grid[rng.random(len(grid)) > 0.05]
    peaks = 1 + 0.1 * rng.normal(size=len(grid))
    image = gaussian_columns((120, 150), grid + shift, peaks, 2.5)
    return image + np.random.default_rng(seed + 1000 + int(10 * abs(shift[0]))).normal(
        0, noise, image.shape
    )


@pytest.mark.parametrize("shift", [(0.0, 0.0), (1.4, -2.3), (-5.2, 3.1), (7.4, 6.6)])
def test_shift_of_a_noisy_crystal(shift):
    before, after = (correlation_ready(crystal(s), 1.3) for s in ((0.0, 0.0), shift))
    np.testing.assert_allclose(frame_shift(before, after), shift, atol=0.2)


def test_shift_of_an_image_without_a_lattice():
    scene = ndimage.gaussian_filter(np.random.default_rng(3).random((300, 330)), 3)
    moved = ndimage.shift(scene, (4.25, -6.5), order=3)
    cut = np.s_[50:240, 60:280]
    found = frame_shift(correlation_ready(scene[cut], 1.0), correlation_ready(moved[cut], 1.0))
    np.testing.assert_allclose(found, (-6.5, 4.25), atol=0.1)


def test_a_frame_without_contrast_is_passed_over():
    last = None
    drifts = []
    for frame in (crystal((0.0, 0.0)), np.ones((120, 150)), crystal((2.0, 1.0))):
        last, drift = next_drift(last, frame, 1.3)
        drifts.append(drift)
    assert np.isnan(drifts[1]).all()
    np.testing.assert_allclose(drifts[2], (2.0, 1.0), atol=0.2)


def test_a_first_frame_without_contrast():
    last, first = next_drift(None, np.zeros((120, 150)), 1.3)
    _, second = next_drift(last, crystal((2.0, 1.0)), 1.3)
    assert np.isnan(first).all()
    np.testing.assert_array_equal(second, 0.0)
