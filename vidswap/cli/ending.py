"""How every command ends: exit codes 0, 1, 2 and 130, and one line for what went wrong."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from typing import Any

from .console import VOICE

# What no file can be called, however full or broken a disk is.
_NAMES_OF_NOTHING = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR)


def exit_code(run: Callable[[], Any], arguments: list[str] | None) -> int:
    """Run a command and return its exit code; what went wrong is told in one line. Bugs are raised.

    `arguments` are the command's (None: those of the process), which say how an error of usage is told.
    """
    try:
        code: Any = run()
        if code == 130:
            # Typer's own way to tell a Ctrl-C.
            VOICE.fail("interrupted", 130)
    except KeyboardInterrupt:
        VOICE.fail("interrupted", 130)
        return 130
    except Exception as error:
        # Imports of compiled modules tell a Ctrl-C as a failed import.
        if isinstance(error.__cause__ or error.__context__, KeyboardInterrupt) and not hasattr(error, "exit_code"):
            VOICE.fail("interrupted", 130)
            return 130
        from vidswap.graph import VidswapError

        if isinstance(error, VidswapError):
            VOICE.fail(str(error), error.exit_code)
            return error.exit_code
        if isinstance(error, OSError) and type(error).__module__ == "builtins" and error.errno:
            from vidswap.runtime.store import trouble

            code = 2 if error.errno in _NAMES_OF_NOTHING else 1
            VOICE.fail(trouble(error), code)
            return code
        # Usage errors of typer's parser: a class of its vendored click, or of click itself in older releases.
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            if "--json" in (sys.argv if arguments is None else arguments):
                VOICE.json = True
            VOICE.fail(_usage(error), error.exit_code)
            return int(error.exit_code)
        raise
    return int(code or 0)


def _usage(error: Any) -> str:
    """What is wrong with how a command was written, and where its options stand."""
    command = getattr(getattr(error, "ctx", None), "command_path", None) or "vidswap"
    told = error.format_message().rstrip() or "give a command"
    return f"{told}{'' if told.endswith(('.', '?', '!')) else '.'} See {command} --help."
