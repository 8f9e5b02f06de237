"""A script without a main guard is told so, in one line, soon, whatever it starts processes for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from air3d.renderers.probe import probe_gl

ROOT = Path(__file__).parents[2]
SCRIPTS = {
    "generate": """
from air3d.cli.main import main
line = "generate single {out} --num 8 --seed 1 --scenes-per-shard 2 --renderer analytic --workers 2 --size 16"
raise SystemExit(main(line.split()))
""",
    "build": """
from functools import partial
from pathlib import Path
from air3d.datasets.build import Build
from air3d.datasets.config import GenerateConfig
from air3d.datasets.recipe import SceneRecipe
from air3d.renderers.choice import make_renderer
from air3d.scene3d.errors import InputError
from air3d.scene3d.presets import single_prior
config = GenerateConfig("single", 8, 0, single_prior(), size=16, scenes_per_shard=2)
try:
    with Build(config, Path("{out}")) as build:
        build.run(SceneRecipe(config, partial(make_renderer, backend="analytic")), {{}}, 2, lambda scenes: None)
except InputError as error:
    raise SystemExit(f"air3d: error: {{error}}")
""",
    "gl_pool": """
from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.errors import InputError
try:
    make_renderer(RenderConfig(("cube",), height=16, width=16), "gl_pool", workers=2).close()
except InputError as error:
    raise SystemExit(f"air3d: error: {{error}}")
""",
}


def run(*argv: str, **kwargs: object) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *argv], env=environment, capture_output=True, text=True, timeout=120, check=False, **kwargs
    )


@pytest.fixture(params=SCRIPTS)
def script(request, tmp_path):
    if request.param == "gl_pool" and probe_gl().platform is None:
        pytest.skip("no OpenGL")
    path = tmp_path / "mine.py"
    path.write_text(SCRIPTS[request.param].format(out=tmp_path / "out"))
    return path


def test_without_a_guard_it_says_which_lines_to_add(script):
    done = run(str(script))
    errors = [line for line in done.stderr.splitlines() if "made" not in line]
    assert done.returncode in (1, 2)
    assert len(errors) == 1 and errors[0].startswith("air3d: error: mine.py starts processes"), done.stderr
    assert 'if __name__ == "__main__":' in errors[0] and "main()" in errors[0]


def test_with_a_guard_it_works(script):
    text = "".join(f"    {line}\n" for line in script.read_text().splitlines())
    script.write_text(f'def main():\n{text}if __name__ == "__main__":\n    main()\n')
    done = run(str(script))
    assert done.returncode == 0, done.stderr


def test_a_program_from_standard_input_is_told_to_become_a_file(tmp_path):
    done = run("-", input=SCRIPTS["generate"].format(out=tmp_path / "out"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "save it to a file" in done.stderr
