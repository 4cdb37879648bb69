"""Processor milliseconds per frame of what comes before rendering, stage by stage, beside decoding alone.

    python benchmarks/analysis.py [--clip VIDEO ...] [--frames 60] [--rounds 3] [--json] [--against EARLIER.json]

Everything runs in one thread of this process on the same decoded frames; each stage counts the least of the rounds, as
other jobs on the machine only ever add. `detect` holds `overview`, `near`, `far`, `cuts` and `passes`; the rest of it
is its own arithmetic. `parse` holds `segment` and `paint`; `look` holds `hands`; `occlusion` and `smooth` are what is
done over time, without the neighbours of a segment. Without --clip the demo's clip is made first. `--against` divides
by what an earlier run told with --json, such as one of another version.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from vidswap.operators.detect import DetectOptions
from vidswap.operators.smooth import OcclusionOptions, SmoothLandmarks, SmoothOcclusion, SmoothOptions

from vidswap import media
from vidswap.faces import alignment
from vidswap.faces.detection import DetectionOptions, box_of_landmarks, find_faces, overview
from vidswap.faces.following import Follower
from vidswap.faces.look import HANDS_EVERY, sample_look
from vidswap.faces.mediapipe_models import load_face_model
from vidswap.faces.models import Detections, FaceModel, Mesh
from vidswap.faces.regions import paint_regions
from vidswap.graph.batch import Batch
from vidswap.graph.operator import Setting

PARTS = (
    *("decode", "detect", "overview", "near", "far", "cuts", "passes", "align", "parse", "segment", "paint"),
    *("look", "hands", "occlusion", "smooth"),
)


class Clock:
    """Processor seconds by name, and how often each name was timed."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)

    def timed(self, name: str, work: Callable[..., Any], *given: Any, **named: Any) -> Any:
        began = time.process_time()
        result = work(*given, **named)
        self.seconds[name] += time.process_time() - began
        self.calls[name] += 1
        return result


class TimedModel:
    """A face model whose calls are timed."""

    def __init__(self, model: FaceModel, clock: Clock) -> None:
        self._model, self._clock, self.crop_size = model, clock, model.crop_size

    def detect(self, rgb: np.ndarray, *, far: bool = False, min_score: float = 0.5) -> Detections:
        name = "far" if far else "near"
        found: Detections = self._clock.timed(name, self._model.detect, rgb, far=far, min_score=min_score)
        return found

    def landmarks(self, rgb: np.ndarray) -> Mesh | None:
        mesh: Mesh | None = self._clock.timed("passes", self._model.landmarks, rgb)
        return mesh

    def segment(self, rgb: np.ndarray) -> np.ndarray:
        mask: np.ndarray = self._clock.timed("segment", self._model.segment, rgb)
        return mask

    def hands(self, rgb: np.ndarray) -> np.ndarray:
        found: np.ndarray = self._clock.timed("hands", self._model.hands, rgb)
        return found

    def close(self) -> None:
        self._model.close()


class TimedPicture:
    """A picture whose crops are timed under a name."""

    def __init__(self, picture: media.Picture, clock: Clock) -> None:
        self._picture, self._clock = picture, clock
        self.width, self.height = picture.width, picture.height

    def rgb(self, width: int, height: int) -> np.ndarray:
        small: np.ndarray = self._clock.timed("overview", self._picture.rgb, width, height)
        return small

    def crop(self, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        cut: np.ndarray = self._clock.timed("cuts", self._picture.crop, matrix, size)
        return cut


def one_round(clip: Path, frames: int, model: FaceModel, options: DetectionOptions) -> tuple[Clock, list[int]]:
    """Times of one reading of a clip's first frames, and the sizes of the crops."""
    clock, sizes = Clock(), []
    timed_model = TimedModel(model, clock)
    index = media.probe(clip)
    rows: list[tuple[int, int, np.ndarray, np.ndarray]] = []
    reading = iter(media.read(index, 0, min(frames, index.frame_count), threads=1))
    # Frames come from the first one on, in order, so that none has to be read again.
    follow = Follower(timed_model, options, DetectOptions().every, index.keyframes, lambda start, stop: ())
    while (picture := clock.timed("decode", next, reading, None)) is not None:
        timed = TimedPicture(picture, clock)
        if options.largest:
            found = clock.timed("detect", lambda: follow(picture.frame, timed, overview(timed)))  # noqa: B023
        else:
            found = clock.timed("detect", lambda: find_faces(timed, timed_model, options, overview(timed)))  # noqa: B023
        for track, landmarks in enumerate(found.landmarks):
            hands = timed_model if picture.frame % HANDS_EVERY == 0 else None
            look, _ = clock.timed("look", sample_look, picture, landmarks, hands)
            rows.append((picture.frame, track, landmarks, look))
            axes = alignment.ffhq_axes(landmarks)
            size = alignment.crop_size(axes, "auto")
            sizes.append(size)
            matrix = alignment.matrix_of_axes(axes, size)
            crop = clock.timed("align", picture.crop, matrix, (size, size))
            points = alignment.transform(matrix, landmarks[:, :2])
            person = timed_model.segment(crop)
            clock.timed("paint", paint_regions, crop, points, person)
    over_time(clock, rows)
    clock.seconds["parse"] = clock.seconds["segment"] + clock.seconds["paint"]
    return clock, sizes


def over_time(clock: Clock, rows: list[tuple[int, int, np.ndarray, np.ndarray]]) -> None:
    """Times of what is done with the faces of all frames: frame, track, landmarks and look."""
    if not rows:
        return
    frame, track, landmarks, looks = (np.stack(column) for column in zip(*rows, strict=True))
    smooth = SmoothLandmarks(SmoothOptions())
    smooth.setup(Setting())
    batch = Batch(frame=frame, track=track, landmarks=landmarks, appearance=looks, box=box_of_landmarks(landmarks))
    clock.timed("smooth", smooth, clock.timed("occlusion", SmoothOcclusion(OcclusionOptions()), batch))


def measure(clip: Path, frames: int, rounds: int, options: DetectionOptions) -> dict[str, Any]:
    """One row of the table."""
    model = load_face_model(None)
    try:
        one_round(clip, 4, model, options)
        results = [one_round(clip, frames, model, options) for _ in range(rounds)]
    finally:
        model.close()
    clocks, sizes = [clock for clock, _ in results], results[0][1]
    index = media.probe(clip)
    count = min(frames, index.frame_count)
    cpu = {part: 1000 * min(c.seconds[part] for c in clocks) / count for part in PARTS}
    everything = sum(cpu[part] for part in ("detect", "align", "parse", "look", "occlusion", "smooth"))
    return {
        "clip": clip.name,
        "size": f"{index.width}x{index.height}",
        "frames": count,
        "faces_per_frame": len(sizes) / count,
        "crop_px": float(np.mean(sizes)) if sizes else 0.0,
        "passes_per_frame": clocks[0].calls["passes"] / count,
        "cpu_ms": {part: round(spent, 2) for part, spent in cpu.items()},
        "analysis_ms": round(everything, 2),
        "times_decoding": round(everything / cpu["decode"], 2),
    }


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, action="append", help="may be repeated")
    parser.add_argument("--frames", type=int, default=60, help="of each clip, from its start")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--face", choices=("largest", "all"), default="largest", help="as swap-mesh, or every face")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--against", type=Path, help="JSON of an earlier run over the same clips")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    options = DetectionOptions(largest=given.face == "largest")
    with tempfile.TemporaryDirectory() as folder:
        clips = given.clip
        if not clips:
            from vidswap.demo.make import make_demo

            clips = [make_demo(Path(folder), seconds=3.0).target]
        rows = [measure(clip, given.frames, given.rounds, options) for clip in clips]
    if given.json:
        print(json.dumps({"benchmark": "analysis", "rows": rows}, indent=2))
        return
    head = "".join(f"{p:>10}" for p in PARTS)
    print(f"{'clip':<22}{'size':>10}{'crop':>6}{'passes':>7}{head}{'x decode':>10}")
    for r in rows:
        line = f"{r['clip'][:21]:<22}{r['size']:>10}{r['crop_px']:>6.0f}{r['passes_per_frame']:>7.2f}"
        print(line + "".join(f"{r['cpu_ms'][p]:>10.2f}" for p in PARTS) + f"{r['times_decoding']:>10.2f}")
    if given.against:
        before = {r["clip"]: r["cpu_ms"] for r in json.loads(given.against.read_text())["rows"]}
        for r in rows:
            shares = [r["cpu_ms"][p] / max(before[r["clip"]][p], 1e-3) for p in PARTS]
            print(f"{r['clip'][:21]:<22}{'share of the earlier time':>23}" + "".join(f"{x:>10.2f}" for x in shares))


if __name__ == "__main__":
    main()
