import hyperspy.api as hs
import numpy as np
import pytest
from scipy import ndimage

from hyperspy_rvae.data import polar_perovskite
from hyperspy_rvae.data.synthetic import gaussian_columns


@pytest.fixture
def crystal(lazy):
    """A calibrated image of a lattice that is turned by 0.1 rad, with its true columns."""
    steps = np.stack(np.meshgrid(np.arange(9), np.arange(7)), -1).reshape(-1, 2) * 15.0
    turn = np.array([[np.cos(0.1), np.sin(0.1)], [-np.sin(0.1), np.cos(0.1)]])
    xy = steps @ turn.T + [20, 35]
    image = hs.signals.Signal2D(gaussian_columns((140, 170), xy, np.ones(63), 2.5) + 0.2)
    image.set_signal_type("atom_lattice")
    for axis, name, offset in zip(image.axes_manager.signal_axes, "xy", (1.0, 2.0), strict=True):
        axis.name, axis.scale, axis.units, axis.offset = name, 0.02, "nm", offset
    image.set_atoms(xy)
    return image.as_lazy() if lazy else image


def off_peak(image, frame=0):
    """Largest distance between an atom of the table and the centre of mass around it."""
    pixels = np.asarray(image.data).reshape(-1, *image.data.shape[-2:])[frame]
    pixels = np.clip(pixels - np.median(pixels), 0, None)
    worst = 0.0
    for x, y in image.atoms.loc[image.atoms["frame"] == frame, ["x", "y"]].to_numpy():
        rows, columns = (slice(max(0, round(v) - 5), round(v) + 6) for v in (y, x))
        centre = ndimage.center_of_mass(pixels[rows, columns])
        worst = max(worst, np.hypot(centre[1] + columns.start - x, centre[0] + rows.start - y))
    return worst


def test_a_turn_lays_the_lattice_along_x_and_keeps_atoms_on_their_peaks(crystal):
    assert off_peak(crystal) < 0.2
    turned = crystal.rotate()
    assert type(turned) is type(crystal) and turned._lazy == crystal._lazy
    rows = turned.atoms["y"].to_numpy().reshape(7, 9)
    assert np.ptp(rows, axis=1).max() < 0.02
    assert off_peak(turned) < 0.2
    assert len(turned.atoms) == 63 and turned.data.shape[1] > 170
    again = turned.isig[10:150, 20:].atoms
    assert again["x"].max() <= 139.5  # and still in step after a crop


@pytest.mark.parametrize("angle", [0.3, -2.0, np.pi / 2])
def test_a_turn_is_counter_clockwise_as_displayed(crystal, angle):
    turned = crystal.rotate(angle)
    assert off_peak(turned) < 0.2
    before, after = (s.atoms[["x", "y"]].diff().iloc[1].to_numpy() for s in (crystal, turned))
    change = np.arctan2(-after[1], after[0]) - np.arctan2(-before[1], before[0])
    assert np.angle(np.exp(1j * (change - angle))) == pytest.approx(0, abs=1e-9)
    middle = [
        [axis.offset + (axis.size - 1) / 2 * axis.scale for axis in s.axes_manager.signal_axes]
        for s in (crystal, turned)
    ]
    np.testing.assert_allclose(*middle)


def test_right_angles_are_exact():
    image, truth = polar_perovskite((4, 3))
    image.set_atoms(truth.assign(rotation=0.2, x_std=0.1, y_std=0.3))
    turned = image.rotate(np.pi / 2)
    np.testing.assert_allclose(turned.data, np.rot90(image.data), atol=1e-4)
    assert turned.atoms["rotation"].iloc[0] == pytest.approx(0.2 + np.pi / 2)
    np.testing.assert_allclose(turned.atoms[["x_std", "y_std"]].iloc[0], [0.3, 0.1])


def test_filters_leave_atoms_where_they_are(crystal):
    ramp = crystal.deepcopy()
    ramp.data = ramp.data + np.linspace(0, 3, 170)
    flat = ramp.subtract_background(15.0)
    assert flat._lazy == crystal._lazy and flat.data.dtype == np.float32
    assert flat.atoms.equals(crystal.atoms)
    columns = np.asarray(flat.data).mean(0)[40:130]
    assert np.ptp(ndimage.uniform_filter(columns, 15)[10:-10]) < 0.3
    noisy = crystal.deepcopy()
    noise = np.random.default_rng(0).normal(0, 0.2, (140, 170))
    noisy.data = noisy.data + noise
    clean = np.asarray(crystal.filter_band(1.5, 20).data)
    left = np.asarray(noisy.filter_band(1.5, 20).data) - clean
    assert left.std() < 0.3 * noise.std()
    np.testing.assert_allclose(clean.mean(), np.asarray(crystal.data).mean(), rtol=1e-5)


def test_the_band_is_that_of_two_gaussians():
    rng = np.random.default_rng(1)
    pixels = rng.normal(size=(64, 60))
    image = hs.signals.Signal2D(pixels)
    image.set_signal_type("atom_lattice")
    both = [ndimage.gaussian_filter(pixels, width, mode="wrap", truncate=6) for width in (1.2, 5)]
    found = image.filter_band(1.2, 5).data
    np.testing.assert_allclose(found, both[0] - both[1] + pixels.mean(), atol=2e-3)


@pytest.mark.parametrize("crop", [True, False])
def test_aligned_frames_take_their_atoms_along(lazy, crop):
    drift = np.array([[0, 0], [3, -4], [-2, 5]])  # y, x
    steps = np.stack(np.meshgrid(np.arange(7), np.arange(6)), -1).reshape(-1, 2) * 15.0 + 25
    steps = steps + np.random.default_rng(0).normal(0, 1.5, steps.shape)  # no two alike
    peaks = np.random.default_rng(1).uniform(0.5, 2, 42)
    places = [steps + d[::-1] for d in drift]
    movie = hs.signals.Signal2D(
        np.stack([gaussian_columns((130, 150), xy, peaks, 2.5) for xy in places])
    )
    movie.set_signal_type("atom_lattice")
    movie.set_atoms(dict(enumerate(places)))
    movie = movie.as_lazy() if lazy else movie
    given = {"shifts": drift} if lazy else {}
    aligned = movie.align_frames(crop=crop, **given)
    assert type(aligned) is type(movie)
    assert (aligned.data.shape == movie.data.shape) == (not crop)
    atoms = aligned.atoms
    for frame in range(3):
        np.testing.assert_allclose(
            atoms.loc[atoms["frame"] == frame, ["x", "y"]].to_numpy(),
            atoms.loc[atoms["frame"] == 0, ["x", "y"]].to_numpy(),
            atol=1e-9,
        )
        assert off_peak(aligned, frame) < 0.3
    assert movie.atoms["x"].iloc[42] == pytest.approx(places[1][0, 0])  # left as it was
    mean = aligned.mean()
    with pytest.raises(ValueError, match="their frames are not known"):
        mean.atoms  # noqa: B018


def test_hyperspys_rois_and_rebin_keep_the_table_in_step(crystal):
    part = hs.roi.RectangularROI(left=1.5, top=2.5, right=4.0, bottom=4.4)(crystal)
    assert 0 < len(part.atoms) < 63 and off_peak(part.isig[6:-6, 6:-6]) < 3
    first = part.atoms.index[0]
    assert part.atoms.loc[first, "x"] == pytest.approx(crystal.atoms.loc[first, "x"] - 25)


def test_finer_pixels_hold_the_same_crystal(crystal):
    fine = crystal.upsample(3)
    assert fine._lazy == crystal._lazy and fine.data.shape == (420, 510)
    np.testing.assert_allclose(fine.atoms["x"], crystal.atoms["x"] * 3 + 1)
    wide = fine.rebin(scale=(3, 3))
    np.testing.assert_allclose(np.asarray(wide.data) / 9, np.asarray(crystal.data), atol=0.02)
    np.testing.assert_allclose(wide.atoms[["x", "y"]], crystal.atoms[["x", "y"]])
    pixels = np.asarray(fine.data)
    rows, columns = np.rint(fine.atoms[["y", "x"]].to_numpy()).astype(int).T
    np.testing.assert_allclose(pixels[rows, columns], 1.2, atol=0.02)  # on their peaks


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.rotate(np.nan), "number of radians"),
        (lambda s: s.rotate("a"), "number of radians"),
        (lambda s: s.rotate(sublattice="Z"), "no sublattice 'Z'"),
        (lambda s: s.upsample(0.5), "whole number of pixels"),
        (lambda s: s.subtract_background(0), "width must be"),
        (lambda s: s.filter_band(3, 2), "fine must be less than coarse"),
        (lambda s: s.filter_band("a", 2), "fine must be a number"),
        (lambda s: s.align_frames(), "movie along one axis"),
    ],
)
def test_what_cannot_be_prepared_is_refused(crystal, call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call(crystal)


def test_pixels_that_are_not_square_are_not_turned(movie):
    with pytest.raises(ValueError, match="not square"):
        movie.rotate(0.1)
    with pytest.raises(ValueError, match="y and x of each of the 3 frames"):
        movie.align_frames(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="sub_pixel_factor would change nothing"):
        movie.align_frames(np.zeros((3, 2)), sub_pixel_factor=2)
    bare = hs.signals.Signal2D(np.ones((20, 30)))
    bare.set_signal_type("atom_lattice")
    assert bare.rotate(0.1).data.shape == (23, 32)
    with pytest.raises(ValueError, match="there are no atoms yet"):
        bare.rotate()
