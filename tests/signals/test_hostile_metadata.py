"""Files by strangers: whatever stands in ``metadata.Atoms`` gives what it says or a clear error."""

import copy
import math

import dask.array as da
import hyperspy.api as hs
import matplotlib.pyplot as plt
import numcodecs
import numpy as np
import pandas as pd
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ATOMS = 12
DELETED = object()
COLUMNS = ("column0", "column1", "column2", "column3")
# Places that are hostile are not drawn well.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def nested(kind):
    """Lists or nodes in one another, as deep as HyperSpy copies them."""
    value = kind()
    for _ in range(150):
        value = [value] if kind is list else {"a": value}
    return value


def packed(*shape):
    """A lazy array of which nearly nothing is stored."""
    store = zarr.create(shape, chunks=2**16, dtype="f8", compressor=numcodecs.Zstd())
    store[: 2**16] = 0
    return da.from_array(store)


ARRAYS = [
    np.zeros(()),
    np.zeros(0),
    np.zeros(ATOMS),
    np.zeros((ATOMS, 1)),
    np.full(ATOMS, np.nan),
    np.full(ATOMS, np.inf),
    np.full(ATOMS, -1),
    np.full(ATOMS, 2**62),
    np.full(ATOMS, 2**64 - 1, dtype=np.uint64),
    np.full(ATOMS, 1e300),
    np.full(ATOMS, 1j),
    np.array(["text"] * ATOMS),
    np.array([b"text"] * ATOMS),
    np.array([{}] * ATOMS),
    np.array([np.zeros(3), None] * (ATOMS // 2), dtype=object),
    np.zeros(ATOMS, dtype="M8[s]"),
    np.zeros(ATOMS, dtype=[("x", "f8"), ("y", "i4")]),
    np.zeros(ATOMS, dtype="V3"),
    np.zeros(ATOMS, dtype=np.float16),
    np.zeros(ATOMS, dtype=">i2"),
    da.zeros(10**12),
    da.zeros((10**6, 10**7)),
    da.zeros(2**26),
    packed(2**23),
    packed(2**40),
    da.from_array(np.zeros(2**19)),
    np.zeros(ATOMS, dtype=np.longdouble),
    np.zeros(2 * ATOMS)[::-2],
    da.zeros(ATOMS, chunks=5),
    da.zeros(()),
    da.from_array(np.array(["text"] * ATOMS)),
]
PLAIN = [
    None,
    True,
    0,
    -1,
    7,
    10**30,
    -(10**400),
    0.5,
    math.nan,
    math.inf,
    "",
    "text",
    "9**9**9**9",
    "x" * 10**5,
    "\x00$\\frac{",
    "\udcff\ud800",
    b"bytes",
    2j,
    [],
    (),
    {},
    [1, 2],
    [[1], [2, 3]],
    ["a"] * 50,
    [None] * ATOMS,
    {"a": {"b": {}}},
    [math.nan, -math.inf],
    {"size": math.nan, "channels": 3},
    ["x", "x", "y", "frame"],
    nested(list),
    nested(dict),
    "[" * 10**5,
    '{"model": "RVAE"}',
]
HOSTILE = [*PLAIN, *ARRAYS, DELETED]


def latents():
    image = hs.signals.Signal2D(np.random.default_rng(0).random((2, 40, 50)))
    image.set_signal_type("atom_lattice")
    places = np.stack(np.meshgrid(np.arange(3), np.arange(2)), -1).reshape(-1, 2) * 12.0 + 10
    image.set_atoms({frame: places for frame in range(2)})
    return image.extract_subimages(7).fit_rvae(1, epochs=1, decoder="spatial", seed=0)


def vectors():
    image = hs.signals.Signal2D(np.zeros((60, 70)))
    image.set_signal_type("atom_lattice")
    a = np.stack(np.meshgrid(np.arange(4), np.arange(3)), -1).reshape(-1, 2) * 12.0 + 10
    b = np.stack(np.meshgrid(np.arange(3), np.arange(2)), -1).reshape(-1, 2) * 12.0 + 16.2
    table = [pd.DataFrame(xy, columns=["x", "y"]) for xy in (a, b)]
    image.set_atoms(pd.concat([table[0].assign(sublattice="A"), table[1].assign(sublattice="B")]))
    return image.displacement_map("B", "A")


SIGNALS = {}


def signal_of(kind):
    if not SIGNALS:
        SIGNALS["latents"], SIGNALS["vectors"] = latents(), vectors()
        image = hs.signals.Signal2D(np.random.default_rng(1).random((40, 50)))
        image.set_signal_type("atom_lattice")
        image.set_atoms(np.random.default_rng(2).uniform(8, 32, (ATOMS, 2)))
        SIGNALS["image"] = image
        SIGNALS["properties"] = SIGNALS["vectors"].gradient_map()
        SIGNALS["subimages"] = image.extract_subimages(7)
    return SIGNALS[kind].deepcopy()


def paths(node, prefix=()):
    """Every place in a node that a stranger could change."""
    for key, value in node.items():
        yield (*prefix, key)
        if isinstance(value, dict):
            yield from paths(value, (*prefix, key))


def put(node, path, value):
    *folders, last = path
    for key in folders:
        node = node.setdefault(key, {})
        if not isinstance(node, dict):
            return
    if value is DELETED:
        node.pop(last, None)
    else:
        node[last] = value


READERS = {
    "image": [
        lambda s: s.atoms,
        lambda s: s.extract_subimages(7, edge="reflect"),
        lambda s: s.isig[3:30, 2:].atoms,
        lambda s: s.rebin(scale=(2, 2)).atoms,
        lambda s: s.deepcopy().refine_atoms(method="center_of_mass"),
    ],
    "subimages": [
        lambda s: s.atoms,
        lambda s: s.inav[1:4].atoms,
        lambda s: s.encode(SIGNALS["latents"].model),
    ],
    "latents": [
        lambda s: s.atoms,
        lambda s: s.columns,
        lambda s: s.model,
        lambda s: s.to_dataframe(),
        lambda s: s.plot_map("z1"),
        lambda s: s.plot_manifold(size=2),
        lambda s: s.plot_latent_space(),
        lambda s: s.symmetry(),
        lambda s: s.inav[1:4].to_dataframe(),
    ],
    "vectors": [
        lambda s: s.atoms,
        lambda s: s.columns,
        lambda s: s.units,
        lambda s: s.scores,
        lambda s: s.to_dataframe(),
        lambda s: s.magnitude,
        lambda s: s.noise(),
        lambda s: s.correct("plane"),
        lambda s: s.polarization({"A": 1.0, "B": -1.0}, 60.0),
        lambda s: s.plot_map("magnitude"),
    ],
    "properties": [
        lambda s: s.atoms,
        lambda s: s.columns,
        lambda s: s.units_of("e_xx"),
        lambda s: s.to_dataframe(),
        lambda s: s.plot_map(s.columns[0]),
    ],
}
KINDS = list(READERS)


def check(kind, changes):
    signal = signal_of(kind)
    node = copy.deepcopy(signal.metadata.Atoms.as_dictionary())
    for path, value in changes:
        put(node, path, value)
    del signal.metadata.Atoms
    signal.metadata.set_item("Atoms", node)
    for reader in READERS[kind]:
        try:
            reader(signal)
        except (ValueError, TypeError) as error:
            assert len(str(error)) > 20, repr(error)
    plt.close("all")


@st.composite
def changed(draw):
    kind = draw(st.sampled_from(KINDS))
    places = list(paths(signal_of(kind).metadata.Atoms.as_dictionary()))
    change = st.tuples(st.sampled_from(places), st.sampled_from(HOSTILE))
    return kind, draw(st.lists(change, min_size=1, max_size=2))


# What failed once, with anything but a clear error.
FOUND = [
    ("image", [(("axes", "scale"), np.full(2, 1j))]),
    ("image", [(("axes", "name"), da.zeros(10**12))]),
    ("image", [(("table", "names"), da.zeros(10**12))]),
    ("image", [(("table", "labels", "column3"), da.zeros(10**12))]),
    ("image", [(("table", "columns", "column0"), np.full(ATOMS, 1e300))]),
    ("image", [(("table", "columns", "column0"), np.full(ATOMS, 2**62))]),
    ("image", [(("table", "columns", name), da.zeros(10**11)) for name in COLUMNS]),
    ("image", [(("table", "columns", name), da.zeros(2**26)) for name in COLUMNS]),
    ("image", [(("axes", "units"), ["9**9**9**9", "nm"])]),
    ("vectors", [(("axes", "units"), ["9**9**9**9", "nm"])]),
    ("vectors", [(("displacement",), None)]),
    ("vectors", [(("displacement",), "text")]),
    ("vectors", [(("displacement", "classes"), {"names": 3, "scores": da.zeros(10**12)})]),
    ("properties", [(("properties",), {"a": 3})]),
    ("properties", [(("properties", "units"), da.zeros(10**12))]),
    ("latents", [(("latents",), "")]),
    ("latents", [(("model",), "text")]),
    ("latents", [(("window",), "text")]),
    ("latents", [(("window", "channels"), 3)]),
    ("image", [(("table", "names"), ["frame", "x", "y", "x"])]),
    ("image", [(("table", "columns", name), packed(2**23)) for name in COLUMNS]),
    (
        "image",
        [(("table", "columns", name), da.from_array(np.zeros(2**19))) for name in COLUMNS],
    ),
    ("latents", [(("model", "weights", "scale"), packed(2**23))]),
    ("latents", [(("model", "configuration"), "[" * 10**5)]),
    ("latents", [(("model", "weights", "scale"), np.full(1, 1e300))]),
]


@pytest.mark.parametrize(("kind", "changes"), FOUND)
def test_what_was_found(kind, changes):
    check(kind, changes)


@pytest.mark.parametrize("lazy", [False, True])
def test_windows_are_not_cut_from_the_frames_of_others(lazy):
    movie = hs.signals.Signal2D(np.zeros((2, 30, 30)))
    movie = movie.as_lazy() if lazy else movie
    movie.set_signal_type("atom_lattice")
    movie.set_atoms({0: [[10, 12]], 1: [[14, 15]]})
    movie.metadata.Atoms.table.columns.column0 = np.array([1, 0])
    with pytest.raises(ValueError, match="not sorted by frame"):
        movie.extract_subimages(7)


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
)
@given(changed())
def test_whatever_the_node_holds(case):
    check(*case)
