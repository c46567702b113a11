"""Workers that are processes: one that is killed costs only its tasks."""

import os
import signal

import hyperspy.api as hs
import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster

from hyperspy_rvae.models import RVAE

FRAMES, SIZE = 5, 9
# The dead leave their sockets open.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def frames():
    rows, columns = np.mgrid[:72, :84] / 12.0 - 0.5
    peaks = np.exp(-6 * ((rows - rows.round()) ** 2 + (columns - columns.round()) ** 2))
    return peaks + np.random.default_rng(0).normal(0, 0.02, (FRAMES, *peaks.shape))


def image_of(data):
    s = hs.signals.Signal2D(data)
    s.set_signal_type("atom_lattice")
    return s


def lethal(frames, folder):
    """A movie whose fourth frame kills the first worker that reads it; notes each reading."""
    import dask.array as da

    folder.mkdir()

    def read(block, block_info=None):
        number = block_info[0]["chunk-location"][0]
        died = folder / "died"
        if number == 3 and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        with (folder / "read").open("a") as file:
            file.write(f"{number}\n")
        return block

    data = da.from_array(frames, chunks=(1, -1, -1)).map_blocks(read, dtype=frames.dtype)
    return image_of(data).as_lazy()


def assert_died_and_went_on(folder):
    assert (folder / "died").exists()
    read = (folder / "read").read_text().split()
    assert set(read) == set(map(str, range(FRAMES)))
    assert len(read) < 2 * FRAMES  # not all is done again


def test_find_cut_and_encode(client, frames, tmp_path):
    still = image_of(frames)
    still.find_atoms(separation=8)
    movie = lethal(frames, tmp_path / "find")
    movie.find_atoms(separation=8)
    assert_died_and_went_on(tmp_path / "find")
    pd.testing.assert_frame_equal(movie.atoms, still.atoms)

    windows = still.extract_subimages(SIZE)
    model = RVAE(1, epochs=1, seed=0).fit(windows.data)
    movie = lethal(frames, tmp_path / "encode")
    movie.set_atoms(still.atoms)
    z = movie.extract_subimages(SIZE).encode(model, output=tmp_path / "z.zspy")
    assert_died_and_went_on(tmp_path / "encode")
    # Batches of another length are rounded otherwise.
    expected = windows.encode(model).data
    np.testing.assert_allclose(np.asarray(z.data), expected, rtol=1e-3, atol=1e-4)


def test_an_hdf5_file_and_a_model_go_to_other_processes(client, frames, tmp_path):
    still = image_of(frames)
    still.find_atoms(separation=8)
    still.save(tmp_path / "movie.hspy", chunks=(1, 72, 84))
    windows = still.extract_subimages(SIZE)
    model = RVAE(1, epochs=1, seed=0).fit(windows.data)
    p = hs.load(tmp_path / "movie.hspy", lazy=True).extract_subimages(SIZE)
    expected = windows.encode(model).data
    np.testing.assert_allclose(p.encode(model).data.compute(), expected, rtol=1e-3, atol=1e-4)
