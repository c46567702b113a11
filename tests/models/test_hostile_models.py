"""Models by strangers: whatever configuration and weights say gives a model or a clear error."""

import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hyperspy_rvae.models import RVAE

PLAIN = [
    None,
    True,
    -1,
    0,
    1,
    3,
    10**400,
    -(10**400),
    10**15,
    1e308,
    0.5,
    "",
    "text",
    "x" * 10**5,
    [],
    {},
    [[1]],
    [1, 2],
    ["rotation"],
    [10**400, 5],
    [7, 10**15],
    [None],
    {"a": {"b": [1]}},
]


def arrays(shape):
    """What a weight of that shape could be in its place."""
    return [
        np.zeros(()),
        np.zeros(0),
        np.zeros(shape),
        np.full(shape, -1.0),
        np.full(shape, np.nan),
        np.full(shape, np.inf),
        np.full(shape, 1e300),
        np.zeros(shape, dtype=complex),
        np.zeros(shape, dtype="U3"),
        np.zeros(shape, dtype=object),
        np.zeros(shape, dtype="M8[s]"),
        np.zeros(shape, dtype=">f8"),
        np.zeros(shape, dtype=[("a", "f4")]),
        np.zeros(shape)[..., None],
        np.broadcast_to(np.float32(1), (10**9, *shape)),
        None,
        b"bytes",
        [],
        {},
        3,
    ]


MODELS = {}


def model_of(decoder):
    if not MODELS:
        windows = np.random.default_rng(0).random((20, 7, 9))
        for name in ("spatial", "steerable"):
            MODELS[name] = RVAE(1, epochs=1, decoder=name, seed=0).fit(windows)
        MODELS["conv"] = RVAE(1, epochs=1, decoder="spatial", encoder="conv", seed=0).fit(windows)
        MODELS["ensemble"] = RVAE(1, epochs=1, decoder="spatial", n_models=2, seed=0).fit(windows)
    return MODELS[decoder]


def check(configuration, weights):
    try:
        model = RVAE.rebuild(configuration, weights)
    except ValueError as error:
        assert len(str(error)) > 20
        return
    with np.errstate(over="ignore"):
        model.transform(np.zeros((2, 7, 9)))
        model.inverse_transform(np.zeros((1, len(model.latent_names_))))


@st.composite
def configurations(draw):
    decoder = draw(st.sampled_from(["spatial", "conv", "steerable", "ensemble"]))
    found = json.loads(model_of(decoder).configuration())
    names = [*found, *found["parameters"]]
    return decoder, draw(
        st.dictionaries(st.sampled_from(names), st.sampled_from(PLAIN), min_size=1, max_size=2)
    )


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(configurations())
@example(("spatial", {"beta": 10**400}))
@example(("steerable", {"learning_rate": 10**400}))
@example(("steerable", {"translation_prior": 1e308}))
@example(("steerable", {"translation_prior": 10**15}))
@example(("steerable", {"window_shape": [7, 10**15]}))
@example(("spatial", {"window_shape": [7, 10**15]}))
@example(("conv", {"window_shape": [7, 10**15]}))
@example(("conv", {"encoder": "mlp"}))
@example(("conv", {"decoder": "steerable"}))
@example(("steerable", {"rotation_symmetry": 10**400}))
@example(("ensemble", {"n_models": 10**15}))
@example(("spatial", {"n_models": 2}))
@example(("spatial", {"history": [{"loss": 10**400}]}))
def test_configurations(case):
    decoder, changes = case
    model = model_of(decoder)
    found = json.loads(model.configuration())
    parameters = found["parameters"]
    for name, value in changes.items():
        (parameters if name in parameters else found)[name] = value
    check(json.dumps(found), model.weights())


@st.composite
def weights(draw):
    decoder = draw(st.sampled_from(["spatial", "conv", "steerable", "ensemble"]))
    name = draw(st.sampled_from(sorted(model_of(decoder).weights())))
    return decoder, name, draw(st.integers(0, len(arrays(())) - 1))


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(weights())
@example(("spatial", "scale", 6))
@example(("spatial", "location", 6))
@example(("steerable", "scale", 6))
def test_weights(case):
    decoder, name, kind = case
    model = model_of(decoder)
    given_weights = model.weights()
    given_weights[name] = arrays(given_weights[name].shape)[kind]
    check(model.configuration(), given_weights)


@pytest.mark.parametrize("given_weights", [None, 3, "text", [1], np.zeros(3), {}, {3: 4}])
def test_weights_that_are_none(given_weights):
    with pytest.raises(ValueError, match="weights don't fit the model's configuration"):
        RVAE.rebuild(model_of("spatial").configuration(), given_weights)


def number(value):
    return b"\x8a\x08" + struct.pack("<q", value)


TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"


def laughs(container):
    """Dict of things of which each holds the one before twice, two to the power of 60 at last."""
    code = b"\x80\x02}q\x00K\x00)q\x01s"
    for k in range(1, 60):
        pair = (
            b"]q%c(h%ch%ce" % (k + 1, k, k)
            if container is list
            else b"h%ch%c\x86q%c" % (k, k, k + 1)
        )
        code += b"K%c" % k + pair + b"s"
    return code + b"."


@pytest.mark.parametrize(
    ("pickled", "why"),
    [
        (b"\x80\x02cbuiltins\nbytearray\n" + number(10**12) + b"\x85R.", "builtins bytearray"),
        (b"\x80\x02ctorch.storage\nUntypedStorage\n" + number(10**12) + b"\x85R.", "Untyped"),
        (pickle.dumps(set(), 4), "can't read it"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93.", "it names"),
        (b"(i__builtin__\nexec\n.", "it names __builtin__ exec"),
        (b"\x80\x02" + b"]" * 10**5 + b"a" * (10**5 - 1) + b".", "RecursionError"),
        (laughs(tuple), "hold one another many times"),
        (laughs(list), "hold one another many times"),
        (b"\x80\x02}q\x00)" + b"2\x86" * 60 + b"K\x01s.", "can't read it"),
        (b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.", "hold one another many times"),
        (b"garbage", "can't read it"),
        (b"", "can't read it"),
    ],
)
def test_pickles_in_model_files(tmp_path, pickled, why):
    path = tmp_path / "model.pt"
    torch.save({"configuration": "{}", "weights": {}}, path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, pickled if name.endswith("data.pkl") else part)
    with pytest.raises(ValueError, match=rf"must be a file that RVAE\.save wrote.*({why})"):
        RVAE.load(path)


def test_packed_model_files(tmp_path):
    honest, path = tmp_path / "honest.pt", tmp_path / "model.pt"
    torch.save({"configuration": "{}", "weights": {"a": torch.zeros(10**6)}}, honest)
    with zipfile.ZipFile(honest) as archive, zipfile.ZipFile(path, "w", 8) as packed:
        for name in archive.namelist():
            packed.writestr(name, archive.read(name))
    assert path.stat().st_size < 10**5
    with pytest.raises(ValueError, match="its parts are packed"):
        RVAE.load(path)
