"""`--vary NAME[=STRENGTH] ...` of `air3d generate`: what differs from scene to scene, and how much."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields

from air3d.datasets.sensor import Sensor
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.prior import PERTURBED, Perturbation

# Each name, and what strength 1 does; a strength below it does the same share of that.
VARIED: dict[str, str] = {
    "size": "sizes from half to one and a half times the kind's",
    "colour": "any colour",
    "shape": "crockery of many shapes, colours and patterns",
    "lights": "the lamp's direction by 0.6 rad, brightness by 90 %; up to three further lamps",
    "texture": "every object wears a pattern, and a cloth covers every table",
    "backdrop": "every scene has a backdrop",
    "blur": "the lens blurs by up to 2 pixels",
    "noise": "white makes as few as 200 electrons",
    "jpeg": "JPEG down to quality 15",
    "depth_noise": "four times a Kinect's, and holes beside steps",
}


def parse_vary(words: tuple[str, ...]) -> dict[str, float]:
    """Parse words such as "colour=0.5" and "size", which means size=1, to strengths in [0, 1] by name.

    Raises:
        InputError: for an unknown name, one that is given twice, or a strength that is no number in [0, 1].
    """
    found: dict[str, float] = {}
    for word in words:
        name, equals, strength = word.partition("=")
        if name not in VARIED:
            near = difflib.get_close_matches(name, VARIED, n=1)
            hint = f"did you mean {near[0]}?" if near else f"use {', '.join(VARIED)}"
            raise InputError(f"--vary: {shown(name)} is nothing that can be varied; {hint}")
        if name in found:
            raise InputError(f"--vary: {name} is given twice; give it once")
        try:
            value = float(strength) if equals else 1.0
        except ValueError:
            value = float("nan")
        if not 0.0 <= value <= 1.0:
            raise InputError(f"--vary {name}: the strength is {shown(strength)}; use a number from 0 to 1")
        found[name] = value
    return found


def perturbation(strengths: Mapping[str, float], perturb: bool = False) -> Perturbation:
    """Make the perturbation of such strengths; `perturb` gives what they do not name its value in `PERTURBED`."""
    base = PERTURBED if perturb else Perturbation()
    size, colour, lights = (strengths.get(name) for name in ("size", "colour", "lights"))
    return Perturbation(
        scale=base.scale if size is None else 0.5 * size,
        colour=base.colour if colour is None else colour,
        light_angle_rad=base.light_angle_rad if lights is None else 0.6 * lights,
        light_level=base.light_level if lights is None else 0.9 * lights,
        lamps=base.lamps if lights is None else 0.5 * lights,
        texture=strengths.get("texture", base.texture),
    )


def sensor(strengths: Mapping[str, float]) -> Sensor:
    """Make the sensor of such strengths."""
    return Sensor(**{f.name: strengths.get(f.name, 0.0) for f in fields(Sensor)})
