"""Which of the 478 landmarks is what, how they join to a mesh, and where they lie on a mean face.

Left and right are the *subject's*: of an upright face in a picture that is not mirrored, the subject's right eye is on
the left of the image. Points 0..467 are the skin's, 468..472 the right iris (centre first), 473..477 the left iris.

Rings run clockwise in the image (y down), starting at the top or at the corner named. Triangles have the same sense: of
a triangle a, b, c that faces the viewer, (b - a) x (c - a) is positive. The mesh of 852 triangles has three holes: the
two eyes and the mouth; `eye_triangles` and `mouth_triangles` fill them (898 in all). The irises belong to no triangle.

`canonical_face.npz` was made for this project: the edges are MediaPipe's tesselation (Apache-2.0), joined to triangles
of one sense; the mean face is our own, of landmarks measured on the shipped portraits and on free footage.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

POINTS = 478

# fmt: off
FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)
"""Outline of the mesh, from the top of the forehead: hairline, cheeks, chin (36 points)."""

LIPS_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
"""Vermilion border, from the subject's right corner over the upper lip (20 points)."""

LIPS_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
"""Opening of the mouth, from the subject's right corner over the upper lip (20 points)."""

RIGHT_EYE = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
"""Lid line, from the outer corner over the upper lid (16 points)."""

LEFT_EYE = (362, 398, 384, 385, 386, 387, 388, 466, 263, 249, 390, 373, 374, 380, 381, 382)
"""Lid line, from the inner corner over the upper lid (16 points)."""

RIGHT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
"""From the outer end along the upper edge (10 points)."""

LEFT_BROW = (336, 296, 334, 293, 300, 276, 283, 282, 295, 285)
"""From the inner end along the upper edge (10 points)."""

RIGHT_IRIS = (468, 469, 470, 471, 472)
"""Centre, then the four points of the rim."""

LEFT_IRIS = (473, 474, 475, 476, 477)
"""Centre, then the four points of the rim."""

NOSE = (
    168, 417, 351, 412, 399, 420, 360, 279, 358, 294, 327, 326,
    2, 97, 98, 64, 129, 49, 131, 198, 174, 188, 122, 193,
)
"""Outline of the nose, from the bridge between the eyes (24 points)."""

IBUG = (
    127, 93, 132, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 361, 323, 356,
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
    168, 197, 5, 4, 98, 97, 2, 326, 327,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,
    78, 81, 13, 311, 308, 402, 14, 178,
)
"""The 68 points of iBUG (300-W), which dlib and FAN give too, among these: jaw from the subject's right, brows, nose,
eyes, outer and inner lips. Those of jaw and lips are the nearest by arc length on the mean face."""
# fmt: on

IRISES = RIGHT_IRIS + LEFT_IRIS
BROWS = RIGHT_BROW + LEFT_BROW
EYES = RIGHT_EYE + LEFT_EYE

RIGHT_EYE_OUTER, RIGHT_EYE_INNER, LEFT_EYE_INNER, LEFT_EYE_OUTER = 33, 133, 362, 263
LID_GAUGES = ((159, 145, RIGHT_EYE_OUTER, RIGHT_EYE_INNER), (386, 374, LEFT_EYE_OUTER, LEFT_EYE_INNER))
"""Right and left: upper lid, lower lid, and both corners: how far an eye is open, and how wide it is."""
RIGHT_MOUTH_CORNER, LEFT_MOUTH_CORNER = 61, 291
NOSE_TIP, FOREHEAD, CHIN = 1, 10, 152
NOSE_ROOT, NOSE_BASE = 168, 2


def triangles(holes: bool = True) -> np.ndarray:
    """(852, 3) int32 triangles of the mesh; (898, 3) with `holes=False`, that is with eyes and mouth filled."""
    skin: np.ndarray = _stored()["triangles"]
    return skin if holes else np.concatenate([skin, eye_triangles(), mouth_triangles()])


def eye_triangles() -> np.ndarray:
    """(28, 3) int32 triangles between the lid lines, right eye first."""
    # The strip runs from corner to corner, each upper point against the lower one below it.
    return np.concatenate([_strip(RIGHT_EYE), _strip(LEFT_EYE)])


def mouth_triangles() -> np.ndarray:
    """(18, 3) int32 triangles of the opening of the mouth; without area while the lips are closed."""
    return _strip(LIPS_INNER)


def canonical() -> np.ndarray:
    """(478, 3) float32 mean face: symmetric, mouth closed, x to the subject's left, y down, z away from the viewer.

    Origin between the centres of the irises, whose distance is 1; forehead (10) and chin (152) in one frontal plane. It
    is the Procrustes mean of what the landmark model says of a dozen people seen from the front, made symmetric, so
    that its depth has that model's own scale.
    """
    vertices: np.ndarray = _stored()["vertices"]
    return vertices


def mirror() -> np.ndarray:
    """(478,) int32: the landmark on the other side of the face; points of the midline are their own."""
    pairs: np.ndarray = _stored()["mirror"]
    return pairs


def _strip(ring: tuple[int, ...]) -> np.ndarray:
    """Triangles that fill a ring whose points 0 and n/2 are its corners, in the ring's sense."""
    n = len(ring)
    strip = [(ring[0], ring[1], ring[n - 1])]
    for i in range(1, n // 2 - 1):
        above, below = ring[i], ring[n - i]
        next_above, next_below = ring[i + 1], ring[n - i - 1]
        strip += [(above, next_above, below), (next_above, next_below, below)]
    last = n // 2
    strip.append((ring[last - 1], ring[last], ring[last + 1]))
    return np.array(strip, np.int32)


@cache
def _stored() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_name("canonical_face.npz")) as file:
        stored = {
            "vertices": file["vertices"].astype(np.float32),
            "triangles": file["triangles"].astype(np.int32),
            "mirror": file["mirror"].astype(np.int32),
        }
    for values in stored.values():
        values.flags.writeable = False
    return stored
