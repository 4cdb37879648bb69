"""Recording: the trace and the page of a run, where they were asked for, written whatever becomes of the run."""

from __future__ import annotations

import contextlib
import gzip
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO, cast

from vidswap.files import written_whole
from vidswap.graph import InputError, Pipeline, Segment, VidswapError
from vidswap.storage import RemotePath

from .page import write_page
from .report import Event, Listener, Report
from .settings import RunSettings
from .timings import Timings
from .trace import ChromeTrace

_SUFFIXES = {"trace": (".json", ".json.gz"), "report": (".html", ".htm")}


class Recording:
    """Listens to a run beside another listener; costs nothing where neither file was asked for.

    Raises InputError for names that are none of a trace's or a page's, and for folders that cannot be written.
    """

    def __init__(self, settings: RunSettings, listener: Listener | None) -> None:
        self.settings = settings
        self.wanted = settings.trace is not None or settings.report is not None
        self._listeners = [listener] if listener else []
        self._stack = contextlib.ExitStack()
        self._trace: ChromeTrace | None = None
        self._timings: Timings | None = None
        self._about: tuple[Mapping[str, Path], Report, Pipeline, Any, Sequence[Segment]] | None = None
        for name, path in (("trace", settings.trace), ("report", settings.report)):
            if path is not None:
                _check(name, path)

    def begin(
        self,
        report: Report,
        sources: Mapping[str, Path],
        pipeline: Pipeline,
        video: Any,
        segments: Sequence[Segment],
    ) -> None:
        """Open the trace; called when all input has been found good. `report` is looked at when the run is over."""
        self._about = (sources, report, pipeline, video, segments)
        if self.settings.report is not None:
            self._timings = Timings(pipeline.parts)
        if self.settings.trace is not None:
            temporary = self._stack.enter_context(written_whole(self.settings.trace))
            file = self._stack.enter_context(_opened(temporary, compressed=self.settings.trace.suffix == ".gz"))
            title = f"{report.pipeline}: {report.target} -> {report.output}"
            self._trace = ChromeTrace(file, pipeline.parts, title)
            self._stack.callback(self._trace.complete)

    def also(self, listener: Listener | None) -> None:
        """Pass events on to one more listener, if there is one."""
        if listener is not None:
            self._listeners.append(listener)
            self.wanted = True

    def __call__(self, event: Event) -> None:
        """Pass an event of the run on."""
        if self._timings is not None:
            self._timings(event)
        if self._trace is not None:
            self._trace(event)
        for listener in self._listeners:
            listener(event)

    @contextlib.contextmanager
    def until_over(self) -> Iterator[None]:
        """The run goes on inside; then both files are completed, however it ended."""
        try:
            yield
        except BaseException as error:
            self._end(error)
            raise
        self._end(None)

    def _end(self, error: BaseException | None) -> None:
        try:
            self._trace = None
            self._stack.close()
            if self._timings is not None and self._about is not None and self.settings.report is not None:
                write_page(self.settings.report, self._timings, self.settings, *self._about, error)
        except (OSError, VidswapError) as failed:
            if error is None:
                # The result is there, and whole.
                raise VidswapError(f"the output is written, but not the trace or report: {failed}") from failed


def _opened(path: Path, *, compressed: bool) -> TextIO:
    return cast(TextIO, gzip.open(path, "wt")) if compressed else path.open("w")


def _check(name: str, path: Path) -> None:
    suffixes = _SUFFIXES[name]
    if not path.name.endswith(suffixes) or path.name in suffixes:
        raise InputError(f"--{name} {path}: give the name of a {' or '.join(suffixes)} file")
    if isinstance(path, RemotePath):
        if not path.bucket.exists():
            raise InputError(f"--{name} {path}: {path.missing()}; make it first")
        return
    if path.is_dir():
        raise InputError(f"--{name} {path} is a folder; give the name of a file")
    parent = path.absolute().parent
    if not parent.is_dir():
        raise InputError(f"--{name} {path}: the folder {parent} does not exist; make it first")
    if not os.access(parent, os.W_OK):
        raise InputError(f"--{name} {path}: the folder {parent} is not writable")
