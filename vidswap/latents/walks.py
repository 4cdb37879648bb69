"""Walks through Z and W: codes along a smooth way by some of them."""

from __future__ import annotations

import torch
from torch import Tensor


def times(count: int, keys: int, *, loop: bool) -> Tensor:
    """(count,) float64 places on a way by `keys` codes, in 0..keys (loop, whose end is its beginning) or 0..keys - 1.

    The frames of a loop can be repeated without one being shown twice.
    """
    whole = torch.arange(count, dtype=torch.float64)
    return whole * (keys / count) if loop else whole * ((keys - 1) / max(count - 1, 1))


def spline(keys: Tensor, places: Tensor, *, loop: bool) -> Tensor:
    """Codes (N, D) at `places` (N,) on the Catmull-Rom spline by keys (K, D): it goes by every key, without a kink."""
    count = len(keys)
    before = places.floor().long().clamp(0, count - 1 if loop else max(count - 2, 0))
    share = (places - before)[:, None].to(keys.dtype)

    def key(step: int) -> Tensor:
        index = before + step
        if loop:
            return keys[index % count]
        inside = keys[index.clamp(0, count - 1)]
        # Beyond an end the way goes straight on.
        if step == -1:
            return torch.where((index < 0)[:, None], 2 * keys[0] - keys[min(1, count - 1)], inside)
        if step == 2:
            return torch.where((index >= count)[:, None], 2 * keys[-1] - keys[max(count - 2, 0)], inside)
        return inside

    a, b, c, d = (key(step) for step in (-1, 0, 1, 2))
    return b + 0.5 * share * (c - a + share * (2 * a - 5 * b + 4 * c - d + share * (3 * (b - c) + d - a)))


def great_circles(keys: Tensor, places: Tensor, *, loop: bool) -> Tensor:
    """Codes (N, D) at `places` (N,) on great circles between keys (K, D): as likely in Z as the keys are."""
    count = len(keys)
    before = places.floor().long().clamp(0, count - 1 if loop else max(count - 2, 0))
    share = (places - before)[:, None].to(keys.dtype)
    a, b = keys[before], keys[(before + 1) % count if loop else (before + 1).clamp(max=count - 1)]
    lengths = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    cosine = ((a / lengths[0]) * (b / lengths[1])).sum(dim=1, keepdim=True).clamp(-1, 1)
    angle = torch.acos(cosine)
    sine = angle.sin()
    # Codes in one direction have no circle between them; the straight way is the same.
    straight = sine < 1e-6
    safe = torch.where(straight, torch.ones_like(sine), sine)
    first = torch.where(straight, 1 - share, ((1 - share) * angle).sin() / safe)
    second = torch.where(straight, share, (share * angle).sin() / safe)
    direction = first * a / lengths[0] + second * b / lengths[1]
    return direction * lengths[0].lerp(lengths[1], share)
