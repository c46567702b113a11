"""Compiled passes over columns: drawing them, and projecting images on their derivatives.

A column of height h at (x0, y0) is ``h * K(x - x0, y - y0)`` with

    K(u, v) = sum_m share_m * exp(-narrow_m / 2 * (xx u^2 + 2 xy u v + yy v^2)),

where (xx, xy, yy) is the precision matrix of its sublattice and the shares sum to 1. Going down a
row, each Gaussian is multiplied by a ratio, and the ratio by a constant, so that exponentials are
needed for one row only. All passes share this layout of arguments:

``xy`` (n, 2) and ``heights`` (n,), float64; ``kinds`` (n,), the number of each column's
sublattice; ``precision`` (kinds, 3) with xx, xy, yy; ``shares`` and ``narrow`` (components,);
``half`` (kinds,), half the side of the square that a column is drawn on, in pixels.
"""

from __future__ import annotations

import math

import numpy as np

from hyperspy_rvae.lattice.refinement.compiled import compiled


@compiled
def _start(  # type: ignore[no-untyped-def]
    left, top, width, precision, narrow, gauss, ratio, drop
):
    """Fill the first row of each Gaussian, and what takes it to the next row."""
    xx, xy, yy = precision[0], precision[1], precision[2]
    for m in range(len(narrow)):
        n = narrow[m]
        drop[m] = math.exp(-n * yy)
        g = math.exp(-0.5 * n * (xx * left * left + 2 * xy * left * top + yy * top * top))
        step = math.exp(-n * (xx * (left + 0.5) + xy * top))
        r = math.exp(-n * (xy * left + yy * (top + 0.5)))
        along, across = math.exp(-n * xx), math.exp(-n * xy)
        for c in range(width):
            gauss[m, c] = g
            ratio[m, c] = r
            g *= step
            step *= along
            r *= across


@compiled
def _row(  # type: ignore[no-untyped-def]
    width, shares, narrow, gauss, ratio, drop, k, s
):
    """Sum the Gaussians of a row (k), the same times their narrowness (s), and go down one row."""
    for c in range(width):
        k[c] = 0.0
        s[c] = 0.0
    for m in range(len(narrow)):
        share, steep, d = shares[m], shares[m] * narrow[m], drop[m]
        for c in range(width):
            g = gauss[m, c]
            k[c] += share * g
            s[c] += steep * g
            gauss[m, c] = g * ratio[m, c]
            ratio[m, c] *= d


@compiled
def draw(  # type: ignore[no-untyped-def]
    first, last, out, xy, heights, kinds, precision, shares, narrow, half
):
    """Add the columns to the rows from `first` to `last` of `out`, shape (height, width)."""
    columns, side = out.shape[1], 2 * half.max() + 1
    gauss, ratio = np.empty((len(narrow), side)), np.empty((len(narrow), side))
    drop, k, s = np.empty(len(narrow)), np.empty(side), np.empty(side)
    for i in range(len(xy)):
        h = half[kinds[i]]
        x, y = round(xy[i, 0]), round(xy[i, 1])
        x0, x1 = max(0, x - h), min(columns, x + h + 1)
        y0, y1 = max(first, y - h), min(last, y + h + 1)
        if x0 >= x1 or y0 >= y1 or heights[i] == 0:
            continue
        width = x1 - x0
        _start(x0 - xy[i, 0], y0 - xy[i, 1], width, precision[kinds[i]], narrow, gauss, ratio, drop)
        for row in range(y0, y1):
            _row(width, shares, narrow, gauss, ratio, drop, k, s)
            for c in range(width):
                out[row, x0 + c] += heights[i] * k[c]


@compiled
def draw_derivatives(  # type: ignore[no-untyped-def]
    first, last, out, xy, heights, kinds, precision, scales, shares, narrow, half
):
    """Add to `out` the derivatives of all columns by what they share.

    `out` has shape (3 + kinds - 1 + components - 1, height, width): by xx, xy, yy of the common
    precision, by the logarithm of the scale of each sublattice but the first, and by the share of
    each component but the first, at whose expense it grows.
    """
    columns, side = out.shape[2], 2 * half.max() + 1
    components, tails = len(narrow), 2 + len(precision)
    gauss, ratio = np.empty((components, side)), np.empty((components, side))
    drop, s = np.empty(components), np.empty(side)
    for i in range(len(xy)):
        kind, height = kinds[i], heights[i]
        h, q = half[kind], precision[kinds[i]]
        x, y = round(xy[i, 0]), round(xy[i, 1])
        x0, x1 = max(0, x - h), min(columns, x + h + 1)
        y0, y1 = max(first, y - h), min(last, y + h + 1)
        if x0 >= x1 or y0 >= y1 or height == 0:
            continue
        width, left, scale = x1 - x0, x0 - xy[i, 0], scales[kind]
        _start(left, y0 - xy[i, 1], width, q, narrow, gauss, ratio, drop)
        for row in range(y0, y1):
            v = row - xy[i, 1]
            for c in range(width):
                s[c] = 0.0
            for m in range(components):
                steep = shares[m] * narrow[m]
                for c in range(width):
                    s[c] += steep * gauss[m, c]
                    if m:
                        out[tails + m - 1, row, x0 + c] += height * (gauss[m, c] - gauss[0, c])
            # The first component is still needed above, so that all go down a row only now.
            for m in range(components):
                for c in range(width):
                    gauss[m, c] *= ratio[m, c]
                    ratio[m, c] *= drop[m]
            for c in range(width):
                u = left + c
                f = -0.5 * height * s[c]
                out[0, row, x0 + c] += scale * f * u * u
                out[1, row, x0 + c] += scale * f * 2 * u * v
                out[2, row, x0 + c] += scale * f * v * v
                if kind:
                    out[2 + kind, row, x0 + c] += f * (
                        q[0] * u * u + 2 * q[1] * u * v + q[2] * v * v
                    )


@compiled
def project(  # type: ignore[no-untyped-def]
    first, last, out, images, xy, kinds, precision, shares, narrow, half
):
    """Project images on the derivatives of columns `first` to `last`, each of height 1.

    `images` has shape (images, height, width), `out` (n, images, 3): by height, x0 and y0.
    """
    count, rows, columns = images.shape
    side = 2 * half.max() + 1
    gauss, ratio = np.empty((len(narrow), side)), np.empty((len(narrow), side))
    drop, k, s = np.empty(len(narrow)), np.empty(side), np.empty(side)
    for i in range(first, last):
        h, q = half[kinds[i]], precision[kinds[i]]
        x, y = round(xy[i, 0]), round(xy[i, 1])
        x0, x1 = max(0, x - h), min(columns, x + h + 1)
        y0, y1 = max(0, y - h), min(rows, y + h + 1)
        out[i] = 0.0
        if x0 >= x1 or y0 >= y1:
            continue
        width, left = x1 - x0, x0 - xy[i, 0]
        _start(left, y0 - xy[i, 1], width, q, narrow, gauss, ratio, drop)
        for row in range(y0, y1):
            _row(width, shares, narrow, gauss, ratio, drop, k, s)
            v = row - xy[i, 1]
            for n in range(count):
                line = images[n, row, x0:x1]
                a, across, down = 0.0, 0.0, 0.0
                for c in range(width):
                    a += line[c] * k[c]
                    across += line[c] * s[c] * (left + c)
                    down += line[c] * s[c]
                out[i, n, 0] += a
                out[i, n, 1] += q[0] * across + q[1] * v * down
                out[i, n, 2] += q[1] * across + q[2] * v * down


@compiled
def curvature(  # type: ignore[no-untyped-def]
    first,
    last,
    own,
    mixed,
    starts,
    down,
    across,
    weights,
    xy,
    kinds,
    precision,
    shares,
    narrow,
    half,
):
    """Weighted products of each column's derivatives at height 1 with each other and with splines.

    `own` has shape (n, 3, 3): of the derivatives by height, x0 and y0; `mixed` (n, 3, splines,
    splines): of these with the background's splines around, along y and x, of which the first are
    those of number `starts` (n, 2). `down` (splines, height) and `across` (splines, width) are the
    splines themselves.
    """
    rows, columns = weights.shape
    side, most = 2 * half.max() + 1, mixed.shape[2]
    gauss, ratio = np.empty((len(narrow), side)), np.empty((len(narrow), side))
    drop, k, s = np.empty(len(narrow)), np.empty(side), np.empty(side)
    slope, line = np.empty((3, side)), np.empty(side)
    onto = np.empty((3, most))
    for i in range(first, last):
        h, q = half[kinds[i]], precision[kinds[i]]
        x, y = round(xy[i, 0]), round(xy[i, 1])
        x0, x1 = max(0, x - h), min(columns, x + h + 1)
        y0, y1 = max(0, y - h), min(rows, y + h + 1)
        own[i] = 0.0
        mixed[i] = 0.0
        if x0 >= x1 or y0 >= y1:
            continue
        width, left = x1 - x0, x0 - xy[i, 0]
        _start(left, y0 - xy[i, 1], width, q, narrow, gauss, ratio, drop)
        for row in range(y0, y1):
            _row(width, shares, narrow, gauss, ratio, drop, k, s)
            v = row - xy[i, 1]
            for c in range(width):
                u = left + c
                line[c] = weights[row, x0 + c]
                slope[0, c] = k[c]
                slope[1, c] = (q[0] * u + q[1] * v) * s[c]
                slope[2, c] = (q[1] * u + q[2] * v) * s[c]
            kk, kx, ky, xx, xy_, yy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for c in range(width):
                wk, wx, wy = line[c] * slope[0, c], line[c] * slope[1, c], line[c] * slope[2, c]
                kk += wk * slope[0, c]
                kx += wk * slope[1, c]
                ky += wk * slope[2, c]
                xx += wx * slope[1, c]
                xy_ += wx * slope[2, c]
                yy += wy * slope[2, c]
            own[i, 0, 0] += kk
            own[i, 0, 1] += kx
            own[i, 0, 2] += ky
            own[i, 1, 1] += xx
            own[i, 1, 2] += xy_
            own[i, 2, 2] += yy
            for n in range(most):
                spline = across[starts[i, 1] + n, x0:x1]
                k1, x1_, y1_ = 0.0, 0.0, 0.0
                for c in range(width):
                    w = line[c] * spline[c]
                    k1 += w * slope[0, c]
                    x1_ += w * slope[1, c]
                    y1_ += w * slope[2, c]
                onto[0, n], onto[1, n], onto[2, n] = k1, x1_, y1_
            for m in range(most):
                share = down[starts[i, 0] + m, row]
                if share != 0:
                    for p in range(3):
                        for n in range(most):
                            mixed[i, p, m, n] += share * onto[p, n]
        for p in range(1, 3):
            for r in range(p):
                own[i, p, r] = own[i, r, p]


@compiled
def couplings(  # type: ignore[no-untyped-def]
    first, last, out, pairs, weights, xy, kinds, precision, shares, narrow, half
):
    """Weighted products of the derivatives of two columns of height 1, for each of the `pairs`.

    `pairs` has shape (pairs, 2), `out` (pairs, 3, 3): rows the first column's derivatives by
    height, x0 and y0, columns the second's.
    """
    rows, columns = weights.shape
    side, components = 2 * half.max() + 1, len(narrow)
    gauss, ratio = np.empty((2, components, side)), np.empty((2, components, side))
    drop, k, s = np.empty((2, components)), np.empty((2, side)), np.empty((2, side))
    for p in range(first, last):
        out[p] = 0.0
        x0, y0, x1, y1 = 0, 0, columns, rows
        for i in pairs[p]:
            h, x, y = half[kinds[i]], round(xy[i, 0]), round(xy[i, 1])
            x0, x1 = max(x0, x - h), min(x1, x + h + 1)
            y0, y1 = max(y0, y - h), min(y1, y + h + 1)
        if x0 >= x1 or y0 >= y1:
            continue
        width = x1 - x0
        for n, i in enumerate(pairs[p]):
            q = precision[kinds[i]]
            left, top = x0 - xy[i, 0], y0 - xy[i, 1]
            _start(left, top, width, q, narrow, gauss[n], ratio[n], drop[n])
        qa, qb = precision[kinds[pairs[p, 0]]], precision[kinds[pairs[p, 1]]]
        left_a, left_b = x0 - xy[pairs[p, 0], 0], x0 - xy[pairs[p, 1], 0]
        for row in range(y0, y1):
            va, vb = row - xy[pairs[p, 0], 1], row - xy[pairs[p, 1], 1]
            for n in range(2):
                _row(width, shares, narrow, gauss[n], ratio[n], drop[n], k[n], s[n])
            ka, sa, kb, sb = k[0], s[0], k[1], s[1]
            line = weights[row, x0:x1]
            t00, t01, t02, t10, t11, t12, t20, t21, t22 = (
                0.0,
                0.0,
                0.0,
                0.0,
                0.0,
                0.0,
                0.0,
                0.0,
                0.0,
            )
            for c in range(width):
                ua, ub, w = left_a + c, left_b + c, line[c]
                a0 = w * ka[c]
                a1 = w * sa[c] * (qa[0] * ua + qa[1] * va)
                a2 = w * sa[c] * (qa[1] * ua + qa[2] * va)
                b0 = kb[c]
                b1 = sb[c] * (qb[0] * ub + qb[1] * vb)
                b2 = sb[c] * (qb[1] * ub + qb[2] * vb)
                t00 += a0 * b0
                t01 += a0 * b1
                t02 += a0 * b2
                t10 += a1 * b0
                t11 += a1 * b1
                t12 += a1 * b2
                t20 += a2 * b0
                t21 += a2 * b1
                t22 += a2 * b2
            out[p, 0, 0] += t00
            out[p, 0, 1] += t01
            out[p, 0, 2] += t02
            out[p, 1, 0] += t10
            out[p, 1, 1] += t11
            out[p, 1, 2] += t12
            out[p, 2, 0] += t20
            out[p, 2, 1] += t21
            out[p, 2, 2] += t22
