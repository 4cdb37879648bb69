"""What is installed: `operators`, `pipelines`, `configs` stand at the top of the repository and inside the package."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
INSIDE = ("operators", "pipelines", "configs")
PIP = [sys.executable, "-m", "pip", "--quiet", "--no-input"]
FROM_DISK = ["--no-deps", "--no-index", "--no-build-isolation"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what the build reads, so that no stale build folder takes part and none is left behind."""
    folder = tmp_path_factory.mktemp("checkout") / "project"
    folder.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("vidswap", *INSIDE):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run([*PIP, "wheel", *FROM_DISK, "-w", str(out), str(checkout)], check=True, timeout=120)
    (built,) = out.glob("*.whl")
    shutil.rmtree(checkout / "build", ignore_errors=True)
    return built


@pytest.fixture(scope="module")
def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def imported_from(script, *arguments):
    """Runs a script away from the repository, without PYTHONPATH and user's site; its last line is a path."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    command = [sys.executable, "-I", "-S", "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip().splitlines()[-1])


def test_the_wheel_holds_every_module_and_no_other(names):
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "vidswap").rglob("*.py")}
    modules |= {f"vidswap/{p.relative_to(ROOT).as_posix()}" for d in INSIDE for p in (ROOT / d).rglob("*.py")}
    assert {n for n in names if n.endswith(".py")} == modules
    assert "vidswap/operators/blend.py" in names


def test_the_wheel_holds_the_data_that_the_modules_read(names):
    wanted = {f"vidswap/{p.relative_to(ROOT).as_posix()}" for d in INSIDE for p in (ROOT / d).glob("*.yaml")}
    assert {"vidswap/pipelines/swap-mesh.yaml", "vidswap/configs/laptop.yaml"} <= wanted
    wanted |= {f"vidswap/demo/{n}" for n in ("astronaut.jpg", "grace_hopper.jpg", "PORTRAITS.md")}
    wanted |= {"vidswap/py.typed", "vidswap/faces/canonical_face.npz"}
    assert wanted <= names
    assert any(re.fullmatch(r"vidswap-[\d.]+\.dist-info/licenses/LICENSE", n) for n in names)


def test_the_wheel_installs_no_foreign_top_level_package(names):
    tops = {n.split("/")[0] for n in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"vidswap"}


def test_an_installed_wheel_imports_operators_from_inside_the_package(wheel, tmp_path):
    subprocess.run([*PIP, "install", *FROM_DISK, "--target", str(tmp_path), str(wheel)], check=True, timeout=120)
    script = (
        "import sys; sys.path[:0] = sys.argv[1:2]; sys.path.append(sys.argv[2])\n"
        "import vidswap.operators.blend, vidswap.pipelines, vidswap.configs\n"
        "print(vidswap.operators.blend.__file__)"
    )
    place = imported_from(script, tmp_path, sysconfig.get_path("purelib"))
    assert place == tmp_path / "vidswap" / "operators" / "blend.py"


def test_an_editable_install_imports_operators_from_the_top_of_the_repository(checkout, tmp_path):
    subprocess.run(
        [*PIP, "install", *FROM_DISK, "--ignore-installed", "--prefix", str(tmp_path), "-e", str(checkout)],
        check=True,
        timeout=120,
    )
    (site,) = {p.parent for p in tmp_path.rglob("*.pth")}
    # The finder of the editable install comes first: the environment of the tests may hold another vidswap.
    script = (
        "import site, sys; before = list(sys.meta_path); site.addsitedir(sys.argv[1]); sys.path.append(sys.argv[2])\n"
        "sys.meta_path.sort(key=lambda finder: finder in before)\n"
        "import vidswap.operators.blend, vidswap.pipelines, vidswap.configs\n"
        "print(vidswap.operators.blend.__file__)"
    )
    place = imported_from(script, site, sysconfig.get_path("purelib"))
    assert place == checkout / "operators" / "blend.py"


def test_every_entry_point_leads_to_an_operator():
    from vidswap.graph import Operator, find_operator, operator_names

    own = [n for n, entry in operator_names().items() if entry.value.startswith("vidswap.operators.")]
    assert "blend.face" in own
    assert all(issubclass(find_operator(name), Operator) for name in own)


def test_readme_and_ci_install_and_test_by_the_same_command():
    command = "pip install -e '.[dev]' && .venv/bin/pytest -n auto"
    assert command in (ROOT / "README.md").read_text()
    assert "README.md" in (ROOT / ".ci" / "run").read_text()
