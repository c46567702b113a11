"""Latents written as they come are whole or absent, and go on where they stopped."""

import errno
import re
import signal
import subprocess
import sys
from pathlib import Path

import dask
import hyperspy.api as hs
import numpy as np
import pandas as pd
import pytest
import zarr

from hyperspy_rvae.models import RVAE
from hyperspy_rvae.signals import LazyAtomLatents, writing
from hyperspy_rvae.subimages import stack

FRAMES, ATOMS, SIZE = 6, 12, 7


def make_movie():
    """Six frames of twelve atoms each."""
    movie = hs.signals.Signal2D(np.random.default_rng(3).random((FRAMES, 50, 60)))
    movie.set_signal_type("atom_lattice")
    places = np.stack(np.meshgrid(np.arange(4), np.arange(3)), -1).reshape(-1, 2) * 12.0 + 10
    movie.set_atoms({frame: places + 0.25 * frame for frame in range(FRAMES)})
    return movie


@pytest.fixture
def movie(lazy):
    whole = make_movie()
    return whole.as_lazy(chunks=(1, -1, -1)) if lazy else whole


@pytest.fixture(scope="module")
def model():
    windows = np.random.default_rng(0).random((30, SIZE, SIZE))
    return RVAE(1, epochs=1, seed=0).fit(windows)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(writing, "ROWS", 10)
    monkeypatch.setattr(stack, "JOINED", 0)


@pytest.fixture
def subimages(movie):
    return movie.extract_subimages(SIZE)


@pytest.fixture
def output(tmp_path):
    return tmp_path / "z.zspy"


def assert_latents(z, expected):
    """Batches of another length are rounded otherwise."""
    np.testing.assert_allclose(np.asarray(z.data), expected, rtol=1e-4, atol=1e-5)


def files(output):
    return sorted(path.name for path in output.parent.iterdir())


def interrupt_at(model, monkeypatch, call, error):
    """Let encoding fail at its n-th call."""
    encoded, calls = model._encode, []

    def fail(*given):
        calls.append(1)
        if len(calls) == call:
            raise error
        return encoded(*given)

    monkeypatch.setattr(RVAE, "_encode", lambda self, *given: fail(*given))
    return calls


def test_the_file_holds_what_encode_gives(subimages, model, output):
    z = subimages.encode(model, output=output)
    assert type(z) is LazyAtomLatents and files(output) == ["z.zspy"]
    expected = subimages.encode(model)
    assert_latents(z, np.asarray(expected.data))
    assert z.columns == expected.columns
    pd.testing.assert_frame_equal(z.atoms, expected.atoms, check_dtype=False)
    np.testing.assert_array_equal(z.model.components_, model.components_)
    saved = output.with_name("saved.zspy")
    expected.save(saved)
    assert str(hs.load(saved).axes_manager) == str(hs.load(output).axes_manager)


def test_an_interrupted_encode_goes_on(subimages, model, output, monkeypatch):
    expected = np.asarray(subimages.encode(model).data)
    with monkeypatch.context() as patch, dask.config.set(scheduler="synchronous"):
        interrupt_at(model, patch, 4, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            subimages.encode(model, output=output)
    assert files(output) == ["z.part.zspy"]
    calls = interrupt_at(model, monkeypatch, -1, None)
    z = subimages.encode(model, output=output, resume=True)
    chunks = FRAMES if subimages._lazy else 8
    assert len(calls) == chunks  # three were done, and are looked at again
    assert_latents(z, expected)
    assert files(output) == ["z.zspy"]


def test_what_is_finished_is_opened(subimages, model, output, monkeypatch):
    first = subimages.encode(model, output=output, resume=True)
    calls = interrupt_at(model, monkeypatch, -1, None)
    again = subimages.encode(model, output=output, resume=True)
    assert len(calls) == 3  # to see that it is of these subimages
    np.testing.assert_array_equal(np.asarray(again.data), np.asarray(first.data))


def test_nothing_is_overwritten(subimages, model, output, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_at(model, patch, 3, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            subimages.encode(model, output=output)
    with pytest.raises(FileExistsError, match="set resume=True to go on with it"):
        subimages.encode(model, output=output)
    subimages.encode(model, output=output, resume=True)
    with pytest.raises(FileExistsError, match="is there already"):
        subimages.encode(model, output=output)


def test_only_the_same_is_resumed(subimages, movie, model, output, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_at(model, patch, 5, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            subimages.encode(model, output=output)
    other = RVAE(1, epochs=1, seed=1).fit(np.random.default_rng(0).random((30, SIZE, SIZE)))
    with pytest.raises(ValueError, match="or of other subimages; these differ: model"):
        subimages.encode(other, output=output, resume=True)
    with pytest.raises(ValueError, match=r"these differ: shape, \(72, 8\) for \(71, 8\)"):
        subimages.inav[1:].encode(model, output=output, resume=True)
    moved = movie.deepcopy()
    moved.set_atoms(movie.atoms.assign(x=lambda table: table["x"] + 0.5))
    with pytest.raises(ValueError, match="these differ: table"):
        moved.extract_subimages(SIZE).encode(model, output=output, resume=True)
    with pytest.raises(ValueError, match=r"latents of other subimages: 1[02] of 1[02] come out"):
        (subimages * 2).encode(model, output=output, resume=True)
    assert files(output) == ["z.part.zspy"]


def test_other_frames_at_the_end_are_noticed(movie, model, output):
    movie.extract_subimages(SIZE).encode(model, output=output)
    changed = movie.deepcopy()
    last = (np.arange(FRAMES) == FRAMES - 1)[:, None, None]
    changed.data = movie.data * np.where(last, 2, 1)
    with pytest.raises(ValueError, match="latents of other subimages"):
        changed.extract_subimages(SIZE).encode(model, output=output, resume=True)


def test_a_finished_file_of_other_pixels_is_refused(subimages, model, output):
    subimages.encode(model, output=output)
    with pytest.raises(ValueError, match="latents of other subimages"):
        (subimages * 2).encode(model, output=output, resume=True)
    assert files(output) == ["z.zspy"]


def test_a_file_hardly_begun_is_begun_anew(subimages, model, output):
    part = writing.beside(output)
    zarr.open_group(zarr.storage.NestedDirectoryStore(part), mode="w").require_group("Experiments")
    z = subimages.encode(model, output=output, resume=True)
    assert_latents(z, np.asarray(subimages.encode(model).data))


KILLED = """
import os, signal, sys
sys.path.insert(0, {folder!r})
import hyperspy.api as hs
from hyperspy_rvae.models import RVAE
from hyperspy_rvae.signals import writing
from hyperspy_rvae.subimages import stack
from test_writing import SIZE, make_movie

writing.ROWS, stack.JOINED = 10, 0
hs.preferences.General.show_progressbar = False
encode, calls = RVAE._encode, []

def kill(self, *given):
    calls.append(1)
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return encode(self, *given)

RVAE._encode = kill
p = make_movie().as_lazy(chunks=(1, -1, -1)).extract_subimages(SIZE)
p.encode(RVAE.load({model!r}), output={output!r})
"""


def test_a_killed_process_leaves_what_was_done(model, output, tmp_path):
    model.save(tmp_path / "model.pt")
    given = {"folder": str(Path(__file__).parent), "model": str(tmp_path / "model.pt")}
    code = KILLED.format(**given, output=str(output))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not output.exists() and writing.beside(output).exists()
    subimages = make_movie().as_lazy(chunks=(1, -1, -1)).extract_subimages(SIZE)
    z = subimages.encode(model, output=output, resume=True)
    assert_latents(z, np.asarray(subimages.encode(model).data))


def test_an_unreadable_chunk_is_named_and_the_others_are_kept(model, output, tmp_path):
    source = tmp_path / "movie.zspy"
    make_movie().save(source, chunks=(1, 50, 60))
    chunk = next(source.glob("Experiments/*/data/4/0/0"))
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[: len(whole) // 2])
    subimages = hs.load(source, lazy=True).extract_subimages(SIZE)
    with pytest.raises(
        RuntimeError,
        match=r"atoms 48 to 59 \(frames 4 to 4\) could not .* of \d\d of 72 atoms",
    ):
        subimages.encode(model, output=output)
    chunk.write_bytes(whole)
    z = subimages.encode(model, output=output, resume=True)
    assert_latents(z, np.asarray(subimages.encode(model).data))


def test_a_full_disk_leaves_what_was_done(subimages, model, output, monkeypatch):
    written, calls = zarr.storage.DirectoryStore._tofile, []

    def fill(a, fn):
        calls.append(fn)
        if len([name for name in calls if re.search(r"/data/\d+/0\.", name)]) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(a, fn)

    with monkeypatch.context() as patch:
        patch.setattr(zarr.storage.DirectoryStore, "_tofile", staticmethod(fill))
        with pytest.raises(RuntimeError, match=r"OSError: .*No space left on device.* are in '"):
            subimages.encode(model, output=output)
    assert files(output) == ["z.part.zspy"]
    z = subimages.encode(model, output=output, resume=True)
    assert_latents(z, np.asarray(subimages.encode(model).data))


@pytest.mark.parametrize(
    ("output", "error", "message"),
    [("z.hspy", ValueError, "output must end in .zspy"), (3, TypeError, "must be the path")],
)
def test_impossible_outputs_are_refused(subimages, model, output, error, message):
    with pytest.raises(error, match=message):
        subimages.encode(model, output=output)
