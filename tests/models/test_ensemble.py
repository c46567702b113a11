from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch

from hyperspy_rvae.data.motifs import graphene_motifs
from hyperspy_rvae.models import RVAE, alignment, ensemble
from hyperspy_rvae.models.latents import LatentSpace
from hyperspy_rvae.models.steerable import classes

SPACE = LatentSpace(2, rotation=True, translation=True)
HALF = 150
NONE = np.zeros((900, 0))


def latents(n=900, seed=0):
    """Angle, shift and content in three groups."""
    rng = np.random.default_rng(seed)
    group = rng.integers(3, size=n)
    content = np.array([[-1.2, 0], [1.0, 1.1], [0.9, -1]])[group] + rng.normal(0, 0.15, (n, 2))
    angle = rng.uniform(-np.pi, np.pi, (n, 1))
    return np.concatenate([angle, rng.normal(0, 1, (n, 2)), content], 1), group


def in_other_conventions(values, group):
    """The same, with an origin of angle and shift for each group, and content bent and turned."""
    angle = values[:, 0] - np.array([0.4, -2.0, 3.0])[group]
    u, v = np.array([[0.5, 0.0], [-0.3, 0.8], [0.0, 0.2]])[group].T
    cos, sin = np.cos(values[:, 0]), np.sin(values[:, 0])
    shift = values[:, 1:3] - np.stack([cos * u + sin * v, cos * v - sin * u], 1)
    z1, z2 = values[:, 3:].T
    content = np.stack([-z2 + 0.3 * z1**2, z1 + 0.2 * z2], 1)
    return np.concatenate([np.angle(np.exp(1j * angle))[:, None], shift, content], 1)


def test_conventions_are_found():
    first, group = latents()
    other = in_other_conventions(first, group)
    found = alignment.find(first, other, NONE, SPACE)
    new, new_group = latents(seed=1)
    aligned = found.apply(new, in_other_conventions(new, new_group), NONE, SPACE)
    assert np.abs(np.angle(np.exp(1j * (aligned - new)[:, 0]))).max() < 1e-6
    np.testing.assert_allclose(aligned[:, 1:3], new[:, 1:3], atol=1e-6)
    assert np.abs(aligned - new)[:, 3:].std() < 0.03


def test_conventions_go_by_the_condition():
    first, group = latents()
    first[:, 3:] = 0  # all of the content is known beforehand
    kinds = np.eye(3)[group]
    other = in_other_conventions(first, group)
    for rows in (slice(None), slice(40)):
        found = alignment.find(first[rows], other[rows], kinds[rows], SPACE)
        aligned = found.apply(first, other, kinds, SPACE)
        assert np.abs(np.angle(np.exp(1j * (aligned - first)[:, 0]))).max() < 1e-6
        np.testing.assert_allclose(aligned[:, 1:], first[:, 1:], atol=1e-6)


def test_the_commonest_turn_where_content_is_symmetric():
    rng = np.random.default_rng(0)
    turns = 0.3 + 2 * np.pi / 3 * rng.choice(3, 600, p=[0.5, 0.3, 0.2]) + rng.normal(0, 0.03, 600)
    assert alignment.commonest(turns) == pytest.approx(0.3, abs=0.01)
    assert alignment.commonest(np.empty(0)) == 0


def test_disagreement_of_known_spread():
    rng = np.random.default_rng(0)
    spread = np.array([0.3, 0.1, 2.0, 1.0, 0.5])
    values = rng.normal(0, spread, (3, 20_000, 5)) + rng.uniform(-3, 3, (20_000, 5))
    values[..., 0] = np.angle(np.exp(1j * values[..., 0]))
    found = ensemble.disagreement(values, SPACE, np.ones(20_000))
    np.testing.assert_allclose(np.sqrt(np.square(found).mean(0)), spread, rtol=0.03)


def test_opposite_angles_say_nothing():
    values = np.zeros((2, 1, 5))
    values[1, 0, 0] = np.pi
    found = ensemble.disagreement(values, SPACE, np.ones(1))
    assert found[0, 0] == pytest.approx(np.pi / np.sqrt(3))
    found = ensemble.disagreement(values, SPACE, np.full(1, 2))  # alike after half a turn
    assert found[0, 0] == pytest.approx(0, abs=1e-6)


@pytest.fixture(scope="module")
def mixed(make):
    """Dumbbells of low dose, half of them with content that looks the same after half a turn."""
    d = make(2 * HALF, 13, 13, seed=3)
    images = d.images.copy()
    images[HALF:] = 0.7 * (images[HALF:] + np.rot90(images[HALF:], 2, (1, 2)))
    return images + np.random.default_rng(0).normal(0, 0.15, images.shape), d.angle


@pytest.fixture(scope="module")
def three(mixed):
    return RVAE(2, epochs=40, n_models=3, seed=0).fit(mixed[0])


def test_the_spread_covers_the_error(mixed, three):
    images, truth = mixed
    values, std = three.transform(images, return_std=True)
    turn = values[:HALF, 0] - truth[:HALF]
    off = np.abs(np.angle(np.exp(1j * (turn - np.angle(np.exp(1j * turn).mean())))))
    assert 0.55 < np.mean(off < std[:HALF, 0]) < 0.85
    assert np.median(off) < np.deg2rad(10)


def test_the_spread_is_large_where_the_angle_is_ambiguous(mixed, three):
    _, std = three.transform(mixed[0], return_std=True)
    assert np.mean(std[:HALF, 0] > 0.6) < 0.1
    # By chance all three models choose the same of two angles for a quarter, and often more.
    assert np.mean(std[HALF:, 0] > 0.6) > 0.2


def test_the_spread_is_small_modulo_the_symmetry(mixed):
    images = mixed[0][HALF:]
    model = RVAE(1, epochs=40, n_models=2, rotation_symmetry=2, seed=0).fit(images)
    _, std = model.transform(images, return_std=True)
    assert np.mean(std[:, 0] > 0.6) < 0.1


def test_it_is_its_first_model_with_wider_deviations(mixed, three):
    images = mixed[0][:50]
    single = RVAE(2, epochs=40, seed=0).fit(mixed[0])
    values, std = three.transform(images, return_std=True)
    alone, narrow = single.transform(images, return_std=True)
    np.testing.assert_array_equal(values, alone)
    np.testing.assert_array_equal(three.transform(images), alone)
    assert (std >= narrow).all() and (std > narrow).mean() > 0.9
    np.testing.assert_array_equal(three.reconstruct(images), single.reconstruct(images))
    assert three.score(images) == single.score(images)
    first, second, third = three.models_
    assert first.history_ == single.history_ and first.seed_ == single.seed_ == 0
    assert len({model.seed_ for model in three.models_}) == 3
    np.testing.assert_array_equal(first.transform(images, return_std=True)[1], narrow)
    assert not np.array_equal(second.transform(images), third.transform(images))
    numbers = [record["model"] for record in three.history_]
    assert numbers == sorted(numbers) and set(numbers) == {0, 1, 2}


@pytest.fixture
def pair(windows, decoder):
    return RVAE(2, decoder=decoder, epochs=2, batch_size=6, n_models=2, seed=4).fit(windows)


@pytest.mark.parametrize("invariances", [("rotation",), ("translation",), ()])
def test_any_member_of_the_family(windows, decoder, invariances):
    model = RVAE(
        1, decoder=decoder, invariances=invariances, epochs=1, batch_size=6, n_models=2, seed=0
    )
    values, std = model.fit(windows).transform(windows, return_std=True)
    alone = model.models_[0].transform(windows, return_std=True)
    np.testing.assert_array_equal(values, alone[0])
    assert std.shape == values.shape and (std >= alone[1]).all()


def test_more_models_change_no_other(windows, pair):
    more = RVAE(2, decoder=pair.decoder, epochs=2, batch_size=6, n_models=3, seed=4).fit(windows)
    for one, same in zip(pair.models_, more.models_, strict=False):
        np.testing.assert_array_equal(one.transform(windows), same.transform(windows))


def test_callback_of_all_models(windows):
    seen = []
    model = RVAE(1, epochs=2, n_models=2, seed=0)
    model.fit(windows, callback=lambda *call: seen.append(call))
    assert [epoch for epoch, _ in seen] == [0, 1, 0, 1]
    assert [record for _, record in seen] == model.history_


def test_one_file_for_all(windows, pair, tmp_path):
    path = tmp_path / "models.pt"
    pair.save(path)
    for again in (RVAE.load(path), pickle.loads(pickle.dumps(pair))):
        for found, known in zip(
            again.transform(windows, True), pair.transform(windows, True), strict=True
        ):
            np.testing.assert_array_equal(found, known)
        assert again.history_ == pair.history_
        assert [m.seed_ for m in again.models_] == [m.seed_ for m in pair.models_]
    assert set(torch.load(path, weights_only=True)["weights"]) == set(pair.weights())


def without(weights, start):
    return {name: value for name, value in weights.items() if not name.startswith(start)}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda w: without(w, "models.1.alignment"), "an alignment has"),
        (lambda w: without(w, "models.1."), "fit the model's configuration"),
        (lambda w: without(w, "models.1.alignment.turn"), "an alignment has"),
        (lambda w: w | {"models.2.scale": np.ones(1)}, "unknown weights: models.2.scale"),
        (lambda w: w | {"models.01.scale": np.ones(1)}, "unknown weights: models.01.scale"),
        (lambda w: w | {"models.1.scale": -np.ones(1)}, "scale must be positive"),
        (lambda w: w | {"models.1.alignment.turn": np.full(1, np.nan)}, "turn must hold finite"),
        (lambda w: w | {"models.1.alignment.width": np.zeros(1)}, "width must be positive"),
        (
            lambda w: w | {"models.1.alignment.move": np.zeros((1, 3))},
            r"move must be of shape \(1, 2\)",
        ),
        (
            lambda w: w | {"models.1.alignment.cells": np.broadcast_to(0.0, (10**9, 2))},
            "1 to 1000 cells",
        ),
    ],
)
def test_hostile_ensembles(pair, change, match):
    with pytest.raises(ValueError, match=match):
        RVAE.rebuild(pair.configuration(), change(pair.weights()))


@pytest.mark.parametrize("count", [1, 3, 10**15, 0, "2"])
def test_hostile_number_of_models(pair, count):
    found = json.loads(pair.configuration())
    found["parameters"]["n_models"] = count
    with pytest.raises(ValueError, match="configuration"):
        RVAE.rebuild(json.dumps(found), pair.weights())


@pytest.mark.parametrize(
    ("count", "error", "match"),
    [
        (0, ValueError, "n_models must be at least 1, got 0; 1 trains a single model"),
        (-3, ValueError, "n_models must be at least 1"),
        (2.0, TypeError, "n_models must be an integer, got 2.0"),
        (True, TypeError, "n_models"),
        (None, TypeError, "n_models"),
    ],
)
def test_impossible_numbers_of_models(windows, count, error, match):
    with pytest.raises(error, match=match):
        RVAE(n_models=count).fit(windows)


def test_content_that_says_nothing():
    noise = np.random.default_rng(0).normal(size=(30, 7, 8))
    model = RVAE(1, epochs=1, n_models=2, seed=0).fit(noise)
    assert np.isfinite(model.transform(noise, return_std=True)[1]).all()


def test_on_a_cluster_of_dask(windows, pair):
    from distributed import Client, LocalCluster

    seen = []
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0"
        ) as c,
        Client(c),
    ):
        there = RVAE(2, decoder=pair.decoder, epochs=2, batch_size=6, n_models=2, seed=4)
        there.fit(windows, callback=lambda *call: seen.append(call))
    for found, known in zip(
        there.transform(windows, True), pair.transform(windows, True), strict=True
    ):
        np.testing.assert_array_equal(found, known)
    assert [record for _, record in seen] == there.history_ == pair.history_


def test_each_model_goes_on_from_its_own_checkpoint(windows, tmp_path):
    path = tmp_path / "training.pt"
    single = RVAE(1, epochs=2, seed=0).fit(windows, checkpoint=path)
    seen = []
    pair = RVAE(1, epochs=2, n_models=2, seed=0)
    pair.fit(windows, checkpoint=path, callback=lambda epoch, record: seen.append(record["model"]))
    assert seen == [1, 1]  # the first was there already
    assert sorted(file.name for file in tmp_path.iterdir()) == ["training.pt", "training.pt.1"]
    whole = RVAE(1, epochs=2, n_models=2, seed=0).fit(windows)
    np.testing.assert_array_equal(pair.transform(windows), single.transform(windows))
    np.testing.assert_array_equal(pair.transform(windows, True), whole.transform(windows, True))


def test_models_are_given_the_condition(windows):
    side = np.where(np.arange(len(windows)) % 2, "left", "right")
    model = RVAE(1, epochs=1, n_models=2, seed=0).fit(windows, condition=side)
    again = RVAE.rebuild(model.configuration(), model.weights())
    for found in (again, model):
        values, std = found.transform(windows, True, condition=side)
        alone = found.models_[1].transform(windows, condition=side)
        assert values.shape == std.shape == alone.shape
    np.testing.assert_array_equal(again.transform(windows, True, condition=side)[1], std)


@pytest.fixture(scope="module")
def two_kinds():
    return graphene_motifs(160, 16, kinds=("threefold", "edge"), shift_px=1, seed=0)


def test_classes_have_the_first_models_numbers(two_kinds, tmp_path):
    images, truth = two_kinds
    model = RVAE(1, discrete_classes=2, epochs=24, n_models=3, seed=1).fit(images)
    values, std = model.transform(images, return_std=True)
    kind = truth["kind"] == "edge"
    assert max(np.mean(values[:, -2] == kind), np.mean(values[:, -2] != kind)) >= 0.95
    for alone in model.models_:
        assert np.mean(alone.transform(images)[:, -2] == values[:, -2]) >= 0.95
    _, narrow = model.models_[0].transform(images, return_std=True)
    assert np.isnan(std[:, -2:]).all() and (std[:, :-2] >= narrow[:, :-2]).all()
    assert np.median(std[:, 0] / narrow[:, 0]) < 3  # angles were put into the first one's origin
    model.save(tmp_path / "three.pt")
    again = RVAE.load(tmp_path / "three.pt").transform(images, return_std=True)
    np.testing.assert_array_equal(again, (values, std))


def test_labels_are_the_same_for_all_models(two_kinds):
    images, truth = two_kinds
    labels = truth["kind"].where(truth.index < 20, "")
    model = RVAE(1, discrete_classes=2, epochs=16, n_models=2, seed=0).fit(images, labels)
    for alone in model.models_:
        found = alone.classes_[alone.transform(images)[:, -2].astype(int)]
        assert np.mean(found == truth["kind"]) >= 0.95


def test_classes_that_agree_the_most_are_matched():
    first = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    other = np.array([2, 2, 0, 0, 0, 1, 1, 0])
    assert classes.matching(first, other, 3).tolist() == [2, 0, 1]
    assert classes.matching(first, first, 4).tolist() == [0, 1, 2, 3]  # one is of no subimage


@pytest.mark.parametrize("condition", [None, np.arange(23) % 2], ids=["plain", "conditional"])
def test_reordered_classes_change_their_numbers_alone(windows, condition):
    model = RVAE(2, discrete_classes=3, epochs=3, seed=0).fit(windows, condition=condition)
    values, std = model.transform(windows, True, condition=condition)
    shown = model.reconstruct(windows, condition=condition)
    classes.reorder(model._network, np.array([2, 0, 1]))
    again, again_std = model.transform(windows, True, condition=condition)
    np.testing.assert_array_equal(np.array([2, 0, 1])[again[:, -2].astype(int)], values[:, -2])
    others = np.arange(values.shape[1]) != values.shape[1] - 2
    np.testing.assert_allclose(again[:, others], values[:, others], atol=1e-4)
    np.testing.assert_allclose(again_std, std, rtol=1e-3)
    np.testing.assert_allclose(model.reconstruct(windows, condition=condition), shown, atol=1e-4)
