"""What the divergence costs: by the papers' formulas, and by what a training does with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from hyperspy_rvae.models import RVAE
from hyperspy_rvae.models.divergence import Cost, kl_unit, told_twice

KL = torch.tensor([[0.5, 0.0, 2.0], [1.5, 0.1, 4.0]])


def test_divergence_from_a_unit_normal():
    mean, log_variance = torch.tensor([[0.3, -2.0]]), torch.tensor([[-1.0, 0.4]])
    truth = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(kl_unit(mean, log_variance), truth)


@pytest.mark.parametrize(
    ("cost", "done", "truth"),
    [
        (Cost(), 1.0, [2.5, 5.6]),
        (Cost(), 7.0, [2.5, 5.6]),
        (Cost(beta=4.0), 0.25, [2.5, 5.6]),
        (Cost(), 0.0, [0.0, 0.0]),
        (Cost(free_bits=1.2), 1.0, [1.2 + 1.2 + 3.0] * 2),
        (Cost(beta=2.0, free_bits=1.2), 0.5, [1.2 + 1.2 + 3.0] * 2),
        (Cost(beta=30.0, capacity=5.0), 1.0, [30 * (5 - 4.05)] * 2),
        (Cost(beta=30.0, capacity=5.0), 0.2, [30 * (4.05 - 1)] * 2),
    ],
)
def test_cost_by_the_formula(cost, done, truth):
    torch.testing.assert_close(cost.of(KL, done), torch.tensor(truth))


def test_free_bits_leave_a_faint_latent_alone():
    kl = KL.clone().requires_grad_()
    Cost(free_bits=0.3).of(kl).sum().backward()
    assert (kl.grad[:, 1] == 0).all() and (kl.grad[:, [0, 2]] > 0).all()


def test_what_labels_explain_by_all_pairs():
    mean, log_variance = torch.randn(2, 23, 3, generator=torch.Generator().manual_seed(0))
    label = torch.arange(23) % 4
    square = mean.square() + log_variance.exp()
    truth = 0.0
    for moment in (mean, (square - 1) / 2):
        for k in range(4):
            of_label = moment[label == k]
            n = len(of_label)
            pairs = sum(of_label[i] @ of_label[j] for i in range(n) for j in range(n) if i != j)
            truth += 0.5 * n / 23 * float(pairs) / (n * (n - 1))
    found = told_twice(mean, log_variance, torch.eye(4)[label])
    assert found.item() == pytest.approx(truth, rel=1e-4)


def test_nothing_is_told_twice_where_posteriors_match_the_prior():
    generator = torch.Generator().manual_seed(1)
    values, label = torch.randn(60_000, 2, generator=generator), torch.arange(60_000) % 3
    mean, log_variance = 0.6 * values, torch.full_like(values, np.log(0.64))
    assert abs(told_twice(mean, log_variance, torch.eye(3)[label]).item()) < 1e-3
    shifted = mean + 0.5 * (label == 1)[:, None]
    told = told_twice(shifted, log_variance, torch.eye(3)[label]).item()
    width = 0.5 * 0.25  # of half the mean square
    assert told == pytest.approx(2 * 0.5 * (0.25 + width**2) / 3, rel=0.1)


def content_divergence(model, images):
    values, std = model.transform(images, return_std=True)
    content = [k for k, name in enumerate(model.latent_names_) if name[0] == "z"]
    mean, std = torch.from_numpy(values[:, content]), torch.from_numpy(std[:, content])
    return kl_unit(mean, 2 * std.log()).mean(0).numpy()


@pytest.fixture(scope="module")
def few(dumbbells):
    return dumbbells.images[:120]


def test_a_capacity_is_reached(few, decoder):
    options = {"decoder": decoder, "epochs": 15, "batch_size": 12, "seed": 0}
    free = RVAE(2, **options).fit(few)
    held = RVAE(2, beta=20, capacity=3.0, **options).fit(few)
    assert content_divergence(free, few).sum() < 1.5
    assert content_divergence(held, few).sum() == pytest.approx(3, abs=0.8)


def test_free_bits_keep_latents_alive(few, decoder):
    options = {"decoder": decoder, "epochs": 15, "batch_size": 12, "seed": 0}
    free = RVAE(3, **options).fit(few)
    alive = RVAE(3, free_bits=0.5, **options).fit(few)
    assert content_divergence(free, few).min() < 0.1
    assert content_divergence(alive, few).min() > 0.3


def test_a_long_warm_up_lets_the_content_say_more(few, decoder):
    options = {"decoder": decoder, "epochs": 12, "batch_size": 12, "seed": 0}
    at_once = RVAE(2, kl_warmup=0, **options).fit(few)
    never = RVAE(2, kl_warmup=10**6, **options).fit(few)
    assert never.history_[-1]["divergence"] > 2 * at_once.history_[-1]["divergence"]
    for model in (at_once, never):
        last = model.history_[-1]
        assert last["loss"] == pytest.approx(last["reconstruction"] + last["divergence"])


def test_beta_weighs_the_divergence(few):
    light, heavy = (RVAE(2, beta=b, epochs=12, seed=0).fit(few) for b in (0.1, 10))
    last = heavy.history_[-1]
    assert last["loss"] == pytest.approx(last["reconstruction"] + 10 * last["divergence"])
    assert last["divergence"] < 0.2 * light.history_[-1]["divergence"]
    # The bound that `score` gives has the divergence once, whatever it cost in training.
    assert np.isfinite(heavy.score(few))


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        (
            {"kl_warmup": -1},
            "kl_warmup must be None or a whole number of epochs, from 0 on, got -1",
        ),
        ({"kl_warmup": 1.5}, "kl_warmup"),
        ({"kl_warmup": True}, "kl_warmup"),
        ({"capacity": -1.0}, "capacity must be None or a number of nats, from 0 on, got -1"),
        ({"capacity": "much"}, "capacity"),
        ({"capacity": np.nan}, "capacity"),
        ({"free_bits": -0.1}, "free_bits must be a number of nats, from 0 on, got -0.1"),
        ({"free_bits": None}, "free_bits"),
        ({"free_bits": np.inf}, "free_bits"),
    ],
)
def test_schedules_without_meaning(windows, parameters, match):
    with pytest.raises(ValueError, match=match):
        RVAE(1, **parameters).fit(windows)
