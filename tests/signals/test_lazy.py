"""Every public method on a lazy movie: the numbers of the eager one, and each chunk read once."""

import dask.array as da
import hyperspy.api as hs
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hyperspy.signals import BaseSignal

import hyperspy_rvae as hrv
from hyperspy_rvae import signals

FRAMES, HEIGHT, WIDTH, SIZE = 5, 96, 112, 11
FIT = {"latent_dim": 1, "epochs": 1, "seed": 0}


class Film:
    """A movie that notes which of its chunks are read."""

    def __init__(self):
        rng = np.random.default_rng(0)
        size = WIDTH + 6, HEIGHT + 6
        image, truth = hrv.data.crystal(size=size, pixel_pm=24.0, noise=0.0, seed=2)
        truth = truth.replace({"sublattice": {"Sr": "A", "Ti": "B"}})
        drift = np.stack([np.arange(FRAMES), 2 * np.arange(FRAMES) % 5], 1)
        frames = [image.data[y : y + HEIGHT, x : x + WIDTH] for x, y in drift]
        self.pixels = np.stack(frames) + rng.normal(0, 0.03, (FRAMES, HEIGHT, WIDTH))
        self.pixels = self.pixels.astype(np.float32)
        tables = []
        for frame, (x, y) in enumerate(drift):
            table = truth.assign(frame=frame, x=truth["x"] - x, y=truth["y"] - y)
            inside = table["x"].between(0, WIDTH - 1) & table["y"].between(0, HEIGHT - 1)
            tables.append(table[inside])
        self.table = pd.concat(tables)[["frame", "x", "y", "sublattice"]]
        self.read = []

    def load(self, block_info=None):
        place = block_info[None]["array-location"]
        self.read.append(place[0][0])
        return self.pixels[tuple(slice(*part) for part in place)]

    def image(self, lazily, chunks=(2, 3)):
        data = self.pixels
        if lazily:
            data = da.map_blocks(self.load, chunks=(chunks, (HEIGHT,), (WIDTH,)), dtype="f4")
        s = hs.signals.Signal2D(data)
        s = s.as_lazy() if lazily else s
        s.set_signal_type("atom_lattice")
        for axis, name in zip(s.axes_manager.signal_axes, "xy", strict=True):
            axis.name, axis.scale, axis.units = name, 0.02, "nm"
        s.set_atoms(self.table)
        return s


@pytest.fixture(scope="module")
def film():
    return Film()


def same(one, other, atol=2e-4):
    """Compare results of any kind, computing what is lazy."""
    assert type(one).__name__.removeprefix("Lazy") == type(other).__name__.removeprefix("Lazy")
    if isinstance(one, BaseSignal):
        np.testing.assert_allclose(np.asarray(one.data), np.asarray(other.data), atol=atol)
        if hasattr(one, "atoms"):
            same(one.atoms, other.atoms, atol)
    elif isinstance(one, pd.DataFrame | pd.Series):
        check = pd.testing.assert_frame_equal if one.ndim == 2 else pd.testing.assert_series_equal
        check(one, other, atol=atol, rtol=1e-3)
    elif hasattr(one, "to_dataframe"):
        same(one.to_dataframe(), other.to_dataframe(), atol)
    elif isinstance(one, tuple | list):
        for a, b in zip(one, other, strict=True):
            same(a, b, atol)
    elif isinstance(one, np.ndarray | float):
        np.testing.assert_allclose(one, other, atol=atol)
    elif isinstance(one, plt.Axes):
        plt.close("all")
    else:
        assert one == other


def after(method, *arguments, **options):
    """Call what works in place, and look at the atoms."""

    def call(s):
        assert getattr(s, method)(*arguments, **options) is None
        return s.atoms

    return call


def of(method, *arguments, **options):
    return lambda s: getattr(s, method)(*arguments, **options)


def without(s, sublattice):
    table = s.atoms
    s.set_atoms(table[table["sublattice"] != sublattice])
    return s


def tracked(s):
    s.track_atoms(drift=np.stack([-np.arange(FRAMES), -(2 * np.arange(FRAMES) % 5)], 1))
    return s


def celled(s):
    s.find_cells("A")
    return s


# How often a method reads the movie: once, but for what it has to know before it begins.
IMAGE = {
    "set_atoms": (lambda s: s.atoms, 0),
    "find_atoms": (after("find_atoms", refine=False), 1),
    "find_sublattice": (lambda s: after("find_sublattice")(without(s, "B")), 1),
    "refine_atoms": (after("refine_atoms"), 1),
    "assign_sublattices": (after("assign_sublattices", ("A", "B")), 1),
    "find_cells": (after("find_cells", "A"), 0),
    "measure_drift": (of("measure_drift"), 1),
    "track_atoms": (after("track_atoms"), 1),
    "seed_atoms": (after("seed_atoms"), 1),
    "extract_subimages": (of("extract_subimages", SIZE), 1),
    "fit_rvae": (of("fit_rvae", SIZE, **FIT), 2),
    "fit_vae": (of("fit_vae", SIZE, max_subimages=40, **FIT), 2),
    "displacement_map": (of("displacement_map", "B", "A", units="pm"), 0),
    "strain_map": (of("strain_map", "A"), 0),
    "cell_map": (of("cell_map", "A"), 0),
    "tilt_map": (of("tilt_map", "B", centre="A"), 0),
    "neighbours": (of("neighbours", 4), 0),
    "rings": (of("rings", "A"), 0),
    "rotate": (of("rotate", 0.2), 1),
    "upsample": (of("upsample", 2), 1),
    "subtract_background": (of("subtract_background", 20.0), 1),
    "filter_band": (of("filter_band", 1.0, 20.0), 1),
    "align_frames": (of("align_frames", np.zeros((FRAMES, 2)) + [1.0, -2.0]), 1),
    "to_atomap": (lambda s: len(s.to_atomap(3).sublattice_list), 1),
    "plot_atoms": (of("plot_atoms"), 1),
    "plot_residual": (lambda s: s.refine_atoms() or list(s.plot_residual(4)), 2),
    "plot_tracks": (lambda s: tracked(s).plot_tracks(frame=2), 1),
    "plot_cells": (lambda s: celled(s).plot_cells(frame=1), 1),
}
BOX = hs.roi.RectangularROI(left=0.3, top=0.3, right=1.6, bottom=1.4)
BESIDE = hs.roi.RectangularROI(left=1.7, top=0.1, right=2.2, bottom=1.8)
LINE = hs.roi.Line2DROI(0.3, 0.3, 1.8, 1.5, 0.5)
VALUES = {
    "to_dataframe": of("to_dataframe"),
    "to_image": of("to_image", frame=1, step=4),
    "average_in_regions": of("average_in_regions", 3, frame=2),
    "line_profile": of("line_profile", LINE, frame=1),
    "columns": lambda d: d.columns,
    "rebin": lambda d: d.rebin(scale=(1, d.data.shape[1])),
}
DISPLACEMENTS = VALUES | {
    "magnitude": of("magnitude"),
    "angle": of("angle"),
    "noise": of("noise"),
    "correct": of("correct", "mean"),
    "denoise": of("denoise", "pca", components=2, radius=1, seed=0),
    "neighbourhoods": of("neighbourhoods", 1),
    "cluster": of("cluster", 2, seed=0),
    "classify": of("classify", {"in": BOX, "out": BESIDE}, seed=0),
    "find_domains": lambda d: d.cluster(2, seed=0).find_domains(),
    "describe_groups": lambda d: d.cluster(2, seed=0).describe_groups(),
    "gradient_map": of("gradient_map"),
    "polarization": of("polarization", {"A": -2.0, "B": 2.0}, 60.0),
    "scores": lambda d: d.scores,
    "to_temul": of("to_temul", 3),
    "units": lambda d: d.units,
    "units_of": of("units_of", "u"),
    "vector_rows": of("vector_rows"),
    "vectors_of": of("vectors_of", 2),
    "plot": of("plot", frame=1),
    "plot_map": of("plot_map", "u", frame=1),
    "plot_comparison": lambda d: list(d.plot_comparison(d, frame=1)),
    "plot_histograms": lambda d: list(d.plot_histograms()),
    "plot_tsne": of("plot_tsne", perplexity=5.0, seed=0),
}
PROPERTIES = VALUES | {
    "units_of": of("units_of", "exx"),
    "plot": lambda d: list(np.ravel(d.plot(frame=1))),
    "plot_map": of("plot_map", "exx", frame=1),
}
LATENTS = {
    "to_dataframe": of("to_dataframe"),
    "columns": lambda z: z.columns,
    "model": lambda z: z.model.configuration(),
    "plot_map": of("plot_map", "z1", frame=1),
    "plot_manifold": of("plot_manifold", size=3),
    "plot_latent_space": of("plot_latent_space", names=("z1", "angle")),
    "symmetry": of("symmetry"),
    "rebin": of("rebin", scale=(1, 2)),
}
SUBIMAGES = {
    "fit_rvae": of("fit_rvae", max_subimages=50, **FIT),
    "fit_vae": of("fit_vae", **FIT),
    "rebin": of("rebin", scale=(1, SIZE, SIZE)),
}
WALKS = [
    (signals.AtomLatticeImage, IMAGE, {"atoms"}),
    (signals.AtomSubimages, SUBIMAGES, {"atoms", "encode"}),
    (signals.AtomLatents, LATENTS, {"atoms"}),
    (signals.AtomDisplacements, DISPLACEMENTS, {"atoms"}),
    (signals.AtomProperties, PROPERTIES, {"atoms"}),
]


@pytest.mark.parametrize(("kind", "walk", "seen"), WALKS, ids=[kind.__name__ for kind, *_ in WALKS])
def test_no_public_method_is_left_out(kind, walk, seen):
    own = [base for base in kind.__mro__ if base.__module__.startswith("hyperspy_rvae")]
    public = {name for base in own for name in vars(base) if not name.startswith("_")}
    assert public - seen == set(walk)


@pytest.mark.parametrize("method", IMAGE)
def test_images(film, method):
    call, passes = IMAGE[method]
    lazy = film.image(True)
    film.read.clear()
    result = call(lazy)
    if isinstance(result, BaseSignal) and passes:
        assert result._lazy
        result.compute()
    counts = np.bincount(film.read, minlength=3)
    assert max(counts[1:]) <= passes  # the first chunk may be looked at before
    assert counts[0] <= passes + 1
    same(result, call(film.image(False)))


def run(method, walk, make):
    """Call a method of what is made, eager and made lazy."""
    eager = make()
    lazy = eager.as_lazy()
    assert type(lazy).__name__.startswith("Lazy")
    result = walk[method](lazy)
    same(result, walk[method](eager))


@pytest.mark.parametrize("method", SUBIMAGES)
def test_subimages(film, method):
    run(method, SUBIMAGES, lambda: film.image(False).extract_subimages(SIZE))


@pytest.fixture(scope="module")
def latents(film):
    return film.image(False).fit_rvae(SIZE, **FIT)


@pytest.mark.parametrize("method", LATENTS)
def test_latents(latents, method):
    run(method, LATENTS, latents.deepcopy)


@pytest.mark.parametrize("method", DISPLACEMENTS)
def test_displacements(film, method):
    run(method, DISPLACEMENTS, lambda: film.image(False).displacement_map("B", "A"))


@pytest.mark.parametrize("method", PROPERTIES)
def test_properties(film, method):
    run(method, PROPERTIES, lambda: film.image(False).strain_map("A"))


def write_mrc(path, pixels):
    """Write an MRC file: 1024 bytes of header, then float32 frames."""
    frames, height, width = pixels.shape
    header = np.zeros(256, dtype=np.int32)
    header[:4] = width, height, frames, 2
    header[7:10] = header[:3]
    header[10:13] = (header[:3] * 0.2).astype(np.float32).view(np.int32)
    header[16:19] = 1, 2, 3
    header[52:54] = np.frombuffer(b"MAP \x44\x44\x00\x00", dtype=np.int32)
    path.write_bytes(header.tobytes() + pixels.tobytes())


def write_mib(path, counts):
    """Write a MIB file of Merlin: before each frame 384 bytes of text that describe it."""
    height, width = counts.shape[1:]
    with path.open("wb") as file:
        for number, frame in enumerate(counts):
            described = [
                *["MQ1", f"{number + 1:06d}", "00384", "01", f"{width:04d}", f"{height:04d}"],
                *["U16", "   1x1", "01", "2026-05-07 16:51:10.905800928", "0.001000", "0"],
                *["MQ1A", "2026-05-07T14:51:10.905800928Z", "1000000ns", "12", ""],
            ]
            file.write(",".join(described).encode().ljust(384))
            file.write(frame[::-1].astype(">u2").tobytes())  # its rows are from the bottom up


def write(path, film):
    """Write the movie as a microscope might, and give the pixels that are in the file."""
    if path.suffix == ".mib":
        counts = np.round(1000 * (film.pixels + 1)).astype(np.uint16)
        write_mib(path, counts)
        return counts, {"navigation_shape": (FRAMES,)}
    if path.suffix == ".mrc":
        write_mrc(path, film.pixels)
    else:
        hs.signals.Signal2D(film.pixels).save(path)
    return film.pixels, {}


# RosettaSciIO leaves the file open.
@pytest.mark.filterwarnings("ignore:.*unclosed file", "ignore:Exception ignored in.*FileIO")
@pytest.mark.parametrize("extension", ["zspy", "hspy", "emd", "mrc", "mib"])
def test_files_are_read_lazily(film, tmp_path, extension):
    pixels, options = write(tmp_path / f"movie.{extension}", film)
    s = hs.load(tmp_path / f"movie.{extension}", lazy=True, **options)
    if extension == "emd":  # which does not say what is an image
        s = s.as_signal2D((0, 1))
    s.set_signal_type("atom_lattice")
    assert type(s) is signals.LazyAtomLatticeImage and s.data.shape == pixels.shape
    s.set_atoms(film.table)
    p = s.extract_subimages(SIZE)
    assert p._lazy
    eager = film.image(False)
    eager.data = pixels
    same(p, eager.extract_subimages(SIZE))
    s.find_atoms(separation=8, refine=False)
    eager.find_atoms(separation=8, refine=False)
    same(s.atoms, eager.atoms)
    p.save(tmp_path / "windows.zspy")
    same(hs.load(tmp_path / "windows.zspy", lazy=True), p)
