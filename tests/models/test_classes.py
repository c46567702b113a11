"""Classes beside the content: found without labels, or learned from a few."""

from __future__ import annotations

import json

import dask.array as da
import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import confusion_matrix
from sklearn.mixture import GaussianMixture
from torch import Generator

from hyperspy_rvae.data.motifs import graphene_motifs
from hyperspy_rvae.models import RVAE, fitting, inference
from hyperspy_rvae.models.labels import learn_classes
from hyperspy_rvae.models.latents import LatentSpace
from hyperspy_rvae.models.steerable.classes import Classes
from hyperspy_rvae.models.steerable.nets import SteerableNetwork
from hyperspy_rvae.models.steerable.runs import labels_last
from hyperspy_rvae.models.steerable.training import Samples

KINDS = ("threefold", "fourfold", "edge")
SOME = np.where(np.arange(23) % 4 == 0, "A", np.where(np.arange(23) % 4 == 1, "B", ""))


def agreement(found, kinds):
    """Share of subimages of the right class, classes being named as fits best."""
    table = confusion_matrix(np.unique(kinds, return_inverse=True)[1], found)
    return table[linear_sum_assignment(-table)].sum() / len(kinds)


def make_pairs(n, seed, side=17):
    """Pairs of atoms of any distance and angle; the second one is fainter in one of two kinds."""
    rng = np.random.default_rng(seed)
    kind, length = rng.integers(0, 2, n), rng.uniform(3.5, 5.5, n)
    angle = rng.uniform(-np.pi, np.pi, n)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    images = rng.normal(0, 0.1, (n, side, side))
    for places, weights in ((0 * length, 1 + 0 * length), (length, np.where(kind, 1.0, 0.7))):
        r2 = (x - (places * np.cos(angle))[:, None, None]) ** 2
        r2 = r2 + (y + (places * np.sin(angle))[:, None, None]) ** 2
        images += weights[:, None, None] * np.exp(-r2 / (2 * 1.5**2))
    return images.astype(np.float32), np.array(["faint", "full"])[kind], length


def test_four_motifs_are_found():
    images, truth = graphene_motifs(500, 20, shift_px=1, seed=1)
    model = RVAE(2, discrete_classes=4, epochs=30, seed=0).fit(images)
    assert model.latent_names_[-2:] == ("class", "class_probability")
    values, std = model.transform(images, return_std=True)
    assert agreement(values[:, -2].astype(int), truth["kind"]) >= 0.95
    assert (values[:, -1] > 1 / 4).all() and (values[:, -1] <= 1).all()
    assert np.isnan(std[:, -2:]).all() and (std[:, :-2] > 0).all()
    np.testing.assert_array_equal(model.classes_, np.arange(4))
    assert len(model.history_) == 30
    shown = model.reconstruct(images)
    clean, _ = graphene_motifs(500, 20, shift_px=1, seed=1, noise=0)
    inside = np.hypot(*np.mgrid[-9.5:10, -9.5:10]) < 8
    assert np.square(shown - clean)[:, inside].mean() < 0.15 * clean[:, inside].var()


def test_a_few_labels_tell_apart_what_content_does_not():
    images, kinds, length = make_pairs(400, seed=0)
    labels = np.where(np.arange(400) < 20, kinds, "")  # 5 %
    plain = RVAE(1, epochs=40, seed=0).fit(images).transform(images)[:, 3:]
    blind = GaussianMixture(2, n_init=3, random_state=0).fit_predict(plain)
    assert agreement(blind, kinds) < 0.7
    model = RVAE(1, discrete_classes=2, epochs=40, seed=0).fit(images, labels)
    values = model.transform(images)
    found = model.classes_[values[:, 4].astype(int)]
    assert (found == kinds)[20:].mean() >= 0.95
    for kind in np.unique(kinds):
        assert abs(np.corrcoef(values[kinds == kind, 3], length[kinds == kind])[0, 1]) > 0.85


def test_a_few_labels_name_what_content_tells_apart_by_itself():
    # With a training long enough for content to learn the kinds before the classes could.
    images, truth = graphene_motifs(100, 14, kinds=KINDS, shift_px=1, seed=2)
    labels = truth["kind"].where(truth.index < 5, "")  # 5 %
    model = RVAE(2, discrete_classes=3, epochs=130, seed=0).fit(images, labels)
    found = model.classes_[model.transform(images)[:, -2].astype(int)]
    assert (found == truth["kind"])[:5].all()
    assert (found == truth["kind"])[5:].mean() >= 0.95


@pytest.fixture
def labelled(windows):
    """A network that has learned nothing, its coefficients, and labels of two classes."""
    space = LatentSpace(2, rotation=True, translation=True, classes=2)
    network = SteerableNetwork((7, 9), space, band=1.5, condition=1)
    network.start(Generator().manual_seed(3))
    pixels = network.seen(torch.from_numpy(windows.reshape(23, -1)))
    samples = Samples(network, pixels, torch.linspace(-1, 1, 23)[:, None])
    network.begin(samples.coefficients(torch.arange(23)), samples.square)
    network.noise_variance.fill_(0.01)
    labels = torch.from_numpy(np.select([SOME == "A", SOME == "B"], [0, 1], -1))
    return network, samples, Classes(network, labels, Generator().manual_seed(0))


def test_slope_of_the_cross_entropy(labelled):
    network, samples, classes = labelled
    rows, turns = torch.tensor([0, 5, 4, 9, 1, 0]), torch.linspace(-3, 3, 6)
    place = torch.tensor([0, 2, 1, 0, 0, 3])
    cells = network.near[place]
    network.double()
    own, a = samples.at(rows, place).double(), samples.coefficients(rows, cells).double()
    given, square, turns = samples.context[rows].double(), samples.square[rows], turns.double()

    def cross_entropy():
        bounds = []
        for code in torch.eye(2).double():
            context = torch.cat([code.expand(6, -1), given], 1)
            mean, log_variance = network.read(own, context, turns)
            joint, _ = network.likelihood.log_joint(
                a, network.draw(mean, context), network.noise, cells
            )
            kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1)
            bounds.append(joint.flatten(1).logsumexp(1) - kl)
        return torch.nn.functional.cross_entropy(torch.stack(bounds, 1), classes.labels[rows])

    loss = classes.contradiction(rows, own, a, square.double(), cells, given, turns)
    loss.backward()
    step = 1e-5
    with torch.no_grad():
        assert 0.2 < cross_entropy() < 20
        for parameter in network.parameters():
            slope = parameter.grad / parameter.grad.norm()
            values = []
            for sign in (1, -1):
                parameter += sign * step * slope
                values.append(float(cross_entropy()))
                parameter -= sign * step * slope
            found = (values[0] - values[1]) / (2 * step)
            assert found == pytest.approx(float(parameter.grad.norm()), rel=1e-3)


def test_labelled_rows_are_drawn_from_all_classes_alike(labelled):
    _, _, classes = labelled
    rows = torch.cat([classes.some_labelled() for _ in range(200)])
    assert (np.bincount(rows, minlength=23) > 0).tolist() == (SOME != "").tolist()
    assert np.mean(SOME[rows] == "A") == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("aside", [0, 5, 9])
def test_no_class_is_held_out_as_a_whole(aside):
    labels = torch.tensor([1, 1, -1, 0, 1, 1, 2, -1, 1, 1, 0, 1])
    order = labels_last(labels)
    assert sorted(order.tolist()) == list(range(12))
    assert set(labels[order[:2]].tolist()) == {-1}
    assert set(labels[order[aside:]].tolist()) >= {0, 1, 2}


@pytest.mark.parametrize("invariances", [(), ("rotation",), ("translation", "rotation")])
@pytest.mark.parametrize("told", [None, np.linspace(0, 1, 23)], ids=["plain", "conditional"])
@pytest.mark.parametrize("y", [None, SOME], ids=["joint", "semi-supervised"])
def test_the_family_with_classes(windows, invariances, told, y, tmp_path):
    model = RVAE(2, invariances=invariances, discrete_classes=2, epochs=2, seed=0)
    records = []
    model.fit(windows, y, condition=told, callback=lambda *record: records.append(record))
    assert [epoch for epoch, _ in records] == [0, 1] and len(model.history_) == 2
    values = model.transform(windows, condition=told)
    assert set(values[:, -2]) <= {0, 1}
    assert np.isfinite(model.score(windows, condition=told))
    shown = model.reconstruct(windows, condition=told)
    np.testing.assert_allclose(model.inverse_transform(values, condition=told), shown)
    other = values * ([1] * (values.shape[1] - 2) + [0, 1]) + (1 - values[:, -2:-1]) * (
        np.arange(values.shape[1]) == values.shape[1] - 2
    )
    assert not np.allclose(model.inverse_transform(other, condition=told), shown)
    assert model.components_.shape == (values.shape[1], 63) and not model.components_[-2:].any()
    model.save(tmp_path / "model.pt")
    again = RVAE.load(tmp_path / "model.pt")
    np.testing.assert_array_equal(again.classes_, model.classes_)
    np.testing.assert_array_equal(again.transform(windows, condition=told), values)
    lazy = model.transform(da.from_array(windows, (7, 7, 9)), condition=told)
    np.testing.assert_allclose(lazy.compute(), values, atol=1e-4)
    same = RVAE(2, invariances=invariances, discrete_classes=2, epochs=2, seed=0)
    np.testing.assert_array_equal(same.fit_transform(windows, y, condition=told), values)


def test_classes_that_contradict_their_labels_are_warned_of(windows):
    model = RVAE(2, discrete_classes=2, epochs=2, seed=0).fit(windows, SOME)
    found = model.classes_[model.transform(windows)[:, -2].astype(int)]
    labels = np.select([SOME == "A", SOME == "B"], [0, 1], -1)
    context = np.empty((23, 0), np.float32)
    right = inference.agreement(model._network, labels, windows.reshape(23, -1), context)
    assert right == (found == SOME)[SOME != ""].mean()
    with pytest.warns(UserWarning, match="only 40% of the labelled subimages"):
        fitting.doubt_classes(0.4)
    fitting.doubt_classes(0.9)


def test_labels_of_any_kind(windows):
    expected = RVAE(1, discrete_classes=2, epochs=1, seed=0).fit(windows, SOME)
    np.testing.assert_array_equal(expected.classes_, ["A", "B"])
    none = np.where(SOME == "", None, SOME)
    numbers = np.select([SOME == "A", SOME == "B"], [3, 8], -1)
    floats = np.where(numbers < 0, np.nan, numbers)
    for labels in (list(SOME), none, numbers, floats):
        model = RVAE(1, discrete_classes=2, epochs=1, seed=0).fit(windows, labels)
        np.testing.assert_array_equal(model.transform(windows), expected.transform(windows))
    assert model.classes_.tolist() == [3, 8]


def test_labels_without_classes_are_ignored(windows):
    plain = RVAE(1, epochs=1, seed=0).fit(windows)
    model = RVAE(1, epochs=1, seed=0).fit(windows, np.linspace(0, 1, 23))
    np.testing.assert_array_equal(model.transform(windows), plain.transform(windows))
    assert len(model.classes_) == 0 and plain.fit(windows, SOME).latent_names_[-1] == "z1"


@pytest.mark.parametrize(
    ("y", "error", "match"),
    [
        (SOME[:9], ValueError, "y must have one entry for each of the 23 subimages, got 9"),
        ([""] * 23, ValueError, "y must label some of the subimages, got no label"),
        ([-1] * 23, ValueError, "got no label"),
        (np.full(23, np.nan), ValueError, "got no label"),
        (["A"] * 23, ValueError, "y has 1 labels, 'A', and discrete_classes is 2"),
        (np.arange(23), ValueError, "y has 23 labels, 0, 1, 2, 3, 4, ..., and discrete_classes"),
        (np.linspace(0, 1, 23), TypeError, "all text or all whole numbers, got also '0.04"),
        ([*SOME[:22], 3], TypeError, "all text or all whole numbers"),
        (np.zeros((23, 2)), ValueError, r"of shape \(n,\), a label a subimage, got \(23, 2\)"),
    ],
)
def test_labels_to_fit(windows, y, error, match):
    with pytest.raises(error, match=match):
        RVAE(1, discrete_classes=2, epochs=1, seed=0).fit(windows, y)


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        (
            {"discrete_classes": 1},
            "discrete_classes must be 0 for none, or a whole number from 2 on",
        ),
        ({"discrete_classes": -2}, "got -2"),
        ({"discrete_classes": 2.0}, "got 2.0"),
        ({"discrete_classes": True}, "got True"),
        ({"discrete_classes": 18}, "to learn from, got 18 for 17 that are not held out"),
        ({"discrete_classes": 2, "decoder": "spatial"}, "needs decoder='steerable', got 'spatial'"),
    ],
)
def test_classes_without_meaning(windows, parameters, match):
    with pytest.raises(ValueError, match=match):
        RVAE(1, epochs=1, **parameters).fit(windows)


def test_more_labels_than_are_learned_from(windows):
    with pytest.raises(ValueError, match="to learn from, got 2 for 1 that are not held out"):
        RVAE(1, discrete_classes=2, epochs=1, validation_fraction=0.95).fit(windows, SOME)


def test_a_checkpoint_knows_its_labels(windows, tmp_path):
    model = RVAE(1, discrete_classes=2, epochs=2, seed=0)
    kept = model.fit(windows, SOME, checkpoint=tmp_path / "c.pt").transform(windows)
    again = RVAE(1, discrete_classes=2, epochs=2, seed=0)
    again.fit(windows, SOME, checkpoint=tmp_path / "c.pt")
    np.testing.assert_array_equal(again.transform(windows), kept)
    other = np.where(SOME == "A", "B", np.where(SOME == "B", "A", ""))
    with pytest.raises(ValueError, match="another training"):
        again.fit(windows, other, checkpoint=tmp_path / "c.pt")


@pytest.mark.parametrize("y", [None, SOME], ids=["joint", "semi-supervised"])
@pytest.mark.parametrize("last", [1, 3, 5])
def test_a_training_with_classes_goes_on(windows, y, last, tmp_path, monkeypatch):
    monkeypatch.setattr("hyperspy_rvae.models.checkpoint._LEAST_WAIT", 0)
    seen = []

    def stop(epoch, record):
        if epoch == last:
            raise KeyboardInterrupt

    model = RVAE(2, discrete_classes=2, epochs=7, seed=0)
    whole, history = model.fit(windows, y).weights(), model.history_
    with pytest.raises(KeyboardInterrupt):
        model.fit(windows, y, checkpoint=tmp_path / "c.pt", callback=stop)
    model.fit(
        windows, y, checkpoint=tmp_path / "c.pt", callback=lambda epoch, record: seen.append(epoch)
    )
    assert seen == list(range(last, 7)) and model.history_ == history
    for name, value in model.weights().items():
        np.testing.assert_array_equal(value, whole[name], err_msg=name)


def test_a_checkpoint_that_was_left_is_met_before_any_training(windows, tmp_path):
    model = RVAE(1, discrete_classes=2, epochs=2, seed=0)
    model.fit(windows, checkpoint=tmp_path / "c.pt")
    (tmp_path / "c.pt").unlink()
    model.set_params(seed=1)
    seen = []
    with pytest.raises(ValueError, match=r"c\.pt\.next' is of another training; .* seed"):
        model.fit(windows, checkpoint=tmp_path / "c.pt", callback=lambda *_: seen.append(1))
    assert not seen and not (tmp_path / "c.pt").exists()


@pytest.mark.parametrize("place", [2, -1, 0.5])
def test_a_class_that_is_none(windows, place):
    model = RVAE(1, discrete_classes=2, epochs=1, seed=0).fit(windows)
    with pytest.raises(ValueError, match="column class of Z must hold whole numbers from 0 to 1"):
        model.inverse_transform([[0, 0, 0, 0.3, place, 1]])


@pytest.mark.parametrize(
    "hostile", [None, 7, ["A"], ["A", "A"], ["A", 3], [["A"], ["B"]], ["A", "B", "C"], {"A": 1}]
)
def test_hostile_classes(windows, hostile):
    model = RVAE(1, discrete_classes=2, epochs=1, seed=0).fit(windows, SOME)
    found = json.loads(model.configuration()) | {"classes": hostile}
    with pytest.raises(ValueError, match="save the model again, or refit"):
        RVAE.rebuild(json.dumps(found), model.weights())
    found["parameters"]["discrete_classes"] = 10**12
    with pytest.raises(ValueError, match="save the model again, or refit"):
        RVAE.rebuild(json.dumps(found), model.weights())


def test_logical_labels(windows):
    found = np.arange(23) % 2 == 0
    model = RVAE(1, discrete_classes=2, epochs=1, seed=0).fit(windows, list(found))
    assert model.classes_.tolist() == [0, 1]


def test_index_of_labels():
    names, index = learn_classes(["b", None, "a", "", "b"], 2)
    assert names.tolist() == ["a", "b"] and index.tolist() == [1, -1, 0, -1, 1]
    names, index = learn_classes(None, 3)
    assert names.tolist() == [0, 1, 2] and index is None
