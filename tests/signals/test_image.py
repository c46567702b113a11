import atomap.api as am
import hyperspy.api as hs
import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree

import hyperspy_rvae as hrv
from hyperspy_rvae.data import polar_perovskite
from hyperspy_rvae.signals import AtomLatticeImage
from hyperspy_rvae.signals.record import stored_table


def offsets(found, true):
    """Distance from each true position to the nearest found one, both as tables."""
    return cKDTree(found[["x", "y"]]).query(true[["x", "y"]])[0]


@pytest.fixture(scope="module")
def perovskite():
    """Small perovskite whose B columns are faint and overlapped, and its true columns."""
    return polar_perovskite(
        (6, 4), lattice_px=13.0, brightness=0.4, displacement_px=(0.5, -0.3), seed=2
    )


@pytest.fixture
def image(perovskite, lazy):
    s = perovskite[0].deepcopy()
    return s.as_lazy() if lazy else s


@pytest.fixture(scope="module")
def truth(perovskite):
    return perovskite[1]


def test_both_sublattices_are_found_and_refined(image, truth):
    image.find_atoms()
    a = truth[truth["sublattice"] == "A"]
    assert len(image.atoms) == len(a) == 35
    assert offsets(image.atoms, a).max() < 0.15
    image.find_sublattice("B", reference="A")
    b = truth[truth["sublattice"] == "B"]
    found = image.atoms[image.atoms["sublattice"] == "B"]
    assert len(found) == len(b) == 24
    assert offsets(found, b).max() < 0.3
    d = image.displacement_map("B", "A").to_dataframe().dropna()
    true = b.iloc[cKDTree(b[["x", "y"]]).query(d[["x", "y"]])[1]]
    gain = np.polyfit(true["u"], d["u"], 1)[0]
    assert 0.9 < gain < 1.2  # atomap's route overestimates overlapped columns by about a tenth
    assert np.abs(d[["u", "v"]].to_numpy() - true[["u", "v"]].to_numpy()).max() < 0.3


def test_finding_again_replaces_only_its_own_sublattice(image, truth):
    image.set_atoms(truth.drop(columns=["u", "v"]))
    image.find_atoms(separation=8, sublattice="A", refine=False)
    counts = image.atoms["sublattice"].value_counts()
    assert dict(counts) == {"A": 35, "B": 24}
    assert list(image.atoms.index) == list(range(59))


def test_dark_columns_have_negative_amplitudes(image, truth):
    image.data = 1.5 - image.data
    image.find_atoms(separation=8, contrast="dark")
    a = truth[truth["sublattice"] == "A"]
    assert offsets(image.atoms, a).max() < 0.15
    assert (image.atoms["amplitude"] < 0).all()
    before = image.atoms
    image.refine_atoms()
    assert offsets(image.atoms, before).max() < 0.05


def test_two_atoms_far_apart_are_not_fitted_by_all_that_lies_between(image, truth):
    """Two dopants in a lattice of 13 px: their own distance is no measure of their surroundings."""
    a = truth[truth["sublattice"] == "A"].drop(columns=["u", "v"]).reset_index(drop=True)
    dopants = a.index.isin([9, 25])
    image.set_atoms(a.assign(sublattice=np.where(dopants, "D", "A")))
    image.refine_atoms()
    moved = offsets(image.atoms[image.atoms["sublattice"] == "D"], a[dopants])
    assert len(moved) == 2 and moved.max() < 0.3
    image.set_atoms(a.assign(sublattice=np.where(a.index == 9, "D", "A")))
    image.refine_atoms("D")
    assert offsets(image.atoms[image.atoms["sublattice"] == "D"], a[a.index == 9]).max() < 0.3


def test_skipped_pixels_leave_columns_of_the_right_height(image, truth):
    a = truth[truth["sublattice"] == "A"].drop(columns=["u", "v"])
    image.set_atoms(a)
    image.refine_atoms()
    half = image.isig[::2, ::2]
    carried = half.atoms["amplitude"]
    half.refine_atoms()
    assert half.atoms["amplitude"].median() == pytest.approx(carried.median(), rel=0.15)


def test_atoms_that_cannot_be_followed_are_let_go_when_new_ones_are_found(perovskite, lazy):
    movie = hs.signals.Signal2D(np.stack([perovskite[0].data] * 2))
    movie.set_signal_type("atom_lattice")
    movie = movie.as_lazy() if lazy else movie
    movie.find_atoms(separation=8, refine=False)
    mean = movie.mean(0)
    mean.find_atoms(separation=8, refine=False)
    assert len(mean.atoms) == 35 and len(movie.atoms) == 70


def test_frames_without_atoms_stay_empty(perovskite):
    movie = hs.signals.Signal2D(np.stack([perovskite[0].data] * 2))
    movie.set_signal_type("atom_lattice")
    a = perovskite[1].query("sublattice == 'A'")[["x", "y"]].to_numpy()
    movie.set_atoms({0: [], 1: a})
    movie.find_sublattice("B", reference="A")
    assert set(movie.atoms["frame"]) == {1}
    assert len(movie.atoms.query("sublattice == 'B'")) == 24
    movie.refine_atoms(method="center_of_mass")
    d = movie.displacement_map("B", "A")
    assert np.isfinite(d.data).all() and set(d.atoms["frame"]) == {1}


def test_frames_are_found_on_a_cluster_where_there_is_one(perovskite):
    from distributed import Client

    lazily = perovskite[0].as_lazy()
    with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=":0"):
        lazily.find_atoms(separation=8, refine=False)
    assert len(lazily.atoms) == 35


def test_bool_images_can_be_searched(perovskite):
    pixels = perovskite[0].data
    image = AtomLatticeImage(pixels > 0.6)
    image.find_atoms(separation=8, refine=False)
    assert len(image.atoms) == 35


@pytest.mark.parametrize(("method", "bound"), [("gaussian", 0.1), ("center_of_mass", 0.7)])
def test_rough_positions_are_refined(image, truth, method, bound):
    a = truth[truth["sublattice"] == "A"].drop(columns=["u", "v"])
    rough = a.assign(x=np.rint(a["x"]), y=np.rint(a["y"]), note="kept")
    image.set_atoms(rough)
    image.refine_atoms(method=method)
    refined = image.atoms
    error = np.hypot(refined["x"] - a["x"], refined["y"] - a["y"])
    assert error.max() < bound
    assert error.mean() < np.hypot(rough["x"] - a["x"], rough["y"] - a["y"]).mean()
    assert list(refined["note"]) == ["kept"] * len(a)
    assert ("sigma_x" in refined) == (method == "gaussian")


def test_only_the_named_sublattice_is_refined(image, truth):
    rough = truth.drop(columns=["u", "v"]).round(0)
    image.set_atoms(rough)
    image.refine_atoms("B")
    after = image.atoms
    is_a = after["sublattice"] == "A"
    assert (after.loc[is_a, ["x", "y"]].to_numpy() == rough.loc[is_a, ["x", "y"]].to_numpy()).all()
    assert offsets(after[~is_a], truth[truth["sublattice"] == "B"]).max() < 0.35


def test_whole_numbers_in_the_table_do_not_cut_what_is_fitted(image, truth):
    rough = truth.drop(columns=["u", "v"]).round(0)
    after = []
    for width, height in ((2, 1), (2.0, 1.0)):
        image.set_atoms(rough.assign(sigma_x=width, amplitude=height))
        image.refine_atoms("B")
        after.append(image.atoms)
    pd.testing.assert_frame_equal(*after)
    is_b = after[0]["sublattice"] == "B"
    assert (after[0].loc[is_b, "sigma_x"] % 1 > 0).any()
    assert (after[0].loc[~is_b, ["sigma_x", "amplitude"]] == [2, 1]).all(axis=None)


def test_every_frame_of_a_movie_is_found_and_refined(perovskite, lazy):
    still = perovskite[0].isig[:60, :50]
    frames = np.stack(
        [np.roll(still.data, shift, axis=(0, 1)) for shift in ((0, 0), (1, 2), (2, 4))]
    )
    movie = hs.signals.Signal2D(frames)
    movie.set_signal_type("atom_lattice")
    movie = movie.as_lazy() if lazy else movie
    movie.find_atoms(separation=8)
    first, third = (movie.atoms[movie.atoms["frame"] == k] for k in (0, 2))
    inner = first[(first["x"] < 45) & (first["y"] < 35)]
    moved = inner.assign(x=inner["x"] + 4, y=inner["y"] + 2)
    assert len(inner) == 4
    assert offsets(third, moved).max() < 0.05
    before = movie.atoms
    movie.refine_atoms(method="center_of_mass")
    assert list(movie.atoms["frame"]) == list(before["frame"])


def test_lazy_and_eager_find_the_same(perovskite):
    eager, lazily = perovskite[0].deepcopy(), perovskite[0].as_lazy()
    eager.find_atoms(refine=False)
    lazily.find_atoms(refine=False)
    pd.testing.assert_frame_equal(eager.atoms, lazily.atoms)


def test_lattices_of_atomap_go_there_and_back():
    lattice = am.dummy_data.get_polarization_film_atom_lattice()
    s = hrv.from_atomap(lattice)
    again = hrv.from_atomap(s.to_atomap())
    np.testing.assert_allclose(again.atoms[["x", "y"]], s.atoms[["x", "y"]])
    assert list(again.atoms["sublattice"]) == list(s.atoms["sublattice"])
    np.testing.assert_allclose(again.data, s.data)
    one = hrv.from_atomap(lattice.sublattice_list[1])
    np.testing.assert_allclose(one.atoms["x"], lattice.sublattice_list[1].x_position)


def test_a_lattice_takes_its_calibrated_movie(lazy):
    sublattice = am.dummy_data.get_simple_cubic_sublattice()
    movie = hs.signals.Signal2D(np.stack([sublattice.image] * 2))
    movie.axes_manager.signal_axes.set(scale=(0.1, 0.2), units="nm")
    s = hrv.from_atomap(sublattice, movie.as_lazy() if lazy else movie)
    assert s._lazy == lazy and isinstance(s, AtomLatticeImage)
    assert list(s.atoms["frame"].value_counts()) == [len(sublattice.atom_list)] * 2
    assert s.axes_manager.signal_axes[1].scale == 0.2
    assert movie._signal_type == ""
    back = s.to_atomap(frame=1)
    assert len(back.sublattice_list[0].atom_list) == len(sublattice.atom_list)
    with pytest.raises(ValueError, match="was made on 300 x 300"):
        hrv.from_atomap(sublattice, movie.isig[:40, :])
    with pytest.raises(ValueError, match="frames 0 to 1"):
        s.to_atomap(frame=2)


METHODS = {
    "find_atoms": lambda s: s.find_atoms(),
    "find_sublattice": lambda s: s.find_sublattice(),
    "refine_atoms": lambda s: s.refine_atoms(),
    "extract_subimages": lambda s: s.extract_subimages(7),
    "set_atoms": lambda s: s.set_atoms(np.array([[3.0, 4.0]])),
    "fit_rvae": lambda s: s.fit_rvae(window_size=7),
}


def spoiled(how):
    rng = np.random.default_rng(0)
    pixels = rng.random((20, 30))
    image = AtomLatticeImage(pixels)
    image.set_atoms(rng.uniform(5, 14, (12, 2)))
    match how:
        case "all NaN":
            image.data = np.full((20, 30), np.nan)
        case "NaN":
            image.data[3, 4] = np.nan
        case "infinite":
            image.data[3, 4] = np.inf
        case "complex":
            image.data = image.data.astype(complex)
        case "empty":
            image.data = np.zeros((0, 30))
    return image


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("all NaN", ValueError, "no finite pixel"),
        ("NaN", ValueError, r"1 pixels that are NaN or infinite, the first at index \(3, 4\)"),
        ("infinite", ValueError, "NaN or infinite"),
        ("complex", TypeError, "real pixels are needed, got complex128"),
        ("empty", ValueError, "empty"),
    ],
)
def test_images_that_cannot_be_used_are_refused(method, how, error, message):
    image = spoiled(how)
    before = stored_table(image)
    with pytest.raises(error, match=message):
        METHODS[method](image)
    pd.testing.assert_frame_equal(stored_table(image), before)


def test_lazy_frames_that_cannot_be_used_are_named(perovskite, caplog):
    pixels = np.stack([perovskite[0].data] * 3)
    pixels[1, 3, 4] = np.nan
    image = AtomLatticeImage(pixels).as_lazy()
    image.find_atoms(separation=8, refine=False)
    assert "frames 1 have no atoms; frame 1: 1 pixels are NaN or infinite" in caplog.text
    assert set(image.atoms["frame"]) == {0, 2}


def test_a_frame_of_zeros_costs_no_other_frame(perovskite, lazy, caplog):
    pixels = np.stack([perovskite[0].data] * 4)
    pixels[:2] = 0
    movie = AtomLatticeImage(pixels)
    movie = movie.as_lazy() if lazy else movie
    movie.find_atoms()
    assert dict(movie.atoms["frame"].value_counts()) == {2: 35, 3: 35}
    assert "frames 0, 1 have no atoms; frame 0: every pixel is 0" in caplog.text
    movie.find_sublattice("B")
    movie.refine_atoms()
    assert set(movie.atoms["frame"]) == {2, 3}
    with pytest.raises(ValueError, match="frame 0: every pixel is 0"):
        movie.inav[:2].find_atoms()


def test_a_frame_without_cells_costs_no_other_frame(perovskite, lazy, caplog):
    a = perovskite[1].query("sublattice == 'A'")[["x", "y"]].to_numpy()
    movie = AtomLatticeImage(np.stack([perovskite[0].data] * 2))
    movie.set_atoms({0: a[:3], 1: a})
    movie = movie.as_lazy() if lazy else movie
    movie.find_sublattice("B")
    counts = movie.atoms.groupby("frame")["sublattice"].value_counts()
    assert counts[0]["A"] == 3 and "B" not in counts[0] and counts[1]["B"] == 24
    assert "frame 0: a lattice needs at least 4 atoms, got 3" in caplog.text
    movie.set_atoms({0: a[:3], 1: a[:2]})
    with pytest.raises(ValueError, match="frame 0: a lattice needs at least 4 atoms"):
        movie.find_sublattice("B")


@pytest.mark.parametrize("method", ["laplacian_of_gaussian", "atomap"])
def test_both_finders_find_the_same(image, truth, method):
    image.find_atoms(separation=8, method=method, refine=False)
    a = truth[truth["sublattice"] == "A"]
    assert len(image.atoms) == len(a)
    assert offsets(image.atoms, a).max() < 1


@pytest.mark.parametrize(
    "method", ["find_sublattice", "refine_atoms", "extract_subimages", "fit_rvae"]
)
def test_what_needs_atoms_says_so(method):
    image = AtomLatticeImage(np.random.default_rng(0).random((20, 30)))
    with pytest.raises(ValueError, match=r"no atoms yet: find them with find_atoms\(\)"):
        METHODS[method](image)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.find_atoms(contrast="black"), "contrast must be one of"),
        (lambda s: s.find_atoms(method="log"), "method must be one of"),
        (lambda s: s.find_atoms(separation=4000), "less than half of the image"),
        (lambda s: s.find_atoms(sublattice=""), "needs a name"),
        (lambda s: s.find_atoms(separation=-1), "separation"),
        (lambda s: s.find_atoms(separation="a"), "separation must be a number of pixels"),
        (lambda s: s.find_sublattice("B", position=0.5), "two fractions of the cell"),
        (lambda s: s.find_sublattice("B", position=(0.5,)), "two fractions of the cell"),
        (lambda s: s.refine_atoms(percent_to_nn=-1), "percent_to_nn must be a fraction"),
        (lambda s: s.refine_atoms(percent_to_nn=float("nan")), "percent_to_nn must be"),
        (lambda s: s.extract_subimages(9, "A", centres="grid"), "a grid has no sublattices"),
        (lambda s: s.isig[:5, :5].refine_atoms(), "no atom lies in this part"),
        (lambda s: s.isig[:5, :5].extract_subimages(5), "no atom lies in this part"),
        (lambda s: s.find_sublattice("A", reference="A"), "another name"),
        (lambda s: s.find_sublattice("B", reference="C"), "no sublattice 'C'"),
        (lambda s: s.find_sublattice("B", position=(0.5, 3)), "from 0 to 1"),
        (lambda s: s.refine_atoms("C"), "no sublattice 'C'"),
        (lambda s: s.refine_atoms(method="fit"), "method must be one of"),
        (lambda s: s.set_atoms(np.array([[300.0, 4.0]])), "outside the image in x"),
        (lambda s: s.set_atoms({4: np.array([[3.0, 4.0]])}), "frame 4"),
        (lambda s: s.set_atoms(pd.DataFrame({"x": [3.0]})), "no column y"),
    ],
)
def test_impossible_wishes_leave_the_signal_as_it_was(image, truth, call, message):
    image.set_atoms(truth[truth["sublattice"] == "A"])
    before = image.atoms
    with pytest.raises(ValueError, match=message):
        call(image)
    pd.testing.assert_frame_equal(image.atoms, before)


def test_an_image_without_contrast_has_no_atoms():
    image = AtomLatticeImage(np.full((20, 30), 7.0))
    with pytest.raises(ValueError, match="every pixel is 7"):
        image.find_atoms(separation=4)


def test_only_images_hold_atoms():
    with pytest.raises(ValueError, match="signal dimension"):
        AtomLatticeImage(np.zeros(5))
    sublattice = am.dummy_data.get_simple_cubic_sublattice()
    with pytest.raises(TypeError, match="HyperSpy signal is needed, got ndarray"):
        hrv.from_atomap(sublattice, np.zeros((300, 300)))
    with pytest.raises(ValueError, match=r"two signal axes \(x, y\) is needed, got 1"):
        hrv.from_atomap(sublattice, hs.signals.Signal1D(sublattice.image))
