"""`air3d world import`: make a world of an MJCF file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from air3d.cli.arguments import OptionalFile
from air3d.cli.json_file import check_json_file, write_json
from air3d.cli.progress import say
from air3d.datasets.files import atomic_file, reported
from air3d.scene3d.errors import InputError
from air3d.scene3d.own_kinds import SHORT_NAME
from air3d.scene3d.world_import import import_world, world_name


@dataclass(frozen=True)
class ImportArgs:
    """Make a world of an MJCF file: what stands still is its scenery, bodies with a free joint are its kinds.

    Example: air3d world import scene.xml world.toml.
    """

    file: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="FILE.xml")]]
    """The MJCF file."""
    out: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="OUT.toml")]]
    """The file to write, to be read and edited; the folder objects beside it gets the scenery and the kinds."""
    name: str | None = None
    """The world's name, small letters, digits and _; default: that of OUT.toml."""
    at: Annotated[tuple[float, float, float] | None, tyro.conf.arg(metavar="X Y Z")] = None
    """A point of the file, in metres, above the surface that objects are to be put on; default: beneath its free
    bodies."""
    quiet: bool = False
    """Show neither progress nor a summary."""
    json: OptionalFile = None
    """File to which the summary is written as JSON: what was taken, what was approximated or left out."""


def run(args: ImportArgs) -> int:
    """Import; return 0 on success.

    Raises:
        InputError: for a file that cannot be used, or one that is there already.
    """
    if args.out.suffix.lower() != ".toml":
        raise InputError(f"{args.out}: the name of a world must end in .toml")
    if args.out.exists():
        raise InputError(f"{args.out}: is there already, maybe edited by hand; remove it, or choose another name")
    name = world_name(args.out.stem) if args.name is None else args.name
    if not SHORT_NAME.fullmatch(name):
        raise InputError(f"--name {name}: use a small letter, then up to 31 small letters, digits or _")
    check_json_file(args.json)
    found = import_world(args.file, args.out, name, args.at, (lambda _: None) if args.quiet else say)
    with reported(args.out), atomic_file(args.out) as file:
        file.write(found.text.encode())
    write_json(args.json, {"file": str(args.out), "taken": found.taken, "notes": found.notes})
    if not args.quiet:
        for line in (*found.taken, *(f"note: {note}" for note in found.notes)):
            say(line)
        say(f"{args.out}: edit it, then air3d generate tabletop FOLDER --num 100 --seed 0 --world {args.out}")
    return 0
