"""The same calls on a cluster: the same numbers, one thread a task, the model sent once."""

import dask
import hyperspy.api as hs
import numba
import numpy as np
import pandas as pd
import pytest
import torch
from distributed import Client, LocalCluster, get_worker

import hyperspy_rvae as hrv
from hyperspy_rvae.models import RVAE, ensemble
from hyperspy_rvae.models.blocks import sent
from hyperspy_rvae.models.cluster import cluster
from hyperspy_rvae.signals import frames
from hyperspy_rvae.signals.frames import each_frame

SIZE = 9
WORKER = {"threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}


@pytest.fixture(scope="module")
def client():
    """Two workers of one thread, in this process."""
    with (
        LocalCluster(n_workers=2, **WORKER) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
    """A lazy movie on disk, with its atoms."""
    path = tmp_path_factory.mktemp("movie") / "movie.zspy"
    image, truth = hrv.data.drifting_crystal(5, (96, 80), noise=0.05, seed=1)
    image.save(path, chunks=(2, 80, 96))
    s = hs.load(path, lazy=True, signal_type="atom_lattice")
    s.set_atoms(truth[["frame", "x", "y", "sublattice"]])
    return s


@pytest.fixture(scope="module")
def model(movie):
    return RVAE(1, epochs=1, seed=0).fit(np.asarray(movie.extract_subimages(SIZE).data))


def test_atoms_found_on_a_cluster_are_those_found_here(client, movie):
    there, here = movie.deepcopy(), movie.deepcopy()
    there.find_atoms(separation=8)
    with dask.config.set(scheduler="synchronous"):
        here.compute()
        here.find_atoms(separation=8)
    pd.testing.assert_frame_equal(there.atoms, here.atoms, atol=1e-4)


def test_a_task_leaves_what_it_is_given():
    tables = [{"x": np.arange(3.0)}, {"x": np.arange(2.0), "y": np.ones(2)}]
    for _ in range(2):  # as when a worker is lost and a task is run again
        gathered, lengths = frames._gathered(tables)
        assert gathered["x"].tolist() == [0, 1, 2, 0, 1] and lengths == [3, 2]


def test_latents_from_a_cluster_are_those_from_here(client, movie, model):
    p = movie.extract_subimages(SIZE)
    z = p.encode(model)
    z.compute()
    windows = p.data.compute(scheduler="synchronous")
    values, std = model.transform(windows, return_std=True)
    np.testing.assert_allclose(z.data, np.hstack([values, std]), rtol=1e-3, atol=1e-4)


def test_a_share_is_cut_on_a_cluster_and_progress_shown(client, movie, capsys):
    z = movie.fit_rvae(
        SIZE, latent_dim=1, epochs=1, seed=0, max_subimages=50, show_progressbar=True
    )
    assert "100% Completed" in capsys.readouterr().out
    again = movie.fit_rvae(SIZE, latent_dim=1, epochs=1, seed=0, max_subimages=50)
    np.testing.assert_array_equal(z.model.weights()["spread"], again.model.weights()["spread"])


def test_a_block_keeps_to_the_thread_of_its_worker(client, movie, model, monkeypatch):
    torch.set_num_threads(2)
    pools = []
    monkeypatch.setattr(
        "hyperspy_rvae.models.threads.ThreadPoolExecutor", lambda *given: pools.append(given)
    )
    movie.extract_subimages(SIZE).encode(model).compute()
    assert not pools


def test_a_frame_keeps_to_the_thread_of_its_worker(client):
    def threads(frame):
        return pd.DataFrame({"threads": [numba.get_num_threads()]})

    movie, given = np.zeros((3, 4, 5)), [()] * 3
    assert (each_frame(threads, movie, given)["threads"] == 1).all()
    assert numba.get_num_threads() == numba.config.NUMBA_NUM_THREADS


def test_a_large_model_is_brought_to_every_worker_once(client, model, monkeypatch):
    monkeypatch.setattr("hyperspy_rvae.models.blocks._MESSAGE", 10)
    there = sent(model._encode)
    assert sorted(len(keys) for keys in client.who_has([there]).values()) == [2]


def test_a_large_model_stays_here_where_the_cluster_is_not_used(client, movie, model, monkeypatch):
    monkeypatch.setattr("hyperspy_rvae.models.blocks._MESSAGE", 10)
    p = movie.extract_subimages(SIZE)
    with dask.config.set(scheduler="synchronous"):
        z = p.encode(model)
        assert z.data.compute().shape == (len(p.atoms), 8)


def test_one_rule_says_where_work_goes(client, monkeypatch):
    monkeypatch.setattr(ensemble, "_train_there", lambda client, *given: client)
    monkeypatch.setattr(ensemble, "_learn", lambda learn, task, plan, seed, callback: seed)
    given = None, None, [None, None], [3, 4], None
    assert ensemble.train(*given) is client is cluster()
    assert client.submit(cluster, pure=False).result() is None  # a task waits for no other
    with dask.config.set(scheduler="threads"):
        assert cluster() is None
        assert ensemble.train(*given) == [3, 4]


def test_a_streamed_ensemble_waits_for_no_other_task(client, movie):
    z = movie.fit_rvae(SIZE, latent_dim=1, epochs=1, seed=0, buffer_subimages=60, n_models=3)
    assert len(z.model.models_) == 3


def test_a_sweep_is_tasks(client, movie):
    sample = np.asarray(movie.extract_subimages(SIZE).data)[:60]

    def fit(count):
        get_worker()  # raises where there is none
        return RVAE(count, epochs=1, seed=0).fit(sample)

    models = client.gather(client.map(fit, [1, 2]))
    assert [model.latent_names_[-1] for model in models] == ["z1", "z2"]
