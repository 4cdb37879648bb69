"""How much steadier codes become over time, and what of the driver's motion is lost by it.

    python benchmarks/steadiness.py CLIP [CLIP ...] [--json]

The landmarks of each clip, one face per frame, searched frame by frame and not smoothed, are brought into FFHQ's crop
and go through a fixed random linear map into W+ (18 x 512): a path with the motion and the noise of real footage, which
needs no trained encoder. Each filter of `vidswap.latents.temporal` smooths it. Told are the energy above 5 Hz that is
left, that of second differences, and the gain and lag of the motion in 1 to 3 Hz.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from vidswap import media
from vidswap.faces import alignment
from vidswap.faces.detection import find_faces
from vidswap.faces.mediapipe_models import load_face_model
from vidswap.latents.temporal import Steadying
from vidswap.metrics.motion import BandMotion

FILTERS = {
    "gaussian 1": Steadying("gaussian", 1.0),
    "gaussian 3": Steadying("gaussian", 3.0),
    "savitzky-golay 7": Steadying("savitzky-golay", window=7),
    "savitzky-golay 13": Steadying("savitzky-golay", window=13),
    "adaptive": Steadying(),
}
HIGH_HZ = 5.0


def landmarks_of(clip: Path) -> tuple[np.ndarray, np.ndarray, float]:
    """Frames (N,), landmarks (N, 478, 2) in the crop, in shares of its side, and frames per second."""
    index = media.probe(clip)
    frames, points = [], []
    model = load_face_model()
    for picture in media.read(index, 0, index.frame_count):
        found = find_faces(picture, model)
        if not len(found.landmarks):
            continue
        face = found.landmarks[int(np.argmax(found.boxes[:, 3] - found.boxes[:, 1]))]
        frames.append(picture.frame)
        points.append(face)
    model.close()
    landmarks = np.stack(points)
    # The crop of the clip's median face: the head moves in it, as it does for an encoder whose crop is steady.
    axes = np.median(alignment.ffhq_axes(landmarks), axis=0)
    placed = alignment.transform(alignment.matrix_of_axes(axes, 1024), landmarks[..., :2]) / 1024
    return np.array(frames), placed, float(index.rate)


def codes_of(placed: np.ndarray, seed: int = 0) -> np.ndarray:
    """(N, 18, 512) float32 of landmarks (N, 478, 2)."""
    flat = placed.reshape(len(placed), -1)
    random = np.random.default_rng(seed)
    made = (flat - flat.mean(0)) @ random.normal(size=(flat.shape[1], 18 * 512)) / np.sqrt(flat.shape[1])
    return made.astype(np.float32).reshape(-1, 18, 512)


def measured(frames: np.ndarray, codes: np.ndarray, made: np.ndarray, rate: float) -> dict[str, float]:
    """Energy above 5 Hz and of second differences that is left, gain and lag in 1 to 3 Hz."""
    moves, noise = BandMotion(rate), BandMotion(rate, (HIGH_HZ, rate / 2))
    for row, frame in enumerate(frames):
        if row and frame != frames[row - 1] + 1:
            moves.cut()
            noise.cut()
        moves.add(codes[row], made[row])
        noise.add(codes[row], made[row])
    moves.cut()
    noise.cut()
    bends = [np.square(np.diff(c.reshape(len(c), -1).astype(np.float64), 2, axis=0)).sum() for c in (codes, made)]
    return {
        "above_5_hz": noise.other_power / noise.power,
        "second_differences": float(bends[1] / bends[0]),
        "gain_1_3_hz": moves.gain or 0.0,
        "lag_frames": moves.lag_frames or 0.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--json", action="store_true", help="one JSON object per clip and filter")
    given = parser.parse_args()
    if not given.json:
        print(f"{'clip':24} {'filter':18} {'> 5 Hz':>7} {'bends':>7} {'gain':>6} {'lag':>6}")
    for clip in given.clips:
        frames, placed, rate = landmarks_of(clip)
        codes = codes_of(placed)
        for name, how in FILTERS.items():
            told = measured(frames, codes, how(frames, codes), rate)
            if given.json:
                print(json.dumps({"clip": clip.name, "filter": name, **told}))
            else:
                values = f"{told['above_5_hz']:7.3f} {told['second_differences']:7.3f} {told['gain_1_3_hz']:6.3f}"
                print(f"{clip.name:24} {name:18} {values} {told['lag_frames']:6.2f}")


if __name__ == "__main__":
    main()
