"""Rendering of the face mesh: which triangle is seen at a pixel, and which place of a texture it shows.

Piecewise affine backward mapping. Triangles are painted from far to near (Newell's painter's algorithm: enough for a
face, whose triangles do not pierce one another), triangles turned away are left out, and every pixel reads the texture
at one place, given by the affine map of its triangle; the image is then sampled once.

Points have the centre of the first pixel at (0, 0), in the image that is made and in the texture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from . import painting
from .matching import median

_FOLD = 128
_STEEP = 3.0  # times the area of texture that a pixel shows in the median
_APART = (3.0, 0.058)  # neighbours do not hang together that are so many pixels, and so much of the texture, apart
_DOUBLED = 1024  # pixels: larger textures are sampled by the cubic kernel itself
_FARTHEST = 2.0**15  # pixels: OpenCV's fixed point ends at 2^31 >> 16


@dataclass(frozen=True)
class Raster:
    """What is seen where in an image of `shape` (rows, columns).

    ids (h, w) int32: row of the triangle in the list given, -1 where there is none; of the rectangle `x0, y0` .. that
    holds all of the mesh. Empty (0, 0) where nothing is seen. Each of them stands for `step` x `step` pixels of the
    image; x0 and y0 are counted in such blocks.
    """

    shape: tuple[int, int]
    x0: int
    y0: int
    ids: np.ndarray
    step: int = 1

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the image that `ids` covers."""
        rows, columns = self.ids.shape
        step = self.step
        return slice(self.y0 * step, (self.y0 + rows) * step), slice(self.x0 * step, (self.x0 + columns) * step)


def signed_areas(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(M,) areas of triangles (M, 3) over points (V, 2 or 3), in the plane of the image; positive ones are seen."""
    a, b, c = (points[triangles[:, i], :2] for i in range(3))
    return np.asarray(0.5 * ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]))


def rasterise(
    points: np.ndarray, triangles: np.ndarray, shape: tuple[int, int], margin: int = 0, step: int = 1
) -> Raster:
    """Find the triangle that is seen at each pixel.

    points (V, 3): x, y in pixels of the image, z in the same scale, smaller is nearer; triangles (M, 3) in the sense
    that `vidswap.faces.topology` gives them. Edges are painted half a pixel wide, so that neighbours leave no gap.
    `margin` widens the window around the mesh by so many pixels. `step` paints at a fraction of the size, which must
    divide both sides of `shape`.
    """
    height, width = shape[0] // step, shape[1] // step
    flat = np.ascontiguousarray(points[:, :2])
    if step > 1:
        flat = (flat + 0.5) / step - 0.5
    used = flat[triangles.ravel()]
    if not len(used) or not np.isfinite(used).all() or np.abs(used).max() > _FARTHEST:
        return Raster(shape, 0, 0, np.full((0, 0), -1, np.int32))
    x0, y0 = (max(0, int(np.floor(v)) - 1 - margin) for v in used.min(0))
    x1, y1 = int(np.ceil(used[:, 0].max())) + 2 + margin, int(np.ceil(used[:, 1].max())) + 2 + margin
    x1, y1 = min(x1, width), min(y1, height)
    ids = np.full((max(0, y1 - y0), max(0, x1 - x0)), -1, np.int32)
    if not ids.size:
        return Raster(shape, 0, 0, np.full((0, 0), -1, np.int32))
    seen = np.flatnonzero(signed_areas(points, triangles) > 0)
    # A stable order, so that triangles of equal depth are painted in the same sequence everywhere.
    depth = points[triangles[seen], 2].astype(np.float64).sum(1)
    order = seen[np.argsort(-depth, kind="stable")]
    painting.paint_triangles(ids, (flat - (x0, y0)).astype(np.float64), triangles.astype(np.int64), order)
    return Raster(shape, x0, y0, ids, step)


@dataclass(frozen=True)
class Maps:
    """From triangles of an image to those of a texture.

    affine (M, 6) float32 a, b, c, d, e, f: x' = a x + b y + c, y' = d x + e y + f; low, high (M, 2) float32: the box
    around each triangle of the texture; steep (M,) bool: triangles seen at a grazing angle, which half a pixel beside
    them would read far away, so that they are held within their box.
    """

    affine: np.ndarray
    low: np.ndarray
    high: np.ndarray
    steep: np.ndarray


def affine_maps(to_points: np.ndarray, from_points: np.ndarray, triangles: np.ndarray) -> Maps:
    """Maps that take each triangle (M, 3) of `to_points` (V, 2) onto that of `from_points` (V, 2).

    Triangles without area read the first corner.
    """
    to, source = np.asarray(to_points[:, :2], np.float64), np.asarray(from_points[:, :2], np.float64)
    o, p, q = (to[triangles[:, i]] for i in range(3))
    u, v = p - o, q - o
    determinant = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(np.abs(determinant) > 1e-9, 1.0 / determinant, 0.0)
    so, sp, sq = (source[triangles[:, i]] for i in range(3))
    result = np.zeros((len(triangles), 6))
    for row in range(2):
        du, dv = (sp - so)[:, row], (sq - so)[:, row]
        x = (du * v[:, 1] - dv * u[:, 1]) * inverse
        y = (dv * u[:, 0] - du * v[:, 0]) * inverse
        result[:, 3 * row] = x
        result[:, 3 * row + 1] = y
        result[:, 3 * row + 2] = so[:, row] - x * o[:, 0] - y * o[:, 1]
    corners = np.stack([so, sp, sq]).astype(np.float32)
    own = np.abs(result[:, 0] * result[:, 4] - result[:, 1] * result[:, 3])
    usual = float(median(own)) if len(own) else 0.0
    steep = (own > _STEEP * usual) | (inverse == 0)
    return Maps(result.astype(np.float32), corners.min(0), corners.max(0), steep)


def without_steep(raster: Raster, maps: Maps, reach: int = 3) -> Raster:
    """The raster with triangles seen at a grazing angle replaced by their neighbours, where one is within `reach` px.

    Such a triangle crowds much texture into a line of pixels, of which each would show an arbitrary one.
    """
    # The row that -1 reads is that of no triangle.
    steep = np.append(maps.steep, False)[raster.ids]
    if not steep.any():
        return raster
    ids = raster.ids.astype(np.int16)
    ids[steep] = -1
    missing = np.flatnonzero(steep)
    for _ in range(reach):
        grown = cv2.dilate(ids, np.ones((3, 3), np.uint8)).ravel()[missing]
        ids.ravel()[missing] = grown
        missing = missing[grown < 0]
    ids.ravel()[missing] = raster.ids.ravel()[missing]
    return replace(raster, ids=ids.astype(np.int32))


def lookup(raster: Raster, maps: Maps) -> np.ndarray:
    """(h, w, 2) float32: the place that each pixel of the raster's window reads; -1e4 where no triangle is.

    A coarse raster is read once per block, and linearly between: the map is continuous but for where one part of the
    mesh hides another. There, triangles reach two blocks beyond their edge.
    """
    ids = raster.ids
    if raster.step > 1:
        grown = ids.astype(np.int16)
        grown = cv2.dilate(grown, np.ones((5, 5), np.uint8))
        ids = np.where(ids < 0, grown, ids)
    rows, columns = ids.shape
    x = ((np.arange(columns) + raster.x0 + 0.5) * raster.step - 0.5).astype(np.float32)
    y = ((np.arange(rows) + raster.y0 + 0.5) * raster.step - 0.5).astype(np.float32)[:, None]
    some = np.maximum(ids, 0)
    a, b, c, d, e, f = (np.take(column, some) for column in np.ascontiguousarray(maps.affine.T))
    across, down = a * x + b * y + c, d * x + e * y + f
    if maps.steep.any():
        held = maps.steep[some]
        which = some[held]
        across[held] = np.clip(across[held], maps.low[which, 0], maps.high[which, 0])
        down[held] = np.clip(down[held], maps.low[which, 1], maps.high[which, 1])
    outside = ids < 0
    across[outside] = down[outside] = -1e4
    places = cv2.merge([across, down])
    if raster.step == 1:
        return places
    return cv2.resize(places, (columns * raster.step, rows * raster.step), interpolation=cv2.INTER_LINEAR)


def sample_some(image: np.ndarray, raster: Raster, maps: Maps, wanted: np.ndarray) -> np.ndarray:
    """(n, C): image (h, w, C) uint8, read without shrinking at the pixels `wanted` (n,) of the raster's window.

    `wanted` are flat indices; where no triangle is the edge of the image is read.
    """
    count = len(wanted)
    # OpenCV's images end at 32767 rows: the list is folded.
    places = np.zeros((-(-count // _FOLD) * _FOLD, 2), np.float32)
    places[:count] = _read_at(raster, maps, wanted)
    read = _remap(image, places.reshape(-1, _FOLD, 2), cv2.INTER_CUBIC)
    return read.reshape(-1, *image.shape[2:])[:count]


def _read_at(raster: Raster, maps: Maps, pixels: np.ndarray) -> np.ndarray:
    step = raster.step
    row, column = np.divmod(pixels, max(1, raster.ids.shape[1] * step))
    ids = raster.ids[row // step, column // step]
    coefficients = maps.affine[ids]
    x = (column + raster.x0 * step).astype(np.float32)
    y = (row + raster.y0 * step).astype(np.float32)
    places = np.empty((len(pixels), 2), np.float32)
    places[:, 0] = coefficients[:, 0] * x + coefficients[:, 1] * y + coefficients[:, 2]
    places[:, 1] = coefficients[:, 3] * x + coefficients[:, 4] * y + coefficients[:, 5]
    steep = np.flatnonzero(maps.steep[ids])
    places[steep] = np.clip(places[steep], maps.low[ids[steep]], maps.high[ids[steep]])
    return places


class Pyramid:
    """A texture (T, U, C) uint8 in halving sizes, to be sampled without aliasing where the image shrinks it.

    A small one is kept at twice its size as well, enlarged by the cubic kernel once: linear sampling of that is as
    sharp as cubic sampling, for an eighth of the time.
    """

    def __init__(self, texture: np.ndarray, levels: int = 6) -> None:
        self.levels = [np.ascontiguousarray(texture)]
        while len(self.levels) < levels and min(self.levels[-1].shape[:2]) >= 32:
            above = self.levels[-1]
            half = (above.shape[1] // 2, above.shape[0] // 2)
            self.levels.append(cv2.resize(above, half, interpolation=cv2.INTER_AREA))
        self._twice: np.ndarray | None = None
        self._enlarged: dict[int, np.ndarray] = {}

    def sample(self, places: np.ndarray, shrink: float) -> np.ndarray:
        """Read the texture at places (h, w, 2) of its first level, for an image `shrink` times as coarse.

        Cubic where the image enlarges the texture; between the two next levels, linearly, where it shrinks it.
        """
        if shrink <= 1:
            return self._at(0, places)
        level = min(np.log2(shrink), len(self.levels) - 1.0)
        low = int(level)
        share = float(level - low)
        fine = self._at(low, places)
        if share < 1e-3 or low + 1 == len(self.levels):
            return fine
        return cv2.addWeighted(fine, 1 - share, self._at(low + 1, places), share, 0)

    def paint(self, raster: Raster, maps: Maps, shrink: float) -> np.ndarray:
        """(h, w, 4) uint8: a texture of four channels on the mesh, over the raster's window; 0 without a triangle.

        shrink: how much coarser the image is, of `shrinking`. Sampled as by `sample`.
        """
        rows, columns = raster.ids.shape
        out = np.zeros((rows * raster.step, columns * raster.step, 4), np.uint8)
        if shrink <= 1:
            read, scale = self._doubled(), 2.0
        else:
            level = min(np.log2(shrink), len(self.levels) - 1.0)
            low = int(level)
            read, scale = self._mixed(low, float(level - low)), 0.5**low
        corner = (raster.x0, raster.y0, raster.step)
        painting.sample_texture(
            packed(out), raster.ids, corner, maps.affine, maps.low, maps.high, maps.steep, packed(read), scale
        )
        return out

    def _mixed(self, level: int, share: float) -> np.ndarray:
        """A level with `share` of the next coarser one, at the size of the finer."""
        fine = self.levels[level]
        if share < 1e-3 or level + 1 == len(self.levels):
            return fine
        if level not in self._enlarged:
            size = (fine.shape[1], fine.shape[0])
            self._enlarged[level] = cv2.resize(self.levels[level + 1], size, interpolation=cv2.INTER_LINEAR)
        return cv2.addWeighted(fine, 1 - share, self._enlarged[level], share, 0)

    def _doubled(self) -> np.ndarray:
        if self._twice is None:
            self._twice = cv2.resize(self.levels[0], None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        return self._twice

    def _at(self, level: int, places: np.ndarray) -> np.ndarray:
        texture = self.levels[level]
        if level > 0:
            # Centres of 2^k pixels each: x' = (x + 0.5) / 2^k - 0.5.
            return _remap(texture, _scaled(places, 0.5**level), cv2.INTER_LINEAR)
        if max(texture.shape[:2]) > _DOUBLED:
            return _remap(texture, places, cv2.INTER_CUBIC)
        return _remap(self._doubled(), _scaled(places, 2.0), cv2.INTER_LINEAR)


def packed(image: np.ndarray) -> np.ndarray:
    """A view of image (h, w, 4) uint8 with a uint32 (h, w) for each pixel."""
    return image.view(np.uint32)[..., 0]


def _scaled(places: np.ndarray, scale: float) -> np.ndarray:
    offset = 0.5 * scale - 0.5
    return np.asarray(places * np.float32(scale) + np.float32(offset))


def soften_contours(image: np.ndarray, raster: Raster, maps: Maps, shrink: float, size: int) -> None:
    """Smooth image (h, w, 4) uint8, of `Pyramid.paint`, in place, where one part of the mesh stands before another,
    such as a nose before the far cheek: a pixel belongs to one triangle, which makes stairs of such contours.

    shrink: see `shrinking`; size: of the texture that the maps lead to, in pixels a side.
    """
    corner = (raster.x0, raster.y0, raster.step)
    limit = max(_APART[0] * shrink * raster.step, _APART[1] * size)
    found, count = painting.find_contours(raster.ids, corner, maps.affine, limit)
    if not count:
        return
    step = raster.step
    # Not at the mesh's own outline, beyond which there is nothing to smooth with.
    found[cv2.erode((raster.ids >= 0).astype(np.uint8), np.ones((3, 3), np.uint8)) == 0] = 0
    x, y, width, height = cv2.boundingRect(found)
    if not width:
        return
    rows, columns = (slice(max(0, at - 3), at + length + 3) for at, length in ((y, height), (x, width)))
    share = cv2.GaussianBlur(found[rows, columns], (3, 3), 0.8)
    if step > 1:
        share = cv2.resize(share, None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)
    part = image[rows.start * step : rows.stop * step, columns.start * step : columns.stop * step]
    weight = share.astype(np.float32)[..., None] * np.float32(1 / 255)
    seen = (part[..., 3:] > 0).astype(np.float32)
    colours = part[..., :3] * seen
    around = cv2.GaussianBlur(np.concatenate([colours, seen], 2), (0, 0), 0.8 * step)
    smooth = around[..., :3] / np.maximum(around[..., 3:], np.float32(1e-3))
    part[..., :3] = np.rint(part[..., :3] + weight * seen * (smooth - part[..., :3])).astype(np.uint8)


def shrinking(maps: Maps, ids: np.ndarray) -> float:
    """How many texture pixels stand side by side in a pixel of the image: median over the triangles in ids (h, w)."""
    seen = np.flatnonzero(np.bincount((ids[::2, ::2] + 1).ravel())[1:])
    if not len(seen):
        return 1.0
    of = maps.affine[seen].astype(np.float64)
    return float(np.sqrt(median(np.abs(of[:, 0] * of[:, 4] - of[:, 1] * of[:, 3]))))


def _remap(image: np.ndarray, places: np.ndarray, interpolation: int) -> np.ndarray:
    if not places.size:
        return np.zeros((*places.shape[:2], *image.shape[2:]), image.dtype)
    return cv2.remap(image, places, None, interpolation, borderMode=cv2.BORDER_REPLICATE)
