"""The README's commands: each parses and works, in the order they are written, with its sizes made small."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from air3d.cli.main import COMMANDS, main
from renderers.choice import make_renderer
from renderers.probe import probe_gl
from renderers.protocol import RenderConfig
from scene3d.presets import single_prior
from scene3d.prior import ScenePrior

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PICTURES = (".png", ".jpg", ".jpeg")

# What a number in the README is replaced by, and what is added to commands that leave it at its large default.
SMALL = {
    "--num": "8",
    "--workers": "1",
    "--train.iterations": "2",
    "--train.batch": "2",
    "--train.estimator.samples": "2",
    "--bound-samples": "2",
    "--iterations": "1",
    "--train-scenes": "6",
    "--test-scenes": "4",
    "--table-top-scenes": "3",
    "--film-every": "0",
}
ADDED = {
    "generate tabletop": ("--workers",),
    "generate single": ("--workers",),
    "train single": ("--train.iterations", "--train.batch", "--train.estimator.samples"),
    "evaluate": ("--bound-samples",),
    "train table-top": ("--train.iterations", "--train.batch", "--film-every"),
    "demo": ("--iterations", "--train-scenes", "--test-scenes", "--table-top-scenes"),
}
DRAWS = (
    "export bop-results",
    "generate tabletop",
    "generate single",
    "train single",
    "train table-top",
    "evaluate",
    "infer",
    "render",
    "demo",
)


def lines() -> list[str]:
    """The lines of all shell blocks, continued ones joined, without prompts."""
    blocks = re.findall(r"^```(?:sh|bash|console|shell)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    text = "\n".join(blocks).replace("\\\n", " ")
    return [line.strip().removeprefix("$ ") for line in text.splitlines() if line.strip()]


def calls(program: str) -> list[list[str]]:
    """Arguments of every call of a program."""
    found = []
    for line in lines():
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        if words[:3] in (["python", "-m", program], ["python3", "-m", program]):
            words = words[2:]
        if words and words[0] in (program, f".venv/bin/{program}"):
            found.append(words[1:])
    return found


def name_of(arguments: list[str]) -> str:
    names = [command.name for command in COMMANDS]
    both = " ".join(arguments[:2])
    return both if both in names else arguments[0]


def made_small(arguments: list[str]) -> list[str]:
    small = list(arguments)
    for i, word in enumerate(small[:-1]):
        if word in SMALL:
            small[i + 1] = SMALL[word]
    for option in ADDED.get(name_of(arguments), ()):
        if option not in small:
            small += [option, SMALL[option]]
    if name_of(arguments) in DRAWS and "--renderer" not in small and probe_gl().platform is None:
        small += ["--renderer", "analytic"]
    return small


def put_pictures(arguments: list[str], picture: np.ndarray) -> None:
    """Files that a reader has of their own: pictures named to `infer` that no command before has made."""
    if name_of(arguments) == "infer":
        for word in arguments[2:]:
            path = Path(word)
            if path.suffix.lower() in PICTURES and not path.exists() and "*" not in word:
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, from which the checkout's assets are found as from the checkout itself."""
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_work_in_order(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    prior = single_prior()
    with make_renderer(RenderConfig(prior.kinds, prior.table, 1), "analytic") as renderer:
        picture = renderer.render(ScenePrior(prior).sample_batch(np.random.default_rng(0), 1))[0]
    problems = []
    for arguments in calls("air3d"):
        put_pictures(arguments, picture)
        capfd.readouterr()
        code = main(made_small(arguments))
        # `doctor` answers 1 where something is lacking.
        if code not in ((0, 1) if arguments[0] == "doctor" else (0,)):
            problems.append(f"air3d {shlex.join(arguments)}\n    exit code {code}: {capfd.readouterr().err.strip()}")
    assert not problems, "\n".join(["commands of the README that fail:", *problems])


def test_the_readme_shows_the_whole_chain() -> None:
    shown = {name_of(arguments) for arguments in calls("air3d")}
    assert {"generate tabletop", "generate single", "train single", "infer", "evaluate", "render"} <= shown


def test_every_command_is_named_and_every_name_is_a_command() -> None:
    names = {command.name for command in COMMANDS}
    for name in names:
        assert re.search(rf"air3d {name}\b", README), f"the README does not mention 'air3d {name}'"
    for first, second in re.findall(r"`air3d ([a-z]+)(?: ([a-z-]+))?", README):
        assert first in names or f"{first} {second}" in names or not second, f"air3d {first} {second}"
        assert any(name.split()[0] == first for name in names), f"air3d {first}"


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {word for arguments in calls("make") for word in arguments if "=" not in word and word[0] != "-"}
    assert {"demo", "test"} <= named, "both are on the first screen"
    named |= set(re.findall(r"`make ([a-z-]+)", README))
    assert named <= targets


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", README):
        if "://" not in target:
            assert (ROOT / target).exists(), f"the README links to '{target}', which does not exist"
    anchors = {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.+)$", README, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= anchors


def test_the_extraction_finds_commands() -> None:
    assert len(calls("air3d")) >= 6
    assert made_small(["train", "single", "--data", "d", "--train.iterations", "9000"])[5] == "2"
