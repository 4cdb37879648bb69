"""How mediapipe is imported: without what it tells while it loads, and without packages that vidswap has no use for."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile
import threading
import types
from collections.abc import Iterator
from typing import Any


def import_mediapipe() -> Any:
    """The package mediapipe, imported quietly and without what draws plots."""
    # Read by the C++ side when its library is loaded: errors only, as Python exceptions carry the rest.
    os.environ.setdefault("GLOG_minloglevel", "3")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet(), _without_plots():
        import mediapipe
    return mediapipe


class _Later(types.ModuleType):
    """Stands for a module until something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


@contextlib.contextmanager
def _without_plots() -> Iterator[None]:
    """While mediapipe is imported: no matplotlib, which its drawing tools import, and no sound device, for which a
    compiler is run in search of a library. Each costs a worker more time than the models; vidswap needs neither, and
    whoever draws with mediapipe's tools gets the real matplotlib then."""
    stands: dict[str, Any] = {}
    if "mediapipe" not in sys.modules:
        if "matplotlib" not in sys.modules:
            package, plots = types.ModuleType("matplotlib"), _Later("matplotlib.pyplot")
            package.__path__, package.pyplot = [], plots  # type: ignore[attr-defined]
            stands = {"matplotlib": package, "matplotlib.pyplot": plots}
        if "sounddevice" not in sys.modules:
            stands["sounddevice"] = None
    sys.modules.update(stands)
    try:
        yield
    finally:
        for name, stand in stands.items():
            if sys.modules.get(name, stands) is stand:
                del sys.modules[name]


_lock = threading.RLock()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back what native libraries write to stderr while they load, and let it out if loading fails."""
    with _lock, tempfile.TemporaryFile() as told:
        kept = os.dup(2)
        os.dup2(told.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(kept, 2)
            told.seek(0)
            os.write(2, told.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
