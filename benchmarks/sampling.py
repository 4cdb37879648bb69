"""How fast a crop is cut out of a frame's native planes, beside the plain formulations.

    python benchmarks/sampling.py [--clip VIDEO] [--size 448] [--repeat 30] [--json]

`frame` converts the whole frame to RGB and warps that with 16 neighbours, as scripts do; `planes` warps the planes with
16 neighbours and converts the crop. Milliseconds of CPU per crop in one thread, the least of the repetitions. Without
--clip the demo's is made first. The clip is 4:2:0 with 8 bits.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from vidswap import media
from vidswap.media import Picture
from vidswap.media.colour import rgb_from_codes
from vidswap.media.geometry import compose, invert

BT709 = 1
CHROMA = np.array([[0.5, 0.0, 0.0], [0.0, 0.5, -0.25]])


def warped(image: np.ndarray, from_crop: np.ndarray, size: int, kernel: int) -> np.ndarray:
    """The crop of `size` pixels a side, by OpenCV."""
    flags = kernel | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, from_crop, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def of_whole_frame(picture: Picture, from_crop: np.ndarray, size: int) -> np.ndarray:
    """As `frame` says."""
    luma, *chroma = picture.planes
    yuv = np.concatenate([luma, *(np.ascontiguousarray(plane).reshape(-1, luma.shape[1]) for plane in chroma)])
    return warped(cv2.cvtColor(yuv, cv2.COLOR_YUV2RGB_I420), from_crop, size, cv2.INTER_CUBIC)


def of_planes(picture: Picture, from_crop: np.ndarray, size: int) -> np.ndarray:
    """As `planes` says."""
    luma, *chroma = picture.planes
    codes = [warped(luma, from_crop, size, cv2.INTER_CUBIC)]
    codes += [warped(plane, compose(CHROMA, from_crop), size, cv2.INTER_LINEAR) for plane in chroma]
    return cv2.convertScaleAbs(cv2.transform(cv2.merge(codes).astype(np.float32), rgb_from_codes(BT709, False, 8)))


def ours(picture: Picture, from_crop: np.ndarray, size: int) -> np.ndarray:
    """What stages call."""
    return picture.crop(invert(from_crop), (size, size))


def least_ms(cut: Callable[[], object], repeat: int) -> float:
    """Of the processor, by this process."""
    spent = []
    for _ in range(repeat + 1):
        began = time.process_time()
        cut()
        spent.append(time.process_time() - began)
    return 1000 * min(spent[1:])


def measure(clip: Path, size: int, repeat: int) -> dict[str, float]:
    """Milliseconds, and how many times faster ours are."""
    cv2.setNumThreads(1)
    picture = next(iter(media.read(media.probe(clip), 0, 1, threads=1)))
    angle, middle = 0.05, np.array([picture.width / 2, picture.height / 2])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    from_crop = np.hstack([turn, (middle - turn @ np.full(2, size / 2))[:, None]])
    ways = {"frame": of_whole_frame, "planes": of_planes, "ours": ours}
    told = {f"{name}_ms": least_ms(partial(way, picture, from_crop, size), repeat) for name, way in ways.items()}
    return told | {f"times_faster_than_{n}": told[f"{n}_ms"] / told["ours_ms"] for n in ("frame", "planes")}


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--size", type=int, default=448, help="px a side of the crop")
    parser.add_argument("--repeat", type=int, default=30)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        clip = options.clip
        if clip is None:
            from vidswap.demo.make import make_demo

            clip = make_demo(Path(name), seconds=1.0).target
        told = measure(clip, options.size, options.repeat)
    print(json.dumps(told) if options.json else "\n".join(f"{n:>26}: {value:.2f}" for n, value in told.items()))


if __name__ == "__main__":
    main()
