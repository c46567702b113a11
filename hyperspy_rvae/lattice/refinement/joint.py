"""All columns of an image fitted together, so that each sees the others taken off."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.spatial import cKDTree

from hyperspy_rvae.lattice.refinement.background import Comparison
from hyperspy_rvae.lattice.refinement.kernel import Kernel
from hyperspy_rvae.lattice.refinement.scene import (
    Scene,
    State,
    derivatives,
    draw,
    model,
    on_columns,
)
from hyperspy_rvae.lattice.refinement.system import (
    Equations,
    equations,
    shared_step,
    solve,
    standard_deviations,
)
from hyperspy_rvae.lattice.refinement.weights import noise_model

FIRST_WIDTHS = (0.13, 0.18, 0.25, 0.34)  # of the distance between neighbours
TOUCHING, OVERLAPPING = 1.2, 1.7  # of what is drawn: reach of mutual curvature, alone and not
MOST_ROUNDS, ROUNDS_OF_NOISE = 40, 3
MOST_HALVES = 4  # of a step; if that still makes the fit worse, rounding decides
WORSE = 1e-7  # of the misfit; less than that is rounding
SETTLED_PX, SETTLED_SHAPE = 3e-4, 3e-4
ROUGHLY = 20.0  # times as much, before the mask is known
SETTLED_STD = 0.02  # of the standard deviations of x and y
STALE_PX, STALE_SHAPE = 0.03, 0.01  # larger changes ask for new equations
STALE_SHARE = 0.025  # of the distance between neighbours, where the shape is known
LONGEST_MOVE = 0.5  # widths, in one round
RISEN = 1e-3  # of the misfit, where shape and noise are known; more is not rounding
WILD, FEW_HALVES = 0.25, 2  # widths in the round that did so, and halves of its step
LEARNED_FROM = {False: 120, True: 2500}  # columns, without tails and with them
MARGIN = 1.5
SIGNIFICANT = 4.0  # gain in the weighted sum of squares for which tails are taken on


@dataclasses.dataclass(frozen=True)
class Fit:
    """What a fit found.

    Attributes
    ----------
    scene, state
        What was fitted in the end, and the columns there.
    std
        Standard deviations of height, x and y, shape ``(n, 3)``.
    moves
        How far each column still went in the last round, pixels.
    seen
        The image compared with the columns before it.
    """

    scene: Scene
    state: State
    std: np.ndarray
    moves: np.ndarray
    seen: Comparison


@dataclasses.dataclass(frozen=True)
class Memory:
    """What one round hands to the next.

    Attributes
    ----------
    step, change
        Of the shape, and how large that is relatively.
    relax
        Part of it that was taken.
    still
        Whether so little changed that the equations will do once more.
    answer
        Solution of the equations, from which the next may start.
    cost
        Weighted sum of squares and penalties before the step.
    """

    step: np.ndarray | None = None
    change: float = np.inf
    relax: float = 1.0
    still: bool = False
    answer: np.ndarray | None = None
    cost: float = np.inf

    def relaxed(self, step: np.ndarray) -> float:
        """Part of a step to take: less where it turns back, more where it goes on."""
        if self.step is None:
            return self.relax
        size = np.abs(step) + np.abs(self.step) + 1e-30
        back = float((step / size) @ (self.step / size))
        return max(0.2, 0.6 * self.relax) if back < 0 else min(1.0, 1.3 * self.relax)


def fit(scene: Scene, *, crowded: bool) -> Fit:
    """Fit all columns of an image, their common shape and the background.

    In a large image, shape and noise are learned from a part of it.

    Parameters
    ----------
    scene
        Image, mask and columns.
    crowded
        Whether columns touch and the list is complete between them. They may then have tails,
        which all share, and the mask follows the columns.
    """
    many = LEARNED_FROM[crowded]
    if len(scene.seeds) <= MARGIN * many:
        scene, state = _learn(scene, crowded)
        return _locate(scene, state)
    part, chosen = scene.part(many)
    _, learned = _learn(part, crowded)
    found = _locate(scene, _spread(scene, learned, scene.kinds[chosen]))
    if not crowded:
        return found
    scene = scene.covering(found.state.xy)
    return _locate(scene, found.state.weighed(scene))


def _spread(scene: Scene, learned: State, kinds: np.ndarray) -> State:
    """Start all columns with the shape and the usual heights of a part of them."""
    usual = np.zeros(int(scene.kinds.max()) + 1)
    for kind in np.unique(kinds):
        usual[kind] = np.median(learned.heights[kinds == kind])
    level = np.full(int(np.prod(scene.background.count)), np.median(learned.coefficients))
    heights = usual[scene.kinds] * scene.loose[:, 0]
    start = State(scene.seeds, heights, level, learned.kernel, scene.mask, learned.noise)
    return start.weighed(scene)


def _learn(scene: Scene, crowded: bool) -> tuple[Scene, State]:
    """Find the common shape and the noise, and with them the columns."""
    state = _settle(scene, _begin(scene), ROUNDS_OF_NOISE, ROUGHLY if crowded else 1.0)
    if not crowded:
        return scene, state
    scene = scene.covering(state.xy)
    plain = _settle(scene, state, 2)
    tailed = _settle(scene, dataclasses.replace(plain, kernel=plain.kernel.with_tails()), 0)
    gained = _compare(scene, plain).misfit - _compare(scene, tailed).misfit
    return scene, _with_noise(scene, tailed) if gained > SIGNIFICANT else plain


def _begin(scene: Scene) -> State:
    """Try some widths, the columns held at their seeds, and take the best."""
    sublattices, trials = int(scene.kinds.max()) + 1, []
    for width in FIRST_WIDTHS:
        start = State.at_seeds(scene, Kernel.round(width * scene.spacing, sublattices))
        seen = _compare(scene, start)
        trial, _ = _step(scene, start, seen, _equations(scene, start))
        trials.append((_compare(scene, trial).misfit, trial))
    return min(trials, key=lambda pair: pair[0])[1]


def _settle(scene: Scene, state: State, rounds_of_noise: int, roughly: float = 1.0) -> State:
    """Fit columns, background and shape until nothing moves, the noise in the first rounds.

    Moves may be the larger, the more `roughly` it is to be. The model is far from linear in the
    shape, and where it does not describe the image well, full steps go to and fro. A step that
    makes the fit worse is therefore halved.
    """
    system, memory, before, halved = None, Memory(), state, 0
    for number in range(MOST_ROUNDS):
        if number < rounds_of_noise:
            state, memory = _with_noise(scene, state), dataclasses.replace(memory, cost=np.inf)
        seen = _compare(scene, state)
        cost = seen.misfit + state.cost(scene)
        if cost > memory.cost * (1 + WORSE):
            if halved == MOST_HALVES:
                return before
            state, halved = before.half_way(state), halved + 1
            continue
        system = system if memory.still and system is not None else _equations(scene, state)
        before, halved = state, 0
        state, moves, memory = _step_with_shape(scene, state, seen, system, memory)
        memory = dataclasses.replace(memory, cost=cost)
        largest = max(_rms(moves) / SETTLED_PX, memory.change / SETTLED_SHAPE)
        if number >= rounds_of_noise and largest < roughly:
            break
    return state


def _with_noise(scene: Scene, state: State) -> State:
    drawn = model(scene, state)
    noise = noise_model(drawn, scene.image - drawn, scene.mask)
    return dataclasses.replace(state, noise=noise).weighed(scene)


def _locate(scene: Scene, state: State) -> Fit:
    """Find the columns, their shape and the noise being known.

    Columns that cannot be told from their neighbours or from noise may run away, and take others
    with them. Where a round makes the fit worse, its step is halved, and if that is no help, those
    that went far are held where they were.
    """
    system: Equations | None = None
    moves, before, least, halved = scene.leash, state, np.inf, 0
    last: Comparison | None = None
    std = np.full((len(state.xy), 3), np.nan)
    for _ in range(MOST_ROUNDS):
        seen = _compare(scene, state)
        cost = seen.misfit + state.cost(scene)
        if not cost <= least * (1 + RISEN):
            wild = ~(moves < WILD * _width(state.kernel))
            if halved < FEW_HALVES:
                state, halved = before.half_way(state), halved + 1
            elif wild.all() or not wild.any():
                break
            else:
                scene, state, halved = scene.holding(wild), before, 0
            system = None
            continue
        before, last, least, halved = state, seen, min(least, cost), 0
        if system is None or _rms(moves) > STALE_SHARE * scene.spacing:
            system = _equations(scene, state)
        state, moves = _step(scene, state, seen, system)
        std = standard_deviations(system)
        if _rms(moves) < max(SETTLED_PX, SETTLED_STD * float(np.median(std[:, 1:]))):
            before = state
            break
    pixels = max(1, int((scene.mask > 0).sum()) - 3 * len(state.xy))
    if last is None:
        raise np.linalg.LinAlgError("the misfit is no number")
    return Fit(scene, before, std * np.sqrt(last.misfit / pixels), moves, last)


def _compare(scene: Scene, state: State) -> Comparison:
    return scene.background.compare(
        scene.image, draw(scene, state), state.weights, state.coefficients
    )


def _equations(scene: Scene, state: State) -> Equations:
    return equations(
        state.weights,
        state.xy,
        scene.sizes(state.heights),
        scene.kinds,
        state.kernel,
        scene.background,
        _pairs(state),
        state.penalties(scene),
    )


def _step(
    scene: Scene, state: State, seen: Comparison, system: Equations
) -> tuple[State, np.ndarray]:
    """Take one Gauss-Newton step of columns and background; say how far each column moved."""
    right = _slopes(scene, state, seen.weighted[None], seen.projected[None])[:, 0]
    return _moved(scene, state, solve(system, right[:, None])[0][:, 0])


def _step_with_shape(
    scene: Scene, state: State, seen: Comparison, system: Equations, memory: Memory
) -> tuple[State, np.ndarray, Memory]:
    """Take one Gauss-Newton step of all."""
    shared = derivatives(scene, state)
    stressed = shared * state.weights
    images = np.concatenate([seen.weighted[None], stressed])
    splines = np.concatenate([seen.projected[None], scene.background.project(stressed)])
    right = _slopes(scene, state, images, splines)
    answer, rest = solve(system, right, memory.answer)
    # In float32 these sums would be no more precise than what is left of their difference.
    flat, heavy = (part.reshape(len(part), -1).astype(np.float64) for part in (shared, images))
    products = flat @ heavy.T
    # With the rest, what the answer lacks counts by its square only.
    taken = right[:, 1:].T @ answer + answer[:, 1:].T @ rest
    slope, curvature = products[:, 0] - taken[:, 0], products[:, 1:] - taken[:, 1:]
    step = shared_step(curvature, slope, state.kernel)
    relax = memory.relaxed(step)
    part = min(relax, state.kernel.safe_part(step))
    moved, moves = _moved(scene, state, answer[:, 0] - answer[:, 1:] @ (part * step))
    kernel = state.kernel.moved(step, part)
    change = state.kernel.relative(step)
    still = _rms(moves) < STALE_PX and change < STALE_SHAPE
    still &= bool(((kernel.shares > 0) == (state.kernel.shares > 0)).all())
    guess = np.concatenate([np.zeros_like(answer[:, :1]), answer[:, 1:]], axis=1)
    memory = Memory(step, change, relax, still, guess)
    return dataclasses.replace(moved, kernel=kernel), moves, memory


def _slopes(scene: Scene, state: State, images: np.ndarray, splines: np.ndarray) -> np.ndarray:
    """Right-hand sides of the equations, the penalties taken off the first."""
    right = np.concatenate([on_columns(scene, state, images), splines.T])
    heights, bends = state.penalties(scene)
    count = 3 * len(state.xy)
    right[:count:3, 0] -= heights * state.heights * scene.loose[:, 0]
    right[count:, 0] -= bends * (scene.background.penalty @ state.coefficients)
    return right


def _moved(scene: Scene, state: State, own: np.ndarray) -> tuple[State, np.ndarray]:
    count = len(state.xy)
    steps = own[: 3 * count].reshape(-1, 3)
    xy = state.xy + _within(steps[:, 1:], LONGEST_MOVE * _width(state.kernel))
    xy = scene.seeds + _within(xy - scene.seeds, scene.leash)
    moved = dataclasses.replace(
        state,
        xy=xy,
        heights=state.heights + steps[:, 0],
        coefficients=state.coefficients + own[3 * count :],
    )
    return moved, np.hypot(*(xy - state.xy).T)


def _width(kernel: Kernel) -> float:
    """Sigma of the narrowest columns, pixels."""
    return float(np.linalg.det(kernel.covariances).min()) ** 0.25


def _within(vectors: np.ndarray, longest: np.ndarray | float) -> np.ndarray:
    """Shorten vectors that are too long."""
    lengths = np.hypot(*vectors.T)
    return vectors * np.minimum(1.0, longest / np.maximum(lengths, 1e-12))[:, None]


def _rms(moves: np.ndarray) -> float:
    return float(np.sqrt((moves**2).mean()))


def _pairs(state: State) -> np.ndarray:
    """Pairs of columns that touch."""
    if len(state.xy) < 2:
        return np.empty((0, 2), np.int64)
    reach = TOUCHING if len(state.kernel.scales) == 1 else OVERLAPPING
    half = state.kernel.arguments()[-1].max()
    pairs = cKDTree(state.xy).query_pairs(reach * half, output_type="ndarray")
    return np.ascontiguousarray(pairs, dtype=np.int64)
