"""The catalogue of official releases (`configs/weights.yaml`): what each is, whose, under which terms, where it is."""

from __future__ import annotations

import functools
import importlib.resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from vidswap.graph.errors import InputError
from vidswap.graph.registry import nearest
from vidswap.graph.specification import read_yaml


class Licence(BaseModel):
    """Terms of use: a word, a sentence and where they stand."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    word: str
    terms: str
    link: str


class Entry(BaseModel):
    """One release. parts: {prefix: {network, and what is fixed of its configuration}}."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    what: str
    owner: str
    licence: Licence
    home: str
    files: list[str] = Field(min_length=1)
    format: str
    url: str | None
    sha256: str | None = Field(pattern="^[0-9a-f]{64}$")
    sha256_begins: str | None = Field(default=None, pattern="^[0-9a-f]{8,63}$")
    parts: dict[str, dict[str, Any]]

    def check_sha256(self, digest: str) -> None:
        """Hold a file's SHA-256 against the owners'. Raises InputError where they differ."""
        wanted = self.sha256 or self.sha256_begins
        if wanted is not None and not digest.startswith(wanted):
            raise InputError(
                f"has the SHA-256 {digest[:16]}..., the owners' file {wanted[:16]}...: damaged or another file"
            )


@functools.cache
def catalogue() -> dict[str, Entry]:
    """All releases by name, in the file's order."""
    given = read_yaml(Path(str(importlib.resources.files("vidswap.configs").joinpath("weights.yaml"))))
    licences = {name: Licence(**terms) for name, terms in given["licences"].items()}
    return {
        name: Entry(name=name, **{**entry, "licence": licences[entry["licence"]]})
        for name, entry in given["weights"].items()
    }


def entry_named(name: str) -> Entry:
    """The release of this name. Raises InputError for others, with the nearest name."""
    entry = catalogue().get(name)
    if entry is None:
        raise InputError(f"no weights {name!r} in the catalogue; {nearest(name, catalogue())}")
    return entry
