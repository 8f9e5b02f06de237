"""What is installed: `air3d` alone, beside other people's `datasets` and `renderers`, which stay whole without it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOREIGN = ("datasets", "renderers")


def run(*argv: str | Path, cwd: Path, **variables: str) -> str:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "AIR3D"))} | variables
    done = subprocess.run([str(a) for a in argv], cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the wheel and the sdist of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", folder, cwd=ROOT)
    return folder


def wheel_of(name: str, folder: Path) -> Path:
    """A distribution of that name with one package of that name, as anybody might have it."""
    path, info = folder / f"{name}-9.0-py3-none-any.whl", f"{name}-9.0.dist-info"
    files = {
        f"{name}/__init__.py": f"OWNER = 'not air3d, but {name}'\n",
        f"{name}/protocol.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as file:
        for member, text in files.items():
            file.writestr(member, text)
        file.writestr(f"{info}/RECORD", "".join(f"{member},,\n" for member in [*files, f"{info}/RECORD"]))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder without what Python and numba compile them into."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }


def test_wheel_and_sdist_hold_air3d_alone(built):
    [wheel], [sdist] = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"air3d"}
    tracked = run("git", "ls-files", "scene3d", "renderers", "datasets", "air3d", "assets", cwd=ROOT).split()
    links = {"air3d/scene3d", "air3d/renderers", "air3d/datasets"}
    wanted = {name if name.startswith("air3d/") else f"air3d/{name}" for name in tracked if name not in links}
    assert {name for name in names if name.startswith("air3d/")} == wanted
    with tarfile.open(sdist) as file:
        inside = {name.split("/", 1)[1] for name in file.getnames()}
    assert wanted - {n for n in wanted if n.startswith("air3d/assets/")} <= inside
    assert {name.split("/")[0] for name in inside if "/" in name} == {"air3d", "assets"}


def test_the_sdist_makes_the_same_wheel(built, tmp_path):
    [sdist], [wheel] = built.glob("*.tar.gz"), built.glob("*.whl")
    with tarfile.open(sdist) as file:
        file.extractall(tmp_path, filter="data")
    [source] = tmp_path.iterdir()
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist", cwd=source)
    [again] = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        files = [name for name in one.namelist() if not name.endswith("RECORD")]
        assert set(other.namelist()) == set(one.namelist())
        assert all(one.read(name) == other.read(name) for name in files)


def test_it_lives_beside_other_packages_of_the_same_names(built, tmp_path):
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "env", cwd=tmp_path)
    python = tmp_path / "env" / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    # What air3d needs comes from here; a folder named so does not bring the editable air3d with it.
    (site / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    run(*pip, "install", "--no-index", "--no-deps", *(wheel_of(n, tmp_path) for n in FOREIGN), cwd=tmp_path)
    before = contents(site)

    [wheel] = built.glob("*.whl")
    run(*pip, "install", "--no-index", "--no-deps", "--no-compile", wheel, cwd=tmp_path)
    shown = "print(datasets.OWNER, renderers.OWNER, air3d.__file__)"
    found = run(python, "-c", f"import datasets, renderers, air3d; {shown}", cwd=tmp_path)
    assert found.split("not air3d, but ")[1:3] == ["datasets ", f"renderers {site / 'air3d' / '__init__.py'}\n"]
    air3d = python.parent / "air3d"
    run(air3d, "generate", "tabletop", "data", "--num", "2", "--seed", "3", cwd=tmp_path)
    drawn = "air3d.render(air3d.generate(1, seed=3))[0]"
    run(python, "-c", f"import air3d; from PIL import Image; Image.fromarray({drawn}).save('it.png')", cwd=tmp_path)
    run(air3d, "infer", "tabletop", "it.png", "--out", "answers", cwd=tmp_path)
    assert json.loads((tmp_path / "answers" / "it.scene.json").read_text())["objects"]

    run(*pip, "uninstall", "--yes", "air3d", cwd=tmp_path)
    assert contents(site) == before
