"""Subimages whose angle, shift and noise are known, made without the package."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hyperspy_rvae.models import RVAE

NOISE = 0.1


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    # Small networks: two threads only wait for one another.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_dumbbells(n, height, width, seed, shift=1.0):
    """A strong atom in the middle and a weak one beside it, at uniform angles.

    The angle is that of the weak atom seen from the strong one, counter-clockwise as displayed.
    """
    rng = np.random.default_rng(seed)
    angle = rng.uniform(-np.pi, np.pi, n)
    shifts = rng.uniform(-shift, shift, (n, 2))
    y, x = np.mgrid[:height, :width].astype(float)
    images = rng.normal(0, NOISE, (n, height, width))
    distance = 0.28 * min(height, width)
    for radius, weight in ((0.0, 1.0), (distance, 0.6)):
        cx = (width - 1) / 2 + shifts[:, 0] + radius * np.cos(angle)
        cy = (height - 1) / 2 + shifts[:, 1] - radius * np.sin(angle)  # y points down
        r2 = (x - cx[:, None, None]) ** 2 + (y - cy[:, None, None]) ** 2
        images += weight * np.exp(-r2 / (2 * 1.5**2))
    return SimpleNamespace(images=images.astype(np.float32), angle=angle, shift=shifts)


@pytest.fixture(scope="session")
def make():
    """Give `make_dumbbells` to tests that need their own."""
    return make_dumbbells


@pytest.fixture(scope="session")
def dumbbells():
    return make_dumbbells(300, 13, 13, seed=1)


@pytest.fixture(scope="session", params=["steerable", "spatial"])
def decoder(request):
    return request.param


@pytest.fixture(scope="session")
def fitted(dumbbells, decoder):
    return RVAE(latent_dim=1, decoder=decoder, epochs=40, seed=0).fit(dumbbells.images)


@pytest.fixture(scope="session")
def windows():
    """Few and not square, for all that needs no good model."""
    return make_dumbbells(23, 7, 9, seed=2).images


@pytest.fixture
def quick(windows, decoder):
    """Hardly trained on windows that are not square; own to each test."""
    return RVAE(latent_dim=3, decoder=decoder, epochs=2, batch_size=6, seed=4).fit(windows)
