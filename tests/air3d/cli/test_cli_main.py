"""The entry of the command line: help without weight, errors in one line, exit codes."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
import types
from dataclasses import dataclass
from pathlib import Path

import pytest

import air3d
from air3d.cli import main as entry
from air3d.cli.main import COMMANDS, Command, main
from air3d.scene3d.errors import InputError

MODULE = "tests_fake_command"


@pytest.fixture(autouse=True)
def _no_gl_setting(monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)


@dataclass(frozen=True)
class FakeArgs:
    """A command for tests."""

    number: int = 3


@pytest.fixture
def fake(monkeypatch):
    """Register a command `fake` whose behaviour the test sets."""

    def register(run):
        module = types.ModuleType(MODULE)
        module.Args, module.run = FakeArgs, run
        monkeypatch.setitem(sys.modules, MODULE, module)
        monkeypatch.setattr(entry, "COMMANDS", (*COMMANDS, Command("fake", MODULE, "Args", "for tests")))

    return register


def raises(error):
    def run(args):
        raise error

    return run


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for command in COMMANDS:
        assert command.name in out


def test_no_command_is_a_usage_error(capsys):
    assert main([]) == 2
    assert "usage: air3d" in capsys.readouterr().out


def test_help_of_a_group_lists_its_variants(capsys):
    assert main(["generate", "--help"]) == 0
    out = capsys.readouterr().out
    assert "generate tabletop" in out
    assert "generate single" in out
    assert "doctor" not in out
    assert main(["generate"]) == 2


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"air3d {air3d.__version__}\n"


@pytest.mark.parametrize(
    "argv, hint",
    [
        (["rendr"], "did you mean 'render'?"),
        (["generat"], "did you mean 'generate'?"),
        (["generate", "tabeltop"], "did you mean 'generate tabletop'?"),
        (["xyzzy"], "choose one of doctor, "),
        (["--nonsense"], "choose one of doctor, "),
    ],
)
def test_unknown_commands(capsys, argv, hint):
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("air3d: error: unknown command '")
    assert hint in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("command", ["train", "reproduce"])
def test_the_spelling_of_the_first_edition_is_understood(capsys, command):
    assert main([command, "table-top", "--help"]) == 0
    assert f"air3d {command} tabletop" in capsys.readouterr().out


def test_arguments_reach_the_command_and_its_code_comes_back(fake):
    seen = []
    fake(lambda args: seen.append(args) or 1)
    assert main(["fake", "--number", "5"]) == 1
    assert seen == [FakeArgs(5)]


@pytest.mark.parametrize("argv, code", [(["--help"], 0), (["--nummer", "5"], 2), (["--number", "many"], 2), (["x"], 2)])
def test_usage_errors_of_a_command_exit_with_2(fake, capsys, argv, code):
    fake(raises(AssertionError("must not run")))
    assert main(["fake", *argv]) == code
    captured = capsys.readouterr()
    assert "--number" in captured.out + captured.err or "fake --help" in captured.out + captured.err


@pytest.mark.parametrize(
    "error, code, line",
    [
        (InputError("image 'a.png' is\ncut short"), 2, "air3d: error: image 'a.png' is cut short\n"),
        (KeyboardInterrupt(), 130, "air3d: interrupted\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "out/x"),
            2,
            "air3d: error: 'out/x': No space left on device; ",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "air3d: error: No space left on device; "),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 2, "air3d: error: 'x': Permission denied; "),
        (FileNotFoundError(errno.ENOENT, "No such file", "x"), 2, "air3d: error: 'x': No such file; check the path\n"),
    ],
)
def test_expected_errors_are_one_line(fake, capsys, error, code, line):
    fake(raises(error))
    assert main(["fake"]) == code
    err = capsys.readouterr().err
    assert err.startswith(line)
    assert err.count("\n") == 1


@pytest.mark.parametrize("name, code", [("SIGTERM", 143), ("SIGHUP", 129)])
def test_signals_that_end_a_command_are_like_ctrl_c(fake, capsys, name, code):
    number, cleaned = getattr(signal, name), []

    def run(args):
        try:
            os.kill(os.getpid(), number)
            time.sleep(60)
        finally:
            os.kill(os.getpid(), number)  # again, while we clean up
            cleaned.append(True)

    fake(run)
    before = signal.getsignal(number)
    assert main(["fake"]) == code and cleaned
    assert capsys.readouterr().err == f"air3d: ended by {name}\n"
    assert signal.getsignal(number) == before


def test_nohup_is_obeyed(fake):
    fake(lambda args: os.kill(os.getpid(), signal.SIGHUP) or 0)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert main(["fake"]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def shell(line, *argv, **environment):
    """Run a line of the shell in which "$@" is the command line with these arguments; its exit code and errors."""
    root = Path(air3d.__file__).resolve().parent.parent
    done = subprocess.run(
        ["bash", "-c", line, "sh", sys.executable, "-m", "air3d", *argv],
        env={**os.environ, "PYTHONPATH": str(root), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def test_commands_work_with_closed_streams(tmp_path):
    line = "--num 4 --seed 1 --renderer analytic --workers 2 --size 16 --scenes-per-shard 2"
    make = ["generate", "single", str(tmp_path / "d"), *line.split()]
    assert shell('"$@" <&- >&- 2>&-', *make) == (0, "")
    assert shell('"$@" >&-', "inspect", str(tmp_path / "d")) == (0, "")
    again = [word.replace(str(tmp_path / "d"), str(tmp_path / "e")) for word in make]
    assert shell('"$@" 2> /dev/full', *again) == (0, "")
    code, errors = shell('"$@" <&- >&-', "inspect", str(tmp_path / "none"))
    assert code == 2 and errors.count("\n") == 1
    assert shell('"$@" <&- >&- 2>&-', "inspect", str(tmp_path / "none"))[0] == 2


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_does_without_streams(command, monkeypatch):
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert main([*command.name.split(), "--help"]) == 0
    assert main([*command.name.split(), "--no-such-option"]) == 2
    for stream in (sys.stdin, sys.stdout, sys.stderr):  # which it opened on the null device
        stream.close()


def test_a_stream_that_is_full_or_has_no_reader_is_one_line_at_most():
    assert shell('"$@" > /dev/full; exit $?', "--help") == (
        2,
        "air3d: error: No space left on device; free some space or write elsewhere\n",
    )
    assert shell('"$@" 2> /dev/full', "rendr") == (2, "")
    code, errors = shell('"$@" > /dev/full 2> /dev/full', "rendr")
    assert code == 2
    code, errors = shell('("$@"; echo $? >&2) | true', "--help")
    assert errors in ("0\n", "141\n"), errors
    code, errors = shell('{ "$@"; } 2>&1 | true; exit ${PIPESTATUS[0]}', "rendr")
    assert (code, errors) == (2, "")


def test_terminals_that_can_do_little():
    for environment in ({"TERM": "dumb"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}):
        assert shell('"$@" > /dev/null', "render", "--help", **environment) == (0, "")


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError(errno.EBADF, "Bad file descriptor"), KeyError("k")])
def test_faults_of_ours_keep_their_traceback(fake, error):
    fake(raises(error))
    with pytest.raises(type(error)):
        main(["fake"])


def test_a_value_of_mujoco_gl_that_breaks_mujoco_is_one_line(fake, capsys, monkeypatch):
    fake(raises(AssertionError("must not run")))
    monkeypatch.setenv("MUJOCO_GL", "vulkan")
    assert main(["fake"]) == 2
    assert "MUJOCO_GL=vulkan" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    (tmp_path / "chatty.py").write_text(
        "from dataclasses import dataclass\n"
        "@dataclass(frozen=True)\n"
        "class Args:\n    'Talk.'\n"
        "def run(args):\n    for _ in range(100000): print('word ' * 20)\n    return 0\n"
    )
    code = (
        "import air3d.cli.main as m, sys; m.COMMANDS = (m.Command('talk', 'chatty', 'Args', ''),);"
        "sys.exit(m.main(['talk']))"
    )
    root = Path(air3d.__file__).resolve().parent.parent
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(tmp_path)])}
    talk = subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert talk.stdout is not None
    talk.stdout.readline()
    talk.stdout.close()
    assert talk.wait(60) == 141
    assert talk.stderr is not None
    assert talk.stderr.read() == b""
    talk.stderr.close()


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["xyzzy"]])
def test_the_entry_is_light(argv):
    code = (
        f"import json, sys, time; start = time.perf_counter(); from air3d.cli.main import main; main({argv!r});"
        "print(json.dumps([time.perf_counter() - start, sorted({m.split('.')[0] for m in sys.modules})]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, modules = json.loads(done.stdout.splitlines()[-1])
    assert not {"torch", "mujoco", "numpy", "scipy", "matplotlib", "gymnasium", "tyro"} & set(modules)
    assert seconds < 5.0, "some 0.1 s on an idle machine"


def test_an_experiment_needs_a_checkout(tmp_path, monkeypatch, capsys):
    (tmp_path / "air3d").mkdir()
    monkeypatch.setattr(air3d, "__file__", str(tmp_path / "air3d" / "__init__.py"))
    assert main(["reproduce", "single-object"]) == 2
    assert capsys.readouterr().err == (
        "air3d: error: reproduce single-object: experiments are in air3d's checkout, not in the installed package\n"
    )


def test_every_command_is_registered_once():
    names = [command.name for command in COMMANDS]
    assert len(set(names)) == len(names)
    for command in COMMANDS:
        assert command.module.startswith(("air3d.cli.", "experiments."))
        assert command.help
