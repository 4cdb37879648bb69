"""Style vectors per region, the codes of regional GAN inversion (E4S): exchange, mixture, means, smoothing over time.

A face's vectors are (12, D) float32, one row per region of `vidswap.faces.regions`, D = 1280 at full size. A region
that a face does not show has a row of zeros: the encoder makes it so, and "absent" means nothing else here. Functions
take (N, 12, D) and work row by row, so that nothing hangs on how many faces come together.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np

from vidswap.faces import smoothing
from vidswap.faces.recombination import Rule
from vidswap.faces.regions import (
    BACKGROUND,
    BELOWFACE,
    EAR_RINGS,
    EARS,
    EYE_GLASS,
    EYEBROWS,
    EYES,
    HAIR,
    LIP,
    MOUTH,
    NOSE,
    REGIONS,
    SKIN,
)
from vidswap.graph.errors import InputError

Skin = Literal["source", "target", "mix"]

SWAPPED = (LIP, EYEBROWS, EYES, NOSE, SKIN, EARS, BELOWFACE, MOUTH)
"""Regions whose texture is the source's; background, hair, glasses and earrings are the target's."""

SKIN_COLOURED = (NOSE, SKIN, EARS, BELOWFACE)

NAMES: dict[str, tuple[int, ...]] = {
    "brows": (EYEBROWS,),
    "eyes": (EYES,),
    "nose": (NOSE,),
    "mouth": (LIP, MOUTH),
    "lips": (LIP,),
    "teeth": (MOUTH,),
    "skin": (SKIN, EARS, BELOWFACE),
    "face": (SKIN,),
    "ears": (EARS,),
    "neck": (BELOWFACE,),
    "hair": (HAIR,),
    "glasses": (EYE_GLASS,),
    "earrings": (EAR_RINGS,),
    "background": (BACKGROUND,),
}
"""What users call regions. `mouth` is lips and what is between them, `skin` is that of face, ears and neck."""


def named(text: str) -> tuple[int, ...]:
    """Regions of a comma-separated list of `NAMES`, or of "all" (those of `SWAPPED`), ascending.

    Raises InputError with the names there are.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == ["all"]:
        return tuple(sorted(SWAPPED))
    wrong = [name for name in names if name not in NAMES]
    if wrong or not names:
        raise InputError(f"regions is {text!r}; it must be 'all' or some of {', '.join(NAMES)}")
    return tuple(sorted({region for name in names for region in NAMES[name]}))


def present(vectors: np.ndarray) -> np.ndarray:
    """(..., 12) bool: which regions vectors (..., 12, D) show."""
    return np.asarray(vectors.any(-1))


def averaged(vectors: np.ndarray) -> np.ndarray:
    """(12, D) float32: for each region the mean over those of the vectors (P, 12, D) that show it; zeros where none."""
    there = present(vectors)[..., None]
    total = np.where(there, vectors, 0).sum(0, dtype=np.float64)
    return np.asarray(total / np.maximum(there.sum(0), 1), np.float32)


def exchanged(
    target: np.ndarray,
    driven: np.ndarray,
    *,
    rule: Rule = "paper",
    regions: Collection[int] = SWAPPED,
    strength: float = 1.0,
    skin: Skin = "source",
    is_neck_mixed: bool = False,
) -> np.ndarray:
    """(N, 12, D) float32: the target's vectors (N, 12, D) with the driven face's (N, 12, D) in the regions chosen.

    rule: "paper" takes the target's for whatever the driven face does not show; "code" and "code-hair-last" do as the
    released program (ears that the driven face does not show become the mean with nothing, half of the target's);
    "video" as the second generation (ears always the mean, glasses the driven face's as well).
    strength: 0..1, how far vectors go from the target's to the driven face's, where both show the region.
    skin: whose colour the skin has: face, nose, ears and neck are the source's, the target's, or their mean.
    is_neck_mixed: the neck is the mean of both.
    """
    chosen = set(regions)
    if rule == "video" and chosen >= set(SWAPPED):
        chosen.add(EYE_GLASS)
    result = np.array(target, np.float32)
    has_target, has_driven = present(target), present(driven)
    for region in sorted(chosen):
        share = strength
        if region in SKIN_COLOURED and skin != "source":
            share = 0.0 if skin == "target" else 0.5 * strength
        if (region == BELOWFACE and is_neck_mixed) or (region == EARS and rule == "video"):
            share *= 0.5
        one, other = target[:, region], driven[:, region]
        mixed = other.astype(np.float32) if share == 1 else _mixed(one, other, share)
        both = has_target[:, region] & has_driven[:, region]
        # A face without the region takes the other's whole: half of nothing is the code of nobody.
        alone = has_driven[:, region] & ~has_target[:, region]
        result[:, region] = np.where(both[:, None], mixed, np.where(alone[:, None], other, one))
        if rule != "paper":
            result[:, region] = _as_released(region, rule, one, other, result[:, region], strength)
    return result


def _mixed(one: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    if share == 0.5:
        return np.asarray((one + other) / 2, np.float32)
    return np.asarray((1 - np.float32(share)) * one + np.float32(share) * other, np.float32)


def _as_released(
    region: int, rule: Rule, one: np.ndarray, other: np.ndarray, mixed: np.ndarray, strength: float
) -> np.ndarray:
    """What the released programs make of a region that one of the faces lacks; (N, D)."""
    lacks = ~other.any(-1)[:, None]
    if region == EARS and strength == 1:
        half = (one + other) / 2
        return half if rule == "video" else np.where(lacks, half, mixed)
    return np.where(lacks, one if region == MOUTH else np.float32(1 - strength) * one, mixed)


def completed(vectors: np.ndarray, source: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Vectors (N, 12, D) for regions that are painted though neither face shows them.

    shown (N, 12) bool: regions of the label map. Such a region takes the source's own vector (12, D), or the skin's
    where the source lacks it as well: the code of a row of zeros is that of no face.
    """
    lacking = shown & ~present(vectors)
    if not lacking.any():
        return vectors
    result = vectors.copy()
    for row, region in zip(*np.nonzero(lacking), strict=True):
        own = source[region]
        result[row, region] = own if own.any() else result[row, SKIN]
    return result


def smoothed(frames: np.ndarray, vectors: np.ndarray, sigma: float) -> np.ndarray:
    """Vectors (N, 12, D) of one track at ascending `frames` (N,), smoothed per region by a Gaussian, float32.

    Only frames that show a region count for it, and it stays zero in those that do not. Support is finite: 4 sigma.
    """
    result = np.zeros(vectors.shape, np.float32)
    there = present(vectors)
    kernel, radius = smoothing.gaussian(sigma)
    for region in range(vectors.shape[1]):
        rows = np.flatnonzero(there[:, region])
        if len(rows):
            values = vectors[rows, region]
            result[rows, region] = smoothing.smooth(frames[rows], values, kernel, radius, degree=0)
    return result


def check_source(vectors: np.ndarray, wanted: str) -> None:
    """Raises InputError where the user names a region that the source (12, D) does not show at all."""
    there = present(vectors)
    for name in (n.strip() for n in wanted.split(",")):
        if name in NAMES and not any(there[region] for region in NAMES[name]):
            labels = " or ".join(REGIONS[region] for region in NAMES[name])
            raise InputError(f"regions: the source's pictures show no {labels}; leave {name!r} out or give others")


def reach_of(sigma: float) -> int:
    """Frames to either side that `smoothed` looks at."""
    return smoothing.gaussian(sigma)[1] if sigma > 0 else 0


def regions_of(labels: Sequence[np.ndarray]) -> np.ndarray:
    """(N, 12) bool: which regions label maps (S, S) uint8 hold."""
    return np.stack([np.bincount(m.ravel(), minlength=len(REGIONS)) > 0 for m in labels])
