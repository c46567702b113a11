import numpy as np
import pytest
from scipy.spatial import KDTree

from hyperspy_rvae.data import drifting_crystal, graphene, graphene_boundary


def bond_lengths(truth):
    pairs = KDTree(truth[["x", "y"]]).query_pairs(13, output_type="ndarray")
    xy = truth[["x", "y"]].to_numpy()
    return np.hypot(*(xy[pairs[:, 0]] - xy[pairs[:, 1]]).T)


def test_graphene_has_what_was_asked_for():
    image, truth = graphene(jitter=0.0, noise=0.0)
    assert image.data.shape == (420, 512)
    counts = truth["defect"].value_counts()
    assert counts["stone-wales"] == 16  # four rings of 5, 5, 7 and 7 share eight bonds
    assert counts["vacancy"] == 12
    assert counts["divacancy"] == 28  # a 14-ring, and 5-8-5
    lengths = bond_lengths(truth)
    assert 8.5 < lengths.min() and abs(np.median(lengths) - 10) < 0.1
    brightest = image.data[tuple(np.rint(truth[["y", "x"]].to_numpy()).astype(int).T)]
    assert brightest.min() > 0.8


def test_graphene_is_turned_counter_clockwise():
    truth = graphene((), turn=0.2, edge=False, jitter=0.0)[1]
    xy = truth[["x", "y"]].to_numpy()
    pairs = KDTree(xy).query_pairs(12, output_type="ndarray")
    u, v = (xy[pairs[:, 1]] - xy[pairs[:, 0]]).T
    np.testing.assert_allclose(np.angle(np.exp(6j * np.arctan2(-v, u))) / 6, 0.2, atol=1e-3)


def test_a_boundary_has_bonds_of_one_length():
    truth = graphene_boundary(jitter=0.0)[1]
    lengths = bond_lengths(truth)
    assert 8.5 < lengths.min() and lengths.max() < 12
    assert set("-".join(truth["rings"]).split("-")) == {"5", "6", "7"}


def test_defects_need_room():
    with pytest.raises(ValueError, match="too small"):
        graphene(size=(150, 150))
    with pytest.raises(ValueError, match="do not fit"):
        graphene(["vacancy"] * 30)


def test_a_movie_shows_what_its_truth_says():
    image, truth = drifting_crystal(5, (100, 90), noise=0.0, seed=3)
    assert image.data.shape == (5, 90, 100)
    frame, y, x = np.rint(truth[["frame", "y", "x"]].to_numpy()).astype(int).T
    assert image.data[frame, y, x].min() > 0.5
    places = truth[["x", "y"]].to_numpy() - truth[["drift_x", "drift_y"]].to_numpy()
    stays = truth.assign(u=places[:, 0], v=places[:, 1])[
        ~truth["track"].isin(truth.loc[truth["hopped"], "track"])
    ]
    spread = stays.groupby("track")[["u", "v"]].std().mean()
    np.testing.assert_allclose(spread, 0.15, rtol=0.25)
    assert (truth.groupby("frame")["track"].nunique() == truth.groupby("frame").size()).all()
