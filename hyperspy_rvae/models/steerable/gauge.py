"""One origin for the angles of all content.

Training keeps the origin where content changes little by little; between groups of content with
nothing between them it is left to chance. Here every kind of content is turned to overlap as much
as it can with the one most like it: from coefficients b and c, turned by phi,

    o(phi) = Re sum_d conj(b_d) c_d exp(-i m_d phi) / |b| |c|,   m_d > 0,

and the largest overlaps form a tree along which the turns add up. Content that is the same but for
its surroundings so gets the same origin; between motifs that share less, a direction of the lattice
or nothing, the origin is a convention.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree
from sklearn.cluster import KMeans

CELLS = 24
_ANGLES = 720
_AS_GOOD = 0.9  # of the largest overlap; then there is no reason to turn


def cells(content: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divide content ``(n, k)`` into cells: centres ``(CELLS, k)`` and sizes ``(CELLS,)``.

    Of less content than there are cells, the last one stands more than once, with size 0.
    """
    different = np.unique(content, axis=0)
    count = min(CELLS, len(different))
    found = KMeans(count, n_init=1, random_state=0).fit(content.astype(np.float64))
    size = np.bincount(found.labels_, minlength=count)
    missing = CELLS - count
    centres = np.pad(found.cluster_centers_, ((0, missing), (0, 0)), mode="edge")
    return centres, np.pad(size, (0, missing))


def turns(coefficients: np.ndarray, orders: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Angles by which to turn each content so that all have the origin of the commonest.

    Parameters
    ----------
    coefficients
        Complex, shape ``(n, D)``.
    orders
        Angular orders, shape ``(D,)``.
    sizes
        How common each content is, shape ``(n,)``.

    Returns
    -------
    turns
        Radians in [-pi, pi), shape ``(n,)``; 0 for the commonest.
    """
    largest, turn = _overlaps(coefficients[:, orders > 0], orders[orders > 0])
    # Overlaps are at most 1; a spanning tree takes 0 for "no edge".
    tree = minimum_spanning_tree(np.triu(2 - largest, 1))
    first = int(np.argmax(sizes))
    order, parent = breadth_first_order(tree, first, directed=False)
    total = np.zeros(len(sizes))
    for k in order[1:]:
        total[k] = total[parent[k]] + turn[parent[k], k]
    return (total + math.pi) % (2 * math.pi) - math.pi


def _overlaps(b: np.ndarray, orders: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # The largest overlaps (n, n), and the turns of the second content that give them.
    b = b / np.maximum(np.linalg.norm(b, axis=1, keepdims=True), 1e-12)
    phi = 2 * math.pi / _ANGLES * np.arange(_ANGLES)
    series = np.zeros((int(orders.max(initial=0)) + 1, len(b), len(b)), complex)
    for m in np.unique(orders):
        series[m] = b[:, orders == m].conj() @ b[:, orders == m].T
    phase = np.exp(-1j * np.outer(phi, np.arange(len(series))))
    overlap = np.tensordot(phase, series, 1).real
    largest, still = overlap.max(0), overlap[0]
    turn = np.where(still > _AS_GOOD * largest, 0.0, phi[overlap.argmax(0)])
    return largest, turn
