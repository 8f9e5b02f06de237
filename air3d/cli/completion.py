"""`air3d completion`: a script by which a shell completes commands, options and choices."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

import tyro

from air3d.cli import main as entry

Shell = Literal["bash", "zsh", "fish"]


@dataclass(frozen=True)
class Args:
    """Print a script that lets your shell complete air3d's commands, options and choices with the Tab key.

    bash: air3d completion bash > ~/.local/share/bash-completion/completions/air3d.
    zsh: air3d completion zsh > ~/.zfunc/_air3d, and ~/.zfunc in $fpath before compinit.
    fish: air3d completion fish > ~/.config/fish/completions/air3d.fish.
    Then open a new shell. Completion needs python3 on the PATH; it does not start air3d.
    """

    shell: tyro.conf.Positional[Shell]
    """The shell that will read the script."""


def run(args: Args) -> int:
    """Print the script; return 0 on success."""
    variants: dict[str, list[Any]] = {}
    for command in entry.COMMANDS:
        first, _, second = command.name.partition(" ")
        variants.setdefault(first, []).append(_parser_of(command, second or first))
    words = [
        made[0] if first in _names() else Annotated[_one_of(made), tyro.conf.subcommand(first, prefix_name=False)]
        for first, made in variants.items()
    ]
    with contextlib.suppress(SystemExit):  # tyro leaves when it has printed
        tyro.cli(_one_of(words), prog="air3d", args=["--tyro-write-completion", args.shell, "-"])
    return 0


def _names() -> set[str]:
    return {command.name for command in entry.COMMANDS}


def _parser_of(command: entry.Command, name: str) -> Any:
    """Wrap a command's arguments as a sub-command of this name, for tyro."""
    module = entry.module_of(command)
    default = {} if command.defaults is None else {"default": getattr(module, command.defaults)([])}
    return Annotated[
        getattr(module, command.args),
        tyro.conf.subcommand(name, prefix_name=False, description=command.help, **default),
    ]


def _one_of(variants: list[Any]) -> Any:
    # A union of one is no union: as tyro does itself, None makes it two.
    several = variants if len(variants) > 1 else [*variants, Annotated[None, tyro.conf.Suppress]]
    return Union[tuple(several)]  # noqa: UP007  (made at run time)
