"""Makes the pictures of docs/gallery.md anew, from the two public-domain portraits that the package ships.

    python tools/gallery.py [--output docs/gallery] [--only NAME ...]

Every picture is made by the command as users run it, on clips that are made here from the portraits; nothing is chosen
among several tries. The clips are frames of `vidswap.demo.clip`: photographs whose heads turn, nod, blink and speak.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np

from vidswap import media
from vidswap.demo import portrait
from vidswap.demo.clip import make_clip

FFMPEG = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y"]
HEIGHT, BAR = 220, 18  # pixels of a tile's picture and of its label
QUALITY = 82
MOMENTS = (10, 33, 58, 84)  # frames of four seconds: ahead, turned with the mouth open, lids closing, turned back


def vidswap(*arguments: object) -> None:
    """Run a command of vidswap's; its complaints go to the terminal."""
    subprocess.run([sys.executable, "-m", "vidswap.cli", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def frames(video: Path, numbers: tuple[int, ...]) -> list[np.ndarray]:
    """Frames of a video as (h, w, 3) uint8 RGB."""
    index = media.probe(video)
    found = []
    for number in numbers:
        picture = next(iter(media.read(index, number, number + 1)))
        found.append(picture.rgb(index.width, index.height))
    return found


def still(path: Path) -> np.ndarray:
    """A portrait as (h, w, 3) uint8 RGB."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return np.ascontiguousarray(image[..., ::-1])


def tile(image: np.ndarray, label: str) -> np.ndarray:
    """A picture at the sheet's height with its label above it."""
    width = round(image.shape[1] * HEIGHT / image.shape[0])
    small = cv2.resize(image, (width, HEIGHT), interpolation=cv2.INTER_AREA)
    bar = np.full((BAR, width, 3), 24, np.uint8)
    cv2.putText(bar, label, (4, BAR - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (235, 235, 235), 1, cv2.LINE_AA)
    return np.vstack([bar, small])


def widened(image: np.ndarray, width: int) -> np.ndarray:
    """A tile with black on its right, to a width."""
    return np.pad(image, ((0, 0), (0, width - image.shape[1]), (0, 0)))


def sheet(rows: list[list[np.ndarray]]) -> np.ndarray:
    """Rows of tiles, the shorter ones filled up with black."""
    lines = [np.hstack(row) for row in rows]
    width = max(line.shape[1] for line in lines)
    return np.vstack([widened(line, width) for line in lines])


def pair(folder: Path, source: str, target: str) -> np.ndarray:
    """Four moments of a swap, target above result."""
    clip = clip_of(folder, target)
    result = folder / f"{source}_{target}.mkv"
    vidswap("swap", "-s", portrait(source), "-t", clip, "-o", result, "-y", "-q")
    above = [tile(image, f"target, frame {n}") for n, image in zip(MOMENTS, frames(clip, MOMENTS), strict=True)]
    below = [tile(image, "result") for image in frames(result, MOMENTS)]
    return sheet([[tile(still(portrait(source)), "source"), *above], [tile(still(portrait(source)), "source"), *below]])


def clip_of(folder: Path, name: str) -> Path:
    """The moving clip of a shipped portrait."""
    path = folder / f"{name}.mp4"
    return path if path.exists() else make_clip(portrait(name), path, seconds=4.0, size=(480, 480))


def variants(folder: Path, choices: dict[str, list[object]], number: int) -> list[np.ndarray]:
    """One frame of the demo's swap under several settings."""
    clip, made = clip_of(folder, "astronaut"), []
    for place, (label, arguments) in enumerate(choices.items()):
        result = folder / f"variant{place}.mkv"
        vidswap("swap", "-s", portrait("grace_hopper"), "-t", clip, "-o", result, "-y", "-q", *arguments)
        made.append(tile(frames(result, (number,))[0], label))
    return made


def with_target(folder: Path, number: int, made: list[np.ndarray], columns: int) -> np.ndarray:
    """The target's frame before the variants, in rows."""
    tiles = [tile(frames(clip_of(folder, "astronaut"), (number,))[0], "target"), *made]
    return sheet([tiles[start : start + columns] for start in range(0, len(tiles), columns)])


def regions(folder: Path) -> np.ndarray:
    """Local swapping: one region at a time."""
    names = ("brows", "eyes", "nose", "mouth", "skin", "brows,eyes", "eyes,nose,mouth")
    choices: dict[str, list[object]] = {f"--regions {name}": ["--regions", name] for name in names}
    return with_target(folder, 10, variants(folder, choices, 10), 4)


def strength(folder: Path) -> np.ndarray:
    """Partial swapping: from the target's face to the source's."""
    choices: dict[str, list[object]] = {f"--strength {v:g}": ["--strength", v] for v in (0.25, 0.5, 0.75, 1)}
    return with_target(folder, 10, variants(folder, choices, 10), 5)


def blends(folder: Path) -> np.ndarray:
    """The three ways of joining edges."""
    choices: dict[str, list[object]] = {f"--blend {v}": ["--blend", v] for v in ("multiband", "gradient", "feather")}
    return with_target(folder, 58, variants(folder, choices, 58), 4)


def occlusion(folder: Path) -> np.ndarray:
    """A bar of wood passes before the face: it stays before it."""
    return covered(folder, "color=0x8a6242:s=70x480:r=25", "x='-80+t*150':y=0", (40, 50, 60, 70))


def standing(folder: Path) -> np.ndarray:
    """A sheet of paper is before the face all the time."""
    return covered(folder, "color=0xd8d6cc:s=150x170:r=25", "x=165:y=255", MOMENTS)


def covered(folder: Path, thing: str, where: str, numbers: tuple[int, ...]) -> np.ndarray:
    """A thing, a source of ffmpeg's, over a clip, and what the swap makes of it."""
    clip, target, result = clip_of(folder, "astronaut"), folder / "covered.mp4", folder / "covered_result.mkv"
    laid = f"{thing},noise=alls=12:allf=t[thing];[0:v][thing]overlay={where}:shortest=1"
    subprocess.run([*FFMPEG, "-i", str(clip), "-filter_complex", laid, "-crf", "14", str(target)], check=True)
    vidswap("swap", "-s", portrait("grace_hopper"), "-t", target, "-o", result, "-y", "-q")
    return sheet(
        [
            [tile(image, f"target, frame {n}") for n, image in zip(numbers, frames(target, numbers), strict=True)],
            [tile(image, "result") for image in frames(result, numbers)],
        ]
    )


def people(folder: Path) -> np.ndarray:
    """Two people in one picture, each with the other's face."""
    both, result = folder / "both.mp4", folder / "both_result.mkv"
    clips = [clip_of(folder, name) for name in ("astronaut", "grace_hopper")]
    command = [*FFMPEG, "-i", str(clips[0]), "-i", str(clips[1]), "-filter_complex", "hstack", "-crf", "14", str(both)]
    subprocess.run(command, check=True)
    faces = [f"left={portrait('grace_hopper')}", f"right={portrait('astronaut')}"]
    vidswap("swap", "--map", faces[0], "--map", faces[1], "-t", both, "-o", result, "-y", "-q")
    numbers = (10, 58)
    return sheet(
        [
            [tile(image, f"target, frame {n}") for n, image in zip(numbers, frames(both, numbers), strict=True)],
            [tile(image, "result: left and right exchanged by --map") for image in frames(result, numbers)],
        ]
    )


def reenactment(folder: Path, source: str, driver: str) -> np.ndarray:
    """A portrait driven by the other one's clip."""
    clip, result = clip_of(folder, driver), folder / f"{source}_driven.mkv"
    vidswap("reenact", "-s", portrait(source), "-d", clip, "-o", result, "-y", "-q")
    above = [tile(image, f"driver, frame {n}") for n, image in zip(MOMENTS, frames(clip, MOMENTS), strict=True)]
    below = [tile(image, "result") for image in frames(result, MOMENTS)]
    width = max(image.shape[1] for image in above + below)
    return sheet([[widened(image, width) for image in row] for row in (above, below)])


PICTURES: dict[str, Callable[[Path], np.ndarray]] = {
    "swap": lambda folder: pair(folder, "grace_hopper", "astronaut"),
    "swap_back": lambda folder: pair(folder, "astronaut", "grace_hopper"),
    "regions": regions,
    "strength": strength,
    "blend": blends,
    "occlusion": occlusion,
    "standing": standing,
    "people": people,
    "reenact": lambda folder: reenactment(folder, "grace_hopper", "astronaut"),
    "reenact_back": lambda folder: reenactment(folder, "astronaut", "grace_hopper"),
}


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent.parent / "docs" / "gallery")
    parser.add_argument("--only", nargs="+", choices=sorted(PICTURES), default=list(PICTURES))
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        for picture in given.only:
            image = PICTURES[picture](Path(name))
            settings = [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
            cv2.imwrite(str(given.output / f"{picture}.jpg"), image[..., ::-1], settings)


if __name__ == "__main__":
    main()
