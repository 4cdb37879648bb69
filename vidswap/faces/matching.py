"""Making a rendered face look as if it had been filmed in the target's shot: light, colour, sharpness, grain.

Light is matched in broad strokes: both faces are averaged over a large neighbourhood of skin (eyes, brows and lips left
out), and the rendered face is multiplied by the quotient, channel by channel. What is finer than the neighbourhood is
the source's, so that lips and brows keep their contrast to the skin. Deviations are not matched, as Reinhard et al.
2001 do: that makes skin harsh where the source is lit more softly.
"""

from __future__ import annotations

import cv2
import numpy as np

from vidswap.compiled import compiled

FIELD_SIDE = 96  # pixels a side at which fields of light are made; at 64 they flicker
_DARKEST = 1.0  # percentile of each channel over the face
_OCTAVES = (0.8, 1.6, 3.2)  # pixels
_MANY = 320  # pixels a side: of larger faces every fourth row and column tells their grain
_LEAST_GRAIN = 1.0  # grey levels: below, compression has smoothed it away
_FINE = 1.2  # pixels
_LEAST_UNEVEN = 0.3  # grey levels
_PLAIN = 2.0  # times the usual size of details of skin: up to here they are skin
_MEAN = np.full((1, 3), 1 / 3, np.float32)
_CLIPPED, _MUCH_CLIPPED = (238.0, 253.0), (0.08, 0.25)  # grey levels; share of a face
_LITTLE = 8  # grey levels: below, what is seen tells little of the light
_NIGHT = (0.3, 0.5)  # of the portrait's brightness
_BRIGHTEST = 2.0  # times white
_GAIN = (0.1, 2.2)  # beyond these the difference is added, not multiplied: dark pixels have no contrast to amplify


def light_field(
    target: np.ndarray,
    rendered: np.ndarray,
    weight: np.ndarray,
    cover: np.ndarray,
    reach: float,
    darkest: tuple[np.ndarray | None, np.ndarray | None] = (None, None),
) -> tuple[np.ndarray, np.ndarray]:
    """Gain and offset (h, w, 3) float32: rendered * gain + offset has the broad light of `target`.

    target, rendered (h, w, 3) float32 0..255, small; weight (h, w) float32: where both show skin; cover (h, w): where
    both show the face; reach: sigma of the neighbourhood in pixels; darkest (3,) each: the floors of target and
    rendered face, as far as they are known.

    Light is a factor above a floor, the darkest that the face shows: haze and flare, which add to everything, lift the
    floor and leave less room for contrast. A few pixels tell it, of which coding makes something else in every frame,
    and a blink takes half of them: of a video it is better told over time, of a portrait once. What fits badly under a
    first field (glasses, beard, cast shadows, strands of hair on either face) weighs little in the second.
    """
    there = cover > 0.5
    floors = [
        floor_of(image, there) if known is None else np.asarray(known, np.float32)
        for image, known in zip((target, rendered), darkest, strict=True)
    ]
    pair = np.concatenate([target, rendered], 2)
    weight = weight * _not_dark(target, weight) * _not_dark(rendered, weight)
    gain, offset = _field(spread(pair, weight, 2 * reach), *floors)
    misfit = cv2.transform(cv2.absdiff(rendered * gain + offset, target), _MEAN)
    usual = float((misfit * weight).sum()) / max(float(weight.sum()), 1e-6)
    trusted = weight / (1 + (misfit / max(1.5 * usual, 4.0)) ** 4)
    return _field(spread(pair, trusted, reach), *floors)


def _field(both: np.ndarray, floor: np.ndarray, own_floor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    wanted, given = np.ascontiguousarray(both[..., :3]), np.ascontiguousarray(both[..., 3:])
    # Where little is to be told, light is what it is on the whole; about as bright as the portrait's, but at night.
    dim = float(wanted.mean()) / max(float(given.mean()), 1.0)
    usual = dim + (1 - dim) * float(smoothstep(dim, *_NIGHT)) if dim < _NIGHT[1] else 1.0
    gain = _above(wanted, floor, usual) / _above(given, own_floor)
    # A portrait without deep shadows is not given any: haze may take contrast, its absence adds none.
    gain = np.clip(np.minimum(gain, (wanted + _LITTLE * usual) / (given + _LITTLE)), *_GAIN)
    return gain, wanted - given * gain


def _above(image: np.ndarray, floor: np.ndarray, usual: float = 1.0) -> np.ndarray:
    # OpenCV takes a colour from every pixel several times as fast as numpy does.
    rest = cv2.subtract(image, (*floor.tolist(), 0.0))
    return np.maximum(rest, 0, out=rest) + _LITTLE * usual


def overexposed(image: np.ndarray, weight: np.ndarray) -> np.ndarray | None:
    """(h, w, 3) float32 0..1: how surely each channel of image (h, w, 3) float32 0..255, a field, is brighter than can
    be shown; None where that is a small part of what weight (h, w) covers: highlights are the skin's.
    """
    clipped = smoothstep(image, *_CLIPPED)
    share = float((clipped.max(2) * weight).sum()) / max(float(weight.sum()), 1e-6)
    much = float(smoothstep(share, *_MUCH_CLIPPED))
    return None if much <= 0 else clipped * np.float32(much)


def beyond_white(image: np.ndarray, clipped: np.ndarray, hue: np.ndarray) -> np.ndarray:
    """(h, w, 3) float32, 0 and more: image (h, w, 3) float32, as bright where it is `clipped` (`overexposed`) as it may
    have been: of a hue (3,), by the channel that is clipped last.
    """
    last = int(np.argmin(hue))
    whole = np.clip(hue / max(float(hue[last]), 1.0), 1, _BRIGHTEST).astype(np.float32)
    meant = cv2.transform(np.ascontiguousarray(image[..., last]), whole[:, None])
    return np.asarray(image + clipped * np.maximum(meant - image, 0))


def _not_dark(image: np.ndarray, weight: np.ndarray) -> np.ndarray:
    luma = cv2.transform(image, _MEAN)
    usual = max(float((luma * weight).sum()) / max(float(weight.sum()), 1e-6), 1.0)
    return 0.05 + 0.95 * smoothstep(luma, 0.3 * usual, 0.55 * usual)


def floor_of(image: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(3,) float32: the darkest of each channel that image (h, w, 3) float32, a field, shows where `there` (h, w) bool
    is; 0 where that is too little to tell.
    """
    if there.sum() < 32:
        return np.zeros(3, np.float32)
    values = image[there]
    place = int(_DARKEST / 100 * len(values))
    return np.array([np.partition(channel, place)[place] for channel in values.T], np.float32)


def match_sharpness(image: np.ndarray, target: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Weaken the details of image (h, w, 3) uint8 or float32 by `sharpness_filter`. Same shape."""
    return weakened(image, sharpness_filter(image, target, cover))


def sharpness_filter(image: np.ndarray, target: np.ndarray, cover: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Filters across and down, each (n,) float32, n odd, that weaken the details of image (h, w, 3) uint8 or float32 as
    far as the target's (h, w, 3) uint8 are weaker.

    Across and down apart, since a shot that moves is blurred one way, and in bands of an octave each (0.8 to 1.6 pixels
    and on) the strongest details, those of lashes, brows and lips, are compared where cover (h, w) is: an old face on a
    young one keeps its wrinkles, a sharp one in a shot out of focus is blurred. A target that is sharper than the
    source gives it nothing: what the portrait does not show is not made up.
    """
    there = (cover > 0.5).astype(np.float32)
    if there.sum() < 256:
        return np.ones(1, np.float32), np.ones(1, np.float32)
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    wanted = cv2.cvtColor(target, cv2.COLOR_RGB2GRAY).astype(np.float32)
    kernels = []
    for axis in (1, 0):
        lines = np.s_[::3] if axis else np.s_[:, ::3]
        some = [np.ascontiguousarray(plane[lines]) for plane in (luma, wanted, there)]
        kernels.append(_weakening(_shares(some[0], some[1], some[2], axis)))
    return kernels[0], kernels[1]


def weakened(image: np.ndarray, kernels: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """image (h, w[, 3]) uint8 or float32 through filters of `sharpness_filter`, float32; itself for those of one tap.

    Held within what its kind may be: 0..255 with colours, 0..1 without.
    """
    if len(kernels[0]) == len(kernels[1]) == 1:
        return image
    result = cv2.sepFilter2D(image, cv2.CV_32F, *kernels, borderType=cv2.BORDER_REFLECT_101)
    return np.clip(result, 0, 255 if image.ndim == 3 else 1, out=result)


def _weakening(shares: list[float]) -> np.ndarray:
    """(n,) float32, n odd: the filter that leaves `shares` of the bands of an axis, all of them in one."""
    if shares[0] > 0.97:
        return np.ones(1, np.float32)
    reach = _reach(2 * _OCTAVES[len(shares) - 1])
    result = np.zeros(2 * reach + 1)
    result[reach] = 1
    finer = result.copy()
    for sigma, share in zip(_OCTAVES, shares, strict=False):
        coarser = np.zeros_like(result)
        own = _reach(2 * sigma)
        coarser[reach - own : reach + own + 1] = cv2.getGaussianKernel(2 * own + 1, 2 * sigma)[:, 0]
        result += (1 - share) * (coarser - finer)
        finer = coarser
    return result.astype(np.float32)


def _reach(sigma: float) -> int:
    return int(np.ceil(2.5 * sigma))


def _shares(luma: np.ndarray, wanted: np.ndarray, there: np.ndarray, axis: int) -> list[float]:
    """What is to be left of each band of `luma` along an axis, up to the first band that may stay whole."""
    shares: list[float] = []
    for sigma in _OCTAVES:
        strong = []
        for plane in (luma, wanted):
            band = (_blurred(plane, sigma, axis) - _blurred(plane, 2 * sigma, axis)) * there
            square = cv2.multiply(band, band)
            # The fourth moment speaks of the strongest details.
            strong.append((cv2.norm(square, cv2.NORM_L2SQR) / float(there.sum())) ** 0.25)
        shares.append(float(np.clip((strong[1] + 0.2) / (strong[0] + 0.2), 0.05, 1)))
        if shares[-1] > 0.95:
            break
    return shares


def _blurred(image: np.ndarray, sigma: float, axis: int) -> np.ndarray:
    size = 2 * _reach(sigma) + 1
    if axis == 1:
        return cv2.GaussianBlur(image, (size, 1), sigma)
    return cv2.GaussianBlur(image, (1, size), 0, sigmaY=sigma)


def match_grain(image: np.ndarray, target: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Give image (h, w, 3) uint8 or float32 the grain of the target (h, w, 3) uint8, where weight (h, w) says.

    What it has too much of, the pores and the grain of a portrait on a face that coding or a lens has made smooth, is
    taken in two bands of details: those of the usual size, which are plain skin's, shrink, and those several times as
    strong, lashes and lines, stay (coring, Rossi 1978). What it lacks is the target's own, what is finer than a pixel
    or so, held within its usual size, so that of the features of the face nothing comes with it; it therefore moves and
    freezes as that of the shot does.
    """
    step = 2 if max(weight.shape) < _MANY else 4
    there = weight[::step, ::step] > 0.5
    if there.sum() < 64:
        return image
    bands, sizes = [], []
    for picture in (image, target):
        fine, coarse = _bands_of(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32))
        some = fine[::step, ::step][there], coarse[:: step // 2, :: step // 2][there]
        bands.append((fine, coarse))
        sizes.append([_spread_of(values) for values in some])
    own, wanted = sizes
    shares = [min(1.0, (w + _LEAST_UNEVEN) / (o + _LEAST_UNEVEN)) for o, w in zip(own, wanted, strict=True)]
    if min(shares) < 0.95:
        fine, coarse = bands[0]
        coarse = cv2.resize(coarse, (fine.shape[1], fine.shape[0]), interpolation=cv2.INTER_LINEAR)
        image = image.copy() if image.dtype == np.uint8 else cv2.convertScaleAbs(image)
        limits = np.array([max(_PLAIN * o, 1e-3) for o in own], np.float32)
        _core(image, fine, coarse, np.array(shares, np.float32), limits)
    if wanted[0] < _LEAST_GRAIN:
        return image
    lacking = float(np.sqrt(max(wanted[0] ** 2 - own[0] ** 2, 0.0))) / wanted[0]
    lacking *= float(smoothstep(wanted[0], _LEAST_GRAIN, 2 * _LEAST_GRAIN))
    if lacking < 0.05:
        return image
    fine = target.astype(np.float32) - cv2.GaussianBlur(target, (0, 0), _FINE)
    usual = _spread_of(fine[::step, ::step][there])
    np.clip(fine, -2.5 * usual, 2.5 * usual, out=fine)
    fine *= np.float32(lacking)
    fine += image
    return np.clip(fine, 0, 255, out=fine)


def _bands_of(luma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Details of luma (h, w) float32 up to `_FINE` pixels (h, w), and up to twice that, at half the size."""
    smooth = cv2.GaussianBlur(luma, (0, 0), _FINE)
    half = cv2.resize(smooth, ((luma.shape[1] + 1) // 2, (luma.shape[0] + 1) // 2), interpolation=cv2.INTER_AREA)
    return cv2.subtract(luma, smooth), cv2.subtract(half, cv2.GaussianBlur(half, (0, 0), _FINE))


@compiled("(uint8[:,:,::1], float32[:,::1], float32[:,::1], float32[::1], float32[::1])")
def _core(image: np.ndarray, fine: np.ndarray, coarse: np.ndarray, shares: np.ndarray, limits: np.ndarray) -> None:
    """Shrink in place the luma details `fine` and `coarse` (h, w) of image (h, w, 3) to `shares` (2,), where they are
    no larger than `limits` (2,); those of twice that size stay.
    """
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            faint = min(max(np.float32(2) - abs(fine[y, x]) / limits[0], np.float32(0)), np.float32(1))
            less = (np.float32(1) - shares[0]) * faint * faint * (np.float32(3) - np.float32(2) * faint) * fine[y, x]
            faint = min(max(np.float32(2) - abs(coarse[y, x]) / limits[1], np.float32(0)), np.float32(1))
            less += (np.float32(1) - shares[1]) * faint * faint * (np.float32(3) - np.float32(2) * faint) * coarse[y, x]
            for channel in range(3):
                changed = np.float32(image[y, x, channel]) - less + np.float32(0.5)
                image[y, x, channel] = np.uint8(min(max(changed, np.float32(0)), np.float32(255)))


def _spread_of(values: np.ndarray) -> float:
    return float(1.4826 * median(np.abs(values).ravel()))


def spread(values: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    """Mean of values (h, w, C) float32 around every pixel, weighted by weight (h, w), over about `sigma` pixels, and
    over as much more as it takes where there is no weight near (push-pull, Gortler et al. 1996).
    """
    finest = float(np.log2(max(sigma, 1.0)))
    levels = [_weighted(np.ascontiguousarray(values, np.float32), np.ascontiguousarray(weight, np.float32))]
    while min(levels[-1].shape[:2]) > 2:
        levels.append(cv2.pyrDown(levels[-1]))
    mean = levels[-1][..., :-1] / np.maximum(levels[-1][..., -1:], 1e-6)
    for number in range(len(levels) - 2, -1, -1):
        level = levels[number]
        # OpenCV drops the axis of a single channel.
        mean = cv2.pyrUp(mean, dstsize=(level.shape[1], level.shape[0])).reshape(*level.shape[:2], -1)
        # In shares, so that nothing jumps when the size of a face passes a power of two.
        share = min(number - finest + 1, 1.0)
        if share > 0:
            _pull(mean, level, share)
    return mean


@compiled("(float32[:,:,::1], float32[:,::1])")
def _weighted(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(h, w, C + 1) float32: values (h, w, C) times weight (h, w), and the weight."""
    height, width, channels = values.shape
    result = np.empty((height, width, channels + 1), np.float32)
    for y in range(height):
        for x in range(width):
            for channel in range(channels):
                result[y, x, channel] = values[y, x, channel] * weight[y, x]
            result[y, x, channels] = weight[y, x]
    return result


@compiled("(float32[:,:,::1], float32[:,:,::1], float64)")
def _pull(mean: np.ndarray, level: np.ndarray, share: float) -> None:
    """Draw mean (h, w, C) float32 towards what a level (h, w, C + 1) knows itself: sums, and last their weight."""
    channels, most = mean.shape[2], np.float32(share)
    for y in range(mean.shape[0]):
        for x in range(mean.shape[1]):
            weight = level[y, x, channels]
            certain = most * min(weight * np.float32(4), np.float32(1))
            over = np.float32(1) / max(weight, np.float32(1e-6))
            for channel in range(channels):
                mean[y, x, channel] += certain * (level[y, x, channel] * over - mean[y, x, channel])


@compiled("(float32[:,:,::1], float32[:,:,::1], float32[::1])")
def share_of_way(colours: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """(h, w) float32: how far colours (h, w, 3) float32 are on the way from begin (h, w, 3) to end (3,); a way shorter
    than 20 levels counts as so long.
    """
    height, width = colours.shape[:2]
    result = np.empty((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            along, length = np.float32(0), np.float32(0)
            for channel in range(3):
                way = end[channel] - begin[y, x, channel]
                along += (colours[y, x, channel] - begin[y, x, channel]) * way
                length += way * way
            result[y, x] = along / max(length, np.float32(400))
    return result


def median(values: np.ndarray) -> np.ndarray:
    """Median of values (n, ...) float32 along the first axis, n at least 1; nan is not looked for."""
    half = len(values) // 2
    if len(values) % 2:
        return np.asarray(np.partition(values, half, axis=0)[half])
    both = np.partition(values, (half - 1, half), axis=0)
    return np.asarray((both[half - 1] + both[half]) * np.float32(0.5))


@compiled("(float32[::1], float64, float64, float32[::1])")
def _smoothstep(values: np.ndarray, low: float, steepness: float, result: np.ndarray) -> None:
    first, steep = np.float32(low), np.float32(steepness)
    for at in range(len(values)):
        t = min(max((values[at] - first) * steep, np.float32(0)), np.float32(1))
        result[at] = t * t * (t * np.float32(-2) + np.float32(3))


def smoothstep(values: np.ndarray | float, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, 3 t^2 - 2 t^3 between. Same shape."""
    if isinstance(values, np.ndarray) and values.dtype == np.float32 and values.flags.c_contiguous and values.ndim:
        result = np.empty(values.size, np.float32)
        _smoothstep(values.reshape(-1), float(low), 1 / (high - low), result)
        return result.reshape(values.shape)
    t = np.atleast_1d(np.subtract(values, np.float32(low), dtype=np.float32))
    t *= np.float32(1 / (high - low))
    np.clip(t, 0, 1, out=t)
    rest = t * np.float32(-2)
    rest += np.float32(3)
    t *= t
    t *= rest
    return t.reshape(np.shape(values))
