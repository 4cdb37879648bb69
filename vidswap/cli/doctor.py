"""`vidswap doctor`: what of this machine vidswap can use, what is missing, and how to get it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .console import VOICE, table

if TYPE_CHECKING:
    from vidswap.media.hardware_encoders import Trial

ENCODERS = ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "prores_ks", "ffv1", "h264_nvenc", "hevc_nvenc")
USUAL_MORE = (
    *("libaom-av1", "librav1e", "libtheora", "libxvid", "libopenh264", "libkvazaar", "libvvenc"),
    *("mpeg4", "mpeg2video", "mjpeg", "dnxhd", "cfhd", "huffyuv", "utvideo", "magicyuv"),
)
EXTRAS = {
    "decord (decode.decord)": ("decord", "pip install 'vidswap[decord]'"),
    "Ray": ("ray", "pip install 'vidswap[ray]'"),
    "ffmpeg-python (encode.ffmpeg)": ("ffmpeg", "pip install 'vidswap[ffmpeg]'"),
    "s3fs (s3:// addresses)": ("s3fs", "pip install 'vidswap[s3]'"),
    "TensorBoard (logs of train)": ("tensorboard", "pip install 'vidswap[train]'"),
}


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

    encoders = _encoders()
    findings = [*_versions(), *_codecs(), *_beyond(encoders), *_models(), *_devices(), *_extras()]
    facts = {"findings": [vars(f) for f in findings], "encoders": encoders, "ok": all(f.ok for f in findings)}
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
        "person segmenter": "selfie_segmentation/selfie_segmentation_landscape.tflite",
    }
    remedy = "pip install mediapipe==0.10.21, the last release whose wheel carries its models"
    return [
        Finding(name, file.rsplit("/", 1)[1], (modules / file).is_file(), "" if (modules / file).is_file() else remedy)
        for name, file in wanted.items()
    ]


def _devices() -> list[Finding]:
    from vidswap.runtime.settings import available_cores

    found = [Finding("CPU", f"{available_cores()} cores"), *_memory()]
    for what, place in (
        ("disk space here", Path.cwd()),
        ("disk space for temporary files", Path(tempfile.gettempdir())),
    ):
        found.append(Finding(what, f"{shutil.disk_usage(place).free / 2**30:.1f} GiB free in {place}"))
    if importlib.util.find_spec("torch") is not None:
        import torch

        if torch.cuda.is_available():
            found += [Finding(f"GPU {i}", torch.cuda.get_device_name(i)) for i in range(torch.cuda.device_count())]
        else:
            found.append(Finding("GPU", "none; swap-mesh needs none, learned methods are slow without one"))
    return found


def _memory() -> list[Finding]:
    try:
        page, pages, free = (os.sysconf(n) for n in ("SC_PAGE_SIZE", "SC_PHYS_PAGES", "SC_AVPHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return []
    return [Finding("memory", f"{page * pages / 2**30:.1f} GiB, {page * free / 2**30:.1f} GiB of it unused")]


def _encoders() -> dict[str, Any]:
    """Encoders by who has them, and whether those in hardware open; `binary` is None where there is no ffmpeg."""
    from vidswap.graph import InputError
    from vidswap.media import codecs, ffmpeg_binary, hardware_encoders

    offered = codecs.available_encoders()
    found: dict[str, Any] = {"pyav": offered, "binary": None, "hardware": []}
    trials = hardware_encoders.in_pyav()
    path = ffmpeg_binary.find_binary()
    if path is not None:
        binary: dict[str, Any] = {"path": path}
        found["binary"] = binary
        try:
            binary["version"] = ffmpeg_binary.version(path)
            binary["more"] = sorted(set(ffmpeg_binary.video_encoders(path)) - set(offered))
            trials += hardware_encoders.in_binary(path)
        except InputError as error:
            binary["error"] = str(error)
    found["hardware"] = [vars(t) for t in trials]
    return found


def _beyond(encoders: dict[str, Any]) -> list[Finding]:
    """The ffmpeg binary, what it adds, and encoders in hardware."""
    from vidswap.media.ffmpeg_binary import INSTALL_BINARY
    from vidswap.media.hardware_encoders import Trial

    binary = encoders["binary"]
    if binary is None:
        found = [Finding("optional: ffmpeg binary", "not found", True, INSTALL_BINARY)]
    elif "error" in binary:
        found = [Finding("optional: ffmpeg binary", binary["error"], True, INSTALL_BINARY)]
    else:
        more, usual = binary["more"], [name for name in USUAL_MORE if name in binary["more"]]
        among = f", among them {', '.join(usual)}" if usual else ""
        found = [
            Finding("optional: ffmpeg binary", f"{binary['path']}, version {binary['version']}"),
            Finding("encoders that encode.ffmpeg adds", f"{len(more)}{among}"),
        ]
    trials = [Trial(**t) for t in encoders["hardware"]]
    for where, whose in (("pyav", "PyAV"), ("binary", "the ffmpeg binary")):
        inside = [t for t in trials if t.where == where]
        if inside or where == "pyav":
            found.append(Finding(f"hardware encoders of {whose}", _opened(inside)))
    return found


def _opened(trials: list[Trial]) -> str:
    """Which open, and by family why others do not."""
    if not trials:
        return "none in this build"
    opened = [t.name for t in trials if t.opens]
    reasons: dict[str, str] = {}
    for trial in trials:
        if not trial.opens:
            reasons.setdefault(trial.family, trial.reason)
    missing = "; ".join(f"{family}: {reason}" for family, reason in reasons.items())
    told = f"{', '.join(opened)} open" if opened else "none opens"
    return f"{told} ({missing})" if missing else told


def _extras() -> list[Finding]:
    found = []
    for name, (module, remedy) in EXTRAS.items():
        there = importlib.util.find_spec(module) is not None
        found.append(
            Finding(f"optional: {name}", "installed" if there else "not installed", True, "" if there else remedy)
        )
    return found
