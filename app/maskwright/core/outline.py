"""Bits ↔ rings along the pixel edges: an exact outline, and the fill that undoes it."""

from __future__ import annotations

import numpy as np


def signed_area(ring: np.ndarray) -> float:
    """Shoelace area of an (N, 2) xy ring in square pixels; positive when it runs clockwise on screen (y down)."""
    x, y = ring[:, 0], ring[:, 1]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def trace_rings(bits: np.ndarray) -> list[np.ndarray]:
    """Rings around the foreground of a bool crop (h, w), in pixel-corner coordinates 0 … w, 0 … h.

    Only the corners of the outline are listed: along a vertex row the corners pair up into horizontal edges, along a
    vertex column into vertical ones, and following the two pairings in turn walks round each ring. A vertex where two
    foreground pixels meet diagonally counts twice, so that both pixels keep their own ring.

    Returns
    -------
    list of numpy.ndarray
        (N, 2) float64 xy; positive `signed_area` for an outer ring, negative for a hole.
    """
    x, y, up_is_second = _corners(bits)
    if x.size == 0:
        return []
    along_row = _pair(np.lexsort((x, y)))
    along_column = _pair(np.lexsort((up_is_second, y, x)))
    points = np.stack([x, y], axis=1).astype(np.float64)
    row_next, column_next = along_row.tolist(), along_column.tolist()
    seen = bytearray(len(row_next))
    rings = []
    for start in range(len(row_next)):
        if seen[start]:
            continue
        walk, i = [], start
        while not seen[i]:
            j = row_next[i]
            seen[i] = seen[j] = 1
            walk += (i, j)
            i = column_next[j]
        ring = points[walk]
        # The first corner is the topmost, leftmost one of its ring: the pixel right below it tells outline from hole.
        is_outer = bits[y[start], x[start]]
        rings.append(ring if is_outer else np.roll(ring[::-1], 1, axis=0))
    return rings


def _corners(bits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Corners in reading order: x, y, and 1 where a doubled corner must come second along its column."""
    p = np.pad(bits, 1).view(np.uint8)
    a, b, c, d = p[:-1, :-1], p[:-1, 1:], p[1:, :-1], p[1:, 1:]  # the four pixels round a vertex
    falling = (a & d) > (b | c)  # foreground top left and bottom right only
    rising = (b & c) > (a | d)
    single = (a ^ b ^ c ^ d).view(np.bool_)
    times = single + 2 * (falling | rising).view(np.uint8)
    ys, xs = np.nonzero(times)
    repeat = times[ys, xs]
    is_rising = np.repeat(rising[ys, xs], repeat)
    x, y = np.repeat(xs, repeat), np.repeat(ys, repeat)
    # Of the two copies the first ends the edge from the left. It goes on upwards at a falling corner and downwards at
    # a rising one: there the copies swap places along the column.
    first = np.append(np.ones(1, np.bool_), np.diff(np.repeat(np.arange(repeat.size), repeat)) > 0)[: x.size]
    return x, y, np.where(is_rising, first, ~first).astype(np.uint8)


def _pair(order: np.ndarray) -> np.ndarray:
    """Partner of every corner when consecutive entries of `order` are joined two by two."""
    partner = np.empty_like(order)
    partner[order[0::2]] = order[1::2]
    partner[order[1::2]] = order[0::2]
    return partner


def fill_rings(shape_yx: tuple[int, int], rings: list[np.ndarray]) -> tuple[np.ndarray, tuple[int, int]]:
    """Pixels whose centre lies inside the rings by the even-odd rule.

    Parameters
    ----------
    shape_yx : tuple of int
        Size of the slice; what lies outside is cut off.
    rings : list of numpy.ndarray
        (N, 2) xy, pixel centres on integers, closed by themselves. Rings of fewer than three points are empty.

    Returns
    -------
    bits : numpy.ndarray
        bool crop.
    corner_yx : tuple of int
        Where the crop's first pixel lies in the slice.
    """
    height, width = shape_yx
    starts, ends = [], []
    for ring in rings:
        points = np.asarray(ring, np.float64).reshape(-1, 2)
        if len(points) >= 3:
            starts.append(points)
            ends.append(np.roll(points, -1, axis=0))
    if not starts:
        return np.zeros((0, 0), np.bool_), (0, 0)
    p, q = np.concatenate(starts), np.concatenate(ends)
    swap = p[:, 1] > q[:, 1]
    low, high = np.where(swap[:, None], q, p), np.where(swap[:, None], p, q)
    first = np.clip(np.ceil(low[:, 1]), 0, height).astype(np.int64)  # rows with low.y <= row < high.y
    last = np.clip(np.ceil(high[:, 1]), 0, height).astype(np.int64)
    n_rows = last - first
    edge = np.repeat(np.arange(len(p)), n_rows)
    if edge.size == 0:
        return np.zeros((0, 0), np.bool_), (0, 0)
    row = np.arange(edge.size) - np.repeat(np.cumsum(n_rows) - n_rows, n_rows) + first[edge]
    slope = (high[edge, 0] - low[edge, 0]) / (high[edge, 1] - low[edge, 1])
    crossing = low[edge, 0] + slope * (row - low[edge, 1])
    column = np.clip(np.ceil(crossing), 0, width).astype(np.int64)  # first pixel centre at or right of the crossing
    y0, x0 = int(row.min()), int(column.min())
    h, w = int(row.max()) + 1 - y0, int(column.max()) + 1 - x0
    toggles = np.bincount((row - y0) * w + (column - x0), minlength=h * w).reshape(h, w)
    bits = (np.cumsum(toggles, axis=1) & 1).astype(np.bool_)
    return bits[:, : width - x0], (y0, x0)
