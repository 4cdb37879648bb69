"""The registry: from a name in YAML to an operator class or a pipeline file.

Built-in operators are found as a stranger's are: by entry point of the group `vidswap.operators`, or as `module:Class`.
Pipelines are YAML files in packages named by entry points of the group `vidswap.pipelines`.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.metadata
import importlib.resources
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .errors import InputError
from .operator import Operator

OPERATORS_GROUP = "vidswap.operators"
PIPELINES_GROUP = "vidswap.pipelines"


def nearest(name: str, names: Iterable[str]) -> str:
    """A half-sentence for error messages: the nearest of `names`, or all of them when none is near."""
    names = sorted(names)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there are: {', '.join(names)}" if names else "there are none"


def operator_names() -> dict[str, importlib.metadata.EntryPoint]:
    """All operators installed here, by name, without importing them."""
    return {e.name: e for e in sorted(_entry_points(OPERATORS_GROUP, tuple(sys.path)), key=lambda e: e.name)}


@functools.cache
def _entry_points(group: str, path: tuple[str, ...]) -> tuple[importlib.metadata.EntryPoint, ...]:
    """All entry points of a group; reading what every installed package declares takes some ten milliseconds."""
    return tuple(importlib.metadata.entry_points(group=group))


def find_operator(name: str) -> type[Operator[Any]]:
    """The operator class called `name`: an entry point's name, or `package.module:Class`.

    Raises InputError for an unknown name (with the nearest one), for code that cannot be imported, and for something
    that is no Operator, or one without a kind.
    """
    if ":" in name:
        module_name, _, attribute = name.partition(":")
        try:
            found: Any = importlib.import_module(module_name)
            for part in attribute.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError, ValueError) as error:
            raise InputError(
                f"operator {name!r} cannot be imported: {error}; write it as package.module:Class"
            ) from error
        except Exception as error:
            raise InputError(f"operator {name!r} cannot be imported: {_told(error)}") from error
    else:
        names = operator_names()
        if name not in names:
            raise InputError(f"unknown operator {name!r}; {nearest(name, names)}")
        try:
            found = names[name].load()
        except Exception as error:
            raise InputError(f"operator {name!r} ({names[name].value}) cannot be imported: {_told(error)}") from error
    if not (isinstance(found, type) and issubclass(found, Operator)):
        raise InputError(f"operator {name!r} is {found!r}, which is no subclass of vidswap.graph.Operator")
    if not hasattr(found, "kind"):
        raise InputError(f"operator {name!r} does not say which kind of stage it is: give {found.__name__} a kind")
    return found


def _told(error: Exception) -> str:
    """What a stranger's module says that does not import, in one line; where, if Python does not understand it."""
    where = f" ({error.filename}, line {error.lineno})" if isinstance(error, SyntaxError) else ""
    said = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
    return f"{said}{where}" if isinstance(error, ImportError) else f"{type(error).__name__}: {said}{where}"


def pipeline_files() -> dict[str, Path]:
    """All pipelines installed here: name (the file's stem) to YAML file."""
    files: dict[str, Path] = {}
    for entry in _entry_points(PIPELINES_GROUP, tuple(sys.path)):
        package = importlib.resources.files(entry.value)
        for item in package.iterdir():
            if item.name.endswith((".yaml", ".yml")):
                files.setdefault(item.name.rsplit(".", 1)[0], Path(str(item)))
    return dict(sorted(files.items()))


def find_pipeline(name: str | Path) -> Path:
    """The YAML file of a pipeline given by path or by the name of an installed one. Raises InputError."""
    path = Path(name)
    if path.suffix in {".yaml", ".yml"}:
        if path.is_file():
            return path
        raise InputError(f"no such pipeline file: {path}")
    files = pipeline_files()
    if str(name) not in files:
        raise InputError(f"unknown pipeline {str(name)!r}; {nearest(str(name), files)}")
    return files[str(name)]
