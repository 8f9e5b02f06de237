"""The commands and programs in the README and in `docs/`: each works, in the order they are written.

Every fenced block of shell or Python is run, page by page, in a folder that is empty at first. What is too large for a
test is made small in the ways declared here, and nowhere else.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import importlib
import inspect
import io
import re
import shlex
import struct
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from air3d.cli.main import COMMANDS, main
from air3d.renderers.choice import make_renderer
from air3d.renderers.probe import probe_gl
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.presets import single_prior
from air3d.scene3d.prior import ScenePrior

ROOT = Path(__file__).resolve().parent.parent
README = "README.md"
PAGES = [README, *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]
TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}
MARKDOWN = [*PAGES, *sorted(path.name for path in ROOT.glob("*.md") if path.name != README)]
PICTURES = (".png", ".jpg", ".jpeg")
NAMES = [command.name for command in COMMANDS]

# What a number in a document is replaced by, and what is added to commands that leave it at its large default.
SMALL = {
    "--num": "8",
    "--workers": "1",
    "--size": "64",
    "--train.iterations": "2",
    "--train.batch": "2",
    "--train.arrangements": "4",
    "--train.estimator.samples": "2",
    "--bound-samples": "2",
    "--iterations": "1",
    "--train-scenes": "6",
    "--test-scenes": "4",
    "--tabletop-scenes": "3",
    "--film-every": "0",
}
# `lr-kind` needs two samples of each of three kinds.
SMALL_HERE = {"docs/datasets.md": {"--num": "48"}, "docs/estimators/lr-kind.md": {"--train.estimator.samples": "6"}}
ADDED = {
    "generate tabletop": ("--workers",),
    "generate single": ("--workers",),
    "generate digits": ("--workers",),
    "train single": ("--train.iterations", "--train.batch", "--train.estimator.samples"),
    "evaluate": ("--bound-samples",),
    "train tabletop": ("--train.iterations", "--train.batch", "--train.arrangements", "--film-every"),
    "train digits": ("--train.iterations", "--train.batch"),
    "demo": ("--iterations", "--train-scenes", "--test-scenes", "--tabletop-scenes"),
}
DRAWS = (
    "export bop-results",
    "export coco-results",
    "generate tabletop",
    "generate single",
    "train single",
    "train tabletop",
    "evaluate",
    "infer",
    "render",
    "demo",
)
# Run until they are stopped, and have tests that speak to them.
SERVERS = {"view"}
# Minutes even when small; run by these tests instead.
ELSEWHERE = {
    "reproduce single-object": "tests/experiments/test_reproduce_single_object.py",
    "reproduce tabletop": "tests/experiments/test_reproduce_tabletop.py",
    "reproduce multi-mnist": "tests/experiments/test_reproduce_multi_mnist.py",
    "bench render": "tests/air3d/cli/test_bench.py",
    "bench estimators": "tests/experiments/test_reproduce_single_object.py",
}
# Pages whose commands and programs need more than a folder; run by these tests instead.
PAGES_ELSEWHERE = {
    "docs/environment.md": "tests/air3d/environments/test_docs.py",
    "docs/own-objects.md": "tests/test_own_objects_page.py",
    "docs/worlds.md": "tests/test_worlds_page.py",
}
# Programs that are not ours, or that change the machine: their lines are not run.
NOT_RUN = {"make", "apt-get", "pip", "python", "python3", ".venv/bin/python", ".", "cp", "(cd", "sha256sum"}
# What a reader has made before coming to a page, and pages that are read one after the other, in one folder.
BEFORE = {
    "docs/command-line.md": ["generate single data/single --num 8 --seed 1"],
    "docs/estimators": [
        "generate single data/single --num 8 --seed 1",
        "generate tabletop data/table --num 8 --seed 0",
    ],
}


class Block(NamedTuple):
    """A fenced block: its page, language and text."""

    page: str
    language: str
    text: str

    def lines(self) -> Iterator[list[str]]:
        """The words of each command of a shell block: continued lines joined, without prompts and variables."""
        for line in self.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line.strip().removeprefix("$ "), comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            if words[:3] in (["python", "-m", "air3d"], ["python3", "-m", "air3d"]):
                words = words[2:]
            if words:
                yield ["air3d", *words[1:]] if words[0] == ".venv/bin/air3d" else words


def blocks(page: str) -> list[Block]:
    found = re.findall(r"^```(\w+)\n(.*?)^```", TEXTS[page], re.DOTALL | re.MULTILINE)
    names = {"bash": "sh", "console": "sh", "shell": "sh"}
    return [Block(page, names.get(language, language), text) for language, text in found]


def calls(page: str, program: str = "air3d") -> list[list[str]]:
    """Arguments of every call of a program."""
    shells = (block for block in blocks(page) if block.language == "sh")
    return [words[1:] for block in shells for words in block.lines() if words[0] == program]


def group_of(page: str) -> str:
    return "docs/estimators" if page.startswith("docs/estimators/") else page


def can_be_run(page: str) -> bool:
    return page not in PAGES_ELSEWHERE and bool({block.language for block in blocks(page)} & {"sh", "python"})


GROUPS = list(dict.fromkeys(group_of(page) for page in PAGES if can_be_run(page)))


def name_of(arguments: list[str]) -> str:
    both = " ".join(arguments[:2])
    return both if both in NAMES else arguments[0]


def made_small(arguments: list[str], page: str = README) -> list[str]:
    numbers = SMALL | SMALL_HERE.get(page, {})
    small = arguments[: arguments.index(">")] if ">" in arguments else list(arguments)
    for i, word in enumerate(small[:-1]):
        # Pictures keep their size; datasets get one that a model can be trained on.
        if word in numbers and not (word == "--size" and small[0] != "generate"):
            small[i + 1] = numbers[word]
    for option in ADDED.get(name_of(arguments), ()):
        if option not in small:
            small += [option, numbers[option]]
    if name_of(arguments) in DRAWS and probe_gl().platform is None:  # what needs OpenGL is drawn by the tests' fake
        if "--renderer" not in small:
            small += ["--renderer", "auto"]
        small[small.index("--renderer") + 1] = "analytic"
    return small


def put_what_readers_have(arguments: list[str]) -> None:
    """Files of the reader's own: pictures named to `infer` that no command before has made, and MNIST's."""
    if name_of(arguments) == "infer":
        prior = single_prior()
        for word in arguments[2 : next((i for i, w in enumerate(arguments) if w.startswith("--")), None)]:
            path = Path(word)
            if path.exists() or "*" in word:
                continue
            path = path if path.suffix.lower() in PICTURES else path / "one.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            with make_renderer(RenderConfig(prior.kinds, prior.table, 1), "analytic") as renderer:
                picture = renderer.render(ScenePrior(prior).sample_batch(np.random.default_rng(0), 1))[0]
            Image.fromarray(picture).convert("L" if "air" in arguments[1] else "RGB").save(path)
    if "--mnist-dir" in arguments:
        folder = Path(arguments[arguments.index("--mnist-dir") + 1])
        folder.mkdir(exist_ok=True)
        rng = np.random.default_rng(0)
        digits = np.zeros((30, 28, 28), dtype=np.uint8)
        digits[:, 8:20, 10:18] = rng.integers(1, 256, size=(30, 12, 8))
        for prefix in ("train", "t10k"):
            for name, array in (("images-idx3", digits), ("labels-idx1", rng.integers(10, size=30).astype(np.uint8))):
                head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
                (folder / f"{prefix}-{name}-ubyte").write_bytes(head + array.tobytes())


def run_python(block: Block, names: dict[str, object]) -> str:
    """Run a program of a page after those before it, whose `names` it may use; what went wrong, or nothing.

    One that starts processes gets a process of its own.
    """
    text = block.text if probe_gl().platform else block.text.replace('detail="display"', 'detail="inference"')
    if "__main__" in text:
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
        return done.stderr if done.returncode else ""
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other libraries' warnings, as most readers have it
            exec(compile(text, block.page, "exec"), names)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, from which the checkout's assets are found as from the checkout itself."""
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("group", GROUPS)
def test_what_is_written_works_in_order(group: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for command in BEFORE.get(group, ()):
        assert main(made_small(shlex.split(command))) == 0
    problems, names = [], {"__name__": "__main__"}
    for block in (block for page in PAGES if group_of(page) == group for block in blocks(page)):
        if block.language == "python" and (trouble := run_python(block, names)):
            problems.append(f"{block.text}\n    {trouble}")
        for words in block.lines() if block.language == "sh" else ():
            arguments = words[1:]
            if words[0] != "air3d" or name_of(arguments) in {*ELSEWHERE, *SERVERS}:
                assert words[0] in {"air3d", *NOT_RUN}, f"{block.page}: '{words[0]}' is neither run nor declared"
                continue
            put_what_readers_have(arguments)
            capfd.readouterr()
            code = main(made_small(arguments, block.page))
            # `doctor` answers 1 where something is lacking.
            if code not in ((0, 1) if arguments[0] == "doctor" else (0,)):
                problems.append(
                    f"air3d {shlex.join(arguments)}\n    exit code {code}: {capfd.readouterr().err.strip()}"
                )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names.clear()
        gc.collect()
    assert not problems, "\n".join([f"what fails of {group}:", *problems])


def test_what_runs_elsewhere_does() -> None:
    for page, path in PAGES_ELSEWHERE.items():
        assert page not in PAGES or Path(page).name in (ROOT / path).read_text(), f"{path} runs {page}"
    for name, path in ELSEWHERE.items():
        first, second = name.split()
        assert f'main(["{first}", "{second}"' in (ROOT / path).read_text(), f"{path}: {name}"


def test_the_readme_shows_the_whole_chain() -> None:
    shown = {name_of(arguments) for arguments in calls(README)}
    assert {"generate tabletop", "generate single", "train single", "infer", "evaluate", "render"} <= shown


def test_the_readme_names_every_command() -> None:
    for name in NAMES:
        assert re.search(rf"air3d {name}\b", TEXTS[README]), f"the README does not mention 'air3d {name}'"


@pytest.fixture(scope="module")
def options() -> dict[str, str]:
    """The help of every command."""
    texts = {}
    for name in NAMES:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            main([*name.split(), "--help"])
        texts[name] = out.getvalue()
    return texts


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_text_exist(page: str, options: dict[str, str]) -> None:
    groups = {name.split()[0] for name in NAMES}
    for span in re.findall(r"(?<!`)`air3d ([a-z][^`]*)`", TEXTS[page]):
        words = span.split()
        name = name_of(words)
        assert name in NAMES or words[0] in groups, f"{page}: air3d {span}"
        for option in re.findall(r"(--[a-z][\w.-]*)", span) if name in NAMES else ():
            # The help of a training is that of its default estimator or phase; all have the same options.
            assert option == "--help" or re.search(rf"{re.escape(option)}\b", options[name]), f"{page}: air3d {span}"


@pytest.mark.parametrize("page", PAGES)
def test_values_in_commands_are_accepted(
    page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As they are written: what is run above has been made small, which would hide a number that is refused."""
    for command in COMMANDS:
        monkeypatch.setattr(importlib.import_module(command.module), "run", lambda args: 0)
    for arguments in calls(page):
        typed = arguments[: arguments.index(">")] if ">" in arguments else arguments
        assert main(typed) == 0, f"{page}: air3d {shlex.join(arguments)}: {capsys.readouterr().err}"


@pytest.mark.parametrize("page", MARKDOWN)
def test_links_lead_somewhere(page: str) -> None:
    def anchors_of(text: str) -> set[str]:
        titles = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.M), re.M)
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}

    text = (ROOT / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)", text):
        target, _, anchor = link.partition("#")
        if "://" in link:
            continue
        where = (ROOT / page).parent / target if target else ROOT / page
        assert where.exists(), f"{page} links to '{link}', which does not exist"
        if anchor:
            assert anchor in anchors_of(where.read_text(encoding="utf-8")), f"{page} links to '{link}'"


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    words = [word for page in PAGES for arguments in calls(page, "make") for word in arguments]
    named = {word for word in words if "=" not in word and word[0] != "-"}
    assert {"demo", "test"} <= named, "both are on the README's first screen"
    named |= {target for text in TEXTS.values() for target in re.findall(r"`make ([a-z-]+)", text)}
    assert named <= targets


def test_every_extra_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {name for text in TEXTS.values() for name in re.findall(r"air3d\[([\w-]+)\]", text)} <= set(extras)


def test_pages_of_estimators_are_those_of_the_code() -> None:
    listed = re.findall(r"^\| \[`([\w-]+)`\]\(estimators/\1\.md\)", TEXTS["docs/estimators.md"], re.MULTILINE)
    assert set(listed) == {path.stem for path in (ROOT / "docs" / "estimators").glob("*.md")}
    for name in set(listed):
        text = TEXTS[f"docs/estimators/{name}.md"]
        (code,) = re.findall(r"^\| code \| `([\w/.]+)`", text, re.MULTILINE)
        assert (ROOT / code).is_file() and "```math" in text and "## When to use it" in text
        assert any(name in arguments for arguments in calls(f"docs/estimators/{name}.md"))


def headless(code: str) -> list[str]:
    """Find texts, of docstrings or below fields, that do not name their subject, such as "seed: of the scenes"."""
    nodes = [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Expr)]
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    pattern = re.compile(r"(?:\A|^    [a-z_][\w, ]*: )(?:[Oo]f|[Aa]s|[Ff]or|[Ff]rom|[Ww]hat|[Ww]hy)\b.*", re.MULTILINE)
    return [found for text in texts for found in pattern.findall(inspect.cleandoc(text))]


def test_docstrings_name_what_they_speak_of() -> None:
    assert headless('class C:\n    a: int\n    """Of the scenes."""\n') == ["Of the scenes."]
    assert headless('"""Run.\n\nArgs:\n    a, b: of weights.\n"""') == ["    a, b: of weights."]
    assert headless('"""Sum of all.\n\nArgs:\n    seed: seeds it.\n\nRaises:\n    InputError: for none.\n"""') == []
    folders = ("air3d", "scene3d", "renderers", "datasets", "experiments", "benchmarks", "scripts")
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        assert not headless(path.read_text(encoding="utf-8")), path


def test_the_extraction_finds_commands() -> None:
    assert len(calls(README)) >= 6
    assert made_small(["train", "single", "--data", "d", "--train.iterations", "9000"])[5] == "2"
    assert made_small(["completion", "bash", ">", "file"]) == ["completion", "bash"]
    assert sum(len(blocks(page)) for page in PAGES) > 30
