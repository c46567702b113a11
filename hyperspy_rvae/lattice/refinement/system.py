"""One Gauss-Newton step for all columns, the background and what the columns share."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import linalg, sparse

from hyperspy_rvae.lattice.refinement import kernels
from hyperspy_rvae.lattice.refinement.background import Background
from hyperspy_rvae.lattice.refinement.compiled import in_threads
from hyperspy_rvae.lattice.refinement.kernel import LARGEST_SHARE, Kernel

RIDGE = 1e-6  # of the curvature, so that columns that cannot be told apart do no harm
WEAK = 1e-3  # of the usual curvature in position: columns with less than that hardly move
KNOWN_AT_LEAST = 1e-3  # of a column's curvature, whatever touches it
ACCURACY, MOST_ROUNDS = 1e-3, 400


@dataclasses.dataclass(frozen=True)
class Equations:
    """Normal equations of columns and background.

    Attributes
    ----------
    matrix
        Sparse, symmetric, over height, x, y of each column in turn, then the splines.
    blocks
        Curvature of each column by itself, shape ``(n, 3, 3)``.
    pairs, links
        Pairs of columns that touch, shape ``(pairs, 2)``, and their mutual curvature
        ``(pairs, 3, 3)``.
    spline
        Curvature of the background by itself, penalty included.
    """

    matrix: sparse.csr_array
    blocks: np.ndarray
    pairs: np.ndarray
    links: np.ndarray
    spline: np.ndarray


def equations(
    weights: np.ndarray,
    xy: np.ndarray,
    sizes: np.ndarray,
    kinds: np.ndarray,
    kernel: Kernel,
    background: Background,
    pairs: np.ndarray,
    penalties: tuple[float, float],
) -> Equations:
    """Set up the normal equations, without right-hand sides.

    Parameters
    ----------
    weights
        Of the pixels, shape ``(height, width)``, float32.
    xy, sizes, kinds
        Columns: positions ``(n, 2)``, what their derivatives at height 1 are multiplied with
        ``(n, 3)``, and numbers of their sublattices ``(n,)``.
    kernel
        What they share.
    background
        The splines.
    pairs
        Columns that touch, shape ``(pairs, 2)``.
    penalties
        On the squares of the heights, and on the bends of the background.
    """
    count, shape = len(xy), kernel.arguments()
    starts, many = background.around(xy, int(shape[-1].max()))
    blocks, mixed = np.empty((count, 3, 3)), np.empty((count, 3, many, many))
    splines = [np.ascontiguousarray(taps.toarray().T) for taps in background.taps]
    in_threads(
        kernels.curvature, count, blocks, mixed, starts, *splines, weights, xy, kinds, *shape
    )
    links = np.empty((len(pairs), 3, 3))
    in_threads(kernels.couplings, len(pairs), links, pairs, weights, xy, kinds, *shape)
    blocks *= sizes[:, :, None] * sizes[:, None]
    mixed *= sizes[:, :, None, None]
    links *= sizes[pairs[:, 0]][:, :, None] * sizes[pairs[:, 1]][:, None]
    _damp(blocks, kinds)
    blocks[:, 0, 0] += penalties[0]
    border = _border(mixed, starts, background.count)
    spline = background.curvature(weights) + penalties[1] * background.penalty
    matrix = sparse.block_array(
        [[_columns(blocks, pairs, links), border], [border.T, sparse.csr_array(spline)]],
        format="csr",
    )
    return Equations(matrix, blocks, pairs, links, spline)


def solve(
    system: Equations, right: np.ndarray, guess: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Solve the equations by conjugate gradients.

    Parameters
    ----------
    system
        Of :func:`equations`.
    right
        Right-hand sides, shape ``(unknowns, sides)``.
    guess
        Where to start; 0 if not given.

    Returns
    -------
    solution, rest
        Same shape; the rest is what the solution leaves of the right-hand sides.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the equations fix no background, or a fit has left all bounds.
    """
    if not np.isfinite(right).all():
        raise np.linalg.LinAlgError("the right-hand sides are not finite")
    precondition = _preconditioner(system)
    goal = ACCURACY**2 * (right * precondition(right)).sum(axis=0)
    solution = np.zeros_like(right) if guess is None else guess.copy()
    rest = right - system.matrix @ solution
    ahead = precondition(rest)
    way, product = ahead, (rest * ahead).sum(axis=0)
    for _ in range(MOST_ROUNDS):
        going = product > goal
        if not going.any():
            break
        pushed = system.matrix @ way
        length = np.where(going, product / np.where(going, (way * pushed).sum(axis=0), 1.0), 0.0)
        solution += length * way
        rest -= length * pushed
        ahead = precondition(rest)
        before, product = product, (rest * ahead).sum(axis=0)
        way = ahead + np.where(going, product / np.where(going, before, 1.0), 0.0) * way
    return solution, rest


def shared_step(curvature: np.ndarray, slope: np.ndarray, kernel: Kernel) -> np.ndarray:
    """Solve for precision, scales and tails, whose shares stay between 0 and the largest.

    Parameters
    ----------
    curvature, slope
        What is left of the normal equations once columns and background are eliminated.
    kernel
        As it is.
    """
    tails = np.arange(len(slope)) >= len(slope) - (len(kernel.shares) - 1)
    low = np.concatenate([np.full((~tails).sum(), -np.inf), -kernel.shares[1:]])
    high = np.concatenate([np.full((~tails).sum(), np.inf), LARGEST_SHARE - kernel.shares[1:]])
    scale = np.sqrt(np.maximum(np.diag(curvature), 1e-30))
    scaled = curvature / scale / scale[:, None] + 1e-9 * np.eye(len(slope))
    step, free = np.zeros(len(slope)), np.ones(len(slope), bool)
    for _ in range(tails.sum() + 1):
        known = slope / scale - scaled[:, ~free] @ (step * scale)[~free]
        step[free] = np.linalg.solve(scaled[np.ix_(free, free)], known[free]) / scale[free]
        beyond = free & ((step < low) | (step > high))
        if not beyond.any():
            break
        step[beyond] = np.clip(step, low, high)[beyond]
        free &= ~beyond
    return step


def standard_deviations(system: Equations) -> np.ndarray:
    """Read standard deviations of height, x and y off the curvature, shape ``(n, 3)``.

    From a column's curvature is taken what those that touch it know in its place, each by itself:
    the Schur complement, exact for two columns. The doubt about what all columns share is small
    and left out.
    """
    own = _invertible(system.blocks)
    inverse, left = np.linalg.inv(own), own.copy()
    one, two = system.pairs.T
    for here, there, link in ((one, two, system.links), (two, one, _turned(system.links))):
        np.subtract.at(left, here, link @ inverse[there] @ _turned(link))
    values, vectors = np.linalg.eigh(left)
    values = np.maximum(values, KNOWN_AT_LEAST * np.linalg.eigvalsh(own)[:, :1])
    covariance = (vectors / values[:, None]) @ _turned(vectors)
    return np.sqrt(np.maximum(np.diagonal(covariance, axis1=1, axis2=2), 0.0))


def _damp(blocks: np.ndarray, kinds: np.ndarray) -> None:
    diagonal = np.diagonal(blocks, axis1=1, axis2=2).copy()
    for kind in np.unique(kinds):
        usual = np.median(diagonal[kinds == kind], axis=0)
        usual[1:] *= WEAK
        usual[0] *= 1e-6
        diagonal[kinds == kind] = RIDGE * diagonal[kinds == kind] + usual
    for p in range(3):
        blocks[:, p, p] += diagonal[:, p] + 1e-30


def _columns(blocks: np.ndarray, pairs: np.ndarray, links: np.ndarray) -> sparse.csr_array:
    own = np.arange(len(blocks))
    row = np.concatenate([own, pairs[:, 0], pairs[:, 1]])
    column = np.concatenate([own, pairs[:, 1], pairs[:, 0]])
    values = np.concatenate([blocks, links, _turned(links)])
    order = np.lexsort((column, row))
    starts = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(blocks)))])
    return sparse.bsr_array((values[order], column[order], starts)).tocsr()


def _border(mixed: np.ndarray, starts: np.ndarray, count: tuple[int, int]) -> sparse.csr_array:
    """Products of columns and splines, shape ``(3 n, splines)``."""
    columns, _, many, _ = mixed.shape
    near = np.arange(many)
    places = (starts[:, :1] + near)[:, :, None] * count[1] + (starts[:, 1:] + near)[:, None]
    places = np.broadcast_to(places.reshape(columns, 1, -1), (columns, 3, many**2))
    rows = np.arange(3 * columns + 1) * many**2
    return sparse.csr_array(
        (mixed.ravel(), places.ravel(), rows), shape=(3 * columns, count[0] * count[1])
    )


def _preconditioner(system: Equations):  # type: ignore[no-untyped-def]
    inverse = np.linalg.inv(_invertible(system.blocks))
    factor = linalg.cho_factor(system.spline)
    end = 3 * len(inverse)

    def apply(sides: np.ndarray) -> np.ndarray:
        columns = inverse @ sides[:end].reshape(-1, 3, sides.shape[1])
        spline = linalg.cho_solve(factor, sides[end:])
        return np.concatenate([columns.reshape(end, -1), spline])

    return apply


def _invertible(blocks: np.ndarray) -> np.ndarray:
    return blocks + 1e-12 * np.trace(blocks, axis1=1, axis2=2)[:, None, None] * np.eye(3)


def _turned(links: np.ndarray) -> np.ndarray:
    return links.swapaxes(1, 2)
