import atomap.api as am
import hyperspy.api as hs
import numpy as np
import pandas as pd
import pytest
from temul.topotem.polarisation import find_polarisation_vectors

import hyperspy_rvae as hrv
from hyperspy_rvae.data import polar_perovskite


@pytest.fixture(scope="module")
def film():
    """atomap's film: B is displaced inside its cells of A."""
    return am.dummy_data.get_polarization_film_atom_lattice()


@pytest.fixture
def known(lazy):
    """A calibrated image with the true columns of both sublattices, and true vectors."""
    image, truth = polar_perovskite((9, 6), displacement_px=(0.4, -0.6), pixel_pm=20.0)
    image.axes_manager.signal_axes[1].scale = 0.03
    image.set_atoms(truth.drop(columns=["u", "v"]))
    return image.as_lazy() if lazy else image, truth[truth["sublattice"] == "B"]


def test_the_sign_is_the_negative_of_atomaps_and_the_same_as_temuls(film):
    s = hrv.from_atomap(film)
    ours = s.displacement_map("B", "A").to_dataframe()
    a, b = film.sublattice_list
    a.construct_zone_axes()
    vectors = np.array(
        a.get_polarization_from_second_sublattice(
            *a.zones_axis_average_distances[:2], b
        ).metadata.vector_list
    )
    centres, theirs = vectors[:, :2].astype(float), vectors[:, 2:].astype(float)
    atoms = centres - theirs  # atomap: centre minus atom
    distance = np.hypot(*(ours[["x", "y"]].to_numpy()[:, None] - atoms).transpose(2, 0, 1))
    match, same = distance.argmin(0), distance.min(0) < 0.1
    assert same.mean() > 0.95
    uv = ours[["u", "v"]].to_numpy()[match[same]]
    assert np.abs(theirs[same]).max() > 0.5
    np.testing.assert_allclose(uv, -theirs[same], atol=1e-3)
    temul = find_polarisation_vectors(centres[same].tolist(), atoms[same].tolist())
    np.testing.assert_allclose(uv, np.transpose(temul), atol=1e-3)


def test_units_use_the_scale_of_each_axis(known):
    image, truth = known
    true = truth[["u", "v"]].to_numpy()
    for units, factors in {"px": (1, 1), "axes": (0.02, 0.03), "pm": (20, 30)}.items():
        d = image.displacement_map("B", "A", units=units)
        assert d.units == ("nm" if units == "axes" else units)
        np.testing.assert_allclose(np.asarray(d.data), true * np.array(factors), atol=1e-6)
        assert list(d.atoms.index) == list(truth.index)


def test_temul_gets_contiguous_float64_without_gaps(known):
    image, truth = known
    table = image.atoms
    image.set_atoms(table.drop(index=34))  # a vacancy of A
    d = image.displacement_map("B", "A")
    gaps = np.isnan(np.asarray(d.data)).any(1).sum()
    assert gaps == 4
    parts = d.to_temul()
    assert all(part.dtype == np.float64 and part.flags.c_contiguous for part in parts)
    assert {len(part) for part in parts} == {len(truth) - gaps}
    assert parts[0].max() > 40 and np.abs(parts[2]).max() == pytest.approx(0.4)


def test_frames_are_measured_one_by_one():
    xy = np.stack(np.meshgrid(np.arange(5), np.arange(4)), -1).reshape(-1, 2) * 10.0 + 8.0
    centres = np.stack(np.meshgrid(np.arange(4), np.arange(3)), -1).reshape(-1, 2) * 10.0 + 13.0
    rows = []
    for frame in range(3):
        rows += [(frame, *p, "A") for p in xy] + [
            (frame, x + frame / 5, y, "B") for x, y in centres
        ]
    image = hs.signals.Signal2D(np.zeros((3, 50, 60)))
    image.set_signal_type("atom_lattice")
    image.set_atoms(pd.DataFrame(rows, columns=["frame", "x", "y", "sublattice"]))
    d = image.displacement_map("B", "A").to_dataframe()
    np.testing.assert_allclose(d["u"], d["frame"] / 5, atol=1e-12)
    np.testing.assert_allclose(d["v"], 0, atol=1e-12)


@pytest.mark.parametrize("extension", ["hspy", "zspy"])
def test_slices_and_files_keep_vectors_and_table_together(known, tmp_path, extension):
    image, truth = known
    d = image.displacement_map("B", "A", units="pm").inav[3:11:2]
    d.save(tmp_path / f"d.{extension}")
    for lazily in (False, True):
        again = hs.load(tmp_path / f"d.{extension}", lazy=lazily)
        assert type(again).__name__ == f"{'Lazy' if lazily else ''}AtomDisplacements"
        table = again.to_dataframe()
        assert list(table.index) == list(truth.index[3:11:2])
        np.testing.assert_allclose(table["u"], truth["u"].iloc[3:11:2] * 20, atol=1e-4)
        assert again.units == "pm"
        assert again.isig[1:].columns == ["v"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sublattice": "C"}, "no sublattice 'C'; the table has 'A', 'B'"),
        ({"reference": "O"}, "no sublattice 'O'"),
        ({"sublattice": "A"}, "both 'A'"),
        ({"units": "nm"}, "units must be one of"),
    ],
)
def test_what_cannot_be_measured_is_refused(known, arguments, message):
    with pytest.raises(ValueError, match=message):
        known[0].displacement_map(**arguments)


def test_picometres_need_a_calibration(known):
    image, _ = known
    image.axes_manager.signal_axes.set(units="px")
    with pytest.raises(ValueError, match="calibrate both signal axes"):
        image.displacement_map("B", "A", units="pm")


def test_the_truth_may_be_in_the_table_too(lazy):
    image, truth = polar_perovskite((9, 6), displacement_px=(0.4, -0.6))
    image.set_atoms(truth.assign(u=9.0))
    image = image.as_lazy() if lazy else image
    d = image.displacement_map("B", "A")
    assert d.to_dataframe()["u"].abs().max() == pytest.approx(0.4)
    assert len(d.to_temul()) == 4


def test_temul_gets_one_frame():
    image, truth = polar_perovskite((4, 3))
    table = pd.concat([truth.assign(frame=k) for k in range(2)]).drop(columns=["u", "v"])
    movie = hs.signals.Signal2D(np.stack([image.data] * 2))
    movie.set_signal_type("atom_lattice")
    movie.set_atoms(table)
    d = movie.displacement_map("B", "A")
    assert [len(d.to_temul(frame=k)[0]) for k in range(2)] == [12, 12]
    with pytest.raises(ValueError, match="there are frames 0 to 1"):
        d.to_temul(frame=2)


def test_what_was_cut_off_or_never_there_is_named(known):
    d = known[0].displacement_map("B", "A")
    with pytest.raises(ValueError, match="component v was cut off"):
        d.isig[:1].to_temul()
    with pytest.raises(ValueError, match="no atom lies in this part"):
        known[0].isig[:8, :8].displacement_map("B", "A")
    bare = hs.signals.Signal1D(np.zeros((4, 3)))
    bare.set_signal_type("atom_displacements")
    with pytest.raises(ValueError, match="no units"):
        bare.units  # noqa: B018
    with pytest.raises(ValueError, match="u and v, not 3"):
        bare.columns  # noqa: B018
    with pytest.raises(ValueError, match="summed"):
        d.rebin(scale=(3, 1)).atoms  # noqa: B018
