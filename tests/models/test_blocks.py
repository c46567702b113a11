from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from scipy.stats import chisquare

from hyperspy_rvae.models import RVAE
from hyperspy_rvae.models.blocks import draw


def counted(images, computed, chunks=(7, 4, -1)):
    """Give a dask array that notes which chunks were computed."""

    def note(block, block_info):
        computed.append(block_info[0]["chunk-location"])
        return block

    return da.from_array(images, chunks).map_blocks(note, dtype=images.dtype)


def test_a_share_is_the_same_lazy_or_not(windows):
    X = da.from_array(windows, (5, 7, 9))
    model = RVAE(1, epochs=1, seed=0, max_subimages=11).fit(X)
    again = RVAE(1, epochs=1, seed=0, max_subimages=11).fit(windows)
    np.testing.assert_array_equal(model.transform(windows), again.transform(windows))


def test_a_share_has_every_row_once_at_most():
    rows = da.arange(400, chunks=30)
    drawn = [draw(rows, 50, seed) for seed in range(200)]
    assert all(len(set(some)) == 50 for some in drawn)
    often = np.bincount(np.concatenate(drawn), minlength=400)  # 25 times each, were all alike
    assert chisquare(often).pvalue > 1e-3


def test_transform_stays_lazy_and_equals_memory(windows, quick):
    computed = []
    X = counted(windows, computed)
    values, std = quick.transform(X, return_std=True)
    assert isinstance(values, da.Array) and values.shape == std.shape == (23, 6)
    assert values.chunks[0] == (7, 7, 7, 2) and not computed
    eager, eager_std = quick.transform(windows, return_std=True)
    np.testing.assert_allclose(values.compute(), eager, atol=3e-5)
    np.testing.assert_allclose(std.compute(), eager_std, atol=1e-5)
    computed.clear()
    values[:7].compute()
    assert {location[0] for location in computed} == {0}


def test_only_chunks_with_drawn_rows_are_computed(windows):
    many, computed = np.concatenate([windows] * 20), []
    RVAE(1, epochs=1, seed=0, max_subimages=10).fit(counted(many, computed, (2, -1, -1)))
    assert 0 < len({location[0] for location in computed}) <= 10


def test_windows_of_another_shape_are_refused_before_any_work(windows, quick):
    computed = []
    with pytest.raises(ValueError, match=r"windows of shape \(9, 7\), and the model was fitted"):
        quick.transform(counted(windows.swapaxes(1, 2), computed))
    assert not computed


@pytest.mark.parametrize("most", [9, 0, 12.0, True, "all"])
def test_a_share_too_small_is_refused(windows, most):
    with pytest.raises(ValueError, match="max_subimages must be a whole number, at least 10"):
        RVAE(1, max_subimages=most).fit(windows)
