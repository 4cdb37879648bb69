"""Run profiles: settings of a run, and options of stages, kept in a YAML file under `configs/` or anywhere else."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vidswap.graph import InputError
from vidswap.graph.registry import nearest
from vidswap.graph.specification import explain, read_yaml
from vidswap.runtime.settings import RunSettings


def run_settings(profile: str | None, given: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Settings of a profile with those given on the command line laid over it.

    Returns the profile's `options` (stage.option=value strings) and the settings. Raises InputError for an unknown
    profile, an unknown key and values out of range.
    """
    content: dict[str, Any] = {}
    if profile is not None:
        path = _find(profile)
        loaded = read_yaml(path)
        if not isinstance(loaded, dict):
            raise InputError(f"{path}: a profile is a mapping, got {type(loaded).__name__}")
        content = dict(loaded)
    options = content.pop("options", [])
    if not isinstance(options, list) or not all(isinstance(o, str) for o in options):
        raise InputError(f"{profile}: options: a list of stage.option=value strings")
    content.update({name: value for name, value in given.items() if value is not None and value is not False})
    try:
        settings = RunSettings(**content)
    except ValidationError as error:
        name = str(next(iter(error.errors()[0]["loc"]), ""))
        if given.get(name) is None:
            raise InputError(f"{profile}: {explain(error, RunSettings.model_fields)}") from None
        option = f"--{name.removesuffix('_s').replace('_', '-')}"
        raise InputError(explain(error, RunSettings.model_fields).replace(name, option, 1)) from None
    if given.get("ray_address") and settings.executor != "ray":
        raise InputError("--ray-address is for --executor ray; give that, too, or leave the address out")
    return options, settings.model_dump()


def _find(profile: str) -> Path:
    if profile.endswith((".yaml", ".yml")):
        if not Path(profile).is_file():
            raise InputError(f"no such profile: {profile}")
        return Path(profile)
    package = importlib.resources.files("vidswap.configs")
    # The catalogue of weights lies beside the profiles.
    files = (i for i in package.iterdir() if i.name.endswith(".yaml") and i.name != "weights.yaml")
    names = {i.name.rsplit(".", 1)[0]: i for i in files}
    if profile not in names:
        raise InputError(f"unknown profile {profile!r}; {nearest(profile, names)}")
    return Path(str(names[profile]))
