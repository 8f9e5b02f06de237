"""Entry of the command line: finds the command, imports its module alone, turns errors into one line."""

from __future__ import annotations

import contextlib
import difflib
import errno
import importlib
import io
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import air3d
from air3d.cli.surroundings import let_go, name_of, number_of, open_missing_streams, terminations_interrupt
from air3d.scene3d.child_processes import check_main_guard
from air3d.scene3d.errors import InputError


@dataclass(frozen=True)
class Command:
    """A command: its module offers `run(args) -> int` and the frozen dataclass of its arguments.

    Attributes:
        name: the name that is typed; two words for a command with variants.
        module: the module, which is imported only when the command is chosen.
        args: the name of the dataclass in that module.
        help: the line that the list of commands shows.
        defaults: the name of a function in that module that makes the arguments' defaults from what was typed, where
            they depend on it.
    """

    name: str
    module: str
    args: str
    help: str
    defaults: str | None = None


COMMANDS = (
    Command("doctor", "air3d.cli.doctor", "Args", "what this machine can render with, and what to do about each lack"),
    Command(
        "generate tabletop",
        "air3d.cli.generate",
        "TabletopArgs",
        "write a dataset of scenes on a table, or of a world",
        "tabletop_defaults",
    ),
    Command(
        "generate single", "air3d.cli.generate", "SingleArgs", "write a dataset of single cubes, spheres and cylinders"
    ),
    Command("generate digits", "air3d.cli.generate_digits", "Args", "write a dataset of images with several digits"),
    Command("world import", "air3d.cli.world", "ImportArgs", "make a world of an MJCF file, for generate --world"),
    Command("inspect", "air3d.cli.inspect", "Args", "summarise, verify and picture a dataset, or own objects"),
    Command("train single", "air3d.cli.train", "SingleArgs", "train inference of single objects", "single_defaults"),
    Command(
        "train tabletop", "air3d.cli.train", "TabletopArgs", "train inference of tabletop scenes", "tabletop_defaults"
    ),
    Command("train digits", "air3d.cli.train_digits", "Args", "train inference of images with several digits"),
    Command("infer", "air3d.cli.infer", "Args", "explain images: scene files and rendered answers"),
    Command("evaluate", "air3d.cli.evaluate", "Args", "measure a trained model on a dataset"),
    Command("view", "air3d.cli.view", "Args", "look at scenes and answers in the browser, in 3D"),
    Command("render", "air3d.cli.render", "Args", "render a scene file"),
    Command("export bop", "air3d.cli.export", "BopArgs", "a dataset in the format of BOP, for bop_toolkit"),
    Command("export coco", "air3d.cli.export", "CocoArgs", "a dataset as COCO instances"),
    Command("export glb", "air3d.cli.export", "GlbArgs", "a scene as binary glTF"),
    Command("export mjcf", "air3d.cli.export", "MjcfArgs", "a scene as a MuJoCo model, to be simulated on"),
    Command(
        "export bop-results", "air3d.cli.export_results", "BopResultsArgs", "a model's poses as BOP's results file"
    ),
    Command("export coco-results", "air3d.cli.export_results", "CocoResultsArgs", "a model's masks as COCO's results"),
    Command("bench render", "air3d.cli.bench", "RenderArgs", "images per second of every renderer"),
    Command("bench estimators", "experiments.estimator_noise", "EstimatorArgs", "noise of every gradient estimator"),
    Command(
        "reproduce single-object",
        "experiments.single_object.command",
        "SingleObjectArgs",
        "the paper's single-object experiment",
    ),
    Command("reproduce tabletop", "experiments.tabletop.command", "TabletopArgs", "the paper's tabletop experiments"),
    Command("reproduce multi-mnist", "experiments.multi_mnist.command", "Args", "the paper's multi-MNIST experiments"),
    Command("demo", "air3d.cli.demo", "Args", "the whole chain in a few minutes, with a report"),
    Command("completion", "air3d.cli.completion", "Args", "a script that lets your shell complete air3d's arguments"),
)

# How `air3d --help` orders them, by first word; others follow under "more".
_GROUPS = (
    ("start here", ("demo", "doctor", "completion")),
    ("data", ("generate", "world", "inspect", "export")),
    ("models", ("train", "evaluate", "infer", "render", "view")),
    ("measurements", ("bench", "reproduce")),
)
# Commands, or the first words of several, that go on where they stopped when they are repeated.
_RESUMES = frozenset({"demo", "export bop", "export coco", "generate", "reproduce", "train"})

USAGE_ERROR = 2
SIGNALLED = 128
BROKEN_PIPE = 141

# What the machine or its user can put right; any other OSError is a fault of ours and keeps its traceback.
_REMEDIES = {
    errno.ENOSPC: "free some space or write elsewhere",
    errno.EDQUOT: "free some space or write elsewhere",
    errno.EFBIG: "write elsewhere",
    errno.EROFS: "write elsewhere",
    errno.EACCES: "check its permissions or choose another path",
    errno.EPERM: "check its permissions or choose another path",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EISDIR: "name a file, not a folder",
    errno.EEXIST: "choose another path",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
}


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments after the program's name; None means those of this process.

    Returns:
        The exit code: 0, 1 for a negative answer, 2 for bad input, 128 and the signal's number when interrupted.
    """
    check_main_guard()
    open_missing_streams()
    for stream in (sys.stdout, sys.stderr):  # an ASCII terminal, or a name that is no text, is no reason to fail
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    try:
        with terminations_interrupt():
            code = _main(sys.argv[1:] if argv is None else argv)
            sys.stdout.flush()
    except InputError as error:
        return _fail(str(error))
    except KeyboardInterrupt as stop:
        return _fail(name_of(stop), SIGNALLED + number_of(stop))
    except BrokenPipeError:
        # The reader has gone (`air3d ... | head`): no message, also none from Python's last flush.
        let_go(sys.stdout)
        return BROKEN_PIPE
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0)
        if remedy is None:
            raise
        let_go(sys.stdout)
        where = f"'{error.filename}': " if error.filename else ""
        return _fail(f"{where}{error.strerror}; {remedy}")
    return code


def _main(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        _print_all_commands()
        return 0 if argv else USAGE_ERROR
    if argv[0] in ("-V", "--version"):
        print(f"air3d {air3d.__version__}")  # noqa: T201
        return 0
    first = argv[0]
    variants = tuple(c for c in COMMANDS if c.name.startswith(f"{first} "))
    if not variants:
        return _run(_find(first, [c.name.split()[0] for c in COMMANDS]), argv[1:])
    if len(argv) == 1 or argv[1] in ("-h", "--help"):
        _print_usage()
        _print_commands(variants)
        return 0 if len(argv) > 1 else USAGE_ERROR
    return _run(_find(f"{first} {argv[1]}", [c.name for c in variants]), argv[2:])


def _find(name: str, names: list[str]) -> Command:
    for command in COMMANDS:
        if command.name == name.replace("table-top", "tabletop"):  # the spelling of the first edition
            return command
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(dict.fromkeys(names))}"
    raise InputError(f"unknown command '{name}': {hint}")


def _run(command: Command, argv: list[str]) -> int:
    if command.name != "doctor" and os.environ.get("MUJOCO_GL"):  # the doctor reports it itself
        importlib.import_module("air3d.renderers.probe").check_mujoco_importable()
    import tyro

    from air3d.cli.usage import explain

    # tyro knows neither NO_COLOR nor that its complaints go to stderr.
    colours = sys.stdout.isatty() and sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    tyro._experimental_options["ansi_codes"] = colours

    module = module_of(command)
    args_type, prog = getattr(module, command.args), f"air3d {command.name}"
    default = tyro.MISSING_NONPROP if command.defaults is None else getattr(module, command.defaults)(argv)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as complaint:
            args = tyro.cli(args_type, args=argv, prog=prog, default=default)
    except SystemExit as stop:
        reason: BaseException | None = stop
        while reason is not None:
            if isinstance(reason, InputError):  # a value that its config refused
                raise reason from None
            reason = reason.__context__
        explain(complaint.getvalue(), argv, args_type, prog)
        with contextlib.suppress(SystemExit):  # once more, aloud: help, or a usage error that tyro explains
            tyro.cli(args_type, args=argv, prog=prog, default=default)
        return stop.code if isinstance(stop.code, int) else 0
    try:
        code: int = module.run(args)
    except KeyboardInterrupt as stop:
        if not _RESUMES & {command.name, command.name.split()[0]}:
            raise
        again = shlex.join(["air3d", *command.name.split(), *argv])
        line = f"{name_of(stop)}; to go on where it stopped, run the same command again: {again}"
        return _fail(line, SIGNALLED + number_of(stop))
    return code


def module_of(command: Command) -> ModuleType:
    """Import the module of a command.

    Raises:
        InputError: for an experiment, if air3d is installed without a checkout: the wheel holds no experiments.
    """
    if command.module.startswith("experiments."):
        checkout = Path(air3d.__file__).resolve().parent.parent
        if not (checkout / "experiments" / "__init__.py").is_file():
            raise InputError(f"{command.name}: experiments are in air3d's checkout, not in the installed package")
        if str(checkout) not in sys.path:
            sys.path.insert(0, str(checkout))
    return importlib.import_module(command.module)


def _print_all_commands() -> None:
    words = {word for _, group in _GROUPS for word in group}
    groups = [*_GROUPS, ("more", tuple({c.name.split()[0]: None for c in COMMANDS if c.name.split()[0] not in words}))]
    _print_usage()
    for title, group in groups:
        commands = tuple(c for word in group for c in COMMANDS if c.name.split()[0] == word)
        if commands:
            _print_commands(commands, title)
    print("\nEach command explains itself: air3d COMMAND --help. New here? Try: air3d demo")  # noqa: T201


def _print_usage() -> None:
    print("usage: air3d COMMAND [ARGUMENTS]    air3d COMMAND --help    air3d --version")  # noqa: T201


def _print_commands(commands: tuple[Command, ...], title: str = "") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(f"\n[bold]{title}[/bold]", highlight=False)
    table = Table(show_header=False, box=None, padding=(0, 2))
    table.add_column(min_width=23, no_wrap=True)
    for command in commands:
        table.add_row(command.name, command.help)
    console.print(table, highlight=False)


def _fail(message: str, code: int = USAGE_ERROR) -> int:
    line = " ".join(message.split())
    label = "air3d: error: " if code == USAGE_ERROR else "air3d: "
    try:
        print(label + line, file=sys.stderr, flush=True)  # noqa: T201
    except OSError:  # nobody listens any more, as after SIGHUP
        let_go(sys.stderr)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
