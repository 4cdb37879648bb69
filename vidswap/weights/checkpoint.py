"""A file of weights that has been read and recognised: its networks, their tensors, and the layout that one wants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vidswap.graph.errors import InputError
from vidswap.weights.pickle_machine import Refused, shown
from vidswap.weights.reading import read
from vidswap.weights.recognition import Part, Recognised, check_against, recognise
from vidswap.weights.shapes import Shape

if TYPE_CHECKING:
    import torch

Layout = Literal["nvlabs", "rosinality"]
LAYOUTS: tuple[Layout, ...] = ("nvlabs", "rosinality")
REPEATED_AT_MOST = 16
"""How many times over a file's tensors may share its bytes: some training snapshots repeat a network a few times."""


@dataclass
class Checkpoint:
    """What a file holds. tensors: by their names, with the part's prefix (`encoder.`, `decoder.`) where it has parts.

    latent_avg: the mean code beside the weights, (D,) or (rows, D); a generator in NVlabs' layout has it inside.
    """

    path: Path
    format: str
    parts: dict[str, Part]
    tensors: dict[str, torch.Tensor]
    latent_avg: torch.Tensor | None = None
    wrapper: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Its networks, for people."""
        return " + ".join(part.title for part in self.parts.values())

    def part(self, prefix: str) -> dict[str, torch.Tensor]:
        """The tensors of one part under its own names. Raises InputError where there is no such part."""
        if prefix not in self.parts:
            has = ", ".join(name or "one network" for name in self.parts)
            raise InputError(f"{self.path}: has no part {prefix!r}; it has {has}")
        if not prefix:
            return dict(self.tensors)
        return {k.removeprefix(f"{prefix}."): v for k, v in self.tensors.items() if k.startswith(f"{prefix}.")}


def open_checkpoint(
    path: str | Path,
    *,
    is_ema: bool | None = None,
    wanted: Mapping[str, Any] | None = None,
    are_numbers_checked: bool = False,
) -> Checkpoint:
    """Read and recognise a file; its tensors are on the CPU, and may be mapped from the file.

    is_ema: True or False for averaged or raw weights where a file has both, None for what its authors use.
    are_numbers_checked: somebody has looked for NaN already.
    wanted: parts that it must have, {prefix: {network, and some of its configuration}}. Raises InputError, one line:
    a file that is no data, an unknown network, the first names that differ, not a number among the weights.
    """
    contents = read(path)
    wrapper = contents.chosen(is_ema)
    try:
        table = contents.tables[wrapper]()
        size = contents.path.stat().st_size
        total = sum(tensor.numel() * tensor.element_size() for tensor in table.values())
        if total > REPEATED_AT_MOST * size:
            raise Refused(f"its tensors would take {total} bytes, many times what the file has")
        found: dict[str, Shape] = {name: tuple(tensor.shape) for name, tensor in table.items()}
        recognised = _recognised(found, wanted)
        tensors = {name: table[old] for name, old in recognised.names.items()}
        if not are_numbers_checked:
            _check_numbers({**tensors, **contents.beside})
    except InputError as error:
        raise InputError(f"{contents.path}: {shown(str(error))}") from None
    return Checkpoint(
        path=contents.path,
        format=contents.format,
        parts=recognised.parts,
        tensors=tensors,
        latent_avg=contents.beside.get("latent_avg"),
        wrapper=wrapper,
        options=contents.options,
        left_out=recognised.left_out,
    )


def _recognised(found: dict[str, Shape], wanted: Mapping[str, Any] | None) -> Recognised:
    if wanted is None:
        return recognise(found)
    try:
        recognised = recognise(found)
    except InputError as unknown:
        # What a name asks for tells more than that nothing is known.
        if "first keys" in str(unknown):
            raise
        check_against(wanted, Recognised(), found)
        raise
    check_against(wanted, recognised, found)
    return recognised


def _check_numbers(tensors: Mapping[str, torch.Tensor]) -> None:
    import torch

    for name, tensor in tensors.items():
        if tensor.is_complex():
            raise InputError(f"{name} holds complex numbers")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{name} holds values that are no numbers (NaN or infinite)")


def in_layout(checkpoint: Checkpoint, layout: Layout) -> Checkpoint:
    """The same weights with StyleGAN2 generators in a layout; what is in it already stays. Nothing is computed.

    In NVlabs' layout the mean code becomes `mapping.w_avg`; in rosinality's, `latent_avg`. An encoder's own mean code
    of all rows stays beside. Raises InputError where no part is a StyleGAN2 generator.
    """
    if layout not in LAYOUTS:
        raise InputError(f"no layout {layout!r}; there are {' and '.join(LAYOUTS)}")
    generators = [prefix for prefix, part in checkpoint.parts.items() if part.network == "stylegan2"]
    if not generators:
        raise InputError(f"{checkpoint.path}: {checkpoint.title} comes in one layout; StyleGAN2 generators have two")
    made = replace(checkpoint, parts=dict(checkpoint.parts), tensors=dict(checkpoint.tensors))
    for prefix in generators:
        if checkpoint.parts[prefix].layout != layout:
            _turn(made, prefix, layout)
    return made


def _turn(made: Checkpoint, prefix: str, layout: Layout) -> None:
    from vidswap.nets import stylegan2_keys

    part, tensors = made.parts[prefix], made.part(prefix)
    if part.config["c_dim"]:
        raise InputError(f"{made.path}: a generator with classes has no rosinality layout")
    if layout == "nvlabs":
        turned = stylegan2_keys.from_rosinality(tensors, made.latent_avg)
        if set(made.parts) == {prefix}:
            made.latent_avg = None
    else:
        turned, mean = stylegan2_keys.into_rosinality(tensors)
        if made.latent_avg is None:
            made.latent_avg = mean
    at = f"{prefix}." if prefix else ""
    kept = {name: tensor for name, tensor in made.tensors.items() if prefix and not name.startswith(at)}
    made.tensors = kept | {f"{at}{name}": tensor for name, tensor in turned.items()}
    made.parts[prefix] = replace(part, layout=layout)
