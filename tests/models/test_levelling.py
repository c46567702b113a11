"""Content says the same in every context, with the moments of the prior."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from hyperspy_rvae.models.divergence import kl_unit
from hyperspy_rvae.models.levelling import Level

GENERATOR = torch.Generator().manual_seed(0)
KIND = torch.arange(6000) % 3
LABELS = torch.eye(3)[KIND]
VALUES = torch.randn(6000, 2, generator=GENERATOR)
PLACE, WIDTH = torch.tensor([0.3, -0.2, 0.0]), torch.tensor([1.4, 0.6, 0.9])


def levelled(level, mean, log_variance, context):
    content, log_scale = level(mean, context)
    return content, log_variance - 2 * log_scale


def posterior(place, width):
    """Means and log-variances of posteriors that are a half as certain as the prior."""
    noise = torch.randn(6000, 1, generator=GENERATOR)
    mean = place + width * np.sqrt(0.5) * noise
    return mean, (0.5 * width.square()).log().expand_as(mean)


def test_moments_of_each_label():
    mean, log_variance = posterior(PLACE[KIND, None], WIDTH[KIND, None])
    level = Level(3, 1)
    level.learn(mean, log_variance, LABELS)
    content, log_variance = levelled(level, mean, log_variance, LABELS)
    for k in range(3):
        own = content[KIND == k]
        assert abs(own.mean()) < 0.01
        square = own.square() + log_variance[KIND == k].exp()
        assert square.mean() == pytest.approx(1, abs=0.03)


def test_the_least_divergence_under_values():
    slope = torch.tensor([[0.4], [-0.3]])
    mean, log_variance = posterior(VALUES @ slope, (VALUES @ slope.flip(0)).exp())
    level = Level(2, 1)
    level.learn(mean, log_variance, VALUES)
    context, square = VALUES.double().numpy(), log_variance.exp().double().numpy()[:, 0]

    def divergence(parameters):
        location, log_scale = context @ parameters[:2], context @ parameters[2:]
        off = (mean.double().numpy()[:, 0] - location) ** 2 + square
        return (off * np.exp(-2 * log_scale) / 2 + log_scale).mean()

    found = torch.cat([level.location, level.log_scale]).numpy()[:, 0]
    best = minimize(divergence, np.zeros(4)).x
    np.testing.assert_allclose(best[2:], [-0.3, 0.4], atol=0.03)
    np.testing.assert_allclose(found[:2], best[:2], atol=0.06)  # least squares, all alike
    np.testing.assert_allclose(found[2:], best[2:], atol=0.01)
    kl = kl_unit(mean, log_variance).mean()
    assert kl_unit(*levelled(level, mean, log_variance, VALUES)).mean() < kl - 0.1


def test_few_subimages_of_a_label_change_little():
    mean, log_variance = torch.tensor([[2.0]]), torch.tensor([[-6.0]])
    level = Level(2, 1)
    level.learn(mean, log_variance, torch.tensor([[1.0, 0.0]]))
    assert 0 < level.location[0] < 0.7 and abs(level.log_scale[0]) < 0.3
    assert not level.location[1] and not level.log_scale[1]


@pytest.mark.parametrize("context", [LABELS, VALUES, LABELS[:, :0]], ids=["3", "2", "none"])
def test_the_decoder_inverts(context):
    mean, log_variance = posterior(PLACE[KIND, None], WIDTH[KIND, None])
    level = Level(context.shape[1], 1)
    level.learn(mean, log_variance, context)
    content, _ = level(mean, context)
    np.testing.assert_allclose(level.undo(content, context), mean, atol=1e-5)
    if not context.shape[1]:
        assert torch.equal(content, mean) and not level.state_dict()
