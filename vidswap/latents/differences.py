"""Tuned generators as what differs from their base: `X.safetensors` with the differences, `X.json` with the card.

Published generators may not be handed on, and a clip's tuned one is of use to that clip alone; a file of differences
holds nothing of the base, and is refused by any other base.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from vidswap.files import file_digest, written_whole
from vidswap.graph.errors import InputError, first_line


class DifferenceCard(BaseModel):
    """What stands beside a file of differences.

    base, base_sha256: name or path of the base's weights, and the digest of that file; state_sha256: of the base
    generator's tensors, whatever file or layout they come from; sha256: of the file of differences.
    """

    model_config = ConfigDict(extra="ignore")
    kind: Literal["difference"]
    base: str
    base_sha256: str
    state_sha256: str
    sha256: str
    bytes: int
    track: int | None = None
    made: dict[str, Any] = {}


def card_path(file: Path) -> Path:
    """The card beside a file of differences."""
    return file.with_suffix(".json")


def is_difference(file: Path) -> bool:
    """Whether a file's card says that it holds differences."""
    try:
        card = json.loads(card_path(file).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(card, dict) and card.get("kind") == "difference"


def state_digest(net: nn.Module) -> str:
    """SHA-256 over names, shapes and values of a network's tensors."""
    digest = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().float().contiguous().numpy().data)
    return digest.hexdigest()


def save(
    file: Path,
    base: nn.Module,
    tuned: Mapping[str, Tensor],
    *,
    named: str,
    base_sha256: str,
    track: int | None = None,
    made: Mapping[str, Any] | None = None,
    beside: Mapping[str, Tensor] | None = None,
) -> DifferenceCard:
    """Write what of `tuned` (names of `base`'s state dict) differs from the base; `beside` is kept with it."""
    from safetensors.torch import save_file

    before = base.state_dict()
    tensors = {}
    for name, value in tuned.items():
        difference = value.detach().cpu().float() - before[name].cpu().float()
        if bool(difference.any()):
            tensors[name] = difference.contiguous()
    for name, value in (beside or {}).items():
        tensors[f"beside.{name}"] = value.detach().cpu().contiguous()
    with written_whole(card_path(file)) as card_there, written_whole(file) as there:
        # safetensors makes files for their owner alone; the user's umask shall hold.
        there.touch()
        mode = there.stat().st_mode
        save_file(tensors, there)
        there.chmod(mode)
        card = DifferenceCard(
            kind="difference",
            base=named,
            base_sha256=base_sha256,
            state_sha256=state_digest(base),
            sha256=file_digest(there),
            bytes=there.stat().st_size,
            track=track,
            made=dict(made or {}),
        )
        card_there.write_text(json.dumps(card.model_dump(), indent=2) + "\n", encoding="utf-8")
        # The card is renamed last: while the two do not fit each other there is none.
        card_path(file).unlink(missing_ok=True)
    return card


def read(file: Path) -> tuple[DifferenceCard, dict[str, Tensor]]:
    """The card and the tensors of a file of differences. Raises InputError, one line."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        card = DifferenceCard.model_validate_json(card_path(file).read_bytes())
        if file_digest(file) != card.sha256:
            raise InputError(f"{file}: is not what its card says; tune again")
        return card, load_file(file)
    except ValidationError:
        raise InputError(f"{card_path(file)}: is no card of a tuned generator") from None
    except FileNotFoundError as error:
        raise InputError(f"{error.filename or file}: there is no such file") from None
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file}: cannot be read: {first_line(error)}") from None


def check(card: DifferenceCard, digest: str, file: Path) -> None:
    """Hold a card against the digest of a base's tensors. Raises InputError where it was made on another."""
    if digest != card.state_sha256:
        raise InputError(f"{file}: was tuned on {card.base} (sha256 {card.base_sha256[:12]}...), not on these weights")


@torch.no_grad()
def applied(base: nn.Module, file: Path) -> None:
    """Turn a network into the tuned one, in place. Raises InputError where the file was made on another base."""
    card, tensors = read(file)
    check(card, state_digest(base), file)
    state = dict(base.state_dict())
    for name, difference in tensors.items():
        if not name.startswith("beside."):
            # The base's own tensors may be mapped from its file.
            state[name] = state[name] + difference.to(state[name])
    base.load_state_dict(state, assign=True)
    base.requires_grad_(False)
