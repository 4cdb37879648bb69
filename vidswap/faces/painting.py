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
def bilinear(
    texture: np.ndarray, rows: int, columns: int, across: Scalar, down: Scalar
) -> tuple[Scalar, Scalar, Scalar, Scalar]:
    """Four channels of a flattened texture (rows * columns * 4,) uint8 at a place, half a pixel counted from its edge;
    beyond the edge its last pixels go on.
    """
    half, one = np.float32(0.5), np.float32(1)
    u, v = held(across - half, np.float32(columns - 1)), held(down - half, np.float32(rows - 1))
    left, above = min(int(u), columns - 2), min(int(v), rows - 2)
    right, below = u - np.float32(left), v - np.float32(above)
    a, b = (one - right) * (one - below), right * (one - below)
    c, d = (one - right) * below, right * below
    i = np.uint64((above * columns + left) * 4)
    j = np.uint64((above * columns + left + columns) * 4)
    return (
        a * texture[i] + b * texture[i + np.uint64(4)] + c * texture[j] + d * texture[j + np.uint64(4)],
        a * texture[i + np.uint64(1)]
        + b * texture[i + np.uint64(5)]
        + c * texture[j + np.uint64(1)]
        + d * texture[j + np.uint64(5)],
        a * texture[i + np.uint64(2)]
        + b * texture[i + np.uint64(6)]
        + c * texture[j + np.uint64(2)]
        + d * texture[j + np.uint64(6)],
        a * texture[i + np.uint64(3)]
        + b * texture[i + np.uint64(7)]
        + c * texture[j + np.uint64(3)]
        + d * texture[j + np.uint64(7)],
    )


@compiled(
    "(uint8[:,:,::1], int32[:,::1], UniTuple(int64, 3), float32[:,::1], float32[:,::1], float32[:,::1], "
    "boolean[::1], uint8[:,:,::1], uint8[:,:,::1], UniTuple(float64, 3))"
)
def sample_texture(
    out: np.ndarray,
    ids: np.ndarray,
    corner: tuple[int, int, int],
    affine: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    steep: np.ndarray,
    fine: np.ndarray,
    coarse: np.ndarray,
    scales: tuple[float, float, float],
) -> None:
    """Read a texture where a mesh shows it: out (h, w, 4) uint8; pixels without a triangle are left as they are.

    ids (rows, columns) int32, each of step x step pixels of out; corner: x0, y0 in such blocks, and step. affine, low,
    high, steep: see `render.Maps`. fine, coarse (.., .., 4) uint8: two sizes of the texture, read linearly and mixed;
    scales: size of `fine` and of `coarse` in sizes of the texture that the maps are of, and the share of `coarse`.
    """
    x0, y0, step = corner
    share = np.float32(scales[2])
    one, half = np.float32(1), np.float32(0.5)
    fine_scale, coarse_scale = np.float32(scales[0]), np.float32(scales[1])
    # Flat, and with unsigned places: signed ones are tested for counting from the end.
    fine_flat, fine_rows, fine_columns = fine.reshape(-1), fine.shape[0], fine.shape[1]
    coarse_flat, coarse_rows, coarse_columns = coarse.reshape(-1), coarse.shape[0], coarse.shape[1]
    for row in range(ids.shape[0]):
        for column in range(ids.shape[1]):
            number = ids[row, column]
            if number < 0:
                continue
            m = np.uint64(number)
            ax, bx, cx = affine[m, 0], affine[m, 1], affine[m, 2]
            ay, by, cy = affine[m, 3], affine[m, 4], affine[m, 5]
            within = steep[m]
            for y in range(row * step, (row + 1) * step):
                for x in range(column * step, (column + 1) * step):
                    own_x, own_y = np.float32(x + x0 * step), np.float32(y + y0 * step)
                    across, down = ax * own_x + bx * own_y + cx, ay * own_x + by * own_y + cy
                    if within:
                        across = min(max(across, low[m, 0]), high[m, 0])
                        down = min(max(down, low[m, 1]), high[m, 1])
                    across, down = across + half, down + half
                    r, g, b, k = bilinear(fine_flat, fine_rows, fine_columns, across * fine_scale, down * fine_scale)
                    if share > 0:
                        r1, g1, b1, k1 = bilinear(
                            coarse_flat, coarse_rows, coarse_columns, across * coarse_scale, down * coarse_scale
                        )
                        rest = one - share
                        r, g = r * rest + r1 * share, g * rest + g1 * share
                        b, k = b * rest + b1 * share, k * rest + k1 * share
                    out[y, x, 0], out[y, x, 1] = np.uint8(r + half), np.uint8(g + half)
                    out[y, x, 2], out[y, x, 3] = np.uint8(b + half), np.uint8(k + half)


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
