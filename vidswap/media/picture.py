"""Picture: one frame in its native planes, seen as displayed. Reads and writes regions without converting the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from vidswap.compiled import compiled

from .colour import FULL_RANGE, LIMITED_RANGE, SCALER_MATRIX, codes_from_rgb, rgb_from_codes
from .geometry import compose, invert
from .index import VideoIndex
from .planes import Layout, layout, plane_views
from .resample import footprint, sample

# FFmpeg's fast converter is dark by one to two levels; full chroma interpolation takes the exact one. The numbers are
# libswscale's (SWS_ACCURATE_RND, SWS_FULL_CHR_H_INT, SWS_FULL_CHR_H_INP): PyAV 17, the last for Python 3.10, has no
# names for them.
_EXACT = 0x40000 | 0x2000 | 0x4000
_SHRINK = int(Interpolation.AREA) | _EXACT
_STRIP = 64  # rows
CONVERT = int(Interpolation.BICUBIC) | _EXACT


class PictureKind:
    """What all pictures of one video have in common: layout, place of the planes on the screen, colour conversion.

    Not shared between threads: it holds the scaler's state.
    """

    def __init__(self, index: VideoIndex) -> None:
        found = layout(index.working_format)
        if found is None:  # pragma: no cover - working_format yields layouts alone
            raise ValueError(f"pixel format {index.working_format} has no layout")
        self.layout: Layout = found
        self.width, self.height = index.width, index.height
        self.stored_width, self.stored_height = index.stored_width, index.stored_height
        self.orientation = index.orientation
        self.pts = index.pts
        self.matrix = index.colour.matrix_in_use(index.stored_width, index.stored_height)
        self.full_range = index.full_range if self.layout.kind == "yuv" else self._grey_or_rgb_is_full(index)
        self.reformatter = VideoReformatter()
        self._shrinker = VideoReformatter()
        luma = index.stored_from_displayed
        chroma = compose(_chroma_from_luma(self.layout, index.colour.chroma_offset()), luma)
        self.plane_from_displayed = [luma, chroma, chroma][: self.layout.colour_planes]
        if self.layout.kind == "rgb":
            self.plane_from_displayed = [luma] * 3
        # Twice resampled, luma stays sharp with the cubic kernel; chroma has not the detail to need it.
        smooth = cv2.INTER_LINEAR if self.layout.kind == "yuv" else cv2.INTER_CUBIC
        self.kernels = (cv2.INTER_CUBIC, smooth, smooth)
        self.rgb_from_codes = _rgb_from_codes(self.layout, self.matrix, self.full_range)
        self.codes_from_rgb = _codes_from_rgb(self.layout, self.matrix, self.full_range)

    def _grey_or_rgb_is_full(self, index: VideoIndex) -> bool:
        return self.layout.kind == "rgb" or index.colour.range != LIMITED_RANGE

    def picture(self, frame: av.VideoFrame, number: int) -> Picture:
        """The picture of a decoded frame; converted when its format is no working format or its size has changed."""
        return Picture(self, self.conformed(frame), number)

    def conformed(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame in the working format and the stored size; itself where it is so already."""
        if (frame.format.name, frame.width, frame.height) != (self.layout.name, self.stored_width, self.stored_height):
            frame = self.reformatter.reformat(
                frame, self.stored_width, self.stored_height, self.layout.name, interpolation=CONVERT, threads=1
            )
        return frame

    def small_rgb(self, frame: av.VideoFrame, width: int, height: int) -> np.ndarray:
        """(height, width, 3) uint8 RGB of the whole stored frame, scaled by FFmpeg."""
        yuv = self.layout.kind == "yuv"
        small = self._shrinker.reformat(
            frame,
            width,
            height,
            "rgb24",
            src_colorspace=SCALER_MATRIX.get(self.matrix) if yuv else None,
            src_color_range=FULL_RANGE if self.full_range else LIMITED_RANGE,
            interpolation=_SHRINK,
            threads=1,
        )
        plane: Any = small.planes[0]
        return np.frombuffer(plane, np.uint8).reshape(height, plane.line_size)[:, : width * 3].reshape(height, width, 3)


class Picture:
    """One frame of a video. Coordinates are displayed pixels: turned, square, centre of the first at (0, 0).

    Attributes:
        frame: index of the frame in the video.
        pts: presentation timestamp in the stream's time base.
        width, height: displayed size in pixels.
    """

    __slots__ = ("_changed", "_kind", "_native", "frame", "pts")

    def __init__(self, kind: PictureKind, native: av.VideoFrame, frame: int) -> None:
        self._kind, self._native, self._changed = kind, native, False
        self.frame = frame
        self.pts = int(kind.pts[frame])

    def __repr__(self) -> str:
        return f"Picture(frame {self.frame}, {self.width}x{self.height}, {self._kind.layout.name})"

    @property
    def width(self) -> int:
        """Displayed width in pixels."""
        return self._kind.width

    @property
    def height(self) -> int:
        """Displayed height in pixels."""
        return self._kind.height

    @property
    def layout(self) -> Layout:
        """The pixel format of the planes."""
        return self._kind.layout

    @property
    def changed(self) -> bool:
        """True once something was written into the planes."""
        return self._changed

    @property
    def native(self) -> av.VideoFrame:
        """The frame as FFmpeg has it, in stored orientation; for reading alone."""
        return self._native

    @property
    def planes(self) -> list[np.ndarray]:
        """The stored planes for writing, (rows, columns) uint8 or uint16; the decoder's own copy stays as it is."""
        if not self._changed:
            self._native.make_writable()
            self._changed = True
        return plane_views(self._native, self._kind.layout)

    def rgb(self, width: int, height: int) -> np.ndarray:
        """The whole displayed frame scaled to (height, width, 3) uint8 RGB; sizes in pixels, at least 1."""
        if width < 1 or height < 1:
            raise ValueError(f"a picture of {width}x{height} pixels was asked for; both must be 1 or more")
        turned = self._kind.orientation
        size = (height, width) if turned.swaps else (width, height)
        return turned.apply(self._kind.small_rgb(self._native, *size))

    def crop(self, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Cut out a region: (h, w, 3) uint8 RGB for `size` = (w, h).

        Args:
            matrix: (2, 3), displayed pixels -> crop pixels; any affine map that has an inverse.
            size: width and height of the crop.

        Planes are sampled at their own resolution and only the crop is converted. Where the crop is coarser than the
        frame, samples are averaged; beyond the frame its edge pixels go on.
        """
        displayed_from_crop = invert(np.asarray(matrix, dtype=np.float64))
        views = plane_views(self._native, self._kind.layout)
        codes = []
        for number, from_displayed in enumerate(self._kind.plane_from_displayed):
            plane_from_crop = compose(from_displayed, displayed_from_crop)
            codes.append(sample(views[number], plane_from_crop, size, interpolation=self._kind.kernels[number]))
        return _rgb_of_codes(codes, self._kind.rgb_from_codes)

    def repaint(self, kind: PictureKind, image: np.ndarray) -> None:
        """Become a picture of another kind that shows `image` (h, w, 3) RGB, uint8 or float32, of that kind's size."""
        if image.shape != (kind.height, kind.width, 3):
            raise ValueError(f"an image of {kind.width}x{kind.height} pixels was expected, got {image.shape}")
        self._native = av.VideoFrame(kind.stored_width, kind.stored_height, kind.layout.name)
        self._kind, self._changed = kind, True
        # Memory as it came would tip the rounding of what is mixed with it, though nothing of it shows.
        for plane in self.planes:
            plane[...] = 0
        # With a rim around it, because chroma samples may stand beyond the outermost pixels' centres.
        rim = 8
        image = cv2.copyMakeBorder(image, rim, rim, rim, rim, cv2.BORDER_REPLICATE)
        shift = np.array([[1.0, 0.0, rim], [0.0, 1.0, rim]])
        self.composite(shift, image, np.ones(image.shape[:2], np.float32))

    def composite(self, matrix: np.ndarray, image: np.ndarray, alpha: np.ndarray) -> None:
        """Lay an image over a region of the frame.

        Args:
            matrix: (2, 3), displayed pixels -> pixels of `image`.
            image: (h, w, 3) RGB, uint8 or float32 0..255.
            alpha: (h, w) float32, 0..1: how far the image replaces the frame; nothing outside it is touched.

        Samples of a plane change only where alpha, brought to that plane's grid, is above zero; all others stay bit for
        bit. Alpha planes of the frame are never changed.
        """
        if image.ndim != 3 or image.shape[2] != 3 or alpha.shape != image.shape[:2]:
            raise ValueError(f"image (h, w, 3) and alpha (h, w) were expected, got {image.shape} and {alpha.shape}")
        box = _support(alpha)
        if box is None:
            return
        x0, y0, x1, y1 = box
        # One pixel more on each side, so that the image under alpha's slope is there.
        x0, y0, x1, y1 = max(x0 - 4, 0), max(y0 - 4, 0), min(x1 + 4, alpha.shape[1]), min(y1 + 4, alpha.shape[0])
        shift = np.array([[1.0, 0.0, -x0], [0.0, 1.0, -y0]])
        image_from_displayed = compose(shift, np.asarray(matrix, dtype=np.float64))
        cover = np.ascontiguousarray(alpha[y0:y1, x0:x1], dtype=np.float32)
        codes = cv2.transform(image[y0:y1, x0:x1].astype(np.float32), self._kind.codes_from_rgb)
        codes = codes if codes.ndim == 3 else codes[:, :, None]
        views = self.planes
        covers: dict[int, tuple[tuple[int, int, int, int], np.ndarray]] = {}
        for number, from_displayed in enumerate(self._kind.plane_from_displayed):
            image_from_plane = compose(image_from_displayed, invert(from_displayed))
            key = id(from_displayed)
            if key not in covers:
                region = _plane_region(image_from_plane, cover.shape, views[number].shape)
                covers[key] = (region, _sample_region(cover, image_from_plane, region, cv2.INTER_LINEAR, 0.0))
            region, weight = covers[key]
            left, top, right, bottom = region
            if right <= left or bottom <= top:
                continue
            values = _sample_region(
                np.ascontiguousarray(codes[:, :, number]), image_from_plane, region, self._kind.kernels[number], None
            )
            _blend(views[number][top:bottom, left:right], values, weight, self._kind.layout.bits)


def _blend(target: np.ndarray, values: np.ndarray, weight: np.ndarray, bits: int) -> None:
    """target += weight * (values - target), rounded and held within the code range.

    Where weight is 0 a sample comes back as it was, bit for bit: float32 holds codes of 16 bits exactly.
    """
    before = target.astype(np.float32)
    change = cv2.multiply(weight, cv2.subtract(values, before))
    after = cv2.add(before, change, dtype=cv2.CV_8U if bits == 8 else cv2.CV_16U)
    target[...] = after if bits in (8, 16) else cv2.min(after, 2.0**bits - 1)


def _support(alpha: np.ndarray) -> tuple[int, int, int, int] | None:
    rows, columns = np.flatnonzero((alpha > 0).any(axis=1)), np.flatnonzero((alpha > 0).any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _plane_region(
    image_from_plane: np.ndarray, shape: Sequence[int], plane_shape: Sequence[int]
) -> tuple[int, int, int, int]:
    """left, top, right, bottom of the plane's samples that the image can reach; may be empty."""
    plane_from_image = invert(image_from_plane)
    x0, y0, x1, y1 = footprint(plane_from_image, -1.0, -1.0, float(shape[1]), float(shape[0]))
    left, top = max(0, int(np.floor(x0)) - 1), max(0, int(np.floor(y0)) - 1)
    return left, top, min(plane_shape[1], int(np.ceil(x1)) + 2), min(plane_shape[0], int(np.ceil(y1)) + 2)


def _sample_region(
    image: np.ndarray,
    image_from_plane: np.ndarray,
    region: tuple[int, int, int, int],
    interpolation: int,
    outside: float | None,
) -> np.ndarray:
    left, top, right, bottom = region
    if right <= left or bottom <= top:
        return np.zeros((0, 0), np.float32)
    shifted = compose(image_from_plane, np.array([[1.0, 0.0, left], [0.0, 1.0, top]]))
    return sample(image, shifted, (right - left, bottom - top), interpolation=interpolation, outside=outside)


def _rgb_of_codes(codes: Sequence[np.ndarray], matrix: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 RGB of planes (h, w) of one size."""
    rows, columns = codes[0].shape
    if len(codes) == 3 and all(code.dtype == np.uint8 for code in codes):
        channels = np.empty((3, rows, columns), np.uint8)
        _three_channels(codes[0], codes[1], codes[2], matrix.astype(np.float32), channels)
        return cv2.merge(list(channels)).reshape(rows, columns, 3)
    rgb = np.empty((rows, columns, 3), np.uint8)
    # In strips whose floats stay in the processor's cache.
    for top in range(0, rows, _STRIP):
        strip = cv2.merge([code[top : top + _STRIP] for code in codes]).astype(np.float32)
        values = cv2.transform(strip, matrix)
        rgb[top : top + _STRIP] = _to_bytes(values).reshape(strip.shape[0], columns, 3)
    return rgb


@compiled("(uint8[:,::1], uint8[:,::1], uint8[:,::1], float32[:,::1], uint8[:,:,::1])")
def _three_channels(
    first: np.ndarray, second: np.ndarray, third: np.ndarray, matrix: np.ndarray, channels: np.ndarray
) -> None:
    """Writes to channels (3, h, w) three planes (h, w) under a matrix (3, 4), rounded and held within 0..255."""
    least, most, half = np.float32(0), np.float32(255), np.float32(0.5)
    a0, a1, a2, a3 = matrix[0]
    b0, b1, b2, b3 = matrix[1]
    c0, c1, c2, c3 = matrix[2]
    for y in range(first.shape[0]):
        for x in range(first.shape[1]):
            one, two, three = np.float32(first[y, x]), np.float32(second[y, x]), np.float32(third[y, x])
            red = a0 * one + a1 * two + a2 * three + a3 + half
            green = b0 * one + b1 * two + b2 * three + b3 + half
            blue = c0 * one + c1 * two + c2 * three + c3 + half
            channels[0, y, x] = np.uint8(np.int32(min(max(red, least), most)))
            channels[1, y, x] = np.uint8(np.int32(min(max(green, least), most)))
            channels[2, y, x] = np.uint8(np.int32(min(max(blue, least), most)))


def _to_bytes(values: np.ndarray) -> np.ndarray:
    # Not cv2.max: it takes a single pixel for a number.
    return cv2.convertScaleAbs(np.maximum(values, np.float32(0)))


def _chroma_from_luma(of: Layout, offset: tuple[float, float]) -> np.ndarray:
    """(2, 3): from luma pixels to chroma pixels. `offset` is the chroma sample's place within its 2x2 block."""
    rows = []
    for shift, place in ((of.shift_x, offset[0]), (of.shift_y, offset[1])):
        step = 1 << shift
        # Luma position of chroma sample 0: the middle of its block, moved by `place`; nothing moves unsubsampled.
        first = (step - 1) / 2 + (place * (step - 1) if shift else 0.0)
        rows.append((1 / step, -first / step))
    return np.array([[rows[0][0], 0.0, rows[0][1]], [0.0, rows[1][0], rows[1][1]]])


def _rgb_from_codes(of: Layout, matrix: int, full_range: bool) -> np.ndarray:
    if of.kind == "yuv":
        return rgb_from_codes(matrix, full_range, of.bits)
    scale, offset = _grey_scale(of, full_range)
    if of.kind == "gray":
        return np.array([[1 / scale, -offset / scale]] * 3)
    r, g, b = (np.array([0, 0, 1.0]), np.array([1.0, 0, 0]), np.array([0, 1.0, 0]))
    return np.hstack([np.array([r, g, b]) / scale, np.full((3, 1), -offset / scale)])


def _codes_from_rgb(of: Layout, matrix: int, full_range: bool) -> np.ndarray:
    if of.kind == "yuv":
        return codes_from_rgb(matrix, full_range, of.bits)
    scale, offset = _grey_scale(of, full_range)
    if of.kind == "gray":
        luma = codes_from_rgb(matrix, True, 8)[:1]
        return np.hstack([luma[:, :3] * scale, [[offset]]])
    g, b, r = np.array([0, 1.0, 0]), np.array([0, 0, 1.0]), np.array([1.0, 0, 0])
    return np.hstack([np.array([g, b, r]) * scale, np.full((3, 1), offset)])


def _grey_scale(of: Layout, full_range: bool) -> tuple[float, float]:
    """Code values per grey level of 0..255, and the code of black."""
    if full_range:
        return (2.0**of.bits - 1) / 255, 0.0
    return 219 / 255 * 2.0 ** (of.bits - 8), 16 * 2.0 ** (of.bits - 8)
