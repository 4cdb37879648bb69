"""Directions of editing: InterFaceGAN (Shen et al. 2020), GANSpace (Härkönen et al. 2020), SeFa (Shen and Zhou 2021).

Codes are w (N, D) or W+ (N, L, D); a direction is (D,) or (L, D). Functions on numpy arrays in float64 inside; what
comes out has the type of the codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vidswap.graph.errors import InputError


def unit(direction: np.ndarray) -> np.ndarray:
    """A direction (..., D) of length one. Raises InputError for one without a length."""
    length = np.linalg.norm(direction, axis=-1, keepdims=True)
    if not np.all(length > 0) or not np.all(np.isfinite(length)):
        raise InputError("a direction has a length; this one is zero or no number")
    return direction / length


def boundary(codes: np.ndarray, scores: np.ndarray, *, share: float = 0.25, rounds: int = 1000) -> np.ndarray:
    """InterFaceGAN's direction (D,): the unit normal of a linear SVM (C = 1) between codes of high and of low score.

    codes (N, D); scores (N,); share: of the codes at either end that are looked at. Solved by coordinate descent in the
    dual; samples are visited in an order that is drawn from a seed. Raises InputError where too few codes are given.
    """
    count = int(len(codes) * share)
    if codes.ndim != 2 or scores.size != len(codes) or count < 1:
        raise InputError(f"{len(codes)} codes and {scores.size} scores, of which a share of {share:g} is too few")
    order = np.argsort(scores.reshape(-1), kind="stable")
    chosen = np.concatenate([order[-count:], order[:count]])
    labels = np.repeat([1.0, -1.0], count)
    # The threshold is one more weight of a feature that is larger than the others, so that it is held back less.
    samples = np.concatenate([codes[chosen].astype(np.float64), np.full((2 * count, 1), 3.0)], axis=1)
    weights, alphas = np.zeros(samples.shape[1]), np.zeros(2 * count)
    squares = np.einsum("nd,nd->n", samples, samples)
    random = np.random.default_rng(0)
    for _ in range(rounds):
        largest = 0.0
        for i in random.permutation(2 * count):
            slope = labels[i] * (samples[i] @ weights) - 1
            after = min(max(alphas[i] - slope / squares[i], 0.0), 1.0)
            step = after - alphas[i]
            if step:
                weights += step * labels[i] * samples[i]
                alphas[i] = after
                largest = max(largest, abs(step))
        if largest < 1e-6:
            break
    return unit(weights[:-1]).astype(codes.dtype)


def conditioned(direction: np.ndarray, held: Sequence[np.ndarray]) -> np.ndarray:
    """A direction (D,) of length one that leaves what the directions `held` change as it is: less its part in their
    span.

    Raises InputError where nothing is left of it.
    """
    wanted = direction.reshape(-1).astype(np.float64)
    if held:
        basis, lengths, _ = np.linalg.svd(np.stack([h.reshape(-1).astype(np.float64) for h in held]).T, False)
        basis = basis[:, lengths > 1e-8 * lengths.max(initial=0)]
        wanted = wanted - basis @ (basis.T @ wanted)
    if np.linalg.norm(wanted) < 1e-8 * np.linalg.norm(direction):
        raise InputError("nothing is left of the direction when those that are held are taken out of it")
    return unit(wanted).astype(direction.dtype).reshape(direction.shape)


def moved(codes: np.ndarray, direction: np.ndarray, strength: float | np.ndarray) -> np.ndarray:
    """Codes (N, D) or (N, L, D) moved along a direction (D,) or (L, D) by a strength, or one of each code (N,)."""
    by = np.asarray(strength, np.float64).reshape((-1,) + (1,) * (codes.ndim - 1))
    return (codes + by * direction.reshape((-1,) * (direction.size > codes.shape[-1]) + codes.shape[-1:])).astype(
        codes.dtype
    )


def moved_to(codes: np.ndarray, normal: np.ndarray, distance: float | np.ndarray) -> np.ndarray:
    """Codes w (N, D) moved along the unit normal (D,) of a boundary until they lie at a distance from it."""
    present = codes.astype(np.float64) @ normal.reshape(-1).astype(np.float64)
    return moved(codes, normal.reshape(-1), np.asarray(distance, np.float64) - present)


@dataclass(frozen=True)
class Components:
    """GANSpace's principal components of W: mean (D,), components (K, D), and standard deviations (K,) along them."""

    mean: np.ndarray
    components: np.ndarray
    deviations: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.components)
        if self.deviations.shape != (count,) or self.mean.shape != self.components.shape[1:]:
            raise InputError(
                f"components {self.components.shape}, deviations {self.deviations.shape} and a mean "
                f"{self.mean.shape} do not fit each other"
            )

    def edited(self, wplus: np.ndarray, component: int, strength: float, rows: slice = slice(None)) -> np.ndarray:
        """W+ (N, L, D) with the coordinate along a component, as row 0 has it, set to strength deviations, in `rows`.

        What was there along the component goes, so that the result does not depend on it. Raises InputError for a
        component that there is not.
        """
        if not 0 <= component < len(self.components):
            raise InputError(f"component {component} is none of 0 to {len(self.components) - 1}")
        along = self.components[component].astype(np.float64)
        present = (wplus[:, 0].astype(np.float64) - self.mean) @ along
        step = strength * float(self.deviations[component]) - present
        made = wplus.astype(np.float64)
        made[:, rows] += step[:, None, None] * along
        return made.astype(wplus.dtype)


def principal_components(codes: np.ndarray, count: int) -> Components:
    """The principal components of codes w (N, D), largest first; each one's largest entry is positive.

    Raises InputError for more of them than codes or values.
    """
    if not 1 <= count <= min(codes.shape):
        raise InputError(f"{count} components of {codes.shape[0]} codes of {codes.shape[1]} values cannot be had")
    mean = codes.mean(axis=0, dtype=np.float64)
    _, lengths, axes = np.linalg.svd(codes - mean, full_matrices=False)
    axes = axes[:count]
    signs = np.sign(axes[np.arange(count), np.abs(axes).argmax(axis=1)])
    deviations = lengths[:count] / np.sqrt(max(len(codes) - 1, 1))
    return Components(mean, axes * signs[:, None], deviations)


def closed_form(weights: Sequence[np.ndarray], count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """SeFa: directions (K, D) that change the styles of some layers most, and by how much (K,), largest first.

    weights: of the affine maps W -> S of these layers, (C, D) each. No images are made and nothing is trained.
    Raises InputError for no layers.
    """
    if not weights:
        raise InputError("no layers were given whose styles should change")
    stacked = np.concatenate([w.astype(np.float64) for w in weights])
    stacked = unit(stacked)
    values, vectors = np.linalg.eigh(stacked.T @ stacked)
    order = np.argsort(values)[::-1][:count]
    return vectors[:, order].T, values[order]
