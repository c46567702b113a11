"""Learning from more subimages than are in memory at once."""

import dask.array as da
import numpy as np
import pytest
import torch
from torch import Generator

from hyperspy_rvae.models import RVAE, checkpoint
from hyperspy_rvae.models.blocks import Streamed
from hyperspy_rvae.models.steerable.streaming import Stream

SIZE = 11


def motifs(count, seed=0):
    """Two motifs in any turn, with noise: a pair of blobs, and a triangle of three."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    images = rng.normal(0, 0.1, (count, SIZE, SIZE))
    for k, turn in enumerate(rng.uniform(0, 2 * np.pi, count)):
        for angle in turn + (np.array([0, np.pi]) if k % 2 else np.arange(3) * 2 * np.pi / 3):
            x, y = 3 * np.cos(angle), 3 * np.sin(angle)
            images[k] += np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 3)
    return images.astype(np.float32)


def stream(count=103, chunk=7, buffer=30):
    X = da.arange(count, chunks=chunk)[:, None] * np.ones(2)
    streamed = Streamed(X, np.arange(0, count, 2), buffer, np.empty((count, 0), np.float32))
    return Stream(streamed, torch.from_numpy)


def test_a_pass_gives_every_subimage_once():
    parts, generator = stream(), Generator().manual_seed(0)
    parts.samples(_Network(), torch.tensor([3, 0, 20]))
    for _ in range(3):
        passed = []
        while len(passed) < 100:
            rows, pixels = parts.next(generator)
            assert len(rows) <= 30
            np.testing.assert_array_equal(pixels[:, 0], rows)
            assert (np.diff(rows) > 0).all()
            passed += rows.tolist()
        assert sorted(passed) == sorted(set(range(103)) - {6, 0, 40})
    parts.close()


class _Network:
    noise_variance, channels = torch.ones(1), 1


def test_parts_come_from_anywhere_and_by_the_seed():
    def starts(seed):
        parts, generator = stream(), Generator().manual_seed(seed)
        found = [parts.next(generator)[0].tolist() for _ in range(4)]
        parts.close()
        return found

    assert starts(0) == starts(0) != starts(1)
    blocks = {row // 7 for row in starts(0)[0]}
    assert len(blocks) == 4 and max(blocks) - min(blocks) > 3


def test_two_parts_at_most_are_in_memory():
    computed = []
    X = da.from_array(motifs(400), (20, -1, -1)).map_blocks(
        lambda block: computed.append(len(block)) or block, dtype="f4", meta=np.empty((0, 0, 0))
    )
    generator = Generator().manual_seed(0)
    streamed = Streamed(X, np.arange(1), 60, np.empty((400, 0), np.float32))
    parts = Stream(streamed, torch.from_numpy)
    parts.next(generator)
    parts.loading.result()
    assert sum(computed) == 2 * 60
    parts.close()


def test_streamed_training_reaches_the_loss_of_one_in_memory():
    images, others = motifs(600), motifs(200, seed=1)
    given = {"latent_dim": 1, "epochs": 20, "seed": 0}
    whole = RVAE(**given).fit(images)
    streamed = RVAE(**given, buffer_subimages=150).fit(da.from_array(images, (30, -1, -1)))
    assert whole.history_[0]["loss"] + whole.score(others) > 20  # there is something to learn
    assert abs(streamed.score(others) - whole.score(others)) < 3  # nats


def test_a_streamed_training_goes_on_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "_LEAST_WAIT", 0)
    X = da.from_array(motifs(240), (20, -1, -1))
    given = {"latent_dim": 1, "epochs": 6, "seed": 0, "buffer_subimages": 60}
    straight = RVAE(**given).fit(X)

    def stop(epoch, record):
        if epoch == 3:
            raise KeyboardInterrupt

    path, seen = tmp_path / "state.pt", []
    with pytest.raises(KeyboardInterrupt):
        RVAE(**given).fit(X, callback=stop, checkpoint=path)
    resumed = RVAE(**given).fit(X, checkpoint=path, callback=lambda epoch, _: seen.append(epoch))
    assert seen == [3, 4, 5]
    for name, weights in straight.weights().items():
        np.testing.assert_array_equal(resumed.weights()[name], weights)


def test_conditions_are_streamed_beside(make):
    images = motifs(300)
    kinds = np.arange(300) % 2
    given = {"latent_dim": 1, "epochs": 6, "seed": 0}
    X = da.from_array(images, (30, -1, -1))
    model = RVAE(**given, buffer_subimages=90).fit(X, condition=kinds)
    right = model.inverse_transform(model.transform(images, condition=kinds), condition=kinds)
    wrong = model.inverse_transform(model.transform(images, condition=kinds), condition=1 - kinds)
    assert np.square(right - images).mean() < 0.8 * np.square(wrong - images).mean()


def test_a_bad_block_is_an_error(tmp_path):
    images = motifs(200)
    images[150, 2, 3] = np.nan
    X = da.from_array(images, (20, -1, -1))
    with pytest.raises(ValueError, match="X must be finite, got 1 NaN"):
        RVAE(1, epochs=5, buffer_subimages=40, seed=0).fit(X)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"buffer_subimages": 3}, "buffer_subimages must be a whole number, at least 10, got 3"),
        ({"buffer_subimages": 2.5}, "buffer_subimages must be a whole number"),
        ({"buffer_subimages": 50, "decoder": "spatial"}, "is for decoder='steerable'"),
    ],
)
def test_impossible_buffers_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        RVAE(1, **given).fit(motifs(20))
