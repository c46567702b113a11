import dask.array as da
import hyperspy.api as hs
import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree

from hyperspy_rvae.data import drifting_crystal

SPACING = 12.0


def followed(found, truth):
    """Share of the atoms, there in two frames in a row, whose number stays; and wrong links."""
    truth = truth.assign(found=-1)
    for frame, rows in truth.groupby("frame"):
        here = found[found["frame"] == frame]
        distance, near = cKDTree(here[["x", "y"]]).query(rows[["x", "y"]])
        ok = distance < 0.3 * SPACING
        truth.loc[rows.index[ok], "found"] = here["track"].to_numpy()[near[ok]]
    seen = truth[truth["found"] >= 0]
    before = seen.assign(frame=seen["frame"] + 1)
    pairs = seen.merge(before, on=["frame", "track"], suffixes=("", "_before"))
    wrong = seen.merge(before, on=["frame", "found"], suffixes=("", "_before"))
    return (pairs["found"] == pairs["found_before"]).mean(), (
        wrong["track"] != wrong["track_before"]
    ).mean()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_tracks_through_drift_vacancies_and_hops(seed, lazy):
    s, truth = drifting_crystal(8, (150, 140), hop=0.03, seed=seed)
    s = s.as_lazy() if lazy else s
    s.find_atoms(separation=6, refine=False)
    s.track_atoms()
    right, wrong = followed(s.atoms, truth)
    assert right > 0.995
    assert wrong < 0.005
    drift = s.atoms.groupby("frame")[["drift_x", "drift_y"]].first()
    known = truth.groupby("frame")[["drift_x", "drift_y"]].first()
    np.testing.assert_allclose(drift, known, atol=0.3)


def test_atoms_missed_by_the_finder():
    s, truth = drifting_crystal(8, seed=4)
    table = truth[["frame", "x", "y", "sublattice"]]
    s.set_atoms(table.sample(frac=0.97, random_state=0))
    s.track_atoms()
    right, wrong = followed(s.atoms, truth)
    assert right > 0.995
    assert wrong < 0.005


def test_lazy_and_eager_give_the_same_numbers():
    s, truth = drifting_crystal(5, (90, 80), seed=1)
    s.set_atoms(truth[["frame", "x", "y", "sublattice"]])
    lazy = s.as_lazy()
    lazy.rechunk(nav_chunks=2)
    for signal in (s, lazy):
        signal.track_atoms()
    pd.testing.assert_frame_equal(s.atoms, lazy.atoms)
    assert s.atoms["track"].dtype == np.int64
    pd.testing.assert_frame_equal(s.measure_drift(), lazy.measure_drift())


def test_every_frame_is_read_once():
    s, _ = drifting_crystal(6, (90, 80), seed=1)
    read = []

    def count(block, block_info=None):
        read.append(block_info[0]["chunk-location"][0])
        return block

    movie = da.from_array(s.data, chunks=(2, 80, 90)).map_blocks(
        count, dtype=s.data.dtype, meta=np.empty((0, 0, 0), s.data.dtype)
    )
    lazy = hs.signals.Signal2D(movie).as_lazy()
    lazy.set_signal_type("atom_lattice")
    np.asarray(movie[0])  # the blur is chosen on the first frame
    before = len(read)
    lazy.measure_drift()
    assert sorted(read[before:]) == [0, 0, 1, 2]


def test_tracks_stay_in_step_with_the_image():
    s, truth = drifting_crystal(5, (90, 80), seed=1)
    s.set_atoms(truth[["frame", "x", "y", "sublattice"]])
    s.track_atoms()
    table = s.atoms
    part = s.inav[2:].isig[10:, 20:].rebin(scale=(1, 2, 2)).atoms
    both = part.join(table.add_suffix("_before"))
    np.testing.assert_array_equal(both["track"], both["track_before"])
    np.testing.assert_allclose(both["drift_x"], both["drift_x_before"] / 2)
    np.testing.assert_allclose(both["drift_y"], both["drift_y_before"] / 2)


def test_seeds_follow_the_drift(lazy):
    s, truth = drifting_crystal(5, (100, 90), vanish=0.0, vacancies=0.0, seed=2)
    s = s.as_lazy() if lazy else s
    first = truth[truth["frame"] == 0]
    s.seed_atoms(first[["x", "y"]].to_numpy())
    seeds = s.atoms.merge(
        truth.assign(
            track=truth["track"].map({track: row for row, track in enumerate(first["track"])})
        ),
        on=["frame", "track"],
        suffixes=("", "_true"),
    )
    assert len(seeds) > 0.9 * (truth["track"].isin(first["track"])).sum()
    off = np.hypot(seeds["x"] - seeds["x_true"], seeds["y"] - seeds["y_true"])
    assert off.max() < 1.5
    assert off.median() < 0.4


def test_seeds_of_a_later_frame_of_the_table():
    s, truth = drifting_crystal(4, (100, 90), seed=2)
    drift = truth.groupby("frame")[["drift_x", "drift_y"]].first()
    s.set_atoms(truth.loc[truth["frame"] == 2, ["frame", "x", "y", "sublattice"]])
    known = s.atoms
    s.seed_atoms(frame=2, drift=drift)
    again = s.atoms[s.atoms["frame"] == 2]
    np.testing.assert_allclose(again[["x", "y"]], known[["x", "y"]])
    with pytest.raises(ValueError, match="frame 1 has no atoms"):
        s.set_atoms({0: known[["x", "y"]].to_numpy()})
        s.seed_atoms(frame=1)


def test_one_image_is_no_movie():
    s, truth = drifting_crystal(2, (90, 80))
    one = s.inav[0]
    one.set_atoms(truth.loc[truth["frame"] == 0, ["x", "y"]].to_numpy())
    for call in (one.measure_drift, one.track_atoms, one.seed_atoms):
        with pytest.raises(ValueError, match="movie of at least two frames"):
            call()


def test_drift_beyond_half_the_spacing_is_flagged():
    s, truth = drifting_crystal(4, (150, 140), drift_px=(8.0, 2.0), vacancies=0.1, seed=0)
    s.set_atoms(truth[["frame", "x", "y", "sublattice"]])
    with pytest.warns(UserWarning, match="half the distance between neighbours"):
        s.track_atoms()
    with pytest.warns(UserWarning, match="half the distance between neighbours"):
        s.track_atoms(drift=truth.groupby("frame")[["drift_x", "drift_y"]].first())
    assert followed(s.atoms, truth)[0] > 0.995


def test_a_wrong_drift_is_flagged():
    s, truth = drifting_crystal(3, (90, 80), drift_px=(0.0, 0.0))
    s.set_atoms(truth[["frame", "x", "y", "sublattice"]])
    wrong = np.array([[0.0, 0.0], [0.0, 0.0], [5.6, 0.0]])
    with pytest.warns(UserWarning, match="less than half of the atoms were followed from frames 1"):
        s.track_atoms(drift=wrong)


def test_frames_without_atoms_or_contrast():
    s, truth = drifting_crystal(5, (90, 80), seed=3)
    s.data[2] = 1.0
    truth = truth[truth["frame"] != 2]
    s.set_atoms(truth[["frame", "x", "y", "sublattice"]])
    with pytest.warns(UserWarning, match="frames 2 have no contrast"):
        s.track_atoms()
    table = s.atoms
    both = set(table.loc[table["frame"] == 1, "track"]) & set(
        table.loc[table["frame"] == 3, "track"]
    )
    assert len(both) > 0.75 * (table["frame"] == 1).sum()


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_first_frame_that_says_nothing(value):
    s, truth = drifting_crystal(4, (90, 80), seed=3)
    s.data[0] = value
    s = s.as_lazy()
    truth = truth.set_index("frame")[["drift_x", "drift_y"]]
    expected = truth[~truth.index.duplicated()].loc[1:]
    with pytest.warns(UserWarning, match="frames 0 have no contrast, or pixels that are not"):
        drift = s.measure_drift()
    np.testing.assert_allclose(drift.loc[1:] - drift.loc[1], expected - expected.loc[1], atol=0.1)
    np.testing.assert_array_equal(drift.loc[0], drift.loc[1])
    s.data[:] = value
    with pytest.raises(ValueError, match="no frame can be used; frame 0"):
        s.measure_drift()


def test_one_atom_needs_a_reach():
    s, _ = drifting_crystal(3, (90, 80))
    s.set_atoms({f: np.array([[30.0 + f, 40.0]]) for f in range(3)})
    still = np.zeros((3, 2))
    with pytest.raises(ValueError, match="reach cannot be estimated"):
        s.track_atoms(drift=still)
    s.track_atoms(reach=3, hop=0, drift=still)
    np.testing.assert_array_equal(s.atoms["track"], 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"reach": -1}, "reach must be a distance"),
        ({"reach": "far"}, "reach must be a number"),
        ({"hop": np.nan}, "hop must be a number"),
        ({"memory": 1.5}, "memory must be a whole number"),
        ({"drift": np.zeros((2, 2))}, "drift must be x and y"),
        ({"drift": pd.DataFrame({"drift_x": [0.0] * 3})}, "no column drift_y"),
    ],
)
def test_what_cannot_be_meant_is_refused(given, message):
    s, truth = drifting_crystal(3, (90, 80))
    s.set_atoms(truth[["frame", "x", "y", "sublattice"]])
    before = s.atoms
    with pytest.raises(ValueError, match=message):
        s.track_atoms(**given)
    pd.testing.assert_frame_equal(s.atoms, before)


def test_tracks_are_drawn():
    s, truth = drifting_crystal(5, (90, 80), seed=3)
    s.set_atoms(truth[["frame", "x", "y", "sublattice"]])
    with pytest.raises(ValueError, match="track_atoms"):
        s.plot_tracks()
    s.track_atoms()
    ax = s.plot_tracks(frame=1)
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    tracks = s.atoms.groupby("track")["frame"].agg(["min", "max"])
    throughout = ((tracks["min"] == 0) & (tracks["max"] == 4)).sum()
    assert names[0] == f"throughout: {throughout}"
    assert len(ax.collections[0].get_paths()) == len(tracks)


@pytest.mark.filterwarnings("ignore:Loading old file version")
def test_the_real_movie(real_data):
    """Five frames that drift by 10 px: the only real movie there is."""
    s = hs.load(real_data / "perovskite_ABF_movie.hspy")
    s.set_signal_type("atom_lattice")
    s.find_atoms(contrast="dark", refine=False)
    s.track_atoms()
    table = s.atoms
    drift = table.groupby("frame")[["drift_x", "drift_y"]].first()
    assert np.hypot(*drift.to_numpy().T).max() == pytest.approx(10, abs=1)
    # A column is found where it is farther from the rim than the separation, here about 15 px.
    first = table[table["frame"] == 0].set_index("track")
    there = [
        (first[["x", "y"]] + step).clip(17, 494).eq(first[["x", "y"]] + step).all(axis=1)
        for step in drift.to_numpy()
    ]
    stays = first.index[np.logical_and.reduce(there)]
    length = table.groupby("track").size()
    assert len(stays) >= 175
    assert (length[stays] < 5).sum() <= 1
