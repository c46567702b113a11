"""From one model's conventions to another's, by what both say of the same subimages.

The likelihood leaves free from where angles and shifts count, for each kind of content, and how
the content latents lie. Two models therefore differ in more than what they know. Of the first
model's content, and of the context that both are given, cells are made; in each, the other's angles
are off by one turn, its scales by one factor, and its shifts by one displacement, which turns with
the content. The other's content becomes the first one's by a smooth function.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans

from hyperspy_rvae.models.latents import APART, LatentSpace

_CELLS = 24
_LEAST_IN_CELL = 25  # subimages, on average
_BINS = 72  # of the circle
_NEAR = math.radians(15)  # of the commonest turn
_RIDGE = 1e-3  # of the number of subimages
_WIDTH = 1.5  # of the functions, in distances between neighbouring centres


class Alignment(NamedTuple):
    """How to put another model's latents into the first one's conventions.

    ``cells`` ``(m, k + c)`` are centres in the first one's content and the context, with a
    ``turn`` ``(m,)``, a ``growth`` ``(m,)`` and a ``move`` ``(m, 2)``, in the content's own frame;
    ``centres`` ``(l, k + c)`` lie in the other's content and the context and belong to Gaussians
    of a ``width`` ``(1,)``, whose ``weights`` ``(l + k + c + 1, k)``, with those of content and
    context themselves and of one, give the first one's content.
    """

    cells: np.ndarray
    turn: np.ndarray
    growth: np.ndarray
    move: np.ndarray
    centres: np.ndarray
    width: np.ndarray
    weights: np.ndarray

    def apply(
        self, first: np.ndarray, other: np.ndarray, context: np.ndarray, space: LatentSpace
    ) -> np.ndarray:
        """Put the other's latents ``(n, latents)`` into the conventions of the first."""
        mine, theirs = _parts(first, space), _parts(other, space)
        cell = cdist(_told(mine, context), self.cells).argmin(1)
        angle = np.angle(np.exp(1j * (theirs.angle + self.turn[cell])))
        shift = theirs.shift + _turned(self.move[cell], mine.angle)
        scale = theirs.scale * self.growth[cell]
        content = _functions(_told(theirs, context), self.centres, self.width[0]) @ self.weights
        columns = [angle[:, None], shift, scale[:, None], content]
        widths = zip(columns, space.widths, strict=True)
        return np.concatenate([column for column, width in widths if width], 1)


class _Parts(NamedTuple):
    angle: np.ndarray
    shift: np.ndarray
    scale: np.ndarray
    content: np.ndarray


def find(
    first: np.ndarray, other: np.ndarray, context: np.ndarray, space: LatentSpace
) -> Alignment:
    """Learn the alignment from both models' latents of the same subimages.

    Parameters
    ----------
    first, other
        Shape ``(n, latents)``.
    context
        What both models were given beside each subimage, shape ``(n, c)``.
    """
    mine, theirs = _parts(first, space), _parts(other, space)
    kinds = len(np.unique(context, axis=0))
    cells, cell = _clusters(_told(mine, context), kinds)
    turn, growth = np.zeros(len(cells)), np.ones(len(cells))
    move = np.zeros((len(cells), 2))
    off = _turned(mine.shift - theirs.shift, -mine.angle)
    for k in range(len(cells)):
        here = cell == k
        turn[k] = commonest(mine.angle[here] - theirs.angle[here])
        growth[k] = np.median(mine.scale[here] / theirs.scale[here])
        move[k] = np.median(off[here], 0)
    told = _told(theirs, context)
    centres, _ = _clusters(told, kinds)
    apart = cdist(centres, centres) + np.diag([np.inf] * len(centres))
    width = _WIDTH * np.median(apart.min(1)) if len(centres) > 1 else 1.0
    values = _functions(told, centres, width)
    ridge = _RIDGE * len(values) * np.eye(values.shape[1])
    weights = np.linalg.solve(values.T @ values + ridge, values.T @ mine.content)
    return Alignment(cells, turn, growth, move, centres, np.array([width]), weights)


def commonest(angles: np.ndarray) -> float:
    """Find the angle about which most of them lie, as the mean of those within 15 degrees."""
    places = np.linspace(-math.pi, math.pi, _BINS, endpoint=False)
    off = np.angle(np.exp(1j * (angles[:, None] - places)))
    best = (np.abs(off) < _NEAR).sum(0).argmax()
    near = off[np.abs(off[:, best]) < _NEAR, best]
    return float(places[best] + near.mean()) if len(near) else 0.0


def _parts(values: np.ndarray, space: LatentSpace) -> _Parts:
    values = values[:, : sum(space.widths)].astype(np.float64)
    angle, shift, scale, content = np.split(values, np.cumsum(space.widths)[:-1], axis=1)
    none = np.zeros(len(values))
    return _Parts(
        angle[:, 0] if space.rotation else none,
        shift if space.translation else np.stack([none, none], 1),
        scale[:, 0] if space.scale else none + 1,
        content,
    )


def _told(parts: _Parts, context: np.ndarray) -> np.ndarray:
    return np.concatenate([parts.content, APART * context], 1)


def _turned(vectors: np.ndarray, angle: np.ndarray) -> np.ndarray:
    # Counter-clockwise as displayed, with y down.
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = vectors.T
    return np.stack([cos * x + sin * y, cos * y - sin * x], 1)


def _clusters(content: np.ndarray, kinds: int) -> tuple[np.ndarray, np.ndarray]:
    # Centres, and which one is nearest to each; of few kinds, every one has its own.
    distinct = len(np.unique(content, axis=0))
    least = kinds if kinds <= _CELLS else 1
    count = max(least, min(_CELLS, len(content) // _LEAST_IN_CELL, distinct))
    found = KMeans(count, n_init=1, random_state=0).fit(content)
    return found.cluster_centers_, found.labels_


def _functions(content: np.ndarray, centres: np.ndarray, width: float) -> np.ndarray:
    bells = np.exp(-np.square(cdist(content, centres) / width) / 2)
    return np.concatenate([bells, content, np.ones((len(content), 1))], 1)
