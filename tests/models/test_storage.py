from __future__ import annotations

import json
import pickle

import dask.array as da
import numpy as np
import pytest
import torch

from hyperspy_rvae.models import RVAE


def test_round_trip_by_a_file(windows, quick, tmp_path):
    path = tmp_path / "model.pt"
    quick.save(path)
    again = RVAE.load(path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt"]
    for return_std in (False, True):
        np.testing.assert_array_equal(
            again.transform(windows, return_std), quick.transform(windows, return_std)
        )
    np.testing.assert_array_equal(again.components_, quick.components_)
    assert again.score(windows) == quick.score(windows)
    for name in ("history_", "latent_names_", "window_shape_", "noise_variance_", "seed_"):
        assert getattr(again, name) == getattr(quick, name)
    assert again.get_params() == quick.get_params()


def test_a_file_is_read_without_running_code(quick, tmp_path):
    path = tmp_path / "model.pt"
    quick.save(path)
    found = torch.load(path, weights_only=True)
    assert json.loads(found["configuration"])["parameters"]["latent_dim"] == 3
    assert set(found["weights"]) == set(quick.weights())


def test_no_file_is_overwritten_by_chance(quick, tmp_path):
    path = tmp_path / "model.pt"
    path.write_text("precious")
    with pytest.raises(FileExistsError):
        quick.save(path)
    assert path.read_text() == "precious"
    quick.save(path, overwrite=True)
    assert RVAE.load(path).window_shape_ == (7, 9)


def test_weights_are_plain(quick):
    for value in quick.weights().values():
        assert type(value) is np.ndarray and value.ndim >= 1 and value.dtype.kind == "f"


@pytest.mark.parametrize(
    "convert",
    [lambda v: v.astype(np.float64), lambda v: da.from_array(v, chunks=5), torch.from_numpy],
    ids=["float64", "dask", "torch"],
)
def test_weights_come_back_as_any_array(windows, quick, convert):
    weights = {name: convert(value) for name, value in quick.weights().items()}
    again = RVAE.rebuild(quick.configuration(), weights)
    np.testing.assert_array_equal(again.transform(windows), quick.transform(windows))


def test_weights_are_copies(windows, quick):
    before = quick.transform(windows)
    weights = quick.weights()
    again = RVAE.rebuild(quick.configuration(), weights)
    for value in weights.values():
        value[:] = 7
    np.testing.assert_array_equal(quick.transform(windows), before)
    np.testing.assert_array_equal(again.transform(windows), before)


def test_parameters_of_numpy_and_a_drawn_seed(windows):
    model = RVAE(np.int64(2), invariances=["rotation"], epochs=np.int32(1), beta=np.float32(0.5))
    again = RVAE.rebuild(model.fit(windows).configuration(), model.weights())
    assert again.latent_dim == 2 and again.beta == 0.5 and again.seed is None
    assert again.seed_ == model.seed_ and again.device is None


def change(quick, **changes):
    found = json.loads(quick.configuration())
    for name, value in changes.items():
        (found["parameters"] if name in found["parameters"] else found)[name] = value
    return json.dumps(found)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "VAE"},
        {"version": 2},
        {"unknown": 1},
        {"parameters": []},
        {"decoder": "__import__('os')"},
        {"parameters": {"unknown": 1}},
        {"parameters": {"self": 1}},
        {"latent_dim": 10**15},
        {"latent_dim": -1},
        {"latent_dim": "3"},
        {"latent_dim": 2},
        {"invariances": ["rotation"]},
        {"invariances": [["rotation"]]},
        {"invariances": {}},
        {"beta": float("nan")},
        {"window_shape": [9, 7, 1]},
        {"window_shape": [10**9, 10**9]},
        {"window_shape": [7.0, 9]},
        {"window_shape": [-7, -9]},
        {"window_shape": [7, 10]},
        {"window_shape": None},
        {"seed": "0"},
        {"seed": True},
        {"history": {}},
        {"history": [{"loss": "low"}]},
        {"history": [3]},
    ],
    ids=str,
)
def test_hostile_configuration(quick, changes):
    with pytest.raises(ValueError, match="configuration"):
        RVAE.rebuild(change(quick, **changes), quick.weights())


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "[" * 10**5, "NaN", None, 3, b"\xff"])
def test_unparsable_configuration(quick, text):
    with pytest.raises(ValueError, match="can't read the model's configuration"):
        RVAE.rebuild(text, quick.weights())


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("encoder.last.bias", None, "missing or unknown weights: encoder.last.bias"),
        ("extra", np.zeros(3), "missing or unknown weights: extra"),
        ("encoder.last.bias", np.zeros(2), r"must be of shape \(\d+,\), got \(2,\)"),
        ("encoder.last.bias", np.zeros(()), r"got \(\)"),
        ("encoder.last.bias", "text", r"got \(\)"),
        ("noise_variance", np.array([np.nan]), "finite"),
        ("noise_variance", np.array([1e300]), "finite"),
        ("noise_variance", np.array([1j]), "real numbers"),
        ("noise_variance", np.array([{}]), "real numbers"),
        ("encoder.first.weight", np.zeros((63, 128)), r"\(128, \d+\), got \(63, 128\)"),
        ("scale", np.zeros(1), "scale must be positive"),
        ("noise_variance", -np.ones(1), "noise_variance must be positive"),
        ("location", np.zeros((1, 1)), r"must be of shape \(1,\)"),
    ],
)
def test_hostile_weights(quick, name, value, match):
    weights = quick.weights()
    weights[name] = value
    if value is None:
        del weights[name]
    with pytest.raises(ValueError, match=match):
        RVAE.rebuild(quick.configuration(), weights)


def test_a_huge_view_allocates_nothing(quick):
    weights = quick.weights()
    weights["encoder.first.weight"] = np.broadcast_to(np.float32(0), (128, 10**10))
    with pytest.raises(ValueError, match="at most"):
        RVAE.rebuild(change(quick, window_shape=[10**5, 10**5]), weights)


class Trap:
    def __reduce__(self):
        return (exec, ("raise AssertionError('code was run')",))


def stored(content):
    return lambda path: torch.save(content, path)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"PK\x03\x04 no zip"),
        lambda path: path.write_text("text"),
        lambda path: path.write_bytes(pickle.dumps(Trap())),
        stored({"configuration": "{}", "weights": Trap()}),
        stored(torch.zeros(3)),
        stored({"configuration": "{}"}),
        stored({"configuration": "{}", "weights": [torch.zeros(3)]}),
        stored({"configuration": "{}", "weights": {"a": 3}}),
        stored({"configuration": "{}", "weights": {"a": torch.zeros(1).expand(10**12)}}),
        stored({"configuration": "{}", "weights": {"a": torch.eye(3).to_sparse()}}),
    ],
)
def test_foreign_files(tmp_path, write):
    path = tmp_path / "model.pt"
    write(path)
    with pytest.raises(ValueError, match=r"must be a file that RVAE\.save wrote"):
        RVAE.load(path)


def test_a_cut_file(quick, tmp_path):
    path = tmp_path / "model.pt"
    quick.save(path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="it can't be read"):
        RVAE.load(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model file"):
        RVAE.load(tmp_path / "none.pt")


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("band", np.array([50.0]), "band must be between"),
        ("band", np.array([-1.0]), "band must be between"),
        ("band", np.array([0.5]), "must be of shape"),
        ("band", None, "band must be of shape"),
        ("sides", np.array([7.0, 8.0]), r"sides must be \(7, 9\)"),
        ("inflation", np.array([1.0, 0.0]), "inflation must be positive"),
        ("gain", np.zeros(1), "gain must be positive"),
    ],
)
def test_hostile_numbers_of_a_basis(windows, name, value, match):
    model = RVAE(1, epochs=1, seed=0).fit(windows)
    weights = model.weights()
    weights[name] = value
    with pytest.raises(ValueError, match=match):
        RVAE.rebuild(model.configuration(), weights)


def test_no_window_is_too_large_to_refuse(windows):
    model = RVAE(1, epochs=1, seed=0).fit(windows)
    weights = model.weights()
    weights["sides"] = np.array([1e9, 1e9])
    with pytest.raises(ValueError, match="configuration: windows for the steerable decoder"):
        RVAE.rebuild(change(model, window_shape=[10**9, 10**9]), weights)
