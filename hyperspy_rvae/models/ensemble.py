"""Several models of the same subimages: trained side by side, and how far they disagree.

An ensemble is its first model, whose standard deviations the others widen. A mean over models
would be a latent of none of them: an angle between two that fit alike fits nowhere.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Generator

from hyperspy_rvae.models import alignment, inference
from hyperspy_rvae.models.alignment import Alignment
from hyperspy_rvae.models.checkpoint import open_checkpoint
from hyperspy_rvae.models.cluster import cluster
from hyperspy_rvae.models.course import Callback, Plan, Record
from hyperspy_rvae.models.fitting import Task
from hyperspy_rvae.models.inference import AnyNetwork
from hyperspy_rvae.models.latents import LatentSpace
from hyperspy_rvae.models.steerable import classes
from hyperspy_rvae.models.steerable.nets import SteerableNetwork

Learn = Callable[[Task, Generator, Callback | None], tuple[AnyNetwork, list[Record]]]
Others = list[tuple[AnyNetwork, Alignment]]  # all models but the first

_COMPARED = 4000  # subimages
_WIDEST = math.pi / math.sqrt(3)  # standard deviation of an angle of which nothing is known


def seeds(seed: int, count: int) -> list[int]:
    """Give each model a seed: the first this one, the others some that depend on it alone."""
    return [seed, *np.random.SeedSequence(seed).generate_state(count - 1).tolist()]


def plans(
    task: Task,
    parameters: Mapping[str, Any],
    each: list[int],
    checkpoint: str | os.PathLike[str] | None,
) -> list[Plan]:
    """Give each model the task's plan, with a checkpoint of its own if there is to be one.

    That of the first is where it would be for a single model; the others' names end in ``.1`` etc.
    """
    data = {"subimages": task.pixels, "condition": task.context}
    if task.streamed is not None:  # of which only a sample can be looked at
        data["streamed"] = np.array(task.streamed.X.chunks[0])
    if task.labels is not None:
        data["labels"] = task.labels
    made = []
    for k, seed in enumerate(each):
        path = f"{os.fspath(checkpoint)}.{k}" if checkpoint is not None and k else checkpoint
        kept = open_checkpoint(path, {**parameters, "n_models": 1}, seed, task.window, data)
        made.append(replace(task.plan, checkpoint=kept))
    return made


def train(
    learn: Learn, task: Task, plans: list[Plan], each: list[int], callback: Callback | None
) -> list[tuple[AnyNetwork, list[Record]]]:
    """Train a model for each seed, on dask's cluster if there is one, or else in turn.

    Parameters
    ----------
    plans
        One for each.
    callback
        Of several models, its records say in ``model`` which they belong to. Those of a cluster
        come when their model is done.
    """
    if len(each) == 1:
        return [_learn(learn, task, plans[0], each[0], callback)]
    client = cluster()
    if client is not None:
        return _train_there(client, learn, task, plans, each, callback)
    return [
        _learn(learn, task, plan, seed, _numbered(callback, k))
        for k, (plan, seed) in enumerate(zip(plans, each, strict=True))
    ]


def histories(found: list[list[Record]]) -> list[Record]:
    """Put the records of all models in turn, numbered if there are several."""
    if len(found) == 1:
        return found[0]
    return [{"model": k, **record} for k, history in enumerate(found) for record in history]


def history_of(history: list[Record], model: int) -> list[Record]:
    """Take the records of one model, without its number."""
    return [
        {name: value for name, value in record.items() if name != "model"}
        for record in history
        if record.get("model", 0) == model
    ]


def compare(networks: list[AnyNetwork], task: Task, seed: int) -> Others:
    """Put all networks but the first into the first one's conventions, by training data.

    Classes that were found without labels are given the first one's numbers.
    """
    if len(networks) == 1:
        return []
    rows = np.random.default_rng(seed).permutation(len(task.pixels))[:_COMPARED]
    pixels, context = task.pixels[rows], task.context[rows]
    values = [inference.encode(network, pixels, context, task.device)[0] for network in networks]
    told = _told(values[0], context, task.space)
    others = []
    for network, other in zip(networks[1:], values[1:], strict=True):
        if task.labels is None and isinstance(network, SteerableNetwork):
            _match_classes(network, values[0], other)
        others.append((network, alignment.find(values[0], other, told, task.space)))
    return others


def widen(
    first: AnyNetwork,
    values: np.ndarray,
    std: np.ndarray,
    others: Others,
    pixels: np.ndarray,
    context: np.ndarray,
    device: torch.device,
) -> np.ndarray:
    """Widen standard deviations ``(n, latents)`` by how far the models disagree.

    By the law of total variance they are ``sqrt(std**2 + disagreement**2)``.

    Parameters
    ----------
    values, std
        What the first model finds in pixels ``(n, p)`` with their context.
    """
    if not others:
        return std
    space, numbers = first.space, sum(first.space.widths)  # a class has no width
    every, told = [values[:, :numbers].astype(np.float64)], _told(values, context, space)
    for network, aligning in others:
        found, _ = inference.encode(network, pixels, context, device)
        every.append(aligning.apply(values, found, told, space))
    order = np.ones(len(values))
    if space.rotation and space.symmetry != 1 and isinstance(first, SteerableNetwork):
        order = inference.symmetry(first, values, context, device)
    total = std.copy()
    total[:, :numbers] = np.hypot(std[:, :numbers], disagreement(np.stack(every), space, order))
    if space.rotation:
        total[:, 0] = total[:, 0].clip(max=_WIDEST / order)
    return total


def disagreement(values: np.ndarray, space: LatentSpace, order: np.ndarray) -> np.ndarray:
    """Take the standard deviation of latents ``(models, n, latents)`` over the models.

    It is that of a sample, without bias. For angles, ``sqrt(-2 log(1 - V))`` with the circular
    variance V, likewise without bias (Mardia and Jupp, Directional Statistics, 2000); at most that
    of an angle of which nothing is known. Angles are told modulo ``2 pi / order``, ``(n,)``.
    """
    spread = values.std(0, ddof=1)
    if space.rotation:
        count = len(values)
        length = abs(np.exp(1j * order * values[..., 0]).mean(0))
        variance = (1 - length) * count / (count - 1)
        narrowest = math.exp(-(_WIDEST**2) / 2)
        spread[:, 0] = np.sqrt(-2 * np.log((1 - variance).clip(narrowest, 1))) / order
    return spread


def _told(values: np.ndarray, context: np.ndarray, space: LatentSpace) -> np.ndarray:
    # What content of these latents is beside: the class, and the condition.
    kind = space.class_of(torch.from_numpy(values)).numpy()
    return np.concatenate([kind, context], 1)


def _match_classes(network: SteerableNetwork, first: np.ndarray, other: np.ndarray) -> None:
    if network.space.classes:
        column, count = network.space.names.index("class"), network.space.classes
        mine, theirs = first[:, column].astype(int), other[:, column].astype(int)
        classes.reorder(network, classes.matching(mine, theirs, count))


def _numbered(callback: Callback | None, model: int) -> Callback | None:
    if callback is None:
        return None
    return lambda epoch, record: callback(epoch, {"model": model, **record})


def _train_there(
    client: Any,
    learn: Learn,
    task: Task,
    plans: list[Plan],
    each: list[int],
    callback: Callback | None,
) -> list[tuple[AnyNetwork, list[Record]]]:
    shared = client.scatter(task, broadcast=True)
    futures = [
        client.submit(_learn, learn, shared, plan, seed, pure=False)
        for plan, seed in zip(plans, each, strict=True)
    ]
    found = []
    try:
        for k, future in enumerate(futures):
            network, history = future.result()
            found.append((network, history))
            for epoch, record in enumerate(history):
                if callback is not None:
                    callback(epoch, {"model": k, **record})
    finally:
        client.cancel(futures)
    return found


def _learn(
    learn: Learn, task: Task, plan: Plan, seed: int, callback: Callback | None = None
) -> tuple[AnyNetwork, list[Record]]:
    return learn(replace(task, plan=plan), Generator().manual_seed(seed), callback)
