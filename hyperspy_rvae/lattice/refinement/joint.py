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
MOST_ROUNDS, ROUNDS_OF_NOISE = 40, 5
WORSE = 1e-7  # of the misfit; less than that is rounding
SETTLED_PX, SETTLED_SHAPE = 3e-4, 3e-4
SETTLED_STD = 0.02  # of the standard deviations of x and y
STALE_PX, STALE_SHAPE = 0.03, 0.01  # larger changes ask for new equations
LONGEST_MOVE = 0.5  # widths, in one round
LEARNED_FROM = {False: 120, True: 2500}  # columns, without tails and with them
MARGIN = 1.5


@dataclasses.dataclass(frozen=True)
class Fit:
    """What a fit found.

    Attributes
    ----------
    state
        The columns at its end.
    std
        Standard deviations of height, x and y, shape ``(n, 3)``.
    moves
        How far each column still went in the last round, pixels.
    """

    state: State
    std: np.ndarray
    moves: np.ndarray


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
    misfit
        Weighted sum of squares before the step.
    """

    step: np.ndarray | None = None
    change: float = np.inf
    relax: float = 1.0
    still: bool = False
    answer: np.ndarray | None = None
    misfit: float = np.inf

    def relaxed(self, step: np.ndarray) -> float:
        """Part of a step to take: less where it turns back, more where it goes on."""
        if self.step is None:
            return self.relax
        size = np.abs(step) + np.abs(self.step) + 1e-30
        back = float((step / size) @ (self.step / size))
        return max(0.2, 0.6 * self.relax) if back < 0 else min(1.0, 1.3 * self.relax)


def fit(scene: Scene, *, tails: bool) -> Fit:
    """Fit all columns of an image, their common shape and the background.

    In a large image, shape and noise are learned from a part of it.

    Parameters
    ----------
    scene
        Image, mask and columns.
    tails
        Whether the columns may have tails wider than a Gaussian's. All then share them.
    """
    many = LEARNED_FROM[tails]
    if len(scene.seeds) <= MARGIN * many:
        return _locate(scene, _learn(scene, tails))
    part, chosen = scene.part(many)
    learned = _learn(part, tails)
    kinds = scene.kinds[chosen]
    usual = np.array(
        [
            np.median(learned.heights[kinds == kind]) if kind in kinds else 0.0
            for kind in range(scene.kinds.max() + 1)
        ]
    )
    level = np.full(int(np.prod(scene.background.count)), np.median(learned.coefficients))
    heights = usual[scene.kinds] * scene.loose[:, 0]
    start = State(scene.seeds, heights, level, learned.kernel, scene.mask, learned.noise)
    return _locate(scene, start.weighed(scene))


def _learn(scene: Scene, tails: bool) -> State:
    """Find the common shape and the noise, and with them the columns."""
    state = _settle(scene, _begin(scene))
    if tails:
        state = _settle(scene, dataclasses.replace(state, kernel=state.kernel.with_tails()))
    return state


def _begin(scene: Scene) -> State:
    """Try some widths, the columns held at their seeds, and take the best."""
    sublattices, trials = int(scene.kinds.max()) + 1, []
    for width in FIRST_WIDTHS:
        start = State.at_seeds(scene, Kernel.round(width * scene.spacing, sublattices))
        seen = _compare(scene, start)
        trial, _ = _step(scene, start, seen, _equations(scene, start))
        trials.append((_compare(scene, trial).misfit, trial))
    return min(trials, key=lambda pair: pair[0])[1]


def _settle(scene: Scene, state: State) -> State:
    """Fit columns, background and shape until nothing moves, the noise in the first rounds.

    The model is far from linear in the shape, and where it does not describe the image well, full
    steps go to and fro. A step that makes the fit worse is therefore halved.
    """
    system, memory, before = None, Memory(), state
    for number in range(MOST_ROUNDS):
        if number < ROUNDS_OF_NOISE:
            state, memory = _with_noise(scene, state), dataclasses.replace(memory, misfit=np.inf)
        seen = _compare(scene, state)
        if seen.misfit > memory.misfit * (1 + WORSE):
            state = before.half_way(state)
            continue
        system = system if memory.still and system is not None else _equations(scene, state)
        before = state
        state, moves, memory = _step_with_shape(scene, state, seen, system, memory)
        if number > ROUNDS_OF_NOISE and _rms(moves) < SETTLED_PX and memory.change < SETTLED_SHAPE:
            break
    return state


def _with_noise(scene: Scene, state: State) -> State:
    drawn = model(scene, state)
    noise = noise_model(drawn, scene.image - drawn, scene.mask)
    return dataclasses.replace(state, noise=noise).weighed(scene)


def _locate(scene: Scene, state: State) -> Fit:
    """Find the columns, their shape and the noise being known."""
    system: Equations | None = None
    moves = scene.leash
    for _ in range(MOST_ROUNDS):
        seen = _compare(scene, state)
        if system is None or _rms(moves) > STALE_PX:
            system = _equations(scene, state)
        state, moves = _step(scene, state, seen, system)
        std = standard_deviations(system)
        if _rms(moves) < max(SETTLED_PX, SETTLED_STD * float(np.median(std[:, 1:]))):
            break
    pixels = max(1, int((scene.mask > 0).sum()) - 3 * len(state.xy))
    return Fit(state, std * np.sqrt(seen.misfit / pixels), moves)


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
    )


def _step(
    scene: Scene, state: State, seen: Comparison, system: Equations
) -> tuple[State, np.ndarray]:
    """Take one Gauss-Newton step of columns and background; say how far each column moved."""
    pull = seen.projected - system.penalty @ state.coefficients
    right = np.concatenate([on_columns(scene, state, seen.weighted[None])[:, 0], pull])
    return _moved(scene, state, solve(system, right[:, None])[:, 0])


def _step_with_shape(
    scene: Scene, state: State, seen: Comparison, system: Equations, memory: Memory
) -> tuple[State, np.ndarray, Memory]:
    """Take one Gauss-Newton step of all."""
    shared = derivatives(scene, state)
    stressed = shared * state.weights
    images = np.concatenate([seen.weighted[None], stressed])
    pull = seen.projected - system.penalty @ state.coefficients
    splines = np.concatenate([pull[None], scene.background.project(stressed)])
    right = np.concatenate([on_columns(scene, state, images), splines.T])
    answer = solve(system, right, memory.answer)
    # In float32 these sums would be no more precise than what is left of their difference.
    flat, heavy = (part.reshape(len(part), -1).astype(np.float64) for part in (shared, images))
    products = flat @ heavy.T
    curvature = products[:, 1:] - right[:, 1:].T @ answer[:, 1:]
    slope = products[:, 0] - right[:, 1:].T @ answer[:, 0]
    step = shared_step(curvature, slope, state.kernel)
    relax = memory.relaxed(step)
    part = min(relax, state.kernel.safe_part(step))
    moved, moves = _moved(scene, state, answer[:, 0] - answer[:, 1:] @ (part * step))
    kernel = state.kernel.moved(step, part)
    change = state.kernel.relative(step)
    still = _rms(moves) < STALE_PX and change < STALE_SHAPE
    still &= bool(((kernel.shares > 0) == (state.kernel.shares > 0)).all())
    guess = np.concatenate([np.zeros_like(answer[:, :1]), answer[:, 1:]], axis=1)
    memory = Memory(step, change, relax, still, guess, seen.misfit)
    return dataclasses.replace(moved, kernel=kernel), moves, memory


def _moved(scene: Scene, state: State, own: np.ndarray) -> tuple[State, np.ndarray]:
    count = len(state.xy)
    steps = own[: 3 * count].reshape(-1, 3)
    width = float(np.linalg.det(state.kernel.covariances).min()) ** 0.25
    xy = state.xy + _within(steps[:, 1:], LONGEST_MOVE * width)
    xy = scene.seeds + _within(xy - scene.seeds, scene.leash)
    moved = dataclasses.replace(
        state,
        xy=xy,
        heights=state.heights + steps[:, 0],
        coefficients=state.coefficients + own[3 * count :],
    )
    return moved, np.hypot(*(xy - state.xy).T)


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
