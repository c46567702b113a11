"""The table stays in step with the image, whatever HyperSpy does to it."""

import hyperspy.api as hs
import numpy as np
import pytest

FILE_FORMATS = ["hspy", "zspy"]

ATOM = 2  # of frame 1, at (21.25, 16.5)


def at(image, atom=ATOM):
    return image.atoms.loc[atom, ["x", "y"]].to_numpy(float)


def cropped(image):
    image.crop(image.axes_manager.signal_axes[0].index_in_axes_manager, 4, 50)
    return image


def recalibrated(image):
    image.axes_manager.signal_axes[0].scale = 0.3
    image.axes_manager.signal_axes[1].offset = -7.0
    return image


def in_picometres(image):
    image.axes_manager.convert_units("signal", "pm")
    return image


CHANGES = {
    "isig": (lambda s: s.isig[4:50, 5:], (17.25, 11.5)),
    "isig in units": (lambda s: s.isig[3.4:8.0, 1.0:], (17.25, 11.5)),
    "steps": (lambda s: s.isig[1::2, :], (10.125, 16.5)),
    "reversed": (lambda s: s.isig[::-1, :], (37.75, 16.5)),
    "crop": (lambda s: cropped(s.deepcopy()), (17.25, 16.5)),
    "rebin": (lambda s: s.rebin(scale=(1, 2, 2)), (10.375, 8.0)),
    "rebin, then isig": (lambda s: s.rebin(scale=(1, 2, 2)).isig[3:, :], (7.375, 8.0)),
    "calibration": (lambda s: recalibrated(s.deepcopy()), (21.25, 16.5)),
    "calibration, then isig": (lambda s: recalibrated(s.deepcopy()).isig[4:, 5:], (17.25, 11.5)),
    "isig, calibration, isig": (lambda s: recalibrated(s.isig[4:, :]).isig[1:, :], (16.25, 16.5)),
    "units": (lambda s: in_picometres(s.deepcopy()), (21.25, 16.5)),
    "units, then isig": (lambda s: in_picometres(s.deepcopy()).isig[4:, 5:], (17.25, 11.5)),
    "units, then crop": (lambda s: cropped(in_picometres(s.deepcopy())), (17.25, 16.5)),
    "frames": (lambda s: s.inav[1:], (21.25, 16.5)),
    "all at once": (lambda s: s.inav[1:].isig[4:, :].deepcopy().isig[1:, :], (16.25, 16.5)),
    "other signal type and back": (lambda s: there_and_back(s.deepcopy()), (21.25, 16.5)),
}


def there_and_back(image):
    image.set_signal_type("")
    image.set_signal_type("AtomLatticeImage")
    return image


@pytest.mark.parametrize("change", CHANGES)
def test_positions_follow(movie, change):
    changed, expected = CHANGES[change][0](movie), CHANGES[change][1]
    assert type(changed) is type(movie)
    np.testing.assert_allclose(at(changed), expected)


@pytest.mark.parametrize("change", ["isig", "rebin", "reversed", "steps"])
def test_the_pixel_below_an_atom_stays_the_same(lazy, change):
    """A bright pixel, marked as an atom, is where the table says after the change."""
    pixels = np.zeros((40, 60))
    pixels[17, 21] = 1.0
    image = hs.signals.Signal2D(pixels)
    image.set_signal_type("atom_lattice")
    image.set_atoms(np.array([[21.0, 17.0]]))
    image = image.as_lazy() if lazy else image
    function = {"rebin": lambda s: s.rebin(scale=(3, 1))}.get(change, CHANGES[change][0])
    changed = function(image)
    row, column = np.unravel_index(np.argmax(np.asarray(changed.data)), changed.data.shape)
    x, y = at(changed, 0)
    assert (abs(x - column) <= 0.5, abs(y - row) <= 0.5) == (True, True)


def test_atoms_that_were_cropped_off_are_gone(movie):
    assert list(movie.isig[4:25, :].atoms.index) == [0, 2, 4]


def test_frames_follow_and_ids_stay(movie):
    later = movie.inav[1:].atoms
    assert list(later["frame"]) == [0, 0, 1, 1]
    assert list(later.index) == [2, 3, 4, 5]
    assert list(movie.inav[1].atoms.index) == [2, 3]
    assert list(movie.inav[-1].atoms.index) == [4, 5]
    assert list(movie.inav[-1].atoms["frame"]) == [0, 0]


def test_frames_of_two_navigation_axes_follow():
    image = hs.signals.Signal2D(np.zeros((2, 3, 20, 22)))
    image.set_signal_type("atom_lattice")
    image.set_atoms({frame: np.array([[8.0 + frame / 10, 9.0]]) for frame in range(6)})
    assert list(image.inav[1, :].atoms.index) == [1, 4]
    assert list(image.inav[:, 1].atoms["frame"]) == [0, 1, 2]
    assert list(image.inav[2, 1].atoms.index) == [5]


@pytest.mark.parametrize(
    "lose",
    [
        lambda s: s.sum(0),
        lambda s: s.mean(),
        lambda s: s.rebin(scale=(3, 1, 1)),
        lambda s: s.get_current_signal(),
        lambda s: next(iter(s)),
        lambda s: s.split(axis=0)[1],
        lambda s: hs.stack([s.inav[0], s.inav[1]]),
        lambda s: hs.stack([s.inav[:1]] * 2).sum(axis=0),
    ],
    ids=["sum", "mean", "rebin", "current", "iteration", "split", "stack", "sum of one of two"],
)
def test_a_lost_frame_is_never_passed_off_as_another(movie, lose):
    with pytest.raises(ValueError, match="set the atoms"):
        lose(movie).atoms  # noqa: B018


def test_a_crop_that_was_calibrated_besides_raises(movie):
    changed = cropped(movie.deepcopy())
    changed.axes_manager.signal_axes[0].scale = 0.33
    with pytest.raises(ValueError, match="cannot be told apart"):
        changed.atoms  # noqa: B018


def test_images_whose_atoms_were_lost_can_still_be_sliced(movie):
    calibrated = cropped(movie.deepcopy())
    calibrated.axes_manager.signal_axes[0].scale = 0.33
    for image in (movie.sum(0), calibrated):
        part = image.isig[2:20, 3:]
        assert part.data.shape[-1] == 18
        with pytest.raises(ValueError, match="set the atoms"):
            part.atoms  # noqa: B018
        part.set_atoms({0: np.array([[3.0, 4.0]])})
        assert len(part.isig[1:, :].atoms) == 1


def test_the_table_that_comes_out_is_a_copy(movie):
    table = movie.atoms
    table["x"] = 0.0
    np.testing.assert_allclose(at(movie), (21.25, 16.5))


@pytest.mark.parametrize("extension", FILE_FORMATS)
def test_files_keep_the_table_and_what_had_happened(movie, tmp_path, extension):
    path = tmp_path / f"movie.{extension}"
    movie.isig[4:50, :].save(path)
    for lazily in (False, True):
        again = hs.load(path, lazy=lazily)
        assert type(again).__name__ == f"{'Lazy' if lazily else ''}AtomLatticeImage"
        np.testing.assert_allclose(at(again), (17.25, 16.5))
        np.testing.assert_allclose(at(again.isig[1:, :]), (16.25, 16.5))
        assert list(again.inav[1].atoms.index) == [2, 3]


def test_table_columns_of_any_name_survive(movie, tmp_path):
    table = movie.atoms.assign(
        **{"depth / nm": np.arange(6) / 7, "a.b": ["x", "y", "x", "y", "ß", "x"], "_z": 1}
    )
    movie.set_atoms(table)
    for extension in FILE_FORMATS:
        path = tmp_path / f"movie.{extension}"
        movie.save(path)
        again = hs.load(path, lazy=True).atoms
        assert list(again["a.b"]) == list(table["a.b"])
        np.testing.assert_allclose(again["depth / nm"], table["depth / nm"])


def test_exchanged_axes_are_noticed_where_they_have_names(lazy):
    image = hs.signals.Signal2D(np.arange(12.0 * 12).reshape(12, 12))
    image.set_signal_type("atom_lattice")
    for axis, name in zip(image.axes_manager.signal_axes, "xy", strict=True):
        axis.name = name
    image.set_atoms(np.array([[3.0, 7.0]]))
    image = image.as_lazy() if lazy else image
    with pytest.raises(ValueError, match="they were exchanged"):
        image.swap_axes(0, 1).atoms  # noqa: B018


def test_sums_over_one_of_two_navigation_axes_lose_the_frame():
    image = hs.signals.Signal2D(np.zeros((1, 4, 20, 22)))
    image.set_signal_type("atom_lattice")
    image.set_atoms({frame: np.array([[8.0, 9.0]]) for frame in range(4)})
    with pytest.raises(ValueError, match="set the atoms again"):
        image.sum(axis=0).atoms  # noqa: B018
    assert list(image.inav[:, 0].atoms["frame"]) == [0, 1, 2, 3]
