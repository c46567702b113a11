"""A condition that is given to the networks leaves the content latents, and only it does."""

from __future__ import annotations

import json

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from hyperspy_rvae.data.motifs import graphene_motifs
from hyperspy_rvae.models import RVAE
from hyperspy_rvae.models.conditions import Labels, Values, learn, restore

LABELS = np.array(["A", "B"])[np.arange(23) % 3 // 2]
VALUES = np.linspace(-3.0, 5.0, 23)


def make_strained(n, seed, side=17, turn=np.pi, shift=0.0):
    """Two kinds of molecule, each with a bond of any length, turned and shifted at random.

    A kind is the weight of the second atom; the length is the same unknown for both kinds.
    """
    rng = np.random.default_rng(seed)
    kind, length = rng.integers(0, 2, n), rng.uniform(3.5, 5.5, n)
    angle = rng.uniform(-turn, turn, n)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    images = rng.normal(0, 0.1, (n, side, side))
    off = rng.uniform(-shift, shift, (2, n))
    for places, weights in ((0 * length, 1.0 + 0 * length), (length, np.where(kind, 1.0, 0.4))):
        r2 = (x - (places * np.cos(angle) + off[0])[:, None, None]) ** 2
        r2 = r2 + (y + (places * np.sin(angle) + off[1])[:, None, None]) ** 2
        images += weights[:, None, None] * np.exp(-r2 / (2 * 1.5**2))
    return images.astype(np.float32), np.array(["light", "heavy"])[kind], length


def kinds_in(content, kinds):
    """How well clusters of the content latents are the kinds, from 0 to 1."""
    spread = content.std(0)
    if not spread.any():
        return 0.0
    content = content / np.where(spread > 0, spread, 1)
    found = GaussianMixture(len(set(kinds)), n_init=3, random_state=0).fit_predict(content)
    return adjusted_rand_score(kinds, found)


@pytest.fixture(scope="module")
def strained():
    return make_strained(400, seed=3)


@pytest.mark.parametrize(
    "invariances",
    [(), ("rotation",), ("translation",), ("rotation", "translation")],
    ids=["C-VAE", "C-rVAE", "C-tVAE", "C-trVAE"],
)
def test_labels_leave_the_content_and_the_rest_stays(invariances):
    turn, shift = np.pi * ("rotation" in invariances), 1.0 * ("translation" in invariances)
    images, kinds, length = make_strained(400, seed=3, turn=turn, shift=shift)
    plain = RVAE(1, invariances=invariances, epochs=40, seed=0).fit(images)
    told = RVAE(1, invariances=invariances, epochs=40, seed=0).fit(images, condition=kinds)
    assert kinds_in(plain.transform(images)[:, -1:], kinds) > 0.9
    content = told.transform(images, condition=kinds)[:, -1:]
    assert kinds_in(content, kinds) <= 0.05
    for kind in np.unique(kinds):
        assert abs(np.corrcoef(content[kinds == kind, 0], length[kinds == kind])[0, 1]) > 0.85
    without, given = plain.reconstruct(images), told.reconstruct(images, condition=kinds)
    assert np.square(images - given).mean() <= np.square(images - without).mean()
    assert told.score(images, condition=kinds) > plain.score(images)


def test_levelled_content_says_the_same_with_less_divergence(strained, decoder):
    images, kinds, _ = strained
    model = RVAE(1, decoder=decoder, epochs=20, seed=0).fit(images, condition=kinds)
    weights = model.weights()
    assert weights["level.log_scale"].any()
    plain = weights | {name: 0 * weights[name] for name in ("level.location", "level.log_scale")}
    before = RVAE.rebuild(model.configuration(), plain)
    shown = before.reconstruct(images, condition=kinds)
    np.testing.assert_allclose(model.reconstruct(images, condition=kinds), shown, atol=2e-3)
    values, std = model.transform(images, True, condition=kinds)
    for kind in np.unique(kinds):
        square = (values[:, 3] ** 2 + std[:, 3] ** 2)[kinds == kind].mean()
        assert square == pytest.approx(1, abs=0.1)
    assert model.score(images, condition=kinds) > before.score(images, condition=kinds)


def test_values_leave_the_content(strained):
    images, kinds, length = strained
    model = RVAE(1, epochs=40, seed=0).fit(images, condition=length)
    content = model.transform(images, condition=length)[:, 3]
    assert abs(np.corrcoef(content, length)[0, 1]) < 0.2
    assert kinds_in(content[:, None], kinds) > 0.9
    short, long = model.inverse_transform(np.zeros((2, 4)), condition=[3.5, 5.5])
    y, x = np.mgrid[-8:9, -8:9]
    reach = [np.average(np.hypot(x, y), weights=image**2) for image in (short, long)]
    assert reach[1] > 1.2 * reach[0]


def test_motifs_with_nothing_else_to_say():
    # What is left is jitter, which no latent can hold: faint values must not give the kind away.
    images, truth = graphene_motifs(400, 20, kinds=("threefold", "fourfold"), shift_px=1, seed=4)
    model = RVAE(2, epochs=12, seed=0).fit(images, condition=truth["kind"])
    content = model.transform(images, condition=truth["kind"])[:, 3:]
    assert kinds_in(content, truth["kind"]) <= 0.05
    assert model.condition_.names == ("kind",)


@pytest.mark.parametrize(
    "invariances",
    [(), ("rotation",), ("translation",), ("translation", "rotation"), ("rotation", "scale")],
)
@pytest.mark.parametrize(
    "condition",
    [LABELS, VALUES, np.stack([VALUES, VALUES**2], 1)],
    ids=["labels", "values", "columns"],
)
def test_the_conditional_family(windows, decoder, invariances, condition, tmp_path):
    model = RVAE(2, invariances=invariances, decoder=decoder, epochs=1, seed=0)
    values = model.fit_transform(windows, condition=condition)
    np.testing.assert_array_equal(values, model.transform(windows, condition=condition))
    assert model.components_.shape == (values.shape[1], 63)
    shown = model.reconstruct(windows, condition=condition)
    assert np.isfinite(model.score(windows, condition=condition))
    np.testing.assert_allclose(model.inverse_transform(values, condition=condition), shown)
    other = model.inverse_transform(values, condition=np.roll(condition, 1, 0))
    assert not np.allclose(other, shown)
    model.save(tmp_path / "model.pt")
    again = RVAE.load(tmp_path / "model.pt")
    assert again.condition_ == model.condition_
    np.testing.assert_array_equal(again.transform(windows, condition=condition), values)


def test_labels_of_any_kind(windows):
    as_text = RVAE(1, epochs=1, seed=0).fit(windows, condition=LABELS)
    expected = as_text.transform(windows, condition=LABELS)
    assert as_text.condition_ == Labels(("A", "B"), "A")
    for given in (list(LABELS), LABELS.astype(object), pd.Series(LABELS), pd.Categorical(LABELS)):
        np.testing.assert_array_equal(as_text.transform(windows, condition=given), expected)
    numbers = np.where(LABELS == "A", 3, 70)
    model = RVAE(1, epochs=1, seed=0).fit(windows, condition=numbers)
    assert model.condition_.labels == (3, 70)
    np.testing.assert_array_equal(model.transform(windows, condition=numbers), expected)
    one = model.transform(windows, condition=70)
    np.testing.assert_array_equal(one[5], model.transform(windows, condition=[70] * 23)[5])
    flags = RVAE(1, epochs=1, seed=0).fit(windows, condition=LABELS == "B")
    np.testing.assert_array_equal(flags.transform(windows, condition=LABELS == "B"), expected)


def test_values_of_any_unit(windows):
    model = RVAE(1, epochs=1, seed=0).fit(windows, condition=VALUES)
    other = RVAE(1, epochs=1, seed=0).fit(windows, condition=1e9 * VALUES + 7e9)
    np.testing.assert_allclose(
        other.transform(windows, condition=1e9 * VALUES + 7e9),
        model.transform(windows, condition=VALUES),
        atol=1e-4,
    )
    assert isinstance(model.condition_, Values)
    assert model.condition_.location[0] == pytest.approx(1)


def test_lazy_conditions(windows):
    X = da.from_array(windows, (7, 4, -1))
    for condition in (LABELS, VALUES, np.stack([VALUES, VALUES**2], 1)):
        model = RVAE(1, epochs=1, seed=0, max_subimages=17).fit(windows, condition=condition)
        lazy = da.from_array(condition, chunks=10)
        again = RVAE(1, epochs=1, seed=0, max_subimages=17).fit(X, condition=lazy)
        expected = model.transform(windows, condition=condition)
        for given in (condition, lazy):
            values = again.transform(X, condition=given)
            assert isinstance(values, da.Array) and values.chunks[0] == (7, 7, 7, 2)
            np.testing.assert_allclose(values.compute(), expected, atol=1e-5)


def test_only_asked_blocks_of_a_condition_are_computed(windows):
    computed = []

    def note(block, block_info):
        computed.append(block_info[0]["chunk-location"][0])
        return block

    X, lazy = da.from_array(windows, (7, 7, 9)), da.from_array(LABELS, chunks=7)
    model = RVAE(1, epochs=1, seed=0).fit(windows, condition=LABELS)
    values = model.transform(X, condition=lazy.map_blocks(note, dtype=LABELS.dtype))
    assert not computed
    values[14:].compute()
    assert set(computed) == {2, 3}


@pytest.mark.parametrize(
    ("condition", "error", "match"),
    [
        (LABELS[:22], ValueError, "one entry for each of the 23 subimages, got 22"),
        (["A"] * 23, ValueError, "at least two labels, got 'A' only; leave it out"),
        (VALUES * 1e200, ValueError, "condition is too large, up to .*; give it in another unit"),
        (np.arange(23), ValueError, "23 labels for 23 subimages; give continuous values as floats"),
        (np.where(LABELS == "A", "A", ""), ValueError, "missing, NaN or infinite for 7"),
        (np.where(LABELS == "A", "A", None), ValueError, "missing, NaN or infinite for 7"),
        ([*LABELS[:22], 3], TypeError, "all text or all whole numbers, got also 'A'"),
        (np.where(VALUES > 4, np.nan, VALUES), ValueError, "NaN or infinite for 3"),
        (np.where(VALUES > 4, np.inf, VALUES), ValueError, "NaN or infinite for 3"),
        (np.full(23, 2.5), ValueError, "must vary, got 2.5 for every subimage; leave it out"),
        (np.stack([VALUES, 0 * VALUES], 1), ValueError, "for every subimage in column 1"),
        (np.zeros((23, 0)), ValueError, r"numbers of shape \(n,\) or \(n, k\)"),
        (np.zeros((23, 2, 2)), ValueError, r"numbers of shape \(n,\) or \(n, k\)"),
        (VALUES * 1j, TypeError, "all text or all whole numbers"),
        (np.full((23, 2), "A"), ValueError, r"numbers of shape \(n,\) or \(n, k\)"),
    ],
)
def test_conditions_to_fit(windows, condition, error, match):
    model = RVAE(1, epochs=1, seed=0)
    with pytest.raises(error, match=match):
        model.fit(windows, condition=condition)
    assert not hasattr(model, "condition_")


@pytest.mark.parametrize("method", ["transform", "reconstruct", "score", "inverse_transform"])
def test_conditions_of_a_fitted_model(windows, method):
    plain = RVAE(2, epochs=1, seed=0).fit(windows)
    told = RVAE(2, epochs=1, seed=0).fit(windows, condition=pd.Series(LABELS, name="site"))
    numbers = RVAE(2, epochs=1, seed=0).fit(windows, condition=VALUES)
    given = np.zeros((23, 5)) if method == "inverse_transform" else windows
    calls = [getattr(model, method) for model in (plain, told, numbers)]
    with pytest.raises(ValueError, match="fitted without one; leave it out"):
        calls[0](given, condition=LABELS)
    with pytest.raises(ValueError, match=r"condition is missing.*the labels 'A', 'B' of 'site'"):
        calls[1](given)
    with pytest.raises(ValueError, match="one entry for each of the 23 subimages, got 3"):
        calls[1](given, condition=LABELS[:3])
    with pytest.raises(ValueError, match="not fitted to: 'C'; it knows 'A', 'B'"):
        calls[1](given, condition=np.where(LABELS == "B", "C", "A"))
    with pytest.raises(ValueError, match="not fitted to: 1"):
        calls[1](given, condition=np.ones(23, int))
    with pytest.raises(ValueError, match="1 values a subimage, as in fit, got 2"):
        calls[2](given, condition=np.zeros((23, 2)))
    with pytest.raises(ValueError, match="NaN"):
        calls[2](given, condition=VALUES * np.nan)


def test_a_lazy_condition_is_checked_before_any_work(windows):
    model = RVAE(1, epochs=1, seed=0).fit(windows, condition=LABELS)
    with pytest.raises(ValueError, match="condition is missing"):
        model.transform(da.from_array(windows))
    with pytest.raises(ValueError, match="not fitted to"):
        model.transform(da.from_array(windows), condition=["C"] * 23)


def test_nothing_to_transform(windows):
    for condition in (LABELS, VALUES):
        model = RVAE(1, epochs=1, seed=0).fit(windows, condition=condition)
        assert model.transform(windows[:0], condition=condition[:0]).shape == (0, 4)


@pytest.mark.parametrize(
    "hostile",
    [
        7,
        {},
        {"labels": ["A", "A"], "usual": "A", "names": []},
        {"labels": ["A", 3], "usual": "A", "names": []},
        {"labels": ["A", "B"], "usual": "C", "names": []},
        {"labels": "AB", "usual": "A", "names": []},
        {"labels": [["A"], ["B"]], "usual": "A", "names": []},
        {"labels": ["A", "B"], "usual": "A", "names": "site"},
        {"labels": ["A", "B", "C"], "usual": "A", "names": []},
        {"location": [0.0], "scale": [0.0], "names": []},
        {"location": [0.0], "scale": [1.0, 1.0], "names": []},
        {"location": [1], "scale": [1.0], "names": []},
        {"location": [0.0] * 3, "scale": [1.0] * 3, "names": [], "more": 1},
    ],
)
def test_hostile_conditions(windows, hostile):
    model = RVAE(1, epochs=1, seed=0).fit(windows, condition=LABELS)
    found = json.loads(model.configuration()) | {"condition": hostile}
    with pytest.raises(ValueError, match="save the model again, or refit"):
        RVAE.rebuild(json.dumps(found), model.weights())


def test_models_without_a_condition_are_written_as_ever(windows):
    found = json.loads(RVAE(1, epochs=1, seed=0).fit(windows).configuration())
    assert set(found) == {"model", "version", "parameters", "window_shape", "seed", "history"}


@pytest.mark.parametrize("condition", [LABELS, VALUES, pd.Series(VALUES, name="tilt")])
def test_a_condition_comes_back_from_text(condition):
    known = learn(condition)
    assert restore(json.loads(json.dumps(known.describe()))) == known
