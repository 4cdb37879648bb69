"""A package outside the project adds a stage and a pipeline: installed by pip, found by entry point, run as a command.

Three places name the same things: the example's pyproject.toml, its YAML, and docs/custom-stages.md.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import yaml

from vidswap.demo import portrait
from vidswap.demo.clip import make_clip

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "custom_stage"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Environment of a process that sees the example installed by pip."""
    folder = tmp_path_factory.mktemp("custom_stage")
    shutil.copytree(EXAMPLE, folder / "package", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(folder / "site"), str(folder / "package")], check=True, timeout=120)
    return {**os.environ, "PYTHONPATH": str(folder / "site")}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return make_clip(portrait("astronaut"), path, seconds=0.6, size=(320, 240))


_SEVERAL = """
import contextlib, io, json, sys
from vidswap.cli.app import run_command
told = []
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = run_command(arguments)
    told.append((code, out.getvalue(), err.getvalue()))
print(json.dumps(told))
"""


def several(environment, *commands, cwd):
    """Commands in one process that sees the example: exit code, what was told, and what was wrong, of each."""
    run = [sys.executable, "-c", _SEVERAL, json.dumps(commands)]
    done = subprocess.run(run, env=environment, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def frames_of(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)]).astype(np.int16)


def test_stage_and_pipeline_are_listed_and_options_checked_before_anything_is_written(installed, clip, tmp_path):
    run = ("run", "anonymise", "-t", str(clip), "-o", str(tmp_path / "out.mp4"))
    operators, pipelines, out_of_range, misspelt = several(
        installed,
        ("operators", "--json"),
        ("pipelines", "--json"),
        (*run, "pixelate.cells=1"),
        (*run, "pixelate.cels=6"),
        cwd=tmp_path,
    )
    assert '"blend.pixelate"' in operators[1], operators
    assert '"anonymise"' in pipelines[1], pipelines
    assert out_of_range[0] == misspelt[0] == 2
    assert "cells" in out_of_range[2]
    assert "did you mean 'cells'?" in misspelt[2]
    assert list(tmp_path.iterdir()) == []


def test_the_command_runs_the_pipeline_and_covers_the_face(installed, clip, tmp_path):
    output = tmp_path / "anonymous.mp4"
    command = [sys.executable, "-m", "vidswap.cli", "run", "anonymise", "-t", clip, "-o", output, "encode.crf=12"]
    done = subprocess.run(
        [*command, "--json"], env=installed, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    before, after = frames_of(clip), frames_of(output)
    assert report["frames"] == len(before) == len(after) == 15
    assert report["frames_with_faces"] == 15
    changed = np.abs(after - before).mean(0)
    face, corner = changed[90:130, 140:180], changed[:60, :60]
    assert face.mean() > 8 * corner.mean()
    assert corner.mean() < 3


def test_a_stage_is_tested_without_the_engine(clip, monkeypatch):
    """As docs/custom-stages.md shows."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    from vidswap_pixelate.stages import Pixelate, PixelateOptions

    from vidswap import media
    from vidswap.graph import Batch, object_column

    picture = next(iter(media.read(media.probe(clip), 0, 1)))
    before = picture.planes[0].copy()
    box = np.array([[120, 70, 200, 150]], np.float32)
    stage = Pixelate(PixelateOptions(cells=4, margin=0))
    stage(Batch(frame=np.array([0]), box=box, picture=object_column([picture])))
    after = picture.planes[0]
    assert (after != before)[90:130, 140:180].mean() > 0.8
    np.testing.assert_array_equal(after[:, :115], before[:, :115])
    cell = after[92:108, 142:158]  # one of 4 x 4 cells of 20 px
    assert np.ptp(cell.astype(int)) <= 1


def test_documentation_example_and_entry_points_name_the_same_things():
    project = (EXAMPLE / "pyproject.toml").read_text()
    pipeline = yaml.safe_load((EXAMPLE / "vidswap_pixelate" / "anonymise.yaml").read_text())
    assert "blend.pixelate" in [stage["use"] for stage in pipeline["stages"]]
    for page in (ROOT / "docs" / "custom-stages.md", EXAMPLE / "README.md"):
        text = page.read_text()
        for name in ("blend.pixelate", "anonymise", "examples/custom_stage"):
            assert name in text, (page, name)
    documented = (ROOT / "docs" / "custom-stages.md").read_text()
    for line in ('"blend.pixelate" = "vidswap_pixelate.stages:Pixelate"', 'pixelate = "vidswap_pixelate"'):
        assert line in project
        assert line in documented
