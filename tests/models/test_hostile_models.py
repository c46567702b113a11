"""Models by strangers: whatever configuration and weights say gives a model or a clear error."""

import json
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hyperspy_rvae.models import RVAE, torch_files

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


BYTEARRAY = b"\x80\x02cbuiltins\nbytearray\n" + number(10**8) + b"\x85R."
ORDERED = b"ccollections\nOrderedDict\n"
STORAGE = (
    b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
)


def text(word):
    return b"X" + struct.pack("<I", len(word)) + word


def tensor(shape, stride):
    """Dict of a tensor that claims a shape of the four numbers in the file."""
    sides = [b"(" + b"".join(map(number, numbers)) + b"t" for numbers in (shape, stride)]
    made = b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE + b"K\x00" + b"".join(sides)
    return b"\x80\x02}" + text(b"a") + made + b"\x89" + ORDERED + b")RtRs."


def doubled(between):
    """Tuple of tuples, two to the power of 40 at last, with an opcode that does nothing."""
    code = b")q\x00"
    for k in range(40):
        code += b"h%c\x86" % k + between + b"q%c" % (k + 1)
    return code


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


def rewrite(path, changes):
    """File whose members have another name and content, or are there twice."""
    torch.save({"configuration": "{}", "weights": {"a": torch.zeros(4)}}, path)
    with zipfile.ZipFile(path) as archive:
        parts = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts:
            archive.writestr(*changes.get(name, (name, part)))


@pytest.mark.parametrize(
    ("pickled", "why"),
    [
        (BYTEARRAY, "builtins bytearray"),
        (b"\x80\x02ctorch.storage\nUntypedStorage\n" + number(10**12) + b"\x85R.", "Untyped"),
        (pickle.dumps(set(), 4), "it can't be read"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93.", "it names"),
        (b"(i__builtin__\nexec\n.", "it names __builtin__ exec"),
        (b"\x80\x02" + b"]" * 10**5 + b"a" * (10**5 - 1) + b".", "RecursionError"),
        (laughs(tuple), "hold one another many times"),
        (laughs(list), "hold one another many times"),
        (b"\x80\x02}q\x00)" + b"2\x86" * 60 + b"K\x01s.", "it can't be read"),
        (b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.", "hold one another many times"),
        (b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s.", "a key is a tuple"),
        (b"\x80\x02}" + doubled(b"\x80\x02") + b"K\x01s.", "a key is a tuple"),
        (b"\x80\x02}(" + doubled(b"") + b"K\x01u.", "a key is a tuple"),
        (b"\x80\x02" + doubled(b"") + b")R.", "of type tuple, not str"),
        (b"\x80\x02" + ORDERED + b"](](K\x01K\x02ee\x85R.", "it calls collections OrderedDict"),
        (b"\x80\x02" + text(b"builtins eval") + b"K\x01\x85R.", "it calls builtins eval"),
        (tensor([10**9], [0]), "a tensor is a view"),
        (tensor([10**9], [1]), "RuntimeError"),
        (tensor([2**32, 2**32], [0, 0]), "a tensor is a view|RuntimeError"),
        (tensor([1] * 1000, [1] * 1000), "a tensor has 1000 dimensions"),
        (b"\x80\x02}(K\x01u.", "ValueError"),
        (b"\x80\x02K\x01e.", "IndexError"),
        (b"\x80\x02\x87.", "it takes what is not there"),
        (b"\x80\x02K\x01K\x01a.", "of type int, not list"),
        (b"garbage", "it can't be read"),
        (b"", "it can't be read"),
    ],
)
def test_pickles_in_model_files(tmp_path, pickled, why):
    path = tmp_path / "model.pt"
    rewrite(path, {"model/data.pkl": ("model/data.pkl", pickled)})
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


@pytest.mark.parametrize(
    ("member", "name"),
    [
        ("data.pkl", "model/data.PKL"),
        ("data.pkl", "MODEL/data.pkl"),
        ("data.pkl", "model/model/data.pkl"),
        (".data/serialization_id", "model/constants.pkl"),
        (".data/serialization_id", "model/DATA.pkl"),
        (".data/serialization_id", "model/data/0.pkl"),
        ("version", "model/Version"),
    ],
)
def test_names_in_model_files(tmp_path, member, name):
    path = tmp_path / "model.pt"
    rewrite(path, {f"model/{member}": (name, BYTEARRAY)})
    refused_at_once(path, "it has a part")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_are_there_twice(tmp_path):
    path = tmp_path / "model.pt"
    rewrite(path, {"model/.data/serialization_id": ("model/data.pkl", BYTEARRAY)})
    refused_at_once(path, "it has a part 'model/data.pkl'")


def test_something_before_the_parts(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"configuration": "{}", "weights": {}}, path)
    path.write_bytes(BYTEARRAY + path.read_bytes())
    refused_at_once(path, "configuration")


def refused_at_once(path, why):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=why):
            RVAE.load(path)
        assert tracemalloc.get_traced_memory()[1] < 10**7
    finally:
        tracemalloc.stop()


def assert_same(found, expected):
    if torch.is_tensor(expected):
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for name, value in expected.items():
            assert_same(found[name], value)
    elif isinstance(expected, list | tuple):
        assert type(found) is type(expected)
        for here, there in zip(found, expected, strict=True):
            assert_same(here, there)
    else:
        assert type(found) is type(expected)
        assert found == expected


@pytest.mark.parametrize("kind", ["spatial", "steerable", "conv", "ensemble"])
def test_honest_files_are_read_as_torch_reads_them(tmp_path, kind):
    path, checkpoint = tmp_path / "model.pt", tmp_path / "checkpoint"
    model_of(kind).save(path)
    options = {
        "decoder": "steerable" if kind == "steerable" else "spatial",
        "encoder": "conv" if kind == "conv" else "mlp",
        "n_models": 2 if kind == "ensemble" else 1,
    }
    windows = np.random.default_rng(0).random((20, 7, 9))
    RVAE(1, epochs=2, seed=0, **options).fit(windows, checkpoint=checkpoint)
    for file in tmp_path.iterdir():
        assert_same(torch_files.read(file, ""), torch.load(file, weights_only=True))


def test_plain_values_are_read_as_they_were_written(tmp_path):
    content = {
        "numbers": [0, -1, 255, 65535, 2**31, -(2**80), 0.5, float("inf"), True, False, None],
        "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ((("deep",),),)),
        "text": "\N{GREEK SMALL LETTER MU}m" * 100,
        "many": {k: [str(k)] for k in range(3000)},
        "tensors": [torch.zeros(()), torch.zeros(0), torch.arange(6).reshape(2, 3)[1:]],
        "flags": torch.tensor([True, False]),
        "bytes": torch.tensor([1, 255], dtype=torch.uint8),
    }
    torch_files.write(tmp_path / "file", content)
    assert_same(torch_files.read(tmp_path / "file", ""), content)
