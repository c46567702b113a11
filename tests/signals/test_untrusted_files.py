"""What runs when a stranger's file is loaded: as the page on untrusted files says."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import dask.array as da
import h5py
import hyperspy.api as hs
import numcodecs
import numpy as np
import pytest
import zarr

import hyperspy_rvae

PAGE = Path(hyperspy_rvae.__file__).parents[1] / "docs" / "explain" / "untrusted-files.md"
RUN = "__import__('os').environ.__setitem__('STRANGER', 'was here') or x"


@pytest.fixture(scope="module")
def suspicious():
    """The function that the page gives."""
    if not PAGE.exists():
        pytest.skip("the documentation is not here")
    code = re.search(r"```python\n(import json.*?)```", PAGE.read_text(), re.DOTALL).group(1)
    space = {}
    exec(code, space)
    return space["suspicious"]


@pytest.fixture(params=["hspy", "zspy"])
def path(request, tmp_path):
    """A valid file: an image with atoms."""
    s = hs.signals.Signal2D(np.random.default_rng(0).random((3, 40, 50)))
    s.set_signal_type("atom_lattice")
    s.set_atoms({frame: np.array([[10.0, 12.0], [20.5, 12.0]]) for frame in range(3)})
    path = tmp_path / f"stranger.{request.param}"
    s.save(path)
    return path


def change(path, how):
    """Apply a change to the group of the signal."""
    if path.suffix == ".hspy":
        with h5py.File(path, "r+") as file:
            how(next(iter(file["Experiments"].values())))
    else:
        how(next(iter(zarr.open(str(path), mode="r+")["Experiments"].values())))


def test_an_honest_file_passes(path, suspicious):
    assert suspicious(path) == []


def hidden_axis(group):
    axis = group["metadata"].require_group("Atoms").require_group("_hspy_Axis_hidden")
    axis.attrs.update({"expression": RUN, "size": 3})


def test_hyperspy_evaluates_expressions_of_axes(path, suspicious, monkeypatch):
    monkeypatch.delenv("STRANGER", raising=False)
    change(path, hidden_axis)
    (found,) = suspicious(path)
    assert "expression, which is run" in found
    assert "STRANGER" not in os.environ
    hs.load(path)
    assert os.environ["STRANGER"] == "was here"


def test_hyperspy_imports_the_named_package(path, suspicious, tmp_path, monkeypatch):
    (tmp_path / "a_strangers_module.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    change(path, lambda group: group.attrs.update({"package": "a_strangers_module"}))
    (found,) = suspicious(path)
    assert "imports 'a_strangers_module'" in found
    hs.load(path)
    assert sys.modules.pop("a_strangers_module")


class Trap:
    def __reduce__(self):
        return (exec, ("raise AssertionError('code was run')",))


def pickled(group):
    trap = np.array([Trap()], dtype=object)
    node = group["metadata"]["Atoms"]
    node.create_dataset("x", data=trap, dtype=object, object_codec=numcodecs.Pickle())


def test_pickles_are_refused(path, suspicious):
    if path.suffix == ".hspy":
        pytest.skip("HDF5 has no pickles")
    change(path, pickled)
    (found,) = suspicious(path)
    assert "pickles, which are run" in found
    with pytest.raises(Exception, match="disabled because unpickling"):
        hs.load(path)


def huge(group):
    columns = group["metadata/Atoms/table/columns"]
    for name in list(columns):
        dtype = columns[name].dtype
        del columns[name]
        columns.create_dataset(name, shape=(10**11,), chunks=(10**6,), dtype=dtype)


LIMITED = """
import resource, sys, warnings
import hyperspy.api as hs
import hyperspy_rvae.signals
warnings.simplefilter("ignore")
here = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (here + 2**30,) * 2)
s = hs.load(sys.argv[1], lazy=True)
try:
    s.atoms
except ValueError as error:
    print(error)
"""


def in_a_gigabyte(path):
    """What is printed by a process that may take a gigabyte, loading a file lazily."""
    done = subprocess.run([sys.executable, "-c", LIMITED, path], capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")
def test_huge_columns_are_refused_without_being_read(path, suspicious):
    change(path, huge)
    assert len(suspicious(path)) == 4
    assert "declares" in in_a_gigabyte(path)


def test_columns_of_which_nothing_is_stored_are_refused(path):
    def hollow(group):
        columns = group["metadata/Atoms/table/columns"]
        for name in list(columns):
            dtype = columns[name].dtype
            del columns[name]
            columns.create_dataset(name, shape=(2**22,), chunks=(2**20,), dtype=dtype)

    change(path, hollow)
    with pytest.raises(ValueError, match="declares 109051904 bytes and the file stores"):
        hs.load(path, lazy=True).atoms  # noqa: B018


def test_columns_of_packed_zeros_are_refused(path, suspicious):
    def zeros(group):
        columns = group["metadata/Atoms/table/columns"]
        packing = {} if path.suffix == ".zspy" else {"compression": "gzip", "shuffle": True}
        for name in list(columns):
            dtype = columns[name].dtype
            del columns[name]
            columns.create_dataset(
                name, data=np.zeros(2**22, dtype=dtype), chunks=(2**20,), dtype=dtype, **packing
            )

    change(path, zeros)
    with pytest.raises(ValueError, match=r"declares 109051904 bytes|atoms have the same x"):
        hs.load(path, lazy=True).atoms  # noqa: B018


def test_a_model_of_which_nothing_is_stored_is_refused(tmp_path):
    path = tmp_path / "latents.zspy"
    image = hs.signals.Signal2D(np.random.default_rng(0).random((40, 50)))
    image.set_signal_type("atom_lattice")
    image.set_atoms(np.stack(np.meshgrid(np.arange(4), np.arange(3)), -1).reshape(-1, 2) * 9.0 + 9)
    image.extract_subimages(7).fit_rvae(1, epochs=1, decoder="spatial", seed=0).save(path)

    def hollow(group):
        weights = group["metadata/Atoms/model/weights"]
        for name in list(weights):
            del weights[name]
            weights.create_dataset(name, shape=(2**13, 2**13), chunks=(2**10, 2**10), dtype="f4")

    change(path, hollow)
    with pytest.raises(ValueError, match=r"metadata\.Atoms\.model declares \d+ bytes"):
        hs.load(path, lazy=True).model  # noqa: B018


def test_a_group_in_itself_is_told(path, suspicious):
    if path.suffix == ".zspy":
        pytest.skip("zarr has no links")
    change(path, lambda group: group["metadata"].__setitem__("loop", group["metadata"]))
    (found,) = suspicious(path)
    assert "there twice" in found
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)  # which is reached sooner
    try:
        with pytest.raises(RecursionError):
            hs.load(path)
    finally:
        sys.setrecursionlimit(limit)


def test_links_in_a_folder_are_told(path, suspicious, tmp_path):
    if path.suffix == ".hspy":
        pytest.skip("a .hspy is a single file")
    secret = tmp_path / "secret"
    chunk = next(path.glob("Experiments/*/data/0/0/0"))
    chunk.rename(secret)
    chunk.symlink_to(secret)
    (found,) = suspicious(path)
    assert found.endswith("0: a link")


def test_chunks_that_were_cut_short_are_told(path, suspicious):
    if path.suffix == ".hspy":
        pytest.skip("HDF5 tells itself")
    chunk = next(path.glob("Experiments/*/data/0/0/0"))
    chunk.write_bytes(chunk.read_bytes()[:-1])
    (found,) = suspicious(path)
    assert found.endswith("0: cut short, or damaged")


def test_links_out_of_the_file_are_told(path, suspicious, tmp_path):
    if path.suffix == ".zspy":
        pytest.skip("zarr has no links")
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.arange(5.0)
    change(
        path,
        lambda group: group["metadata/Atoms"].__setitem__(
            "x", h5py.ExternalLink(str(tmp_path / "secret.h5"), "/x")
        ),
    )
    (found,) = suspicious(path)
    assert found.endswith("/x: a link")
    np.testing.assert_array_equal(hs.load(path).metadata.Atoms.x, np.arange(5.0))


def test_axes_that_lie(path):
    s = hs.load(path, lazy=True)
    p = s.extract_subimages(7)
    p.axes_manager[0].size = 4
    with pytest.raises(ValueError, match="the atom axis has 4 values for 6"):
        p.atoms  # noqa: B018
    assert isinstance(p.data, da.Array)
