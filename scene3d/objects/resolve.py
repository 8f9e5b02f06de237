"""Resolves the kinds that a command names: the catalog's by name, the user's own by files, or by names out of files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from air3d.scene3d.catalog import CATALOG, full_name, unknown_kind
from air3d.scene3d.errors import InputError
from air3d.scene3d.objects.files import described, names_a_file
from air3d.scene3d.own_kinds import OBJECTS_FOLDER, adopt, is_own, is_variant, short_name

if TYPE_CHECKING:
    from air3d.scene3d.objects.description import ObjectDescription
    from air3d.scene3d.objects.make import Facts

Say = Callable[[str], None]


def resolve_kinds(kinds: tuple[str, ...], objects: Path | None = None, say: Say = lambda _: None) -> tuple[str, ...]:
    """Return the full names of kinds.

    Args:
        kinds: names of the catalog, variants such as "mug~7", short names of kinds that `objects` has, full names,
            NAME@DIGEST; files of objects, TOML files that describe some, folders of objects, and folders of datasets or
            models that carry some.
        objects: a file or folder of kinds that `kinds` names.
        say: is told what was left out of folders.

    Raises:
        InputError: for an unknown kind, an unusable file, or objects that none of `kinds` asks for.
    """
    names = [word for word in kinds if word in CATALOG or not names_a_file(word)]
    found = {} if objects is None else own_names(objects, names)
    if objects is not None and not any(name in found for name in names):
        raise InputError(
            f"--objects {objects}: none of its kinds ({', '.join(found)}) is among --kinds {' '.join(kinds)}; add one"
        )
    if objects is None:
        _check(names, ())
    full: list[str] = []
    for word in kinds:
        full += [full_name(found.get(word, word))] if word in names else _of_path(Path(word), say)
    return tuple(dict.fromkeys(full)) if len(full) > len(kinds) else tuple(full)


def _of_path(path: Path, say: Say) -> list[str]:
    """The full names of all kinds of a file or folder; of a folder's files those that can be used."""
    if path.is_dir() and (path / OBJECTS_FOLDER / "kinds").is_dir():
        return list(adopt(path))
    descriptions = described(path)
    if not path.is_dir():
        return [facts.kind for facts in make_kinds(descriptions)]
    made, refused = make_those_that_can_be(descriptions)
    for error in refused:
        say(f"left out: {error}")
    return [facts.kind for facts in made]


def own_names(objects: Path, kinds: Iterable[str]) -> dict[str, str]:
    """Map short to full names of the kinds that a file or folder offers; only those among `kinds` are made.

    Raises:
        InputError: if `resolve_kinds` raises it.
    """
    if objects.is_dir() and (carried := adopt(objects)):
        offered = {short_name(name): name for name in carried}
        _check(kinds, offered)
        return offered
    found = {description.name: description for description in described(objects)}
    _check(kinds, found)
    wanted = [name for name in found if name in kinds]
    if not wanted:
        return {name: name for name in found}
    return {name: facts.kind for name, facts in zip(wanted, make_kinds(found[name] for name in wanted), strict=True)}


def make_kinds(descriptions: Iterable[ObjectDescription]) -> list[Facts]:
    """Make kinds from their files and put them into the user's cache.

    Raises:
        InputError: if `make_kind` raises it, or if the packages that read meshes are not installed.
    """
    try:
        from air3d.scene3d.objects.make import make_kind
    except ModuleNotFoundError as error:
        raise InputError(f"own objects need the package '{error.name}': pip install 'air3d[objects]'") from None
    return [make_kind(description) for description in descriptions]


def make_those_that_can_be(descriptions: Iterable[ObjectDescription]) -> tuple[list[Facts], list[InputError]]:
    """Make the kinds that can be made, and return the errors of the others.

    Raises:
        InputError: the first one, if no kind can be made.
    """
    made: list[Facts] = []
    refused: list[InputError] = []
    for description in descriptions:
        try:
            made += make_kinds([description])
        except InputError as error:
            refused.append(error)
    if not made:
        raise refused[0]
    return made, refused


def _check(kinds: Iterable[str], own: Iterable[str]) -> None:
    known = set(own)
    for name in kinds:
        if name not in CATALOG and name not in known and not is_own(name) and not is_variant(name):
            raise unknown_kind(name, own)
