"""Functions on a disc among which a turn is a phase and a small displacement a small matrix.

An image on the disc of radius R is ``f = Re sum_d b_d psi_d`` with the Fourier-Bessel functions

    psi_d(r, theta) = N_d J_m(lambda_d r) exp(i m theta),   J_m'(lambda_d R) = 0,

theta counter-clockwise as displayed (Zhao and Singer, J. Opt. Soc. Am. A 30, 871, 2013). Content
turned by phi has the coefficients ``b_d exp(-i m phi)``. Coefficients are rows of ``2 D`` real
numbers, the real parts and then the imaginary ones; functions are columns to match, so that the
image is ``b @ functions``, and, being orthonormal, ``image @ functions.T`` finds the coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import jnp_zeros, jv, jvp

MOST_FUNCTIONS = 110
_ROOTS = 40
_QUADRATURE = 4000
_FADING = 0.25  # of a radius, over which content fades out


@dataclass(frozen=True)
class Basis:
    """Which functions there are: ``(D,)`` angular orders m, wave numbers lambda and factors N."""

    radius: float
    orders: np.ndarray
    wave_numbers: np.ndarray
    factors: np.ndarray

    @property
    def highest(self) -> int:
        """Highest angular order M."""
        return int(self.orders.max())

    def radial(self, r: np.ndarray, derivative: bool = False) -> np.ndarray:
        """Radial parts ``(D, ...)`` or their slopes; beyond the disc the rim's value goes on."""
        function = jvp if derivative else jv
        radii, where = np.unique(np.round(np.minimum(r, self.radius), 9), return_inverse=True)
        known = zip(self.orders, self.wave_numbers, self.factors, strict=True)
        parts = np.stack(
            [
                function(m, k * radii) * (factor * k if derivative else factor)
                for m, k, factor in known
            ]
        )
        return parts[:, where.reshape(np.shape(r))]

    def functions(self, r: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Values of the functions, ``(2 D, ...)``, at polar coordinates about the centre."""
        return _as_rows(self.radial(r) * self._phase(theta))

    def gradients(self, r: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Their derivatives along x and y, ``(2, 2 D, ...)``; y points down."""
        phase = self._phase(theta)
        outward = self.radial(r, derivative=True) * phase
        around = 1j * self.orders[:, None, None] * self.radial(r) * phase / np.maximum(r, 1e-9)
        cos, sin = np.cos(theta), np.sin(theta)
        return np.stack(
            [_as_rows(cos * outward - sin * around), _as_rows(-sin * outward - cos * around)]
        )

    def _phase(self, theta: np.ndarray) -> np.ndarray:
        return np.exp(1j * np.multiply.outer(self.orders, theta))


def _as_rows(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values.real, -values.imag])


def choose(radius: float, band: float) -> Basis:
    """Functions on a disc up to a wave number in radians per pixel, the lowest 110 at most."""
    found = []
    for m in range(int(band * radius) + 1):
        roots = jnp_zeros(m, _ROOTS) if m else np.concatenate([[0.0], jnp_zeros(0, _ROOTS)])
        found += [(root, m) for root in roots if root <= band * radius]
    found = sorted(sorted(found)[:MOST_FUNCTIONS], key=lambda pair: (pair[1], pair[0]))
    roots, orders = np.array([root for root, _ in found]), np.array([m for _, m in found])
    r = (np.arange(_QUADRATURE) + 0.5) * radius / _QUADRATURE
    square = [
        np.sum(jv(m, k * r / radius) ** 2 * r) * radius / _QUADRATURE
        for k, m in zip(roots, orders, strict=True)
    ]
    factors = np.sqrt(np.where(orders > 0, 2, 1) / (2 * np.pi * np.array(square)))
    return Basis(radius, orders, roots / radius, factors)


def polar_grid(radius: float, rings: int, spokes: int) -> tuple[np.ndarray, np.ndarray]:
    """Radii ``(rings, 1)`` from the centre to the rim, and angles ``(1, spokes)``."""
    theta = 2 * np.pi * np.arange(spokes) / spokes
    return np.linspace(0, radius, rings)[:, None], theta[None]


def taper(basis: Basis, radius: float) -> np.ndarray:
    """Fade content out towards a radius: a matrix ``(2 D, 2 D)`` for rows of coefficients."""
    rings, spokes = 2 * int(basis.radius / 0.5) + 2, 2 * basis.highest + 4
    r, theta = polar_grid(basis.radius, rings, spokes)
    area = r * basis.radius / (rings - 1) * 2 * np.pi / spokes
    weight = np.clip((radius - r) / (_FADING * radius), 0, 1)
    functions = basis.functions(r, theta)
    faded = (functions * area * weight).reshape(len(functions), -1)
    return functions.reshape(len(functions), -1) @ faded.T


def generators(basis: Basis) -> np.ndarray:
    """Express derivatives by the functions themselves.

    Returns
    -------
    generators
        Shape ``(3, 2 D, 2 D)``: ``b @ generators[0]`` has the coefficients of the image's
        derivative along x, so that ``exp(-u generators[0])`` displaces content by u to the right.
        The last is that outwards, times the distance from the centre: ``exp(-u generators[2])``
        enlarges content by the factor exp(u), but for the rim, where no function has a slope.
    """
    rings, spokes = 2 * int(basis.radius / 0.5) + 2, 2 * basis.highest + 4
    r, theta = polar_grid(basis.radius, rings, spokes)
    area = r * basis.radius / (rings - 1) * 2 * np.pi / spokes
    area[-1] /= 2  # trapezoidal rule
    weighted = (basis.functions(r, theta) * area).reshape(2 * len(basis.orders), -1)
    slopes = basis.gradients(r, theta).reshape(2, 2 * len(basis.orders), -1)
    r = r * np.clip((basis.radius - r) / (_FADING * basis.radius), 0, 1)
    x, y = r * np.cos(theta), -r * np.sin(theta)
    outwards = x.ravel() * slopes[0] + y.ravel() * slopes[1]
    return np.concatenate([slopes, outwards[None]]) @ weighted.T
