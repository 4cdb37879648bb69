"""A clip of one portrait that moves: footage for the demo and for tests, made of what the package ships.

The head of a photograph turns, nods, blinks and speaks (`vidswap.faces.puppet`) before a hand-held camera with some
grain; a tone is the sound. All of it is a function of the portrait, the length and the rate: equal calls make equal
files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from vidswap.faces.puppet import Pose, Puppet
from vidswap.graph.errors import InputError
from vidswap.media.codecs import steady_instructions

_SAMPLE_RATE = 48000
_TONE_HZ = 330.0
_GRAIN = 1.6  # standard deviation of luma, in levels of 255
_FACE_HEIGHTS = 2.3  # height of the picture, in heights of the face from hairline to chin
_CLOSEST = 1.06  # zoom of the camera at its nearest
_PAN = 0.02  # way of the camera to either side, in widths of the picture


def make_clip(
    portrait: Path,
    output: Path,
    *,
    seconds: float = 4.0,
    rate: int = 25,
    size: tuple[int, int] = (640, 480),
    crf: float = 16.0,
) -> Path:
    """Write a video (H.264, AAC) of a portrait's largest face in motion; returns `output`.

    `size` is width, height in pixels, both even; `rate` is frames per second. The head turns by about 20 degrees to
    either side. Raises InputError for a portrait that cannot be read or shows no face, ValueError for odd sizes.
    """
    if seconds <= 0 or rate <= 0 or min(size) < 64 or size[0] % 2 or size[1] % 2:
        raise ValueError(f"a clip is longer than 0 s, of even size from 64 px; got {seconds} s, {rate} fps, {size}")
    count = max(1, round(seconds * rate))
    # The suffix stays, since it chooses the container.
    unfinished = output.with_name(f".unfinished-{output.name}")
    try:
        with av.open(str(unfinished), "w") as container:
            _encode(container, frames(portrait, count, rate, size), count, rate, size, crf)
        unfinished.replace(output)
    finally:
        unfinished.unlink(missing_ok=True)
    return output


def frames(portrait: Path, count: int, rate: int = 25, size: tuple[int, int] = (640, 480)) -> Iterator[np.ndarray]:
    """The frames of the clip, one after the other: (height, width, 3) uint8 RGB. Raises as `make_clip` does."""
    image = _read(portrait)
    landmarks = _landmarks(portrait, image)
    scale, corner = _framing((image.shape[0], image.shape[1]), landmarks, size)
    # At the size of the result, so that lids and lips are drawn at its resolution.
    enlarged = cv2.resize(
        image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    )
    landmarks = landmarks * scale
    landmarks[:, :2] += (scale - 1) / 2
    puppet = Puppet(enlarged, landmarks)
    for index in range(count):
        yield _shoot(puppet, index, index / rate, corner * scale, size)


def pose_at(time: float) -> Pose:
    """What the puppet does `time` seconds into the clip: smooth, and over 4 s all that it can do."""
    turn = math.tau * time
    return Pose(
        yaw=23.0 * math.sin(turn / 4.0) + 1.5 * math.sin(turn / 1.7),
        pitch=4.5 * math.sin(turn / 2.1 + 0.6) * _rises(time, 0.0, 0.5) + 2.0 * math.sin(turn / 3.3),
        roll=3.0 * math.sin(turn / 2.9),
        sway=(0.09 * math.sin(turn / 4.0), 0.03 * math.sin(turn / 2.4)),
        blink=_pulse(time % 2.7, 0.75, 0.26),
        jaw=0.26 * _speech(time),
    )


def _speech(time: float) -> float:
    """Opening of the mouth, 0..1: syllables within phrases, and one long vowel."""
    syllables = math.sin(math.tau * time / 0.62) ** 2 * (0.55 + 0.45 * math.sin(math.tau * time / 1.9))
    phrase = max(_pulse(time % 4.0, 1.0, 1.5), _pulse(time % 4.0, 3.1, 1.2))
    return max(0.7 * syllables * phrase, _pulse(time % 4.0, 2.1, 1.0))


def _shoot(puppet: Puppet, index: int, time: float, corner: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    posed, field = puppet.posed(pose_at(time))
    width, height = size
    turn = math.tau * time
    zoom = 1 + (_CLOSEST - 1) * (0.5 - 0.5 * math.cos(turn / 6.0))
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    pan = _PAN * width * np.array([math.sin(turn / 5.0), 0.5 * math.sin(turn / 3.7)])
    centre = corner + np.array([width - 1, height - 1]) / 2 + pan
    at_x = ((x - (width - 1) / 2) / zoom + centre[0]).astype(np.float32)
    at_y = ((y - (height - 1) / 2) / zoom + centre[1]).astype(np.float32)
    place = cv2.remap(field, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    shot = cv2.remap(posed, place, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101).astype(np.float32)
    brightness = 1 + 0.02 * math.sin(turn / 3.1)
    grain = np.random.default_rng(index).standard_normal((height, width), np.float32)
    grain = cv2.GaussianBlur(grain, (0, 0), 0.6) * (_GRAIN / 0.47)
    lit = shot * brightness + grain[..., None]
    return np.clip(np.rint(lit), 0, 255).astype(np.uint8)


def _framing(shape: tuple[int, int], landmarks: np.ndarray, size: tuple[int, int]) -> tuple[float, np.ndarray]:
    """Scale from portrait to clip, and the corner (x, y) in the portrait of the picture's window at zoom 1."""
    height, width = shape
    face = float(np.linalg.norm(landmarks[152, :2] - landmarks[10, :2]))
    margin = 1 + 2 * _PAN
    window_height = min(_FACE_HEIGHTS * face, height / margin, width / margin * size[1] / size[0])
    scale = size[1] / window_height
    window = np.array(size) / scale
    middle = landmarks[[10, 152, 234, 454], :2].mean(0) + np.array([0.0, 0.06 * face])
    room = np.array([width, height]) - window
    slack = _PAN * window[0]
    return scale, np.clip(middle - window / 2, np.minimum(slack, room / 2), np.maximum(room - slack, room / 2))


def _encode(
    container: av.container.OutputContainer,
    pictures: Iterator[np.ndarray],
    count: int,
    rate: int,
    size: tuple[int, int],
    crf: float,
) -> None:
    options = {"crf": f"{crf:g}", "preset": "medium"}
    if instructions := steady_instructions(size[0]):
        options["x264-params"] = f"asm={instructions}"
    video = container.add_stream("libx264", rate=rate, options=options)
    video.width, video.height, video.pix_fmt = size[0], size[1], "yuv420p"
    context = video.codec_context
    context.time_base = Fraction(1, rate)
    context.thread_count = 1  # the bits of x264 depend on its number of threads
    context.gop_size = rate
    context.color_range, context.colorspace = ColorRange.MPEG, Colorspace.ITU709
    context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    audio = container.add_stream("aac", rate=_SAMPLE_RATE, layout="mono")
    samples = _tone(count * _SAMPLE_RATE // rate)
    position = 0
    for index, rgb in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        frame.pts, frame.time_base = index, Fraction(1, rate)
        container.mux(video.encode(frame))
        until = (index + 1) * _SAMPLE_RATE // rate
        for start in range(position, until, 1024):
            if start + 1024 > until and until < len(samples):
                break
            sound = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], format="fltp", layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = _SAMPLE_RATE, start, Fraction(1, _SAMPLE_RATE)
            container.mux(audio.encode(sound))
            position = min(start + 1024, until)
    container.mux(video.encode(None))
    container.mux(audio.encode(None))


def _tone(count: int) -> np.ndarray:
    time = np.arange(count) / _SAMPLE_RATE
    swell = 0.12 * (1 + 0.5 * np.sin(math.tau * time / 2.0))
    ends = np.clip(np.minimum(time, time[::-1]) / 0.05, 0, 1) if count else time
    return (swell * ends * np.sin(math.tau * _TONE_HZ * time)).astype(np.float32)


def _pulse(time: float, start: float, length: float) -> float:
    """0, then smoothly to 1 and back to 0 within `length` seconds from `start`."""
    inside = min(max((time - start) / length, 0.0), 1.0)
    return math.sin(math.pi * inside) ** 2


def _rises(time: float, start: float, stop: float) -> float:
    t = min(max((time - start) / (stop - start), 0.0), 1.0)
    return t * t * (3 - 2 * t)


def _read(portrait: Path) -> np.ndarray:
    image = cv2.imread(str(portrait), cv2.IMREAD_COLOR) if portrait.is_file() else None
    if image is None:
        raise InputError(f"cannot read a picture from {portrait}; give a JPEG or PNG of a person")
    return np.ascontiguousarray(image[:, :, ::-1])


def _landmarks(portrait: Path, image: np.ndarray) -> np.ndarray:
    from vidswap.faces.detection import find_faces
    from vidswap.faces.mediapipe_models import load_face_model

    model = load_face_model()
    try:
        faces = find_faces(_Still(image), model)
    finally:
        model.close()
    if not len(faces):
        raise InputError(f"no face found in {portrait}; give a picture of a person seen from the front")
    largest = int(np.argmax(np.prod(faces.boxes[:, 2:] - faces.boxes[:, :2], axis=1)))
    return faces.landmarks[largest].astype(np.float64)


class _Still:
    """A photograph as the frame that `find_faces` asks for."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = image
        self.height, self.width = image.shape[:2]

    def rgb(self, width: int, height: int) -> np.ndarray:
        return cv2.resize(self.image, (width, height), interpolation=cv2.INTER_AREA)

    def crop(self, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        return cv2.warpAffine(self.image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
