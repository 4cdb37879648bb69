"""`vidswap inspect`, `operators`, `pipelines` and `doctor`: commands that look and change nothing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .console import VOICE, table

ENCODERS = ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "prores_ks", "ffv1", "h264_nvenc", "hevc_nvenc")
EXTRAS = {
    "decord": ("decord", "pip install 'vidswap[decord]'"),
    "Ray": ("ray", "pip install 'vidswap[ray]'"),
    "ffmpeg-python": ("ffmpeg", "pip install 'vidswap[ffmpeg]'"),
}


def inspect(video: Path, input_rate: str | None = None) -> None:
    """Print what a video holds."""
    from vidswap.media import probe
    from vidswap.media.image_sequences import DEFAULT_RATE, frame_rate

    facts = probe(video, image_rate=frame_rate(input_rate) if input_rate else DEFAULT_RATE).summary()
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


@dataclass
class Finding:
    """One line of the doctor's: what was looked at, how it is, and the remedy where something is missing."""

    what: str
    state: str
    ok: bool = True
    remedy: str = ""


def doctor() -> None:
    """Print the state of this machine. Raises VidswapError (exit code 1) when something necessary is missing."""
    from vidswap.graph import VidswapError

    findings = [*_versions(), *_codecs(), *_models(), *_devices(), *_extras()]
    facts = {"findings": [vars(f) for f in findings], "ok": all(f.ok for f in findings)}
    if VOICE.json:
        VOICE.result(facts, [])
    else:
        marks = {True: "ok", False: "MISSING"}
        table("", ["", "", "state", "remedy"], [(marks[f.ok], f.what, f.state, f.remedy) for f in findings])
    broken = [f.what for f in findings if not f.ok]
    if broken:
        raise VidswapError(f"missing: {', '.join(broken)}; the remedies stand beside them")


def _versions() -> list[Finding]:
    from vidswap import __version__

    found = [
        Finding("vidswap", __version__),
        Finding("Python", f"{platform.python_version()} on {platform.platform()}"),
    ]
    if not (3, 10) <= sys.version_info[:2] <= (3, 12):
        found[-1] = Finding("Python", platform.python_version(), False, "use Python 3.10, 3.11 or 3.12")
    for name in ("torch", "av", "mediapipe", "numpy", "opencv-contrib-python", "kornia"):
        try:
            found.append(Finding(name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            found.append(Finding(name, "not installed", False, f"pip install {name}, or reinstall vidswap"))
    if importlib.util.find_spec("cv2") and _installed("opencv-python"):
        remedy = "pip uninstall opencv-python opencv-contrib-python; pip install opencv-contrib-python"
        found.append(Finding("opencv-python beside opencv-contrib-python", "both write the same folder", False, remedy))
    return found


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _codecs() -> list[Finding]:
    import av

    there = [name for name in ENCODERS if name in av.codecs_available]
    absent = [name for name in ENCODERS if name not in av.codecs_available]
    found = [Finding("encoders", ", ".join(there), "libx264" in there, "" if "libx264" in there else "reinstall av")]
    if absent:
        found.append(Finding("encoders not in this build of PyAV", ", ".join(absent)))
    versions = ", ".join(f"{k} {'.'.join(map(str, v))}" for k, v in sorted(av.library_versions.items()))
    return [*found, Finding("FFmpeg libraries", versions)]


def _models() -> list[Finding]:
    package = importlib.util.find_spec("mediapipe")
    if package is None or package.origin is None:
        return [Finding("face models", "mediapipe is missing", False, "pip install mediapipe==0.10.21")]
    modules = Path(package.origin).parent / "modules"
    wanted = {
        "face detector": "face_detection/face_detection_full_range_sparse.tflite",
        "landmark model": "face_landmark/face_landmark_with_attention.tflite",
        "person segmenter": "selfie_segmentation/selfie_segmentation.tflite",
    }
    remedy = "pip install mediapipe==0.10.21, the last release whose wheel carries its models"
    return [
        Finding(name, file.rsplit("/", 1)[1], (modules / file).is_file(), "" if (modules / file).is_file() else remedy)
        for name, file in wanted.items()
    ]


def _devices() -> list[Finding]:
    from vidswap.runtime.settings import available_cores

    found = [Finding("CPU", f"{available_cores()} cores")]
    if importlib.util.find_spec("torch") is not None:
        import torch

        if torch.cuda.is_available():
            found += [Finding(f"GPU {i}", torch.cuda.get_device_name(i)) for i in range(torch.cuda.device_count())]
        else:
            found.append(Finding("GPU", "none; swap-mesh needs none, learned methods are slow without one"))
    return found


def _extras() -> list[Finding]:
    found = []
    for name, (module, remedy) in EXTRAS.items():
        there = importlib.util.find_spec(module) is not None
        found.append(
            Finding(f"optional: {name}", "installed" if there else "not installed", True, "" if there else remedy)
        )
    binary = shutil.which("ffmpeg")
    found.append(
        Finding("optional: ffmpeg binary", binary or "not on PATH", True, "" if binary else "apt install ffmpeg")
    )
    return found
