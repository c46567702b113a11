"""A compiled pass over columns, each with a shape of its own: one step of all that it has."""

from __future__ import annotations

import math

import numpy as np

from hyperspy_rvae.lattice.refinement.compiled import compiled
from hyperspy_rvae.lattice.refinement.kernels import _row, _start

UNKNOWNS = 7


@compiled
def own_steps(  # type: ignore[no-untyped-def]
    first, last, steps, spread, weighted, weights, xy, levels, tie, precision, shares, narrow, half
):
    """Solve the normal equations of each column by itself.

    With L L' = precision and p, q = L' (u, v), the unknowns are those in which a column of height
    1 changes by K, S p, S q, -S p^2 / 2, -S p q, -S q^2 / 2 and 1, where S is K with each Gaussian
    times its narrowness: the logarithm of the height, moves in widths, the three entries of the
    logarithm of the precision, and a level.

    `steps` has shape (n, 7), `spread` (n, 3): the solution, and the diagonal of the inverse for
    the precision; NaN where there is none. `weighted` is image less columns times the weights, in
    which `levels` (n,) are not taken off yet, and `tie` what holds these back, as a curvature.
    `precision` (n, 3) and `half` (n,) belong to the single columns.
    """
    rows, columns = weights.shape
    side = 2 * half.max() + 1
    gauss, ratio = np.empty((len(narrow), side)), np.empty((len(narrow), side))
    drop, k, s = np.empty(len(narrow)), np.empty(side), np.empty(side)
    sums, matrix, right = np.empty(19), np.empty((7, 7)), np.empty(7)
    for i in range(first, last):
        x, y, h = round(xy[i, 0]), round(xy[i, 1]), half[i]
        x0, x1 = max(0, x - h), min(columns, x + h + 1)
        y0, y1 = max(0, y - h), min(rows, y + h + 1)
        matrix[:] = 0.0
        right[:] = 0.0
        if x0 < x1 and y0 < y1:
            width, left = x1 - x0, x0 - xy[i, 0]
            along = math.sqrt(precision[i, 0])
            skew = precision[i, 1] / along
            down = math.sqrt(precision[i, 2] - skew * skew)
            _start(left, y0 - xy[i, 1], width, precision[i], narrow, gauss, ratio, drop)
            for row in range(y0, y1):
                _row(width, shares, narrow, gauss, ratio, drop, k, s)
                v = row - xy[i, 1]
                line, rest = weights[row, x0:x1], weighted[row, x0:x1]
                _sum_row(sums, width, along * left + skew * v, along, line, rest, k, s)
                _add_row(matrix, right, sums, down * v)
            for n in range(7):
                right[n] -= matrix[6, n] * levels[i]
        matrix[6, 6] += tie
        _solve(matrix, right, steps[i], spread[i])


@compiled
def _sum_row(sums, width, start, along, line, rest, k, s):  # type: ignore[no-untyped-def]
    """Sum K K, K S p^0..2, S S p^0..4, K, S p^0..2, 1, and of what is left K, S p^0..2, 1."""
    kk, ks0, ks1, ks2, k1, one = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    ss0, ss1, ss2, ss3, ss4, s0, s1, s2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    rk, rs0, rs1, rs2, r = 0.0, 0.0, 0.0, 0.0, 0.0
    for c in range(width):
        p, w, d = start + along * c, line[c], rest[c]
        sp, wk, ws = s[c] * p, w * k[c], w * s[c]
        spp, wsp = sp * p, ws * p
        wspp = wsp * p
        kk += wk * k[c]
        ks0 += wk * s[c]
        ks1 += wk * sp
        ks2 += wk * spp
        ss0 += ws * s[c]
        ss1 += ws * sp
        ss2 += ws * spp
        ss3 += wsp * spp
        ss4 += wspp * spp
        k1 += wk
        s0 += ws
        s1 += wsp
        s2 += wspp
        one += w
        rk += d * k[c]
        rs0 += d * s[c]
        rs1 += d * sp
        rs2 += d * spp
        r += d
    sums[0], sums[1], sums[2], sums[3] = kk, ks0, ks1, ks2
    sums[4], sums[5], sums[6], sums[7], sums[8] = ss0, ss1, ss2, ss3, ss4
    sums[9], sums[10], sums[11], sums[12], sums[13] = k1, s0, s1, s2, one
    sums[14], sums[15], sums[16], sums[17], sums[18] = rk, rs0, rs1, rs2, r


@compiled
def _add_row(matrix, right, sums, q):  # type: ignore[no-untyped-def]
    """Add a row's sums to the lower half of the matrix and to the right-hand side."""
    ks, ss, s, r = sums[1:4], sums[4:9], sums[10:13], sums[15:18]
    matrix[0, 0] += sums[0]
    matrix[6, 0] += sums[9]
    matrix[6, 6] += sums[13]
    right[0] += sums[14]
    right[6] += sums[18]
    # What stands before the powers of p in S p, S q, -S p^2 / 2, -S p q, -S q^2 / 2.
    factors, powers = (1.0, q, -0.5, -q, -0.5 * q * q), (1, 0, 2, 1, 0)
    for n in range(5):
        factor, power = factors[n], powers[n]
        matrix[n + 1, 0] += factor * ks[power]
        matrix[6, n + 1] += factor * s[power]
        right[n + 1] += factor * r[power]
        for m in range(n + 1):
            matrix[n + 1, m + 1] += factor * factors[m] * ss[power + powers[m]]


@compiled
def _solve(matrix, right, step, spread):  # type: ignore[no-untyped-def]
    """Solve by Cholesky's factors, which replace the lower half of the matrix."""
    count = len(right)
    for n in range(count):
        pivot = matrix[n, n]
        least = 1e-9 * pivot
        for m in range(n):
            value = matrix[n, m]
            for j in range(m):
                value -= matrix[n, j] * matrix[m, j]
            matrix[n, m] = value / matrix[m, m]
            pivot -= matrix[n, m] ** 2
        if not pivot > least:
            step[:] = np.nan
            spread[:] = np.nan
            return
        matrix[n, n] = math.sqrt(pivot)
    for n in range(count):
        value = right[n]
        for j in range(n):
            value -= matrix[n, j] * step[j]
        step[n] = value / matrix[n, n]
    for n in range(count - 1, -1, -1):
        value = step[n]
        for j in range(n + 1, count):
            value -= matrix[j, n] * step[j]
        step[n] = value / matrix[n, n]
    # Columns of the inverse factor, whose squares sum to the diagonal of the inverse.
    for p in range(3, 6):
        spread[p - 3] = 0.0
        for n in range(p, count):
            value = 1.0 if n == p else 0.0
            for j in range(p, n):
                value -= matrix[n, j] * right[j]
            right[n] = value / matrix[n, n]
            spread[p - 3] += right[n] ** 2
