"""Make vidswap/faces/face_motion.npz: the directions in which regions of a face move, from clips of people.

    python tools/face_motion.py CLIP [CLIP ...] -o vidswap/faces/face_motion.npz

Landmarks of every face track (15 frames or more, yaw below 45 degrees) are brought into the frame of the mean face;
what leaves the track's own median is motion. Tracks count by the square root of their length, up to 150 frames, and
every face also counts mirrored. For each region of `vidswap.faces.shape.REGIONS` the principal components of its
weighted motion are kept (`NAME_read`), with the least-squares motion of the whole face that goes with them
(`NAME_write`); both (K, 1434) float16. The file that ships was made of the five clips named in docs/architecture.md; it
holds no image and no single person's shape.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vidswap import media
from vidswap.faces import shape, topology
from vidswap.faces.pose import fit_pose
from vidswap.graph import Batch, Setting, find_operator, object_column

COMPONENTS = {"brows": 4, "eyes": 5, "nose": 4, "mouth": 6, "skin": 5}
SHORTEST_TRACK, LONGEST_COUNTED, FURTHEST_YAW = 15, 150, 45.0


def tracks(clip: Path) -> Iterator[np.ndarray]:
    """(N, 478, 3) smoothed landmarks of every face track of a clip."""
    index = media.probe(clip)
    detect, track, smooth = (find_operator(n) for n in ("detect.mediapipe", "detect.tracks", "smooth.landmarks"))
    detector = detect(detect.Options())
    detector.setup(Setting())
    rows = []
    for picture in media.read(index, 0, index.frame_count):
        frame = Batch(frame=np.array([picture.frame]), pts=np.array([picture.pts]), picture=object_column([picture]))
        rows.append(detector(frame).without(["picture"]))
    faces, _ = track(track.Options(face="all")).scan(Batch.concat(rows), None)
    smoother = smooth(smooth.Options())
    smoother.setup(Setting(video=index))
    faces = smoother(faces)
    for number in np.unique(faces["track"]):
        found = faces["landmarks"][faces["track"] == number]
        if len(found) >= SHORTEST_TRACK:
            yield found


def motion_of(landmarks: np.ndarray) -> np.ndarray:
    """(M, 478, 3) motion of one track in the mean frame, weighted by the track's length."""
    frontal = [p for p in landmarks if abs(fit_pose(p).angles[0]) < FURTHEST_YAW]
    still = np.array([shape.in_mean_frame(p) for p in frontal]).reshape(-1, topology.POINTS, 3)
    if not len(still):
        return still
    moved = still - np.median(still, 0)
    return (moved - moved.mean(0)) * np.sqrt(min(len(moved), LONGEST_COUNTED) / len(moved))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    moved = np.concatenate([motion_of(landmarks) for clip in given.clips for landmarks in tracks(clip)])
    mirrored = moved[:, topology.mirror()] * (-1.0, 1.0, 1.0)
    flat = np.concatenate([moved, mirrored]).reshape(-1, 3 * topology.POINTS)
    result = {}
    for weights, name in zip(shape.region_weights(), shape.REGIONS, strict=True):
        # Depth is the landmark model's weakest guess: it counts half.
        weight = np.sqrt(np.repeat(weights * shape.outline_fade(), 3) * np.tile([1.0, 1.0, 0.5], topology.POINTS))
        directions = np.linalg.svd(flat * weight, full_matrices=False)[2][: COMPONENTS[name]]
        along = (flat * weight) @ directions.T
        result[f"{name}_read"] = (directions * weight).astype(np.float16)
        result[f"{name}_write"] = np.linalg.lstsq(along, flat, rcond=None)[0].astype(np.float16)
    np.savez_compressed(given.output, **result)


if __name__ == "__main__":
    main()
