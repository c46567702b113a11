import numpy as np
import pytest

from hyperspy_rvae.subimages.windows import check_window, cut_windows, grid_centres, whole_windows

SHAPE = (31, 47)


def blob(x, y, sigma=2.5, shape=SHAPE):
    rows, columns = np.indices(shape)
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))


@pytest.mark.parametrize("size", [9, 12])
@pytest.mark.parametrize("order", [1, 3, 5])
def test_a_blob_lands_in_the_middle_of_its_window(size, order):
    x, y = 20.37, 14.81
    window = cut_windows(blob(x, y), np.array([[x, y]]), size, order)[0]
    middle = (size - 1) / 2
    expected = blob(middle, middle, shape=(size, size))
    tolerance = {1: 0.05, 3: 1e-3, 5: 1e-4}[order]
    np.testing.assert_allclose(window, expected, atol=tolerance)


def test_whole_pixels_are_copied():
    image = np.random.default_rng(1).integers(0, 99, SHAPE, dtype=np.uint16)
    windows = cut_windows(image, np.array([[20, 15], [5, 6], [30, 21]]), 7, order=3)
    assert windows.dtype == np.float32
    for window, (x, y) in zip(windows, [(20, 15), (5, 6), (30, 21)], strict=True):
        np.testing.assert_allclose(window, image[y - 3 : y + 4, x - 3 : x + 4], atol=1e-3)


def test_whole_windows_end_at_the_last_pixel_centre():
    xy = np.array([[4.0, 15.0], [3.9, 15.0], [42.0, 15.0], [42.1, 15.0], [20.0, 4.0], [20.0, 26.1]])
    assert whole_windows(xy, 9, SHAPE).tolist() == [True, False, True, False, True, False]


@pytest.mark.parametrize(("size", "step"), [(8, 5), (31, 40), (5, 1)])
def test_grid_windows_are_whole_and_evenly_spaced(size, step):
    xy = grid_centres(SHAPE, size, step)
    assert whole_windows(xy, size, SHAPE).all()
    across, down = (SHAPE[1] - size) // step + 1, (SHAPE[0] - size) // step + 1
    assert len(xy) == across * down
    grid = xy.reshape(down, across, 2)
    assert (np.diff(grid[..., 0], axis=1) == step).all()
    assert (np.diff(grid[..., 1], axis=0) == step).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3, SHAPE, 3, "drop", 11.0), ValueError, "at least 5 px, got 3; .* about 28 px"),
        ((33, SHAPE, 3, "drop", np.nan), ValueError, r"only 47 x 31 \(x, y\)"),
        ((9.5, SHAPE, 3, "drop", np.nan), TypeError, "whole number of pixels, got 9.5"),
        ((True, SHAPE, 3, "drop", np.nan), TypeError, "whole number"),
        ((9, SHAPE, 7, "drop", np.nan), ValueError, "order must be 0 to 5"),
        (
            (9, SHAPE, 3, "pad", np.nan),
            ValueError,
            "edge must be one of .*'drop', 'reflect'.*'pad'",
        ),
    ],
)
def test_impossible_windows_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        check_window(*arguments)


@pytest.mark.parametrize("step", [0, 2.5, True])
def test_impossible_steps_are_refused(step):
    with pytest.raises(ValueError, match="step must be a whole number"):
        grid_centres(SHAPE, 8, step)
