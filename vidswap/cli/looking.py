"""`vidswap inspect`, `operators` and `pipelines`: commands that look and change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .console import VOICE, table


def inspect(video: Path, input_rate: str | None = None, video_stream: int | None = None) -> None:
    """Print what a video holds."""
    from vidswap.media import probe
    from vidswap.media.image_sequences import DEFAULT_RATE, frame_rate

    rate = frame_rate(input_rate) if input_rate else DEFAULT_RATE
    facts = probe(video, image_rate=rate, video_stream=video_stream).summary()
    if VOICE.json:
        VOICE.result(facts, [])
        return
    for warning in facts.pop("warnings"):
        VOICE.warn(warning)
    rows = [(name, _shown(value)) for name, value in facts.items() if not isinstance(value, list)]
    table(str(video), ["", ""], rows)
    for name, items in facts.items():
        if isinstance(items, list) and items:
            columns = list(items[0])
            table(name, columns, [[_shown(item.get(c, "")) for c in columns] for item in items])


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{k}={_shown(v)}" for k, v in value.items())
    return "-" if value is None or value == "" else str(value)


def operators() -> None:
    """Print the operators installed here; one that cannot be imported is listed with the reason."""
    from vidswap.graph import InputError, find_operator, operator_names

    facts: list[dict[str, Any]] = []
    for name, entry in operator_names().items():
        try:
            operator = find_operator(name)
        except InputError as error:
            facts.append({"name": name, "class": entry.value, "error": str(error)})
            continue
        facts.append(
            {
                "name": name,
                "class": entry.value,
                "about": (operator.__doc__ or "").strip().split("\n")[0],
                "kind": operator.kind,
                "each": operator.each,
                "needs": list(operator.needs),
                "uses": list(operator.uses),
                "gives": list(operator.gives),
                "needs_source": list(operator.needs_source),
                "options": {n: _option(f) for n, f in operator.Options.model_fields.items()},
            }
        )
    if VOICE.json:
        VOICE.result({"operators": facts}, [])
        return
    rows = []
    for fact in facts:
        told = str(fact.get("error") or fact["about"])
        needs = ", ".join([*fact.get("needs", []), *(f"source.{n}" for n in fact.get("needs_source", []))])
        rows.append((fact["name"], needs, ", ".join(fact.get("gives", [])), told))
    table("", ["operator", "needs", "gives", "about"], rows)


def _option(field: Any) -> dict[str, Any]:
    return {"default": field.default, "about": field.description or ""}


def pipelines() -> None:
    """Print the pipelines installed here."""
    from vidswap.graph import InputError, pipeline_files
    from vidswap.graph.specification import load_specification

    facts: list[dict[str, Any]] = []
    for name, path in pipeline_files().items():
        try:
            specification = load_specification(path)
            stages = [s.use for s in specification.stages]
            facts.append({"name": name, "about": specification.about, "stages": stages, "file": str(path)})
        except InputError as error:
            facts.append({"name": name, "about": f"cannot be read: {error}", "stages": [], "file": str(path)})
    if VOICE.json:
        VOICE.result({"pipelines": facts}, [])
        return
    table("", ["pipeline", "stages", "about"], [(f["name"], " ".join(f["stages"]), f["about"]) for f in facts])
