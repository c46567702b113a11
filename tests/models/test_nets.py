from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Generator

from hyperspy_rvae.models.latents import LatentSpace
from hyperspy_rvae.models.nets import Network


def started(window, space):
    network = Network(window, space)
    network.start(Generator().manual_seed(3))
    return network


def test_start_takes_no_global_chance():
    before = torch.get_rng_state()
    first, second = (started((6, 7), LatentSpace(2, True, True)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]) and torch.isfinite(value).all()
        assert value.ndim >= 1


@pytest.mark.parametrize(("window", "quarters"), [((8, 8), 1), ((8, 7), 2)])
def test_encoder_follows_exact_turns(window, quarters):
    network = started(window, LatentSpace(3, True, True))
    images = np.random.default_rng(0).normal(size=(5, *window)).astype(np.float32)
    turned = np.rot90(images, quarters, (1, 2)).copy()
    (mean, std), (mean_turned, std_turned) = (
        network.encode(torch.from_numpy(x).flatten(1), torch.zeros(5, 0)) for x in (images, turned)
    )
    turn = (mean_turned - mean)[:, 0] - quarters * np.pi / 2
    np.testing.assert_allclose(np.exp(1j * turn.detach().numpy()), 1, atol=1e-4)
    # On the display, (right, down) turned by a quarter is (down, -right).
    x, y = mean[:, 1], mean[:, 2]
    expected = torch.stack([y, -x] if quarters == 1 else [-x, -y], 1)
    torch.testing.assert_close(mean_turned[:, 1:3], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mean_turned[:, 3:], mean[:, 3:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(std_turned[:, [0, 3, 4, 5]], std[:, [0, 3, 4, 5]])


def test_decoder_poses_its_content():
    network = started((9, 9), LatentSpace(2, True, True))
    still, turned, moved = (
        network.decode(
            torch.tensor(
                [[0.0, 0, 0, 0.5, -1], [np.pi / 2, 0, 0, 0.5, -1], [0.0, 2, -1, 0.5, -1]],
                dtype=torch.float32,
            ),
            torch.zeros(3, 0),
        )
        .detach()
        .numpy()
        .reshape(3, 9, 9)
    )
    np.testing.assert_allclose(turned, np.rot90(still), atol=1e-5)
    np.testing.assert_allclose(moved[:-1, 2:], still[1:, :-2], atol=1e-5)


@pytest.mark.parametrize("pose", [(True, True, True), (True, True, False), (False, False, True)])
@pytest.mark.parametrize("encoder", ["mlp", "conv"])
def test_a_silent_latent_follows_the_prior(pose, encoder):
    space = LatentSpace(2, *pose)
    network = Network((7, 8), space, encoder=encoder)
    network.start(Generator().manual_seed(3))
    pixels = torch.randn(4, 56, generator=Generator().manual_seed(0))
    before = network.encode(pixels, torch.zeros(4, 0))
    network.silence(torch.tensor([False, True]))
    after = network.encode(pixels, torch.zeros(4, 0))
    for values, were, prior in zip(after, before, (0, 1), strict=True):
        assert (values[:, -1] == prior).all() and not (were[:, -1] == prior).any()
        torch.testing.assert_close(values[:, :-1], were[:, :-1])
