import logging

import dask.array as da
import hyperspy.api as hs
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from hyperspy_rvae.data.synthetic import gaussian_columns
from hyperspy_rvae.signals import AtomSubimages, LazyAtomSubimages

SHAPE = (70, 90)
SPACING = 11.0


@pytest.fixture
def lattice(lazy):
    """Three frames of a square lattice of 11 px, drifting by (0.4, -0.3) px a frame."""
    xy = np.stack(np.meshgrid(np.arange(7), np.arange(5)), -1).reshape(-1, 2) * SPACING + [
        10.0,
        12.0,
    ]
    frames = {k: xy + [0.4 * k, -0.3 * k] for k in range(3)}
    pixels = np.stack([gaussian_columns(SHAPE, p, np.ones(len(p)), 2.0) for p in frames.values()])
    image = hs.signals.Signal2D(pixels)
    image.set_signal_type("atom_lattice")
    image.axes_manager.signal_axes.set(scale=(0.2, 0.25), units="Å")
    image.set_atoms(frames)
    return image.as_lazy() if lazy else image


def test_every_atom_lies_in_the_middle_of_its_window(lattice):
    p = lattice.extract_subimages(window_size=8)
    assert type(p) is (LazyAtomSubimages if lattice._lazy else AtomSubimages)
    assert p.data.shape == (105, 8, 8)
    middle = np.asarray(p.data)[:, 3:5, 3:5]
    expected = np.exp(-(0.5**2 + 0.5**2) / (2 * 2.0**2))
    np.testing.assert_allclose(middle, expected, rtol=0.01)


def test_lazy_subimages_have_known_chunks_that_are_not_computed(lattice):
    eager = lattice.deepcopy()
    if eager._lazy:
        eager.compute()
    p = eager.as_lazy().extract_subimages(window_size=9)
    assert isinstance(p.data, da.Array)
    assert sum(p.data.chunks[0]) == len(p.atoms)
    np.testing.assert_array_equal(p.data.compute(), eager.extract_subimages(window_size=9).data)


def test_axes_carry_ids_and_the_calibration(lattice):
    lattice.set_atoms(lattice.atoms.assign(sublattice=["A", "B", "C"] * 35))
    p = lattice.extract_subimages(9, "B")
    assert list(p.axes_manager["atom"].axis) == list(range(1, 105, 3))
    assert list(p.inav[3:9:2].atoms.index) == [10, 16, 22]
    assert set(p.atoms["sublattice"]) == {"B"}
    x, y = p.axes_manager.signal_axes
    assert (x.scale, y.scale, x.units, y.units) == (0.2, 0.25, "Å", "Å")
    assert x.axis[4] == pytest.approx(0) and y.axis[4] == pytest.approx(0)


def test_windows_that_leave_the_image_are_dropped_or_mirrored(lattice):
    dropped = lattice.extract_subimages(25)
    assert 0 < len(dropped.atoms) < 105
    x, y = dropped.atoms[["x", "y"]].to_numpy().T
    assert x.min() >= 12 and x.max() <= 77 and y.min() >= 12 and y.max() <= 57
    mirrored = lattice.extract_subimages(25, edge="reflect")
    assert len(mirrored.atoms) == 105
    kept = np.isin(mirrored.atoms.index, dropped.atoms.index)
    np.testing.assert_allclose(np.asarray(mirrored.data)[kept], np.asarray(dropped.data), atol=1e-6)


def test_a_window_of_none_holds_the_neighbours(lattice, caplog):
    with caplog.at_level(logging.INFO, logger="hyperspy_rvae"):
        p = lattice.extract_subimages()
    assert p.data.shape[1:] == (27, 27)  # the odd number nearest to 2.5 * 11
    assert "window_size is 27 px" in caplog.text
    assert p.metadata.Atoms.window.size == 27


def test_a_grid_slides_over_every_frame(lattice):
    p = lattice.extract_subimages(16, centres="grid", step=9)
    across, down = (90 - 16) // 9 + 1, (70 - 16) // 9 + 1
    assert p.data.shape == (3 * across * down, 16, 16)
    assert list(p.atoms["frame"].value_counts()) == [across * down] * 3
    np.testing.assert_allclose(
        np.asarray(p.data)[across * down + 1], np.asarray(lattice.data)[1, 0:16, 9:25], atol=1e-5
    )


def test_cropped_images_give_the_same_windows(lattice):
    whole, part = lattice.extract_subimages(9), lattice.inav[1:].isig[9:, 8:].extract_subimages(9)
    ids = part.atoms.index
    assert set(ids) <= set(whole.atoms.index) and 0 < len(ids) < 70
    rows = np.isin(whole.atoms.index, ids)
    inside = slice(1, -1)  # a spline knows where the image ends
    np.testing.assert_allclose(
        np.asarray(part.data)[:, inside, inside],
        np.asarray(whole.data)[rows][:, inside, inside],
        atol=2e-3,
    )


def test_one_frame_gives_its_own_windows(lattice):
    one = lattice.inav[2].extract_subimages(9)
    assert list(one.atoms.index) == list(range(70, 105))
    np.testing.assert_array_equal(
        np.asarray(one.data), np.asarray(lattice.extract_subimages(9).data)[70:]
    )


def test_noise_of_any_type_can_be_cut(lattice):
    for dtype in (np.float16, np.uint8, np.int32, bool):
        image = lattice.deepcopy()
        image.data = (image.data * 100).astype(dtype)
        assert np.isfinite(np.asarray(image.extract_subimages(9).data)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window_size": 3}, "at least 5 px, got 3; .* about 28 px"),
        ({"window_size": 91}, r"image has only 90 x 70 \(x, y\)"),
        ({"window_size": 70}, "none of the 105 atoms has a whole window of 70 px"),
        ({"sublattice": "Ti"}, "no sublattice 'Ti'; the table has 'A'"),
        ({"centres": "atom"}, "centres must be one of"),
        ({"window_size": 9, "step": 4}, "step .* needs centres='grid'"),
        ({"window_size": 9, "centres": "grid", "step": 0}, "step must be a whole number"),
        ({"window_size": 9, "edge": "zero"}, "edge must be one of"),
        ({"window_size": 9, "order": 6}, "order must be 0 to 5"),
    ],
)
def test_impossible_windows_are_refused(lattice, arguments, message):
    with pytest.raises(ValueError, match=message):
        lattice.extract_subimages(**arguments)


def test_smooth_images_are_sampled_and_not_shifted(lazy):
    image = hs.signals.Signal2D(gaussian_filter(np.random.default_rng(0).random(SHAPE), 2))
    image.set_signal_type("atom_lattice")
    image.set_atoms(np.array([[40.5, 30.0], [40.0, 30.5]]))
    image = image.as_lazy() if lazy else image
    data = np.asarray(image.data)
    right, below = np.asarray(image.extract_subimages(5).data)
    np.testing.assert_allclose(right, (data[28:33, 38:43] + data[28:33, 39:44]) / 2, atol=2e-3)
    np.testing.assert_allclose(below, (data[28:33, 38:43] + data[29:34, 38:43]) / 2, atol=2e-3)
