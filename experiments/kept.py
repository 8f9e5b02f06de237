"""Keeps results of experiments, made once, as JSON, together with their settings and origin."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from air3d.datasets.config import first_difference
from air3d.datasets.files import atomic_file
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.scene_json import parse_json
from experiments.settings import used

Result = dict[str, Any]


@dataclass(frozen=True)
class Kept:
    """The results of an experiment, FOLDER/PART/NAME.json.

    Attributes:
        folder: holds a folder for each part.
        facts: the command, commit and machine, which are kept with every new result.
        say: prints a line of progress.
    """

    folder: Path
    facts: Mapping[str, str]
    say: Callable[[str], None]

    def path(self, part: str, name: str, suffix: str = ".json") -> Path:
        """The path of a result, or of a picture that is kept beside it."""
        return self.folder / part / f"{name}{suffix}"

    def run(self, part: str, name: str) -> Path:
        """The folder of a training of a part."""
        return self.folder / part / "runs" / name

    def once(self, part: str, name: str, settings: Mapping[str, Any], make: Callable[[], Result]) -> Result:
        """Return the result that is there, or make it now and keep it; see `once`."""

        def told() -> Result:
            self.say(f"{part}: {name}")
            return make()

        return once(self.path(part, name), settings, self.facts, told)

    def results(self, part: str) -> list[Result]:
        """Read all results of a part that are there, by name."""
        return [read_kept(path) for path in sorted((self.folder / part).glob("*.json"))]

    def keep(self, part: str, name: str, picture: bytes) -> None:
        """Keep a PNG beside a part's results."""
        path = self.path(part, name, ".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            file.write(picture)


def once(path: Path, settings: Mapping[str, Any], made: Mapping[str, str], make: Callable[[], Result]) -> Result:
    """Return the result that is kept in a file, or make it now and keep it there.

    Args:
        settings: everything that the result depends on but the code and the machine, as JSON values; only those that
            are in use (`experiments.settings.used`) are kept and compared.
        made: the command, commit and machine, which are kept with a new result.
        make: makes the rest of the result, JSON values.

    Returns:
        The values that `make` returns, with `name` (that of the file), `settings` and `made`.

    Raises:
        InputError: if the result that is there has other settings, or is none.
    """
    wanted = used(json.loads(json.dumps(settings)))
    if path.exists():
        found = read_kept(path)
        difference = first_difference(used(found["settings"]), wanted)
        if difference is not None:
            what, old, new = difference
            raise InputError(
                f"{path} was made with {what} {shown(old)}, not {shown(new)}; delete it or use another --out"
            )
        return found
    result: Result = {"name": path.stem, "settings": wanted, "made": dict(made), **make()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write((json.dumps(result, indent=1, allow_nan=False) + "\n").encode())
    return result


def read_kept(path: Path) -> Result:
    """Read a result that `once` keeps.

    Raises:
        InputError: if the file holds something else.
    """
    found = parse_json(path.read_text(encoding="utf-8"), str(path))
    if not isinstance(found, dict) or not all(isinstance(found.get(key), dict) for key in ("settings", "made")):
        raise InputError(f"{path}: not a result of these experiments; delete it")
    return dict(found)


def fingerprint(*arrays: NDArray[Any]) -> str:
    """Hash arrays to sixteen hexadecimal digits of their sha256, which stand for data or weights in settings."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def made_by(results: Sequence[Result]) -> list[str]:
    """Write as Markdown how results came about: one line for each command, commit and machine."""
    lines: dict[str, int] = {}
    for result in results:
        made = result["made"]
        versions = ", ".join(f"{name} {made[name]}" for name in ("air3d", "python", "mujoco", "torch", "numpy"))
        line = f"`{made['command']}` at commit `{made['commit']}` on {made['machine']} ({versions})"
        lines[line] = lines.get(line, 0) + 1
    return ["Made by:", "", *(f"- {line}: {count} result{'s' * (count > 1)}" for line, count in lines.items())]
