"""Compiled loops over the pixels of a rendered face: which triangle is seen, what of the texture, under which light."""

from __future__ import annotations

from typing import Any

import numpy as np

from vidswap.compiled import compiled

Scalar = Any
"""A float32, which the type checker does not take for a float."""

_HALF = 0.5  # px: triangles are painted so much wider, so that neighbours leave no gap


@compiled("(int32[:,::1], float64[:,::1], int64[:,::1], int64[::1])")
def paint_triangles(ids: np.ndarray, points: np.ndarray, triangles: np.ndarray, order: np.ndarray) -> None:
    """Paint triangles over one another: ids (h, w) int32 gets the row of the last one that covers a pixel's centre.

    points (V, 2) float64 in pixels of `ids`; triangles (M, 3) int64 in the sense that is seen; order (n,) int64: rows
    of `triangles` from far to near.
    """
    height, width = ids.shape
    for place in range(order.shape[0]):
        number = order[place]
        ax, ay = points[triangles[number, 0], 0], points[triangles[number, 0], 1]
        bx, by = points[triangles[number, 1], 0], points[triangles[number, 1], 1]
        cx, cy = points[triangles[number, 2], 0], points[triangles[number, 2], 1]
        top = max(0, int(np.ceil(min(ay, by, cy) - _HALF)))
        bottom = min(height - 1, int(np.floor(max(ay, by, cy) + _HALF)))
        leftmost, rightmost = min(ax, bx, cx) - _HALF, max(ax, bx, cx) + _HALF
        for y in range(top, bottom + 1):
            low, high = leftmost, rightmost
            for edge in range(3):
                if edge == 0:
                    ox, oy, dx, dy = ax, ay, bx - ax, by - ay
                elif edge == 1:
                    ox, oy, dx, dy = bx, by, cx - bx, cy - by
                else:
                    ox, oy, dx, dy = cx, cy, ax - cx, ay - cy
                # Inside is where dx (y - oy) - dy (x - ox) >= -half the length of the edge.
                rest = dx * (y - oy) + _HALF * np.sqrt(dx * dx + dy * dy)
                if dy > 0:
                    high = min(high, ox + rest / dy)
                elif dy < 0:
                    low = max(low, ox + rest / dy)
                elif rest < 0:
                    high = low - 1
            first, last = max(0, int(np.ceil(low))), min(width - 1, int(np.floor(high)))
            for x in range(first, last + 1):
                ids[y, x] = number


@compiled()
def held(value: Scalar, most: Scalar) -> Scalar:
    """The value, not below 0 nor above `most`."""
    return min(max(value, np.float32(0)), most)


@compiled()
def _apart(pixel: Scalar) -> Scalar:
    """The four bytes of a uint32, each in 16 of 64 bits, so that one multiplication weighs all of them."""
    wide = np.uint64(pixel)
    wide = (wide | (wide << np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    return (wide | (wide << np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)


@compiled()
def _between(one: Scalar, other: Scalar, share: Scalar) -> Scalar:
    """What lies `share` of 256ths on the way between two sets of bytes of `_apart`, rounded."""
    mixed = one * (np.uint64(256) - share) + other * share + np.uint64(0x0080008000800080)
    return (mixed >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)


@compiled(
    "(uint32[:,::1], int32[:,::1], UniTuple(int64, 3), float32[:,::1], float32[:,::1], float32[:,::1], "
    "boolean[::1], uint32[:,::1], float64)"
)
def sample_texture(
    out: np.ndarray,
    ids: np.ndarray,
    corner: tuple[int, int, int],
    affine: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    steep: np.ndarray,
    texture: np.ndarray,
    scale: float,
) -> None:
    """Read a texture where a mesh shows it: out (h, w) uint32; pixels without a triangle are left as they are.

    A uint32 is a pixel of four channels of uint8. ids (rows, columns) int32, each of step x step pixels of out; corner:
    x0, y0 in such blocks, and step. affine, low, high, steep: see `render.Maps`. texture (.., ..), at least 2 pixels a
    side, is read linearly, places being rounded to 1/256 of its pixels; beyond its edge the last ones go on. scale:
    its size in sizes of the texture that the maps are of.
    """
    x0, y0, step = corner
    rows, columns = texture.shape
    # Flat, and with unsigned places: signed ones are tested for counting from the end.
    flat = texture.reshape(-1)
    zero, fine = np.float32(0), np.float32(256 * scale)
    shift = np.float32(128 * (scale - 1))
    last_x, last_y = np.float32(256 * (columns - 1)), np.float32(256 * (rows - 1))
    before = -1
    ax, bx, cx, ay, by, cy = zero, zero, zero, zero, zero, zero
    least_x, most_x, least_y, most_y = zero, last_x, zero, last_y
    for row in range(ids.shape[0]):
        for column in range(ids.shape[1]):
            number = ids[row, column]
            if number < 0:
                continue
            if number != before:
                before = number
                m = np.uint64(number)
                ax, bx, cx = affine[m, 0] * fine, affine[m, 1] * fine, affine[m, 2] * fine + shift
                ay, by, cy = affine[m, 3] * fine, affine[m, 4] * fine, affine[m, 5] * fine + shift
                least_x, most_x, least_y, most_y = zero, last_x, zero, last_y
                if steep[m]:
                    least_x, most_x = max(low[m, 0] * fine + shift, zero), min(high[m, 0] * fine + shift, last_x)
                    least_y, most_y = max(low[m, 1] * fine + shift, zero), min(high[m, 1] * fine + shift, last_y)
            for y in range(row * step, (row + 1) * step):
                own_y = np.float32(y + y0 * step)
                for x in range(column * step, (column + 1) * step):
                    own_x = np.float32(x + x0 * step)
                    u = int(min(max(ax * own_x + bx * own_y + cx, least_x), most_x))
                    v = int(min(max(ay * own_x + by * own_y + cy, least_y), most_y))
                    left, above = min(u >> 8, columns - 2), min(v >> 8, rows - 2)
                    right, below = np.uint64(u - (left << 8)), np.uint64(v - (above << 8))
                    i = np.uint64(above * columns + left)
                    j = i + np.uint64(columns)
                    over = _between(_apart(flat[i]), _apart(flat[i + np.uint64(1)]), right)
                    under = _between(_apart(flat[j]), _apart(flat[j + np.uint64(1)]), right)
                    pixel = _between(over, under, below)
                    pixel = (pixel | (pixel >> np.uint64(8))) & np.uint64(0x0000FFFF0000FFFF)
                    out[y, x] = np.uint32((pixel | (pixel >> np.uint64(16))) & np.uint64(0xFFFFFFFF))


@compiled("(int32[:,::1], UniTuple(int64, 3), float32[:,::1], float64)")
def find_contours(
    ids: np.ndarray, corner: tuple[int, int, int], affine: np.ndarray, limit: float
) -> tuple[np.ndarray, int]:
    """(rows, columns) uint8: 255 where a part of a mesh stands before another one, on both sides; and how many.

    ids (rows, columns) int32 and corner: see `sample_texture`. affine (M, 6): of the maps into a texture; neighbours
    that show places of it farther apart than `limit` pixels do not hang together.
    """
    rows, columns = ids.shape
    x0, y0, step = corner
    found = np.zeros((rows, columns), np.uint8)
    count, most = 0, np.float32(limit * limit)
    for y in range(rows):
        for x in range(columns):
            own = ids[y, x]
            if own < 0:
                continue
            for below in range(2):
                down, right = y + below, x + 1 - below
                if down >= rows or right >= columns:
                    continue
                other = ids[down, right]
                if other < 0 or other == own:
                    continue
                # Both maps at the border between the two: what hangs together meets there.
                across = np.float32(x0 * step) + np.float32(step) * (np.float32(x) + np.float32(0.5) * (1 - below))
                along = np.float32(y0 * step) + np.float32(step) * (np.float32(y) + np.float32(0.5) * below)
                away = np.float32(0)
                for axis in range(2):
                    apart = (affine[own, 3 * axis] - affine[other, 3 * axis]) * across
                    apart += (affine[own, 3 * axis + 1] - affine[other, 3 * axis + 1]) * along
                    apart += affine[own, 3 * axis + 2] - affine[other, 3 * axis + 2]
                    away += apart * apart
                if away > most:
                    found[y, x] = found[down, right] = 255
                    count += 1
    return found, count


@compiled("(uint8[:,:,::1], uint8[:,:,::1], float32[:,::1], UniTuple(int64, 2))")
def shrink_seen(
    target: np.ndarray, rendered: np.ndarray, shown: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means over the cells of a grid of `size` (rows, columns): of target and rendered (rows, columns, 3) float32, and
    of shown (rows, columns) float32.

    target (h, w, 3) uint8; rendered (h, w, 4) uint8, of which only pixels count whose fourth channel is not 0; shown
    (h, w) float32. A pixel belongs to one cell, that of its centre; there are no more cells than pixels.
    """
    rows, columns = size
    height, width = shown.shape
    sums = np.zeros((rows, columns, 9), np.float32)
    cells = (np.arange(width) * 2 + 1) * columns // (2 * width)
    for y in range(height):
        row = (2 * y + 1) * rows // (2 * height)
        for x in range(width):
            cell = sums[row, cells[x]]
            cell[0] += np.float32(1)
            cell[1] += shown[y, x]
            for channel in range(3):
                cell[2 + channel] += np.float32(target[y, x, channel])
            if rendered[y, x, 3] > 0:
                cell[5] += np.float32(1)
                for channel in range(3):
                    cell[6 + channel] += np.float32(rendered[y, x, channel])
    means = np.zeros((rows, columns, 3), np.float32)
    own = np.zeros((rows, columns, 3), np.float32)
    weight = np.zeros((rows, columns), np.float32)
    for row in range(rows):
        for column in range(columns):
            cell = sums[row, column]
            weight[row, column] = cell[1] / cell[0]
            for channel in range(3):
                means[row, column, channel] = cell[2 + channel] / cell[0]
                own[row, column, channel] = cell[6 + channel] / max(cell[5], np.float32(1))
    return means, own, weight


@compiled("(uint8[:,:,::1], uint8[:,:,::1], float32[:,::1], float32[:,:,::1], float32[:,:,::1])")
def relight_seen(
    out: np.ndarray, rendered: np.ndarray, mixing: np.ndarray, gain: np.ndarray, offset: np.ndarray
) -> None:
    """out (h, w, 3) uint8 = rendered (h, w, 4) uint8, its colours mixed by (3, 3) float32, times gain plus offset.

    gain, offset (fh, fw, 3) float32 fields over the same window, linearly between. Where the fourth channel of
    `rendered` is 0, out is left as it is.
    """
    height, width = out.shape[:2]
    rows, columns = gain.shape[:2]
    row_gain = np.empty((columns, 3), np.float32)
    row_offset = np.empty((columns, 3), np.float32)
    step_x, step_y = np.float32(columns / width), np.float32(rows / height)
    colour = np.empty(3, np.float32)
    for y in range(height):
        v = held((np.float32(y) + np.float32(0.5)) * step_y - np.float32(0.5), np.float32(rows - 1))
        above = min(int(v), rows - 2)
        below = v - np.float32(above)
        for column in range(columns):
            for channel in range(3):
                row_gain[column, channel] = gain[above, column, channel] + below * (
                    gain[above + 1, column, channel] - gain[above, column, channel]
                )
                row_offset[column, channel] = offset[above, column, channel] + below * (
                    offset[above + 1, column, channel] - offset[above, column, channel]
                )
        for x in range(width):
            if rendered[y, x, 3] == 0:
                continue
            u = held((np.float32(x) + np.float32(0.5)) * step_x - np.float32(0.5), np.float32(columns - 1))
            left = min(int(u), columns - 2)
            right = u - np.float32(left)
            for channel in range(3):
                colour[channel] = (
                    mixing[channel, 0] * rendered[y, x, 0]
                    + mixing[channel, 1] * rendered[y, x, 1]
                    + mixing[channel, 2] * rendered[y, x, 2]
                )
            for channel in range(3):
                factor = row_gain[left, channel] + right * (row_gain[left + 1, channel] - row_gain[left, channel])
                added = row_offset[left, channel] + right * (row_offset[left + 1, channel] - row_offset[left, channel])
                value = colour[channel] * factor + added
                out[y, x, channel] = np.uint8(held(value, np.float32(255)) + np.float32(0.5))
