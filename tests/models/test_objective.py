from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from hyperspy_rvae.models.latents import LatentSpace
from hyperspy_rvae.models.nets import Network
from hyperspy_rvae.models.objective import (
    SHIFT_PRIOR,
    divergence,
    gaussian_nll,
    kl_circle,
    kl_normal,
)


def test_kl_normal():
    mean, std = torch.tensor([0.3, -2.0]), torch.tensor([0.5, 1.7])
    truth = kl_divergence(Normal(mean, std), Normal(torch.zeros(2), 0.8 * torch.ones(2)))
    torch.testing.assert_close(kl_normal(mean, std, 0.8), truth)


@pytest.mark.parametrize("std", [0.01, 0.2, 0.69, 0.71, 1.0, 2.0, 4.0])
def test_kl_circle_by_integration(std):
    angle = np.linspace(-np.pi, np.pi, 400_001)
    turns = 2 * np.pi * np.arange(-12, 13)[:, None]
    density = sum(Normal(0.0, std).log_prob(torch.from_numpy(angle + t)).exp() for t in turns)
    density = density.numpy()
    integrand = np.where(density > 0, density * np.log(2 * np.pi * density + 1e-300), 0)
    truth = np.sum((integrand[1:] + integrand[:-1]) / 2) * (angle[1] - angle[0])
    assert kl_circle(torch.tensor(std)).item() == pytest.approx(truth, abs=5e-5)


def test_kl_circle_has_a_gradient_everywhere():
    std = torch.tensor([1e-3, 0.7, 8.0], requires_grad=True)
    kl_circle(std).sum().backward()
    assert torch.isfinite(std.grad).all()


def test_gaussian_nll():
    error = torch.tensor([[0.3, -0.2, 1.0], [0.0, 0.1, 0.4]])
    truth = -Normal(0.0, 0.6).log_prob(error).sum(-1)
    nll = gaussian_nll(error.square().sum(-1, keepdim=True), torch.tensor([0.36]), 3)
    torch.testing.assert_close(nll, truth)


def test_divergence_adds_up():
    network = Network((7, 9), LatentSpace(3, rotation=True, translation=True))
    mean, std = torch.randn(5, 6), torch.rand(5, 6) + 0.1
    prior = torch.tensor([SHIFT_PRIOR * 7] * 2 + [1.0] * 3).expand(5, 5)
    flat = kl_divergence(Normal(mean[:, 1:], std[:, 1:]), Normal(torch.zeros(5, 5), prior))
    truth = kl_circle(std[:, 0]) + flat.sum(1)
    pose, content = divergence(network, mean, std)
    torch.testing.assert_close(pose + content.sum(1), truth)
