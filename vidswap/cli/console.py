"""What the command says and how it ends: one place for lines, JSON, warnings and exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass
class Voice:
    """How one invocation speaks: to people (default), to machines (`--json`), or hardly (`--quiet`)."""

    json: bool = False
    quiet: bool = False

    @property
    def shows_progress(self) -> bool:
        """Whether live progress is wanted and possible."""
        return not self.json and not self.quiet

    def say(self, line: str) -> None:
        """A line for people, on stdout."""
        if not self.json and not self.quiet:
            sys.stdout.write(line + "\n")

    def result(self, facts: dict[str, Any], lines: Iterable[str]) -> None:
        """The outcome: one JSON object for machines, lines for people."""
        if self.json:
            sys.stdout.write(json.dumps(facts, default=str) + "\n")
        else:
            for line in lines:
                self.say(line)

    def warn(self, line: str) -> None:
        """A warning, on stderr."""
        if not self.json:
            sys.stderr.write(f"warning: {line}\n")

    def fail(self, line: str, exit_code: int) -> None:
        """An error: one line on stderr, and for machines one JSON object on stdout."""
        if self.json:
            sys.stdout.write(json.dumps({"error": line, "exit_code": exit_code}) + "\n")
        sys.stderr.write(f"error: {line}\n")


VOICE = Voice()


def set_voice(as_json: bool, quiet: bool = False) -> None:
    """How this invocation speaks."""
    VOICE.json, VOICE.quiet = as_json, quiet


def all_but_voice(given: dict[str, Any]) -> dict[str, Any]:
    """The options of a command, those of its `**given` among them, less those that set the voice."""
    given.update(given.pop("given", {}))
    set_voice(given.pop("as_json"), given.pop("quiet"))
    return given


_UNFOLDED = 400


def table(title: str, columns: list[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table for people."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    made = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for i, column in enumerate(columns):
        made.add_column(column, no_wrap=i == 0, overflow="fold")
    for row in rows:
        made.add_row(*map(escape, row))
    # Where nobody looks at a screen, lines are as long as what they say.
    Console(width=None if sys.stdout.isatty() else _UNFOLDED).print(made)
