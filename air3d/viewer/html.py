"""Writes the page's texts and pictures as HTML, for dark and light: text and lines have the colours of the page."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.pictures import encode_picture
from air3d.scene3d.catalog import Rgb
from air3d.scene3d.own_kinds import short_name
from air3d.scene3d.scene import Scene, SceneObject
from air3d.viewer.gallery import Entry, listed
from air3d.viewer.meshes import INFERENCE_COLOUR, TRUTH_COLOUR
from air3d.viewer.scene_errors import Pair, SceneErrors

_CELL = 'style="padding:2px 6px 2px 0;white-space:nowrap;vertical-align:top"'
_NUMBER = 'style="padding:2px 0 2px 6px;text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums"'
_BAD = 'style="color:#e8590c;font-weight:600"'
# How many letters of a scene's content go onto a button, beside its name and error.
_CONTENT = 28
# One drop zone a page; a dropped file takes the way of one that was chosen with the button.
_DROP = (
    "event.preventDefault();this.style.opacity=0.8;"
    "const input=document.querySelector('input[type=file]');"
    "if(input&&event.dataTransfer.files.length){input.files=event.dataTransfer.files;"
    "input.dispatchEvent(new Event('change',{bubbles:true}));}"
)


def block(content: str) -> str:
    """A piece of a panel, with its margins and the page's font."""
    return f'<div style="padding:0 14px 8px;font-size:13px;line-height:1.45">{content}</div>'


def heading(title: str, name: str) -> str:
    """Write the heading of the right panel: the title of all, and the scene."""
    return block(
        f'<div style="opacity:0.65">{escape(title)}</div>'
        f'<div style="font-size:17px;font-weight:600">{escape(name)}</div>'
    )


def summary(count: int, page: int, pages: int, inferred: bool = True) -> str:
    """Write the line above the list: how many scenes there are, and which page (from 0) is shown."""
    if not count:
        return block("No scene passes.")
    scenes = ("1 scene" if count == 1 else f"{count} scenes") + (f", page {page + 1} of {pages}" if pages > 1 else "")
    told = '<div style="opacity:0.65">with the largest position error of an object</div>' if inferred else ""
    return block(scenes + told)


def legend(known: bool, inferred: bool) -> str:
    """Explain the colours.

    Args:
        known: says whether there is a true scene. inferred: says whether there is an answer.
    """
    parts = []
    if inferred:
        parts.append(f"{_swatch(INFERENCE_COLOUR, 1.0)} inference: solid objects, orange camera")
    if known:
        looks = "translucent ghosts, " if inferred else ""
        parts.append(f"{_swatch(TRUTH_COLOUR, 0.45)} truth: {looks}blue camera")
    return block("<br>".join(parts))


def pictures(columns: Sequence[tuple[str, NDArray[np.uint8]]]) -> str:
    """Put pictures (H, W, 3) uint8 side by side, each under its caption."""
    cells = "".join(
        '<figure style="flex:1;margin:0;min-width:0">'
        f'<img alt="{escape(caption)}" src="{data_uri(pixels)}" '
        'style="width:100%;image-rendering:pixelated;border-radius:4px;display:block">'
        f'<figcaption style="text-align:center;font-size:12px;padding-top:3px">{escape(caption)}</figcaption></figure>'
        for caption, pixels in columns
    )
    return block(f'<div style="display:flex;gap:8px">{cells}</div>')


def difference(image: NDArray[np.uint8], render: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The absolute difference of two pictures (H, W, 3) uint8."""
    return np.abs(image.astype(np.int16) - render).astype(np.uint8)


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """Encode a picture (H, W, 3) uint8 as the address of an image."""
    return "data:image/png;base64," + base64.b64encode(encode_picture(pixels)).decode()


def drop_zone() -> str:
    """The area where a picture can be dropped; it hands the file to the page's one upload button."""
    return block(
        f'<div ondragover="event.preventDefault();this.style.opacity=1" ondragleave="this.style.opacity=0.8" '
        f'ondrop="{_DROP}" id="air3d-drop" style="border:2px dashed currentColor;border-radius:8px;opacity:0.8;'
        'text-align:center;padding:14px 8px">Drop a picture here:<br>it is inferred at once, in this tab alone</div>'
    )


def objects_table(
    truth: Scene | None, inferred: Scene | None, errors: SceneErrors | None, presence: Sequence[float] = ()
) -> str:
    """List the objects, a row each: matched ones with their errors, then missed ones, then those that are not there.

    Args:
        presence: the probability with which each inferred object was seen; empty where that is not known.
    """
    rows: list[str] = []
    seen = [f"{100 * p:.0f} %" for p in presence] or [""] * (0 if inferred is None else len(inferred.objects))
    if truth is not None and inferred is not None and errors is not None:
        rows += [_pair_row(pair, truth, inferred, seen) for pair in errors.pairs]
        found = {pair.inferred for pair in errors.pairs}
        matched = {pair.true for pair in errors.pairs}
        rows += [_row(o.kind, "missed", "", "") for i, o in enumerate(truth.objects) if i not in matched]
        rows += [_row(o.kind, "not there", "", seen[i]) for i, o in enumerate(inferred.objects) if i not in found]
        head = _head("object", "position", "turn", "seen" if presence else "")
    else:
        scene = truth if inferred is None else inferred
        for i, item in enumerate(() if scene is None else scene.objects):
            name = escape(short_name(item.kind))
            rows.append(_cells(name, *pose_words(item), seen[i] if inferred is not None else ""))
        head = _head("object", "place", "turn", "seen" if presence else "")
    if not rows:
        return block("An empty table.")
    return block(f'<table style="width:100%;border-collapse:collapse">{head}{"".join(rows)}</table>')


def pose_words(item: SceneObject) -> tuple[str, str]:
    """Tell where an object is, with its height if it is off the table by a millimetre, and how it is turned.

    A yaw says all of that for an upright one alone; of one that leans by a degree or more its tilt is told.
    """
    x, y, z = (f"{100 * value:.1f}" for value in item.position_m)
    place = f"({x}, {y}) cm" if abs(item.position_m[2]) < 0.001 else f"({x}, {y}, {z}) cm"
    if item.tilt_rad >= math.radians(1.0):
        return place, f"tilted {math.degrees(item.tilt_rad):.0f}°"
    return place, f"yaw {math.degrees(item.yaw_rad) % 360:.0f}°"


def verdict(entry: Entry, errors: SceneErrors | None, rmse: float | None) -> str:
    """Judge count, camera and pixels in a few words.

    Args:
        entry: the entry. errors: the errors of the answer or sample that is shown; rmse: that of its picture.
    """
    facts = []
    if errors is not None:
        count = f"{errors.inferred_count} of {errors.true_count} objects"
        facts.append(("count", f"<span {_BAD}>{count}</span>" if errors.miscounted else f"right, {errors.true_count}"))
        camera = (
            f"{math.degrees(errors.azimuth_rad):.1f}° azimuth, {math.degrees(errors.elevation_rad):.1f}° elevation, "
            f"{100 * errors.distance_m:.1f} cm distance"
        )
        facts.append(("camera off by", camera))
    if rmse is not None:
        facts.append(("pixel error", f"{rmse:.3f} (root mean square, 0 to 1)"))
    if entry.truth is None:
        facts.append(("truth", "not known"))
    if entry.inferred is None:
        facts.append(("inference", "none: no model looked at it"))
    cells = "".join(f'<tr><td {_CELL}>{name}</td><td style="padding:2px 0">{value}</td></tr>' for name, value in facts)
    return block(f'<table style="width:100%;border-collapse:collapse">{cells}</table>')


def row_label(entry: Entry) -> str:
    """Write the label of an entry's button: its name, its content, its errors; plain text."""
    scene, errors = entry.scene, entry.errors
    kinds = Counter(listed(o.kind) for o in (() if scene is None else scene.objects))
    content = ", ".join(f"{n} {kind}s" if n > 1 else kind for kind, n in kinds.items()) or "empty"
    if len(content) > _CONTENT:
        content = content[: _CONTENT - 1].rstrip(", ") + "…"
    if errors is None:
        return f"{entry.name} · {content}"
    if errors.miscounted:
        return f"{entry.name} · {content} · sees {errors.inferred_count}"
    if errors.wrong_kinds:
        return f"{entry.name} · {content} · wrong kind"
    return f"{entry.name} · {content}" + ("" if errors.position_m is None else f" · {100 * errors.position_m:.1f} cm")


def object_labels(truth: Scene | None, inferred: Scene | None, errors: SceneErrors | None) -> tuple[str, ...]:
    """Write the labels over the inferred objects in the 3D view, or over the true ones without these; plain text."""
    if truth is None or inferred is None or errors is None:
        scene = truth if inferred is None else inferred
        return () if scene is None else tuple(short_name(item.kind) for item in scene.objects)
    pairs = {pair.inferred: pair for pair in errors.pairs}
    labels = []
    for i, item in enumerate(inferred.objects):
        pair = pairs.get(i)
        if pair is None:
            labels.append(f"{short_name(item.kind)}: not there")
        elif not pair.same_kind:
            labels.append(f"{short_name(item.kind)}, truly {short_name(truth.objects[pair.true].kind)}")
        else:
            turn = "" if pair.rotation_rad is None else f", {math.degrees(pair.rotation_rad):.0f}°"
            labels.append(f"{short_name(item.kind)}: {100 * pair.position_m:.1f} cm{turn}")
    return tuple(labels)


def _pair_row(pair: Pair, truth: Scene, inferred: Scene, seen: Sequence[str]) -> str:
    true, found = short_name(truth.objects[pair.true].kind), short_name(inferred.objects[pair.inferred].kind)
    name = escape(true) if pair.same_kind else f"<span {_BAD}>{escape(found)}, truly {escape(true)}</span>"
    turn = "any" if pair.same_kind and pair.rotation_rad is None else ""
    turn = turn if pair.rotation_rad is None else f"{math.degrees(pair.rotation_rad):.1f}°"
    return _cells(name, f"{100 * pair.position_m:.1f} cm", turn, seen[pair.inferred])


def _row(kind: str, what: str, turn: str, seen: str) -> str:
    return _cells(escape(short_name(kind)), f"<span {_BAD}>{what}</span>", turn, seen)


def _cells(name: str, *numbers: str) -> str:
    return f"<tr><td {_CELL}>{name}</td>" + "".join(f"<td {_NUMBER}>{n}</td>" for n in numbers) + "</tr>"


def _head(*names: str) -> str:
    return '<tr style="opacity:0.65">' + _cells(*names).removeprefix("<tr>")


def _swatch(colour: Rgb, opacity: float) -> str:
    r, g, b = (round(255 * value) for value in colour)
    return (
        f'<span style="display:inline-block;width:12px;height:12px;border-radius:3px;vertical-align:-1px;'
        f'background:rgba({r},{g},{b},{opacity});border:1px solid rgb({r},{g},{b})"></span>'
    )
