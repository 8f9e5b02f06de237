"""The order of the house: packages, their layers, and imports that do nothing."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINKED = ["scene3d", "renderers", "datasets"]
HEAVY = {"mujoco", "torch", "OpenGL", "glfw", "warp", "mujoco_warp", "matplotlib", "scipy", "gymnasium"}


@pytest.fixture(scope="module")
def pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def in_fresh_python(code):
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_importing_the_packages_does_nothing():
    code = f"""
import sys, threading
import air3d, {", ".join(f"air3d.{name}" for name in LINKED)}
heavy = {HEAVY!r} & set(sys.modules)
assert not heavy, heavy
assert threading.active_count() == 1, threading.enumerate()
"""
    in_fresh_python(code)


def test_importing_every_module_makes_no_context_and_no_thread():
    code = f"""
import importlib, pkgutil, sys, threading
for found in pkgutil.walk_packages(["air3d"], "air3d."):
    if not found.name.endswith("__main__"):
        try:
            importlib.import_module(found.name)
        except ModuleNotFoundError as error:  # a backend whose extra is not installed
            assert error.name in ("warp", "mujoco_warp"), error
assert "air3d.renderers.warp" in sys.modules or "air3d.renderers.gl" in sys.modules
bare = {{name.partition(".")[0] for name in sys.modules}} & set({LINKED!r})
assert not bare, f"{{bare}} imported without air3d: its modules would exist twice"
assert threading.active_count() == 1, threading.enumerate()
egl = sys.modules.get("mujoco.egl")
assert egl is None or egl.EGL_DISPLAY is None, "a display was opened"
import torch
assert not torch.cuda.is_initialized()
"""
    in_fresh_python(code)


def test_the_layers_are_declared(pyproject):
    config = pyproject["tool"]["importlinter"]
    assert config["root_packages"] == ["air3d", "experiments"]
    [layers] = [c["layers"] for c in config["contracts"] if c["type"] == "layers"]
    assert layers[-3:] == LINKED[::-1]
    [loose] = [c["forbidden_modules"] for c in config["contracts"] if c["name"].startswith("Scenes, renderers and")]
    modules = {path.stem for path in (ROOT / "air3d").glob("*.py")} - {"__init__", "__main__"}
    assert set(loose) == {f"air3d.{name}" for name in modules}, "those which stand loose in air3d/"
    forbidden = {m for c in config["contracts"] if c["type"] == "forbidden" for m in c["forbidden_modules"]}
    assert {"mujoco", "torch", "OpenGL", "warp"} <= forbidden


def test_the_layers_hold():
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_one_package_is_shipped_and_typed(pyproject):
    assert pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["air3d"]
    assert (ROOT / "air3d" / "py.typed").is_file()
    for name in LINKED:
        assert (ROOT / name / "__init__.py").is_file()
        assert (ROOT / "air3d" / name).readlink() == Path("..") / name
    banned = pyproject["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"]
    assert set(LINKED) <= set(banned)


def test_every_dependency_is_pinned(pyproject):
    def name(requirement):
        for separator in "<>=!~;[ ":
            requirement = requirement.split(separator)[0]
        return requirement.lower().replace("_", "-")

    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(pin.count("==") == 1 and "+" not in pin for pin in pins), "exact versions, no local ones"
    pinned = {name(pin) for pin in pins}
    assert len(pinned) == len(pins)
    assert "torch==2.13.0" in pins
    project = pyproject["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    assert {name(requirement) for group in groups for requirement in group} <= pinned


def test_the_stated_python_is_what_the_setup_checks(pyproject):
    assert pyproject["project"]["requires-python"] == ">=3.11"
    assert "(3, 11)" in (ROOT / "scripts" / "setup_venv.sh").read_text()
