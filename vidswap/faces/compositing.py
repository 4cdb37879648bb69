"""Lettering: a visible text, outlined so that it is legible on any ground."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LEAST_LETTER = 9  # pixels: capitals lower than this are no longer read


@lru_cache(maxsize=8)
def lettering(text: str, letter_height: int, max_width: int, max_height: int) -> tuple[np.ndarray, np.ndarray]:
    """White text with a dark outline: image (h, w, 3) uint8 and alpha (h, w) float32 0..1.

    letter_height: of capitals, in pixels; the text is wrapped at words to max_width and, where it then is too high or
    a word too wide, made smaller until it fits max_width x max_height. OpenCV's Hershey letters are ASCII alone: other
    characters are drawn as '?'.
    """
    text = "".join(c if " " <= c <= "~" else "?" for c in " ".join(text.split()))
    height = max(letter_height, 1)
    while True:
        scale, thick = _scale(height)
        lines = _wrapped(text, scale, thick, max_width - 4 * thick)
        step = round(1.75 * height)
        width = max(cv2.getTextSize(line, _FONT, scale, thick)[0][0] for line in lines) + 6 * thick
        tall = step * len(lines) + 4 * thick
        if (width <= max_width and tall <= max_height) or height <= _LEAST_LETTER:
            break
        height = max(_LEAST_LETTER, int(height * 0.9))
    fill, edge = np.zeros((tall, width), np.uint8), np.zeros((tall, width), np.uint8)
    for number, line in enumerate(lines):
        origin = (3 * thick, 2 * thick + round(0.3 * height) + height + number * step)
        cv2.putText(edge, line, origin, _FONT, scale, 255, 3 * thick, cv2.LINE_AA)
        cv2.putText(fill, line, origin, _FONT, scale, 255, thick, cv2.LINE_AA)
    image = np.repeat(fill[..., None], 3, 2)
    alpha = np.maximum(fill, (edge * 0.75).astype(np.uint8)).astype(np.float32) / 255
    return image[:max_height, :max_width], np.ascontiguousarray(alpha[:max_height, :max_width])


def placed(corner: str, size: tuple[int, int], frame: tuple[int, int], margin: int) -> np.ndarray:
    """(2, 3) float64: from frame pixels to those of a label of `size` (w, h) in a corner of a frame (w, h).

    corner: "top-left", "top-right", "bottom-left" or "bottom-right". Whole pixels, so that letters stay sharp.
    """
    x = margin if corner.endswith("left") else frame[0] - margin - size[0]
    y = margin if corner.startswith("top") else frame[1] - margin - size[1]
    return np.array([[1.0, 0.0, -max(0, x)], [0.0, 1.0, -max(0, y)]])


def _scale(height: int) -> tuple[float, int]:
    # Hershey capitals stand 21 units above the base line; scale 1 draws a unit as a pixel.
    return height / 21.0, max(1, round(height / 9))


def _wrapped(text: str, scale: float, thick: int, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and cv2.getTextSize(longer, _FONT, scale, thick)[0][0] <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
