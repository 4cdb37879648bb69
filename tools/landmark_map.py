"""Makes docs/gallery/landmarks70.png anew: the 70 points with their numbers, and the picture that networks see.

    python tools/landmark_map.py [--output docs/gallery/landmarks70.png]

The face is the mean one that the package ships. Also prints the table of docs/reenact.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from vidswap.faces import alignment, landmark_picture, topology

SIDE = 760
PARTS = (
    ("jaw", 0, 17),
    ("right brow", 17, 22),
    ("left brow", 22, 27),
    ("bridge of the nose", 27, 31),
    ("under the nose", 31, 36),
    ("right eye", 36, 42),
    ("left eye", 42, 48),
    ("outer lips", 48, 60),
    ("inner lips", 60, 68),
    ("pupils", 68, 70),
)


def numbered() -> np.ndarray:
    """(SIDE, SIDE, 3) uint8: strokes, dots and numbers on white, the lower part of the crop enlarged."""
    face = topology.canonical().astype(np.float64)
    matrix = alignment.matrix_of_axes(alignment.ffhq_axes(face), SIDE)
    points = alignment.transform(matrix, landmark_picture.points_70(face)[:, :2])
    low, high = points.min(0), points.max(0)
    scale = (SIDE - 80) / (high - low).max()
    points = (points - (low + high) / 2) * scale + SIDE / 2
    image = np.full((SIDE, SIDE, 3), 255, np.uint8)
    for a, b in landmark_picture.SEGMENTS:
        ends = [tuple(int(v * 16) for v in points[i]) for i in (a, b)]
        cv2.line(image, *ends, (170, 170, 170), 1, cv2.LINE_AA, 4)
    for number, (x, y) in enumerate(points):
        cv2.circle(image, (int(x * 16), int(y * 16)), 40, (200, 80, 0), -1, cv2.LINE_AA, 4)
        # The inner lips are closed: numbers of their lower edge stand below.
        lift = 12 if number in (*range(65, 68), *range(55, 60), 40, 41, 46, 47) else -5
        cv2.putText(image, str(number), (int(x) + 3, int(y) + lift), 0, 0.36, (0, 0, 0), 1, cv2.LINE_AA)
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("docs/gallery/landmarks70.png"))
    given = parser.parse_args()
    seen = landmark_picture.picture(topology.canonical(), SIDE)
    seen = np.repeat(np.rint(seen * 255).astype(np.uint8)[..., None], 3, 2)
    cv2.imwrite(str(given.output), np.hstack([numbered(), seen]), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    for name, first, last in PARTS:
        told = ", ".join(map(str, landmark_picture.POINTS_70[first:last]))
        print(f"| {first}-{last - 1} | {name} | {told} |")


if __name__ == "__main__":
    main()
