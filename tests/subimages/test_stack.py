import pickle

import dask.array as da
import numpy as np
import pandas as pd
import pytest

from hyperspy_rvae.subimages.stack import cut_block, cut_stack, joined, stack_channels, take

FRAMES, HEIGHT, WIDTH, SIZE = 5, 30, 42, 7


@pytest.fixture
def table():
    rng = np.random.default_rng(3)
    frame = np.sort(rng.choice([0, 1, 3, 4], 29))
    return pd.DataFrame({"frame": frame, "x": rng.uniform(4, 37, 29), "y": rng.uniform(4, 25, 29)})


def places(table):
    return table["frame"].to_numpy(), table[["x", "y"]].to_numpy()


@pytest.fixture
def counted():
    """A lazy movie that notes which of its chunks were read, and the movie itself."""
    pixels = np.random.default_rng(4).random((FRAMES, HEIGHT, WIDTH))
    read = []

    def load(block_info=None):
        place = block_info[None]["array-location"]
        read.append(place[0][0])
        return pixels[tuple(slice(*part) for part in place)]

    chunks = ((2, 2, 1), (HEIGHT,), (WIDTH,))
    return da.map_blocks(load, chunks=chunks, dtype=pixels.dtype), pixels, read


def test_lazy_is_eager_and_reads_each_chunk_once(table, counted, monkeypatch):
    monkeypatch.setattr("hyperspy_rvae.subimages.stack.AT_ONCE", 3 * SIZE**2)
    movie, pixels, read = counted
    windows = cut_stack(movie, *places(table), SIZE)
    assert read == []
    assert sum(windows.chunks[0]) == len(table)
    assert max(windows.chunks[0]) == 3
    np.testing.assert_array_equal(windows.compute(), cut_stack(pixels, *places(table), SIZE))
    assert sorted(read) == [0, 2, 4]


def test_windows_stand_in_the_order_of_the_table(table):
    ramp = np.arange(FRAMES)[:, None, None] * 1000 + np.arange(WIDTH) + np.zeros((HEIGHT, 1))
    centres = cut_stack(ramp, *places(table), SIZE, order=1)[:, 3, 3]
    np.testing.assert_allclose(centres, table["frame"] * 1000 + table["x"], atol=1e-3)


def test_no_atoms_give_no_windows(table, counted):
    movie, pixels, _ = counted
    assert cut_stack(movie, *places(table[:0]), SIZE).compute().shape == (0, SIZE, SIZE)
    assert cut_stack(pixels, *places(table[:0]), SIZE).shape == (0, SIZE, SIZE)


def test_a_bad_frame_is_named(table, counted):
    _, pixels, _ = counted
    pixels = pixels.copy()
    pixels[3, 2, 1] = np.nan
    with pytest.raises(ValueError, match="frame 3 has 1 pixels that are NaN"):
        cut_stack(da.from_array(pixels, chunks=(2, -1, -1)), *places(table), SIZE).compute()


def test_only_what_is_taken_is_cut(table, counted, monkeypatch):
    monkeypatch.setattr("hyperspy_rvae.subimages.stack.JOINED", 0)
    movie, pixels, read = counted
    windows = cut_stack(movie, *places(table), SIZE)
    rows = np.flatnonzero(table["frame"] == 4)[1:]
    taken = take(windows, rows)
    np.testing.assert_array_equal(taken.compute(), cut_stack(pixels, *places(table), SIZE)[rows])
    assert read == [4]
    cut = []
    whole = cut_block
    monkeypatch.setattr(
        "hyperspy_rvae.subimages.stack.cut_block",
        lambda *given: cut.append(given[1].sum()) or whole(*given),
    )
    take(cut_stack(movie, *places(table), SIZE), np.array([0, 5, 28])).compute()
    assert sum(cut) == 3


def test_windows_from_elsewhere_are_taken_as_well(table):
    windows = np.random.default_rng(0).random((11, SIZE, SIZE))
    rows = np.array([2, 7])
    np.testing.assert_array_equal(take(windows, rows), windows[rows])
    lazy = da.from_array(windows, chunks=(4, -1, -1))
    np.testing.assert_array_equal(take(lazy, rows).compute(), windows[rows])


def test_frames_in_small_chunks_are_read_together(monkeypatch):
    movie = da.zeros((23, 8, 10), chunks=(1, 4, 10), dtype=np.float32)
    monkeypatch.setattr("hyperspy_rvae.subimages.stack.JOINED", 5 * 8 * 10 * 4)
    assert joined(movie).chunks == ((5, 5, 5, 5, 3), (8,), (10,))
    long = movie.rechunk((9, -1, -1))
    assert joined(long).chunks[0] == (9, 9, 5)


def test_a_cluster_is_sent_each_position_once():
    count = 5000
    frame, xy = np.sort(np.arange(count) % 5), np.random.default_rng(5).uniform(4, 25, (count, 2))
    windows = cut_stack(da.zeros((5, 30, 42), chunks=(2, -1, -1)), frame, xy, SIZE)
    sent = pickle.dumps(windows.dask)
    assert len(sent) < 1.2 * xy.nbytes
    there = da.Array(pickle.loads(sent), windows.name, windows.chunks, windows.dtype)
    np.testing.assert_array_equal(there.compute(), windows.compute())


def test_only_what_is_taken_is_cut_from_several_channels(table, counted, monkeypatch):
    monkeypatch.setattr("hyperspy_rvae.subimages.stack.JOINED", 0)
    movie, pixels, read = counted
    second = pixels[:, ::-1].copy()
    windows = stack_channels([second, movie], *places(table), SIZE)
    expected = stack_channels([second, pixels], *places(table), SIZE)
    assert expected.shape == (len(table), 2, SIZE, SIZE)
    np.testing.assert_array_equal(expected[:, 1], cut_stack(pixels, *places(table), SIZE))
    rows = np.flatnonzero(table["frame"] == 4)[1:]
    np.testing.assert_array_equal(take(windows, rows).compute(), expected[rows])
    assert read == [4]
    np.testing.assert_array_equal(windows.compute(), expected)
