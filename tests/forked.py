"""Processes of their own to be killed: copies of one that has its packages loaded, so that dozens cost little.

Each is a real process with a pid, which begins where a fresh one would be when its imports are done.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_TEMPLATE = """
import importlib, json, os, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
code = None
for line in sys.stdin:
    asked = json.loads(line)
    if "wait" in asked:
        pid, status = os.waitpid(asked["wait"], os.WNOHANG)
        print(json.dumps(os.waitstatus_to_exitcode(status) if pid else None), flush=True)
        continue
    pid = os.fork()
    if not pid:
        told = os.open(asked["told"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for descriptor in (1, 2):
            os.dup2(told, descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.clear()
        os.environ.update(asked["environment"])
        code = asked["code"]
        break
    print(pid, flush=True)
if code is not None:
    exec(code, {"__name__": "__main__"})
"""


class Template:
    """The process of which copies are made; `modules` are what it has loaded. To be closed.

    `environment` is that of all; None is that of this process, at each moment.
    """

    def __init__(self, *modules: str, environment: dict[str, str] | None = None) -> None:
        self._environment = environment
        first = os.environ if environment is None else environment
        path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [first.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-c", _TEMPLATE, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**first, "PYTHONPATH": path},
        )
        self._started: list[Forked] = []

    def start(self, code: str, told: Path) -> Forked:
        """A copy that runs `code`; what it says is appended to the file `told`."""
        environment = dict(os.environ if self._environment is None else self._environment)
        asked = {"code": code, "told": str(told), "environment": environment}
        self._started.append(Forked(self, self.ask(asked), told))
        return self._started[-1]

    def ask(self, what: dict[str, object]) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.wait()
        self._process.communicate()


class Forked:
    """A copy: what of subprocess.Popen is used."""

    def __init__(self, template: Template, pid: int, told: Path) -> None:
        self._template, self.pid, self.told = template, pid, told
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._template.ask({"wait": self.pid})
        return self.returncode

    def wait(self, timeout: float = 300.0) -> int:
        until = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            time.sleep(0.005)
        assert self.returncode is not None
        return self.returncode

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
