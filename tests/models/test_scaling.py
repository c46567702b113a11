from __future__ import annotations

import numpy as np
import pytest

from hyperspy_rvae.models.scaling import by_channel, location_and_scale, restore, standardise


@pytest.mark.parametrize("unit", [1.0, 1e4, 1e-9, 1e30, 1e-200, 1e200])
def test_of_any_unit(unit):
    pixels = np.random.default_rng(0).normal(3, 2, (70, 130)) * unit
    location, scale = location_and_scale(pixels)
    assert location == pytest.approx(3 * unit, rel=0.03)
    assert scale == pytest.approx(2 * unit, rel=0.03)
    standard = standardise(pixels, *by_channel(pixels, 1))
    assert standard.dtype == np.float32 and standard.std() == pytest.approx(1, rel=0.03)


def test_faint_contrast_on_a_pedestal():
    pixels = np.random.default_rng(0).normal(0, 1, (70, 130))
    high = pixels * 1e-3 + 1e5
    np.testing.assert_allclose(
        standardise(high, *by_channel(high, 1)),
        standardise(pixels, *by_channel(pixels, 1)),
        atol=1e-5,
    )


def test_hot_pixels_do_not_count():
    pixels = np.random.default_rng(0).normal(3, 2, (70, 130))
    pixels[5, 7] = 1e12
    location, scale = location_and_scale(pixels)
    assert (location, scale) == pytest.approx((3, 2), rel=0.05)
    assert np.abs(standardise(pixels, *by_channel(pixels, 1))).max() < 100


def test_sparse_images():
    pixels = np.zeros((70, 130))
    pixels[3, 4] = 1
    assert location_and_scale(pixels)[1] == pytest.approx(pixels.std())


@pytest.mark.parametrize("value", [0.0, 7.0, -1e-12])
def test_constant_images(value):
    with pytest.raises(ValueError, match="must vary"):
        location_and_scale(np.full((11, 25), value))


def test_each_channel_has_its_own_unit():
    rng = np.random.default_rng(0)
    pixels = np.concatenate([rng.normal(3, 2, (70, 130)), rng.normal(-1e9, 1e7, (70, 130))], 1)
    location, scale = by_channel(pixels, 2)
    np.testing.assert_allclose(location, [3, -1e9], rtol=0.03)
    np.testing.assert_allclose(scale, [2, 1e7], rtol=0.03)
    standard = standardise(pixels, location, scale)
    assert standard[:, :130].std() == pytest.approx(standard[:, 130:].std(), rel=0.05)
    np.testing.assert_allclose(restore(standard, location, scale), pixels, rtol=1e-5, atol=1e-5)


def test_a_constant_channel_is_named():
    pixels = np.random.default_rng(0).normal(0, 1, (70, 260))
    pixels[:, 130:] = 4
    with pytest.raises(ValueError, match=r"channel 1: the subimages must vary.*leave that channel"):
        by_channel(pixels, 2)
