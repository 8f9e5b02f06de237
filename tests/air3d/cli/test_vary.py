"""`--vary`: names and strengths, and what they become."""

from __future__ import annotations

import pytest

from air3d.cli.vary import VARIED, parse_vary, perturbation
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import PERTURBED, Perturbation


def test_a_name_alone_means_strength_one() -> None:
    assert parse_vary(("colour=0.25", "size")) == {"colour": 0.25, "size": 1.0}


@pytest.mark.parametrize(
    "words, message",
    [
        (("color=1",), "did you mean colour"),
        (("xyz",), "use size, colour"),
        (("",), "use size, colour"),
        (("size=2",), "from 0 to 1"),
        (("size=-0.1",), "from 0 to 1"),
        (("size=nan",), "from 0 to 1"),
        (("size=",), "from 0 to 1"),
        (("size=much",), "from 0 to 1"),
        (("size", "size=0"), "twice"),
    ],
)
def test_bad_words_are_refused_in_one_line(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        parse_vary(words)
    assert "\n" not in str(error.value)


def test_nothing_named_is_what_perturb_says() -> None:
    assert perturbation({}) == Perturbation()
    assert perturbation({}, perturb=True) == PERTURBED


def test_full_strength_is_the_most_that_a_perturbation_allows() -> None:
    most = perturbation(dict.fromkeys(VARIED, 1.0))
    for name in ("scale", "colour", "light_angle_rad", "light_level"):
        with pytest.raises(InputError):
            Perturbation(**{name: 1.01 * getattr(most, name)})


def test_strength_zero_is_off_and_goes_before_perturb() -> None:
    assert perturbation(dict.fromkeys(VARIED, 0.0), perturb=True) == Perturbation()
    assert perturbation({"size": 0.0}, perturb=True) == Perturbation(
        colour=PERTURBED.colour, light_angle_rad=PERTURBED.light_angle_rad, light_level=PERTURBED.light_level
    )
