"""Classes beside the content: their posterior is enumerated, and one of them drawn."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.mixture import GaussianMixture
from torch import Generator, Tensor

from hyperspy_rvae.models.divergence import kl_unit
from hyperspy_rvae.models.labels import UNKNOWN
from hyperspy_rvae.models.steerable.nets import HIDDEN, SteerableNetwork, beside

_STARTS = 5
_LABELLED_AT_ONCE = 8  # in each step, beside those of the batch


class Classes:
    """The class of each subimage in a training.

    It is the one labelled, and else drawn from the posterior of all classes: the gradient of the
    sum over classes, each weighted by its probability, is then right on average, and that of a
    single class when there is no doubt. Until `released`, a first guess holds.

    Parameters
    ----------
    labels
        Index of the class of each subimage, shape ``(n,)``, or ``UNKNOWN``.
    guess
        The same, of every subimage, until classes are released. None: they are from the start.
    """

    def __init__(
        self,
        network: SteerableNetwork,
        labels: Tensor,
        generator: Generator,
        guess: Tensor | None = None,
    ) -> None:
        self.network, self.labels, self.guess = network, labels, guess
        self.generator = generator
        self.released = guess is None
        known = labels.cpu()
        self.chance = torch.zeros(len(known))  # to be drawn, the same for every class
        for kind in known[known != UNKNOWN].unique():
            self.chance[known == kind] = 1 / int((known == kind).sum())

    @property
    def told(self) -> bool:
        """Whether there are labels."""
        return bool(self.chance.any())

    def some_labelled(self) -> Tensor:
        """Draw rows that are labelled, of all classes alike."""
        return self.chance.multinomial(_LABELLED_AT_ONCE, True, generator=self.generator)

    def draw(
        self, rows: Tensor, own: Tensor, a: Tensor, cells: Tensor | None, condition: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Draw a class for some rows.

        Parameters
        ----------
        rows
            Which ones, shape ``(n,)``.
        own
            Their coefficients about one shift, ``(n, 2 D)``.
        a, cells
            Coefficients about some shifts, ``(n, S, 2 D)``, and which ones these are.
        condition
            What else is given, ``(n, c)``.

        Returns
        -------
        code, divergence
            Unit vectors ``(n, classes)``, zero for none; and the divergence of each posterior from
            the uniform law, ``(n,)``.
        """
        known = self.labels if self.released or self.guess is None else self.guess
        known = known[rows]
        count = self.network.space.classes
        some = torch.full((len(rows),), math.log(count), device=rows.device)
        if self.released and bool((known == UNKNOWN).any()):
            log_q = self._log_posterior(own, a, cells, condition)
            q = log_q.exp()
            chance = torch.rand(len(rows), 1, generator=self.generator).to(q)
            drawn = (q.cumsum(1) < chance).sum(1).clamp(max=count - 1)
            some = torch.where(known == UNKNOWN, some + (q * log_q).sum(1), some)
            known = torch.where(known == UNKNOWN, drawn, known)
        none = known == UNKNOWN
        code = self.network.codes()[known.clamp(min=0)]
        return code * ~none[:, None], some * ~none

    def contradiction(
        self,
        rows: Tensor,
        own: Tensor,
        a: Tensor,
        square: Tensor,
        cells: Tensor,
        condition: Tensor,
        turns: Tensor | None,
    ) -> Tensor:
        """Cross-entropy of the posterior of labelled rows with their labels, to be differentiated.

        Its gradient is right and its value is not, since the poses' posterior is held fixed; that
        is the third term of Kingma et al. (NeurIPS 2014), by enumeration in place of a network.

        Parameters are those of `draw`, with the sums of squares ``(n, C)`` and, unless none are,
        angles ``(n,)`` by which what is read is turned.
        """
        network, count = self.network, self.network.space.classes
        own, a, square, cells, condition = (
            torch.cat([part] * count) for part in (own, a, square, cells, condition)
        )
        turns = None if turns is None else torch.cat([turns] * count)
        code = network.codes()
        context = torch.cat([code.repeat_interleave(len(rows), 0), condition], 1)
        mean, log_variance = network.read(own, context, turns)
        b, kl = network.draw(mean, context), kl_unit(mean, log_variance).sum(1)
        with torch.no_grad():
            found = network.likelihood.evidence(a, b, square, network.noise, cells)
            q = (found.log - kl).view(count, -1).softmax(0)
            excess = q - code[self.labels[rows]].T
        bounds = (found.gradient * b).sum(1) / network.noise - kl
        return (excess * bounds.view(count, -1)).sum(0).mean()

    @torch.no_grad()
    def _log_posterior(
        self, own: Tensor, a: Tensor, cells: Tensor | None, condition: Tensor
    ) -> Tensor:
        network, bounds = self.network, []
        for code in network.codes():
            context = beside(code, condition)
            mean, log_variance = network.read(own, context)
            joint, _ = network.likelihood.log_joint(
                a, network.draw(mean, context), network.noise, cells
            )
            bounds.append(joint.flatten(1).logsumexp(1) - kl_unit(mean, log_variance).sum(1))
        return torch.stack(bounds, 1).log_softmax(1)


def matching(first: np.ndarray, other: np.ndarray, count: int) -> np.ndarray:
    """Which class ``(count,)`` of the other model is each class of the first, by shared subimages.

    Both say the class of each subimage, ``(n,)``; the classes that agree the most are matched.
    """
    together = np.zeros((count, count))
    np.add.at(together, (first, other), 1)
    return linear_sum_assignment(together, maximize=True)[1]


@torch.no_grad()
def reorder(network: SteerableNetwork, order: np.ndarray) -> None:
    """Let class k of a network be the one that was ``order[k]``."""
    chosen, content = torch.from_numpy(order), network.space.content
    first = next(network.decoder.parameters())
    for columns, start in (
        (network.encoder.third.weight, HIDDEN),
        (first, content),
        (network.cells, content),
    ):
        columns[:, start : start + len(order)] = columns[:, start + chosen]
    for rows in (network.level.location, network.level.log_scale):
        rows[: len(order)] = rows[chosen]


def cluster(content: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Index of the cluster, of so many, of each of the contents ``(n, k)``."""
    mixture = GaussianMixture(count, n_init=_STARTS, random_state=seed)
    return mixture.fit_predict(content.astype(np.float64))
