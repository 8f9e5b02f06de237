"""What makes the command line pleasant: help, completion, suggestions, Ctrl-C, colours, JSON, time left."""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import json
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
import tyro

from air3d.cli.main import COMMANDS, Command, main
from air3d.cli.progress import ProgressReport, duration

ROOT = Path(__file__).resolve().parent.parent.parent.parent
MADE_BY = {
    # Commands whose numbers are JSON without being asked: files that they always write.
    "train single": "RUN/log.jsonl",
    "train tabletop": "RUN/log.jsonl",
    "train digits": "OUT/log.jsonl",
    "reproduce single-object": "OUT/results.jsonl",
    "reproduce tabletop": "OUT/results.jsonl",
    "reproduce multi-mnist": "OUT/results.jsonl",
    "demo": "OUT/metrics.json",
}
NO_NUMBERS = {"render", "completion", "view", "export glb", "export mjcf", "export bop-results", "export coco-results"}
SMALLEST = {
    "demo": "",
    "export bop": "d e",
    "export coco": "d e",
    "generate tabletop": "d --num 3 --seed 0",
    "generate single": "d --num 3 --seed 0",
    "generate digits": "'d 1' --num 3",
    "train single": "--data d --run r",
    "train tabletop": "--data d --run r",
    "train digits": "d --out r",
    "reproduce single-object": "",
    "reproduce tabletop": "",
    "reproduce multi-mnist": "",
}


@pytest.fixture(scope="module")
def script() -> str:
    """What `air3d completion bash` prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["completion", "bash"]) == 0
    return out.getvalue()


@pytest.fixture(scope="module")
def options(script: str) -> dict[str, list[dict[str, Any]]]:
    """Every command's options, out of the script."""
    found = re.search(r"^COMPLETION_SPEC = (.*)$", script, re.MULTILINE)
    assert found is not None
    node = ast.literal_eval(found[1])

    def of(name: str) -> list[dict[str, Any]]:
        inner = node
        for word in name.split():
            inner = inner["subcommands"][word]
        return inner["options"]

    return {command.name: of(command.name) for command in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_option_says_what_it_is(options: dict[str, list[dict[str, Any]]], command: Command) -> None:
    for option in options[command.name]:
        words = option["description"].split(" • ", 1)[-1]
        words = re.sub(r"\((default: .*|required)\)$", "", words, flags=re.DOTALL).strip()
        assert len(words) >= 8, f"air3d {command.name} {option['flags'][0]}: {words!r}"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_examples_in_the_help_can_be_typed(command: Command) -> None:
    module = importlib.import_module(command.module)
    args_type = getattr(module, command.args)
    for example in re.findall(rf"Example: air3d {command.name}(.*)\.$", args_type.__doc__ or "", re.MULTILINE):
        argv = shlex.split(example)
        default = tyro.MISSING_NONPROP if command.defaults is None else getattr(module, command.defaults)(argv)
        assert isinstance(tyro.cli(args_type, args=argv, default=default), args_type)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_numbers_are_offered_as_json(options: dict[str, list[dict[str, Any]]], command: Command) -> None:
    flags = {flag for option in options[command.name] for flag in option["flags"]}
    assert "--json" in flags or command.name in MADE_BY or command.name in NO_NUMBERS


def test_help_has_every_command_under_a_heading(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert re.findall(r"^(\w[\w ]*)$", out, re.MULTILINE) == ["start here", "data", "models", "measurements"]
    assert re.search(r"start here\n  demo ", out), "what to try first stands first"
    assert sorted(re.findall(r"^  (\w[\w-]*(?: [\w-]+)?)  ", out, re.MULTILINE)) == sorted(c.name for c in COMMANDS)


@pytest.mark.parametrize(
    "line,expected",
    [
        ("air3d gen", {"generate"}),
        ("air3d train ", {"single", "tabletop", "digits"}),
        ("air3d evaluate m --ref", {"--refine"}),
        ("air3d infer m --renderer ra", {"raster"}),
        ("air3d train single --train.schedule.blur-p", {"--train.schedule.blur-px", "--train.schedule.blur-power"}),
    ],
)
def test_bash_completes(script: str, tmp_path: Path, line: str, expected: set[str]) -> None:
    (tmp_path / "air3d.bash").write_text(script)
    words = line.split(" ")
    code = (
        f"source air3d.bash; COMP_WORDS=({' '.join(shlex.quote(word) for word in words)}); "
        f'COMP_CWORD={len(words) - 1}; $(complete -p air3d | grep -o "_[a-z0-9_]*"); printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(["bash", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert expected <= set(done.stdout.split()), done.stderr
    assert all(word.startswith(words[-1]) for word in done.stdout.split())


@pytest.mark.parametrize(
    "argv,hint",
    [
        ("generate digits d --num 3 --preset papr", "--preset papr: did you mean 'paper'? The choices are paper, pyro"),
        ("train single --data d --run r --train.estimator.name rsw", "did you mean 'rws'?"),
        ("train tabletop --run r --train.phase slep", "did you mean 'sleep'?"),
        ("completion bsh", "did you mean 'bash'?"),
        ("evaluate tabeltop --data d", "did you mean 'tabletop'?"),
    ],
)
def test_a_misspelt_name_is_answered_in_one_line(capsys: pytest.CaptureFixture[str], argv: str, hint: str) -> None:
    assert main(shlex.split(argv)) == 2
    err = capsys.readouterr().err
    assert hint in err and err.count("\n") == 1


def test_the_commands_that_resume_are_known() -> None:
    once = {
        "bench",
        "completion",
        "doctor",
        "evaluate",
        "export",
        "infer",
        "inspect",
        "kinds",
        "render",
        "view",
        "world",
    }
    resuming = {c.name for c in COMMANDS if c.name.split()[0] not in once} | {"export bop", "export coco"}
    assert set(SMALLEST) == resuming


@pytest.mark.parametrize("name", SMALLEST)
def test_ctrl_c_says_how_to_go_on(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(args: Any) -> NoReturn:
        raise KeyboardInterrupt

    (command,) = (c for c in COMMANDS if c.name == name)
    monkeypatch.setattr(importlib.import_module(command.module), "run", stopped)
    again = f"air3d {name} {SMALLEST[name]}".strip()
    assert main(shlex.split(again)[1:]) == 130
    err = capsys.readouterr().err
    assert err == f"air3d: interrupted; to go on where it stopped, run the same command again: {again}\n"


def _on_a_terminal(argv: list[str], **env: str) -> bytes:
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    settings = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
    settings |= {"TERM": "xterm-256color", **env}
    with subprocess.Popen(
        [sys.executable, "-m", "air3d", *argv], stdin=theirs, stdout=theirs, stderr=theirs, env=settings, cwd=ROOT
    ):
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # Linux's way to say that the other end has gone
            while chunk := os.read(ours, 4096):
                seen += chunk
    os.close(ours)
    return seen


@pytest.mark.parametrize("argv", [["--help"], ["completion", "--help"]])
def test_colours_on_terminals_alone(argv: list[str]) -> None:
    escapes = re.compile(rb"\x1b\[[0-9;]*m")
    colours = re.compile(rb"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[;m]")
    assert escapes.search(_on_a_terminal(argv)), "headings are set off"
    assert not colours.search(_on_a_terminal(argv, NO_COLOR="1"))
    piped = subprocess.run([sys.executable, "-m", "air3d", *argv], capture_output=True, cwd=ROOT, check=True)
    assert b"\x1b" not in piped.stdout + piped.stderr


def test_generate_writes_its_summary_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = tmp_path / "new" / "made.json"
    argv = ["generate", "single", str(tmp_path / "d"), "--num", "5", "--seed", "0", "--size", "16", "--workers", "1"]
    argv += ["--renderer", "analytic", "--json"]
    assert main([*argv, str(where)]) == 0
    first = json.loads(where.read_text())
    assert main([*argv, str(where)]) == 0
    again = json.loads(where.read_text())
    assert (first["made"], first["kept"], again["made"], again["kept"]) == (5, 0, 0, 5)
    assert main([*argv, str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err


def test_time_left_is_told_in_units_that_people_use() -> None:
    assert [duration(s) for s in (0.4, 59.0, 99.0, 120.0, 5400.0, 6900.0)] == [
        "0 s",
        "59 s",
        "99 s",
        "2 min",
        "90 min",
        "1 h 55 min",
    ]


def test_progress_without_a_terminal_tells_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 10.0, 10.5])
    monkeypatch.setattr("air3d.cli.progress.time.perf_counter", lambda: next(clock))
    with ProgressReport("scenes", 100, done=40) as progress:
        progress.advance(10)  # 10 in 10 seconds: 50 more in 50
        progress.advance(1)  # too soon to say it again
    assert capsys.readouterr().err == "50 of 100 scenes, 1/s, 50 s left\n"
