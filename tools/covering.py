"""Teach vidswap/faces/covering.npz what stands before faces, and beards.npz what beards are, drawn on those of clips.

    python tools/covering.py CLIP [CLIP ...] --hands HAND.png [HAND.png ...] -o vidswap/faces

Every sample is a face of a clip over some frames, before which a thing is drawn or none (`covering_things`), in some
light; its usual look is what a network reads, and how much of each cell the thing covers what it is taught. What may
be taken for a thing (beards, shadows, make-up, glasses that somebody wears) counts as face. Another network is taught
beards in the same way, dense ones alone: skin shows through stubble. A face's own hair, and what is seen beside it,
counts for nothing. HAND.png are hands cut out, with alpha. The clips of which the files were made that ship are named
in docs/architecture.md. They hold no picture. Needs torch, and an hour of two processors.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import covering_things as drawing
from occluders import hand as drawn_hand

from vidswap import media
from vidswap.faces import alignment, covering, evidence, look, unlike
from vidswap.faces.detection import DetectionOptions, find_faces, overview, signature
from vidswap.faces.mediapipe_models import load_face_model
from vidswap.faces.models import FaceModel
from vidswap.faces.regions import BACKGROUND, HAIR, paint_regions

SIDE = 192
FRAMES = 160  # of a clip that are looked at, at most
CELLS = len(look.cells().index)
ROWS = 13  # of a sample: middle and spread (4 each), hand, seen, cover, hair, beard
CUT = 0.1  # mean difference of two thumbnails on end that is a cut
WIDTHS = (16, 24, 32)
COVER, BEARD = 10, 12
LEARNING_RATE, BATCH, FALSE_ALARM = 8e-3, 64, 2.0


@dataclass(frozen=True)
class Face:
    """One face of a clip: crops (N, S, S, 3) uint8, landmarks (N, 478, 3), hair and what is beside it (N, S, S) bool,
    and for each frame circles of what was taken for hands (n, 4).
    """

    crops: np.ndarray
    points: np.ndarray
    hidden: np.ndarray
    hands: list[np.ndarray]


def cut(clip: Path, model: FaceModel) -> list[Face]:
    """The faces of a clip's shots; of one that shows two people now and one then, only what shows them all."""
    index = media.probe(clip)
    stop = min(index.frame_count, FRAMES)
    step = 4 if stop > 60 else 1
    found: dict[tuple[int, int], list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]] = {}
    people, shot, before = 0, 0, np.zeros(64)
    for picture in media.read(index, 0, stop):
        if picture.frame % step:
            continue
        small = overview(picture)
        shot += float(np.abs(signature(small) - before).mean()) > CUT
        before = signature(small)
        landmarks = find_faces(picture, model, DetectionOptions(), small).landmarks
        if len(landmarks) > people:
            found, people = {}, len(landmarks)
        for place, points in enumerate(landmarks if len(landmarks) == people else ()):
            matrix = alignment.matrix_of_axes(alignment.ffhq_axes(points), SIDE)
            crop, own = picture.crop(matrix, (SIDE, SIDE)), alignment.transform(matrix, points)
            labels = paint_regions(crop, own[:, :2], model.segment(crop))
            found.setdefault((shot, place), []).append(
                (crop, own, np.isin(labels, (HAIR, BACKGROUND)), model.hands(crop))
            )
    columns = (list(zip(*rows, strict=True)) for rows in found.values() if len(rows) >= 5)
    return [Face(np.stack(c), np.stack(p), np.stack(h), list(s)) for c, p, h, s in columns]


def sample(
    rng: np.random.Generator, face: Face, hands: list[drawing.Hand], model: FaceModel, beards: float = 0.22
) -> np.ndarray | None:
    """(ROWS, K) float16 of a face before which something may stand, and which has a beard in a share of `beards`; None
    where its look cannot be told.
    """
    count, length = len(face.crops), int(rng.integers(8, 12))
    there_and_back = np.r_[np.arange(count), np.arange(count)[::-1]]
    frames = there_and_back[(int(rng.integers(count)) + np.arange(length)) % (2 * count)]
    first = face.points[frames[0]]
    skin = np.median(face.crops[frames[0]][_pixels(first[[50, 280, 117, 346, 6, 205, 425]])].astype(float), 0)
    things = [drawing.make(rng, skin, hands) for _ in range(rng.choice([0, 1, 2], p=(0.38, 0.53, 0.09)))]
    make_up, shadow, bearded = (rng.random() < share for share in (0.22, 0.22, beards))
    taken = drawing.light(rng, SIDE)
    soft, close, follows, wobble = rng.uniform(0, 1.2), rng.random() < 0.4, rng.random(), rng.uniform(0, 0.05)
    # What is there for less than half of the time is no part of the usual look, however it widens the spread.
    often = rng.choice([1.0, rng.uniform(0.6, 1), rng.uniform(0.1, 0.42)], p=(0.6, 0.15, 0.25))
    flicker, beat = rng.uniform(0, 0.15) if rng.random() < 0.5 else 0, rng.uniform(0.1, 1)
    seed = int(rng.integers(1 << 30))
    scale, shift = 1 + rng.normal(0, 0.02), rng.normal(0, 0.01 * SIDE, 2)
    looks, covers, hidden, hairs = [], [], [], []
    for frame in frames:
        points, image = face.points[frame].astype(np.float64), face.crops[frame].astype(np.float32)
        beard, cover = (np.zeros((SIDE, SIDE), np.float32) for _ in range(2))
        if make_up:
            image = drawing.make_up(np.random.default_rng(seed), image, points)
        if bearded:
            image, beard = drawing.beard(np.random.default_rng(seed + 1), image, points)
        if shadow:
            image = drawing.shadow(np.random.default_rng(seed + 2), image, points)
        for thing in things if rng.random() < often else ():
            axes = drawing.axes_of(points)
            if not thing.worn:
                start = drawing.axes_of(first)
                origin = start.origin + follows * (axes.origin - start.origin) + rng.normal(0, 0.3 * wobble * SIDE, 2)
                axes = drawing.Axes(origin, start.across, start.down)
            picture, own = thing.draw(axes, SIDE)
            own = cv2.GaussianBlur(own, (0, 0), soft) if soft > 0.3 else own
            if close:
                image = image * (1 - 0.35 * cv2.GaussianBlur(own, (0, 0), 4))[..., None]
            image, cover = image + own[..., None] * (picture - image), np.maximum(cover, own)
        seen = taken(image * (1 + flicker * np.sin(4 * beat * len(looks))), rng)
        asked = any(thing.kind == "hand" for thing in things) or rng.random() < 0.05
        circles = model.hands(seen) if asked else face.hands[frame]
        # Landmarks of covered faces are off, all along and from frame to frame.
        middle = points[:, :2].mean(0)
        points[:, :2] = middle + (points[:, :2] - middle) * scale + shift + rng.normal(0, 0.004 * SIDE, 2)
        looks.append(_look(seen, points, circles))
        places, area = np.empty((CELLS, 2), np.float32), np.empty(CELLS)
        of = look.cells()
        look._lay(np.ascontiguousarray(points), of.corners, of.shares, of.area, places, area)
        for values, kept in (
            (cv2.blur(cover, (5, 5)), covers),
            (cv2.blur(np.float32(face.hidden[frame]), (3, 3)), hidden),
            (cv2.blur(beard * (1 - cover), (5, 5)), hairs),
        ):
            kept.append(cv2.remap(values, places[None], None, cv2.INTER_LINEAR)[0])
    numbers = np.arange(length) * look.HANDS_EVERY
    values, known = unlike.planes(np.stack(looks))
    scores = np.stack(looks)[..., 5]
    told = evidence._usual(length * 2 // 8 * 8, numbers, values, known)
    if told is None:
        return None
    _, middle, spread, _ = told
    medians = (np.median(values, 0) for values in (covers, hidden, hairs))
    parts = (scores.mean(0) / 255, known[:, :CELLS].mean(0), *medians)
    return np.concatenate([middle[:, :CELLS], spread[:, :CELLS], np.stack(parts)]).astype(np.float16)


def _pixels(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    inside = np.clip(np.rint(points[:, :2]).astype(int), 0, SIDE - 1)
    return inside[:, 1], inside[:, 0]


def _look(seen: np.ndarray, points: np.ndarray, circles: np.ndarray) -> np.ndarray:
    half = np.column_stack([(points[:, :2] + 0.5) / 2 - 0.5, points[:, 2] / 2])
    hands = np.array(circles, np.float32)
    hands[:, :3] /= 2
    return look.look_of_crop(cv2.resize(seen, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA), half, hands)


class Net(torch.nn.Module):
    """The network of `vidswap.faces.covering`, with the normalisation that teaching needs."""

    def __init__(self) -> None:
        super().__init__()
        fine, half, quarter = WIDTHS
        sizes = {
            "fine": (covering.FEATURES, fine), "middle": (fine, half), "middle2": (half, half),
            "coarse": (half, quarter), "coarse2": (quarter, quarter), "coarse3": (quarter, quarter),
            "middle_up": (half + quarter, half), "fine_up": (fine + half, fine),
        }  # fmt: skip
        self.layers = torch.nn.ModuleDict({n: self._layer(*s, 2 if n == "coarse2" else 1) for n, s in sizes.items()})
        self.out = torch.nn.Conv2d(fine, 1, 1)

    @staticmethod
    def _layer(read: int, made: int, dilation: int) -> torch.nn.Module:
        convolution = torch.nn.Conv2d(read, made, 3, padding=dilation, dilation=dilation, bias=False)
        return torch.nn.Sequential(convolution, torch.nn.BatchNorm2d(made), torch.nn.ReLU())

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """(N, GRID, GRID) odds, as logarithms, of (N, FEATURES, GRID, GRID)."""
        of, pool = self.layers, torch.nn.functional.avg_pool2d
        fine = of["fine"](planes)
        half = of["middle2"](of["middle"](pool(fine, 2)))
        quarter = of["coarse3"](of["coarse2"](of["coarse"](pool(half, 2))))
        half = of["middle_up"](torch.cat([half, torch.nn.functional.interpolate(quarter, scale_factor=2)], 1))
        fine = of["fine_up"](torch.cat([fine, torch.nn.functional.interpolate(half, scale_factor=2)], 1))
        return self.out(fine)[:, 0]

    def weights(self) -> dict[str, np.ndarray]:
        """What `covering` reads: kernels (D, C, 3, 3) float16 and biases (D,) float32, normalisation within."""
        stored = {
            "out": self.out.weight.detach().numpy().astype(np.float16),
            "out_bias": self.out.bias.detach().numpy(),
        }
        for name, (convolution, norm, _) in self.layers.items():
            gain = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()
            stored[name] = (convolution.weight.detach() * gain[:, None, None, None]).numpy().astype(np.float16)
            stored[f"{name}_bias"] = (norm.bias - norm.running_mean * gain).detach().numpy()
        return stored


def on_grid(values: np.ndarray) -> np.ndarray:
    """(N, GRID, GRID) float32 of values (N, K)."""
    grid = np.zeros((len(values), look.GRID**2), np.float32)
    grid[:, look.cells().index] = values
    return grid.reshape(-1, look.GRID, look.GRID)


def with_false_hands(planes: torch.Tensor) -> torch.Tensor:
    """Planes (N, FEATURES, GRID, GRID), in some of which a bare face is taken for a hand all the time."""
    down, across = torch.meshgrid(*(torch.linspace(-1, 1, look.GRID),) * 2, indexing="ij")
    chosen = (planes[:, covering.HAND].amax((1, 2)) < 0.1) & (torch.rand(len(planes)) < 0.35)
    count = int(chosen.sum())
    x, y = (2 * torch.rand(count, 1, 1) - 1 for _ in range(2))
    circles = (across - x) ** 2 + (down - y) ** 2 < (0.15 + 0.5 * torch.rand(count, 1, 1)) ** 2
    scores = circles * (0.2 + 0.75 * torch.rand(count, 1, 1)) * planes[chosen][:, covering.FACE]
    planes = planes.clone()
    planes[chosen, covering.HAND] = torch.maximum(planes[chosen][:, covering.HAND], scores)
    return planes


def teach(samples: np.ndarray, row: int, epochs: int) -> Net:
    """A network taught what a row of samples (N, ROWS, K) says."""
    rows = samples.astype(np.float32)
    planes = torch.from_numpy(np.stack([covering.features(r[:4], r[4:8], r[8], r[9]) for r in rows]))
    cover, known = rows[:, row], rows[:, 9] > 0.3
    weight = (
        known
        * np.where((cover < 0.5) & (rows[:, 11] > 0.4), 0.03, 1)
        * np.where((cover > 0.25) & (cover < 0.6), 0.2, 1)
    )
    truth, weight = (torch.from_numpy(on_grid(v)) for v in (np.float32(cover > 0.5), np.float32(weight)))
    torch.manual_seed(0)
    net = Net()
    optimiser = torch.optim.AdamW(net.parameters(), LEARNING_RATE, weight_decay=1e-4)
    steps = epochs * (len(planes) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, steps, pct_start=0.15)
    for epoch in range(epochs):
        total = 0.0
        for chosen in torch.randperm(len(planes))[: steps // epochs * BATCH].split(BATCH):
            given, wanted, share = planes[chosen], truth[chosen], weight[chosen]
            if torch.rand(()) < 0.5:
                given, wanted, share = given.flip(3), wanted.flip(2), share.flip(2)
                given[:, list(covering.SIDED)] *= -1
            given = with_false_hands(given)
            share = share * (wanted + FALSE_ALARM * (1 - wanted))
            loss = torch.nn.functional.binary_cross_entropy_with_logits(net(given), wanted, share, reduction="sum")
            loss = loss / share.sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1} of {epochs}: {total / (steps // epochs):.4f}", flush=True)
    return net.eval()


def main() -> None:
    """Read the command line, draw, teach, write."""
    parser = argparse.ArgumentParser(description="teach what stands before faces")
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--hands", nargs="*", type=Path, default=[])
    parser.add_argument("--samples", type=int, default=36000)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder")
    options = parser.parse_args()
    model = load_face_model(None)
    faces = [face for clip in options.clips for face in cut(clip, model)]
    hands = [
        (thing.image.astype(np.float32), thing.cover) for thing in (drawn_hand((205, 160, 135), s) for s in range(6))
    ]
    for path in options.hands:
        image = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA).astype(np.float32)
        hands.append((np.ascontiguousarray(image[..., :3]), image[..., 3] / 255))
    rng = np.random.default_rng(0)
    samples: list[np.ndarray] = []
    while len(samples) < options.samples:
        made = sample(rng, faces[rng.integers(len(faces))], hands, model)
        if made is not None:
            samples.append(made)
    for path, row in zip(covering.WEIGHTS, (COVER, BEARD), strict=True):
        taught = teach(np.stack(samples), row, options.epochs)
        np.savez_compressed(options.output / path.name, **taught.weights())


if __name__ == "__main__":
    main()
