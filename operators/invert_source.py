"""Invert, for the portrait of learned reenactment alone: its code in a column of its own, with all rows.

The driver's frames are inverted by another stage, which may be another method and give fewer rows.
"""

from __future__ import annotations

from typing import Any

from vidswap.graph.batch import Batch

from .invert_encoders import InvertE4E, InvertPSP, InvertReStyle
from .invert_optimize import InvertOptimize


class _OfSource:
    """Before an operator that gives `wplus`: it gives `source_wplus` instead."""

    def fits(self, loaded: Any, sizes: dict[str, tuple[int, ...]]) -> None:
        """Say of which shape the code will be."""
        inner = {"wplus": sizes["source_wplus"]} if "source_wplus" in sizes else {}
        super().fits(loaded, inner)  # type: ignore[misc]
        sizes["source_wplus"] = inner["wplus"]

    def __call__(self, batch: Batch) -> Batch:
        """Adds source_wplus (L, D) float32 to each row; one that is there already is where the search begins."""
        columns = batch.to_dict()
        columns.pop("wplus", None)
        if "source_wplus" in columns:
            columns["wplus"] = columns.pop("source_wplus")
        columns = super().__call__(Batch(columns)).to_dict()  # type: ignore[misc]
        code = columns.pop("wplus")
        return Batch(columns, source_wplus=code)


class InvertSourceE4E(_OfSource, InvertE4E):
    """The portrait's code by e4e."""

    gives = ("source_wplus",)


class InvertSourcePSP(_OfSource, InvertPSP):
    """The portrait's code by pSp."""

    gives = ("source_wplus",)


class InvertSourceReStyle(_OfSource, InvertReStyle):
    """The portrait's code by ReStyle."""

    gives = ("source_wplus",)


class InvertSourceOptimize(_OfSource, InvertOptimize):
    """The portrait's code by optimisation, from the mean code, or from that of another such stage before it."""

    uses = ("source_wplus",)
    gives = ("source_wplus",)
