"""The user's store of weights: one safetensors file and one JSON card for each name, in the cache folder.

A file is read, recognised and converted once, when it is added; what runs reads safetensors alone. The card says where
the weights came from, under which terms, what they are, and the SHA-256 of both files. Both are written under temporary
names and renamed, the card last: without a card there are no weights.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from vidswap.files import file_digest, written_whole
from vidswap.graph.errors import InputError, first_line
from vidswap.graph.registry import nearest
from vidswap.storage import RemotePath, place
from vidswap.storage.caches import cache_folder
from vidswap.weights.catalogue import Entry, catalogue

if TYPE_CHECKING:
    import torch

    from vidswap.weights.checkpoint import Checkpoint, Layout

FOLDER_VARIABLE = "VIDSWAP_WEIGHTS"
CARD_BYTES_AT_MOST = 1 << 20
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Origin(BaseModel):
    """The file that was added."""

    model_config = ConfigDict(extra="ignore")
    file: str
    sha256: str
    bytes: int
    format: str
    wrapper: str = ""


class Card(BaseModel):
    """What stands beside a file of weights. parts: {prefix: {network, layout, config}}."""

    model_config = ConfigDict(extra="ignore")
    name: str
    what: str
    licence: str
    terms: str
    licence_link: str | None
    origin: Origin
    converted: str
    file: str
    sha256: str
    bytes: int
    parts: dict[str, dict[str, Any]]
    has_latent_avg: bool
    values: int
    left_out: list[str]
    options: dict[str, Any]
    vidswap: str


def folder() -> Path:
    """Where weights are kept: $VIDSWAP_WEIGHTS, or `vidswap/weights` in the user's cache folder."""
    return cache_folder(FOLDER_VARIABLE, "weights")


def check_name(name: str) -> str:
    """The name, if it may be one. Raises InputError for others."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise InputError(f"{name!r} is no name for weights: small letters, digits, dots and dashes, 64 at most")
    return name


def path_of(name: str) -> Path:
    """Where the weights of this name are, or would be."""
    return folder() / f"{check_name(name)}.safetensors"


def card_of(name: str) -> Card | None:
    """The card of the weights of this name; None where they are not installed. Raises InputError for a broken one."""
    path = card_path(path_of(name))
    return read_card(path) if path.is_file() else None


def card_path(weights: Path) -> Path:
    """The card beside a file of weights."""
    return weights.with_suffix(".json")


def card_beside(weights: Path) -> Card | None:
    """The card beside a file of weights that `vidswap weights convert` wrote; None where there is none.

    Raises InputError for a broken one.
    """
    path = card_path(weights)
    return read_card(path) if weights.suffix == ".safetensors" and path.is_file() else None


def read_card(path: Path) -> Card:
    """A card from its file. Raises InputError, one line."""
    try:
        if path.stat().st_size > CARD_BYTES_AT_MOST:
            raise InputError(f"{path}: is no card of weights: it is too long")
        return Card.model_validate_json(path.read_bytes())
    except ValidationError:
        raise InputError(f"{path}: is no card of weights; add the file again with --overwrite") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def installed() -> dict[str, Card]:
    """The cards of all weights in the store, by name."""
    where = folder()
    if not where.is_dir():
        return {}
    names = sorted(path.stem for path in where.glob("*.json") if _NAME.fullmatch(path.stem))
    return {name: card for name in names if (card := card_of(name)) is not None}


def add(
    name: str,
    file: str | Path,
    *,
    entry: Entry | None = None,
    is_ema: bool | None = None,
    overwrite: bool = False,
    licence: str = "",
    origin: str = "",
) -> Card:
    """Read a file, hold it against its catalogue entry, and keep it as safetensors with a card.

    entry: the release that it must be; None for own weights, which may be any network that is known. licence: terms of
    own weights. origin: where the file came from, if that is not its name. Raises InputError, one line, and leaves
    nothing half-written.
    """
    from vidswap.weights.checkpoint import open_checkpoint

    target = path_of(name)
    if card_path(target).exists() and not overwrite:
        raise InputError(f"{name} is installed already ({target}); --overwrite replaces it")
    file = place(file)
    origin = origin or (str(file) if isinstance(file, RemotePath) else "")
    checkpoint = open_checkpoint(file, is_ema=is_ema, wanted=entry.parts if entry else None)
    digest = file_digest(file)
    if entry is not None:
        try:
            entry.check_sha256(digest)
        except InputError as error:
            raise InputError(f"{file}: {error}") from None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{target.parent}: cannot be made: {error.strerror or error}") from None
    return save(checkpoint, target, name=name, entry=entry, licence=licence, digest=digest, origin=origin)


def save(
    checkpoint: Checkpoint,
    target: Path,
    *,
    name: str = "",
    entry: Entry | None = None,
    licence: str = "",
    digest: str = "",
    origin: str = "",
) -> Card:
    """Write a checkpoint as safetensors with its card beside it. Raises InputError where it cannot be written.

    digest: SHA-256 of the file it was read from, where that is known.
    """
    card_file = card_path(target)
    tensors = _writable(checkpoint)
    with _telling(target), written_whole(card_file) as card_there, written_whole(target) as weights_there:
        _write_tensors(tensors, weights_there, checkpoint)
        card = Card(
            name=name or target.stem,
            what=entry.what if entry else checkpoint.title,
            licence=entry.licence.word if entry else licence or "not stated",
            terms=entry.licence.terms if entry else licence or "Not stated; ask whoever made them before you use them.",
            licence_link=entry.licence.link if entry else None,
            origin=Origin(
                file=origin or checkpoint.path.name,
                sha256=digest or file_digest(checkpoint.path),
                bytes=checkpoint.path.stat().st_size,
                format=checkpoint.format,
                wrapper=checkpoint.wrapper,
            ),
            converted=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            file=target.name,
            sha256=file_digest(weights_there),
            bytes=weights_there.stat().st_size,
            parts={
                prefix: {"network": part.network, "layout": part.layout, "config": part.config}
                for prefix, part in checkpoint.parts.items()
            },
            has_latent_avg=checkpoint.latent_avg is not None,
            values=sum(tensor.numel() for tensor in tensors.values()),
            left_out=checkpoint.left_out[:1000],
            options=checkpoint.options,
            vidswap=importlib.metadata.version("vidswap"),
        )
        text = json.dumps(card.model_dump(), indent=2, ensure_ascii=False)
        card_there.write_text(text + "\n", encoding="utf-8")
        # The weights are renamed first: while the two do not fit each other there is no card.
        card_file.unlink(missing_ok=True)
    return card


@contextlib.contextmanager
def _telling(target: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        raise InputError(f"{target}: cannot be written: {first_line(error)}") from None
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from None


def _writable(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """Tensors as safetensors wants them: contiguous, none of them sharing memory."""
    tensors = dict(checkpoint.tensors)
    if checkpoint.latent_avg is not None:
        tensors["latent_avg"] = checkpoint.latent_avg
    seen: set[int] = set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().contiguous()
        memory = tensor.untyped_storage().data_ptr()
        tensors[name] = tensor.clone() if memory in seen else tensor
        seen.add(tensors[name].untyped_storage().data_ptr())
    return tensors


def _write_tensors(tensors: Mapping[str, torch.Tensor], temporary: Path, checkpoint: Checkpoint) -> None:
    from safetensors.torch import save_file

    # safetensors makes files for their owner alone; the user's umask shall hold.
    temporary.touch()
    mode = temporary.stat().st_mode
    told = {"format": "pt", "networks": ", ".join(part.network for part in checkpoint.parts.values())}
    save_file(dict(tensors), temporary, metadata=told)
    temporary.chmod(mode)


def load(
    name: str | Path,
    *,
    layout: Layout | None = None,
    is_ema: bool | None = None,
    needs: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """Weights by name from the store, or from any file that can be read.

    layout: turn StyleGAN2 generators into this layout. needs: parts that must be there, {prefix: {network, ...}}.
    Raises InputError, one line: not installed (with the remedy), or whatever is wrong with the file.
    """
    from vidswap.weights.checkpoint import in_layout, open_checkpoint

    if is_file_name(name):
        checkpoint = open_checkpoint(name, is_ema=is_ema, wanted=needs)
        card = card_beside(place(name))
        if card is not None and card.bytes == place(name).stat().st_size:
            # safetensors has no room for what the origin told beside its tensors, such as the clamp of activations.
            checkpoint.options = card.options
    else:
        name = str(name)
        card = card_of(name)
        if card is None:
            raise InputError(missing(name))
        path = path_of(name)
        if not path.is_file() or path.stat().st_size != card.bytes:
            raise InputError(f"{path}: is not what its card says; add it again with --overwrite")
        # Its numbers were looked at when it was added.
        checkpoint = open_checkpoint(path, wanted=needs, are_numbers_checked=True)
        checkpoint.options = card.options
    return in_layout(checkpoint, layout) if layout else checkpoint


def is_file_name(name: str | Path) -> bool:
    """Whether this names a file and no weights of the store: it has a folder, or the suffix of such a file."""
    return isinstance(name, Path) or os.sep in name or "/" in name or is_weights_file(Path(name))


def is_weights_file(path: Path) -> bool:
    """Whether a file has the suffix of weights."""
    return path.suffix in _SUFFIXES


def base_digest(name: str | Path) -> str:
    """The SHA-256 of the file that a name or path stands for; random weights are told by their words.

    Raises InputError where weights are not installed.
    """
    if str(name).split(":")[0] == "random":
        return str(name).replace(":", "-")
    if is_file_name(name):
        return file_digest(place(name))
    card = card_of(str(name))
    if card is None:
        raise InputError(missing(str(name)))
    return card.sha256


_SUFFIXES = {".pt", ".pth", ".pkl", ".safetensors", ".bin", ".ckpt", ".tar"}


def missing(name: str) -> str:
    """One line that says that weights are not installed, and the remedy."""
    entry = catalogue().get(name)
    if entry is None:
        names = {*catalogue(), *installed()}
        return f"no weights {name!r} are installed or known; {nearest(name, names)}"
    how = f"vidswap weights pull {name}" if entry.url else f"get {entry.files[0]} from {entry.home} and"
    then = "" if entry.url else f" vidswap weights add {name} {entry.files[0]}"
    return f"the weights {name} are not installed: {how}{then}"


def verify(name: str) -> Literal["whole", "changed", "missing"]:
    """Hash the weights of this name again. Raises InputError where they are not installed."""
    card = card_of(name)
    if card is None:
        raise InputError(missing(name))
    path = path_of(name)
    if not path.is_file():
        return "missing"
    if path.stat().st_size != card.bytes or file_digest(path) != card.sha256:
        return "changed"
    return "whole"
