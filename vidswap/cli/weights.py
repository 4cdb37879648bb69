"""`vidswap weights`: what is known, what is installed, and how a file gets into the store."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import VOICE, table
from .options import Json, Overwrite, Quiet

if TYPE_CHECKING:
    from vidswap.weights.catalogue import Entry
    from vidswap.weights.store import Card

app = typer.Typer(
    name="weights",
    help="Checkpoints of the learned methods: known, installed, checked, converted.",
    no_args_is_help=True,
)
Ema = Annotated[
    bool | None,
    typer.Option("--ema/--raw", help="Averaged or raw weights, where a file has both. Default: what its authors use."),
]


@app.command(name="list")
def list_command(as_json: Json = False) -> None:
    """List the releases that are known and the weights that are installed."""
    from vidswap.weights.catalogue import catalogue
    from vidswap.weights.store import folder, installed

    VOICE.json, VOICE.quiet = as_json, False
    cards, known = installed(), catalogue()
    rows = [
        {"name": name, "installed": name in cards, "what": entry.what, "licence": entry.licence.word, "url": entry.url}
        for name, entry in known.items()
    ]
    rows += [
        {"name": name, "installed": True, "what": card.what, "licence": card.licence, "url": None}
        for name, card in cards.items()
        if name not in known
    ]
    if as_json:
        VOICE.result({"folder": str(folder()), "weights": rows}, [])
        return
    table(
        "",
        ["name", "installed", "what", "licence"],
        [[str(r["name"]), "yes" if r["installed"] else "-", str(r["what"]), str(r["licence"])] for r in rows],
    )
    VOICE.say(f"Kept in {folder()}")


@app.command()
def info(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A name of the list, or a file of weights.")],
    ema: Ema = None,
    as_json: Json = False,
) -> None:
    """Say what weights are, under which terms, where to get them; or what a file holds."""
    from vidswap.graph import InputError
    from vidswap.storage import place
    from vidswap.weights.catalogue import catalogue
    from vidswap.weights.store import card_of, is_file_name, missing

    VOICE.json, VOICE.quiet = as_json, False
    entry = catalogue().get(name)
    if entry is None and place(name).is_file():
        _info_of_file(name, ema)
        return
    if entry is None and is_file_name(name):
        raise InputError(f"{name}: is no file" if place(name).exists() else f"{name}: there is no such file")
    card = card_of(name)
    if entry is None and card is None:
        raise InputError(missing(name))
    facts: dict[str, Any] = {"name": name, "entry": entry and entry.model_dump(), "card": card and card.model_dump()}
    lines = _lines_of_entry(entry) if entry else []
    VOICE.result(facts, [*lines, *(_lines_of_card(card) if card else ["installed:  no"])])


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="A name of the list, or a name of your own.")],
    file: Annotated[Path, typer.Argument(help="The file: .safetensors, .pt, .pth, .pkl.")],
    ema: Ema = None,
    licence: Annotated[str, typer.Option("--licence", help="Terms of weights that are not on the list.")] = "",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Read a file as data, check that it is what its name says, and keep it as safetensors with a card."""
    from vidswap.weights.catalogue import catalogue
    from vidswap.weights.store import add as add_file
    from vidswap.weights.store import path_of

    VOICE.json, VOICE.quiet = as_json, quiet
    entry = catalogue().get(name)
    _say_terms(name, entry, licence)
    card = add_file(name, file, entry=entry, is_ema=ema, overwrite=overwrite, licence=licence)
    VOICE.result(card.model_dump(), [*_lines_of_card(card), f"kept:       {path_of(name)}"])


@app.command()
def pull(
    name: Annotated[str, typer.Argument(help="A name of the list.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Agree to the terms without being asked.")] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Show the terms of a release, ask, then fetch it from its owners and add it."""
    from vidswap.graph import InputError
    from vidswap.weights import store
    from vidswap.weights.catalogue import entry_named
    from vidswap.weights.downloading import by_hand, fetched

    VOICE.json, VOICE.quiet = as_json, quiet
    entry = entry_named(name)
    if store.card_of(name) is not None and not overwrite:
        raise InputError(f"{name} is installed already ({store.path_of(name)}); --overwrite replaces it")
    _say_terms(name, entry, "")
    if entry.url is None:
        raise InputError(by_hand(entry))
    if not yes and not _agrees():
        raise InputError(f"nothing was fetched: {name} is fetched when you agree to its terms, or with --yes")
    with _progress(name) as told, fetched(entry, told) as file:
        card = store.add(name, file, entry=entry, overwrite=overwrite, origin=entry.url)
    VOICE.result(card.model_dump(), [*_lines_of_card(card), f"kept:       {store.path_of(name)}"])


@app.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Names; without any, all that are installed.")] = None,
    as_json: Json = False,
) -> None:
    """Hash installed weights again and compare them with their cards."""
    from vidswap.weights import store

    VOICE.json, VOICE.quiet = as_json, False
    found = {name: store.verify(name) for name in names or store.installed()}
    VOICE.result({"weights": found}, [f"{state:8} {name}" for name, state in found.items()] or ["nothing is installed"])
    if any(state != "whole" for state in found.values()):
        raise typer.Exit(1)


@app.command()
def convert(
    file: Annotated[str, typer.Argument(metavar="NAME|FILE", help="Installed weights, or a file of any format.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The .safetensors to write; a card goes beside it.")],
    layout: Annotated[
        str | None,
        typer.Option("--layout", help="nvlabs or rosinality, for StyleGAN2 generators. Default: as it is."),
    ] = None,
    ema: Ema = None,
    licence: Annotated[str, typer.Option("--licence", help="Terms to write into the card.")] = "",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write weights as safetensors, StyleGAN2 in either layout."""
    from vidswap.graph import InputError
    from vidswap.storage import place
    from vidswap.weights import store
    from vidswap.weights.catalogue import catalogue

    VOICE.json, VOICE.quiet = as_json, quiet
    if output.suffix != ".safetensors":
        raise InputError(f"{output}: give it the suffix .safetensors")
    for path in (output, store.card_path(output)):
        if path.exists() and not overwrite:
            raise InputError(f"{path} exists; --overwrite replaces it")
    if not output.parent.is_dir():
        raise InputError(f"{output.parent}: there is no such folder")
    if layout not in (None, "nvlabs", "rosinality"):
        raise InputError(f"--layout {layout}: write nvlabs or rosinality")
    checkpoint = store.load(file, layout=layout, is_ema=ema)  # type: ignore[arg-type]
    if checkpoint.path.resolve() == output.resolve():
        raise InputError(f"{output}: is the file that is read; write to another one")
    entry, known = None, None
    if store.is_file_name(file):
        known = store.card_beside(place(file))
    else:
        entry, known = catalogue().get(file), store.card_of(file)
    terms = licence or (known.terms if known else "")
    card = store.save(checkpoint, output, entry=None if licence else entry, licence=terms)
    VOICE.result(card.model_dump(), [*_lines_of_card(card), f"written:    {output}"])


def terms_of(weights: str) -> tuple[list[str], dict[str, Any]]:
    """What is said of weights before they are used, and where they come from: name or file, SHA-256, licence.

    Raises InputError for a name that is not installed and a file that is not there.
    """
    from vidswap.files import file_digest
    from vidswap.graph import InputError
    from vidswap.storage import place
    from vidswap.weights import store

    if weights.split(":")[0] == "random":
        return [f"weights:    {weights}: random, of nobody"], {"name": weights, "licence": "none: random"}
    if store.is_file_name(weights):
        path = place(weights)
        if not path.is_file():
            raise InputError(f"{path}: there is no such file")
        card = store.card_beside(path)
        known = {"name": path.name, "sha256": file_digest(path), "licence": card.licence if card else "not stated"}
        return _terms_of_file(path), known
    card = store.card_of(weights)
    if card is None:
        raise InputError(store.missing(weights))
    return _terms_of_card(card), {"name": weights, "sha256": card.origin.sha256, "licence": card.licence}


def terms_of_files(files: Iterable[Path]) -> list[str]:
    """What is said of weights before a run uses them, each once: `files` are those that its stages read.

    They are weights, cards of weights in the store, and others, of which nothing is said.
    """
    from vidswap.weights import store

    lines: list[str] = []
    for path in dict.fromkeys(files):
        if path.suffix == ".json" and path.parent == store.folder():
            card = store.card_of(path.stem)
            lines += _terms_of_card(card) if card else []
        elif store.is_weights_file(path):
            lines += _terms_of_file(path)
    return lines


def _terms_of_card(card: Card) -> list[str]:
    lines = [f"weights:    {card.name}: {card.what}", f"licence:    {card.licence}: {card.terms}"]
    return [*lines, *([f"            {card.licence_link}"] if card.licence_link else [])]


def _terms_of_file(path: Path) -> list[str]:
    from vidswap.latents import differences
    from vidswap.weights import store

    if differences.is_difference(path):
        base = json.loads(differences.card_path(path).read_bytes()).get("base", "its base")
        return [f"weights:    {path}", f"licence:    that of {base}, which it is tuned on"]
    card = store.card_beside(path)
    told = card.terms if card else "not stated; they are what whoever made the file says"
    return [f"weights:    {path}", f"licence:    {told}"]


def _info_of_file(name: str, ema: bool | None) -> None:
    from vidswap.weights.checkpoint import open_checkpoint
    from vidswap.weights.pickle_machine import shown

    made = open_checkpoint(name, is_ema=ema)
    parts = {
        p or "network": {"network": x.network, "layout": x.layout, "config": x.config} for p, x in made.parts.items()
    }
    facts = {"file": name, "format": made.format, "table": made.wrapper, "parts": parts, "left_out": made.left_out}
    lines = [f"file:       {name}", f"format:     {made.format}" + (f", table {made.wrapper}" if made.wrapper else "")]
    lines += [
        f"{prefix + ':':11} {part.title}" for prefix, part in ((p or "network", x) for p, x in made.parts.items())
    ]
    lines += [f"mean code:  {'x'.join(map(str, made.latent_avg.shape))}"] if made.latent_avg is not None else []
    lines += [f"left out:   {len(made.left_out)} tensors ({shown(made.left_out[0], 60)} ...)"] if made.left_out else []
    VOICE.result(facts, lines)


def _lines_of_entry(entry: Entry) -> list[str]:
    return [
        f"{entry.name}: {entry.what}",
        f"owner:      {entry.owner}",
        f"licence:    {entry.licence.word}: {entry.licence.terms}",
        f"            {entry.licence.link}",
        f"file:       {' or '.join(entry.files)} ({entry.format})",
        f"from:       {entry.url or f'{entry.home} (by hand)'}",
    ]


def _lines_of_card(card: Card) -> list[str]:
    networks = ", ".join(f"{p}: {part['network']}" if p else str(part["network"]) for p, part in card.parts.items())
    return [
        f"installed:  {card.name} ({networks}), {card.values / 1e6:.1f} million values, {card.bytes / 1e6:.1f} MB",
        f"made from:  {card.origin.file} ({card.origin.format}, sha256 {card.origin.sha256[:12]}...) {card.converted}",
        f"terms:      {card.licence}",
    ]


def _say_terms(name: str, entry: Entry | None, licence: str) -> None:
    """The terms, before anything is done; to people only."""
    if entry is not None:
        for line in _lines_of_entry(entry):
            VOICE.say(line)
    elif not licence:
        VOICE.say(f"{name} is not on the list: its terms are what whoever made it says (--licence notes them).")


def _agrees() -> bool:
    if VOICE.json or VOICE.quiet or not sys.stdin.isatty():
        return False
    return typer.confirm("Do you agree to these terms and want it fetched?", default=False)


def _progress(name: str) -> Any:
    """A context manager that gives what to call with bytes; None where nobody looks."""
    if not VOICE.shows_progress or not sys.stderr.isatty():
        return contextlib.nullcontext()
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    @contextlib.contextmanager
    def shown() -> Any:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task(name, total=None)
            yield lambda have, size: progress.update(task, completed=have, total=size)

    return shown()
