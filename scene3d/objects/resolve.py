"""Resolves the kinds that a command names: the catalog's by name, the user's own by the file that describes them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from air3d.scene3d.catalog import CATALOG, unknown_kind
from air3d.scene3d.errors import InputError
from air3d.scene3d.own_kinds import adopt, is_own, short_name

if TYPE_CHECKING:
    from air3d.scene3d.objects.description import ObjectDescription
    from air3d.scene3d.objects.make import Facts


def resolve_kinds(kinds: tuple[str, ...], objects: Path | None) -> tuple[str, ...]:
    """Return the full names of kinds.

    Args:
        kinds: names of the catalog, short names of kinds that `objects` describes, or full names, NAME@DIGEST.
        objects: a TOML file that describes kinds; or the folder of a dataset or model that carries some.

    Raises:
        InputError: for an unknown kind, an unusable description, or one that none of `kinds` asks for.
    """
    if objects is None:
        return kinds
    found = own_names(objects, kinds)
    if not any(name in found for name in kinds):
        raise InputError(
            f"--objects {objects}: none of its kinds ({', '.join(found)}) is among --kinds {' '.join(kinds)}; add one"
        )
    return tuple(found.get(name, name) for name in kinds)


def own_names(objects: Path, kinds: Iterable[str]) -> dict[str, str]:
    """Map short to full names of the kinds that a file or folder offers; only those among `kinds` are made.

    Raises:
        InputError: if `resolve_kinds` raises it.
    """
    if objects.is_dir():
        offered = {short_name(name): name for name in adopt(objects)}
        if not offered:
            raise InputError(f"--objects {objects}: this folder carries no kinds; name a TOML file that describes them")
        _check(kinds, offered)
        return offered
    from air3d.scene3d.objects.description import read_descriptions

    described = read_descriptions(objects)
    _check(kinds, described)
    wanted = [name for name in described if name in kinds]
    if not wanted:
        return {name: name for name in described}
    return {
        name: facts.kind for name, facts in zip(wanted, make_kinds(described[name] for name in wanted), strict=True)
    }


def make_kinds(descriptions: Iterable[ObjectDescription]) -> list[Facts]:
    """Make kinds from their meshes and put them into the user's cache.

    Raises:
        InputError: if `make_kind` raises it, or if the packages that read meshes are not installed.
    """
    try:
        from air3d.scene3d.objects.make import make_kind
    except ModuleNotFoundError as error:
        raise InputError(f"own objects need the package '{error.name}': pip install 'air3d[objects]'") from None
    return [make_kind(description) for description in descriptions]


def _check(kinds: Iterable[str], own: Iterable[str]) -> None:
    known = set(own)
    for name in kinds:
        if name not in CATALOG and name not in known and not is_own(name):
            raise unknown_kind(name, own)
