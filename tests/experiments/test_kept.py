"""Results of experiments are made once, and kept ones are used only if they were made with the same settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from air3d.scene3d.errors import InputError
from experiments.kept import fingerprint, made_by, once, read_kept
from experiments.settings import used

MADE = {"command": "air3d reproduce x", "commit": "0" * 12, "machine": "m, 2 cores"} | dict.fromkeys(
    ("air3d", "python", "mujoco", "torch", "numpy"), "1"
)
SETTINGS: dict[str, Any] = {"train": {"iterations": 5, "sizes": (1, 2)}, "images": "ab"}


def test_a_result_is_made_once_and_says_what_it_was_made_with(tmp_path: Path) -> None:
    path = tmp_path / "part" / "seed0.json"
    first = once(path, SETTINGS, MADE, lambda: {"accuracy": 0.5})
    assert first == json.loads(path.read_text())
    assert first["name"] == "seed0" and first["made"] == MADE and first["settings"]["train"]["sizes"] == [1, 2]

    def never() -> dict[str, Any]:
        raise AssertionError("made again")

    assert once(path, SETTINGS, {**MADE, "commit": "1" * 12}, never) == first, "with the commit that made it"


@pytest.mark.parametrize(
    "other, message",
    [
        ({**SETTINGS, "images": "cd"}, "images 'ab', not 'cd'"),
        ({**SETTINGS, "train": {"iterations": 6, "sizes": (1, 2)}}, "train.iterations 5, not 6"),
        ({**SETTINGS, "train": {"iterations": 5.0, "sizes": (1, 2)}}, "train.iterations 5, not 5.0"),
        ({**SETTINGS, "seed": 0}, "seed None, not 0"),
        ({"train": SETTINGS["train"]}, "images 'ab', not None"),
    ],
)
def test_a_result_of_other_settings_is_refused(tmp_path: Path, other: dict[str, Any], message: str) -> None:
    path = tmp_path / "r.json"
    once(path, SETTINGS, MADE, dict)
    with pytest.raises(InputError, match=f"r.json was made with {message}; delete it"):
        once(path, other, MADE, dict)


def test_what_a_search_does_not_depend_on_is_no_setting_of_it() -> None:
    assert used({"reach": 1.0, "sigma": 0.3}) == {"reach": 1.0}


@pytest.mark.parametrize("text", ["[]", '{"accuracy": 0.5}', '{"settings": 3, "made": {}}', '{"settings": {}'])
def test_a_file_without_settings_is_no_result(tmp_path: Path, text: str) -> None:
    """As results were kept before they said what they were made with."""
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"r\.json"):
        once(path, SETTINGS, MADE, dict)
    with pytest.raises(InputError, match=r"r\.json"):
        read_kept(path)


def test_what_could_not_be_made_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        once(tmp_path / "r.json", SETTINGS, MADE, lambda: {"elbo": float("nan")})
    assert not (tmp_path / "r.json").exists()


def test_the_page_tells_every_commit_apart() -> None:
    lines = made_by([{"made": MADE}, {"made": {**MADE, "commit": "1" * 12}}, {"made": MADE}])
    assert [line.split(" on ")[0] for line in lines[2:]] == [
        f"- `air3d reproduce x` at commit `{digit * 12}`" for digit in "01"
    ]
    assert lines[2].endswith(": 2 results") and lines[3].endswith(": 1 result")


def test_a_fingerprint_tells_values_types_and_shapes_apart() -> None:
    arrays = [
        np.zeros((2, 3), np.uint8),
        np.zeros((3, 2), np.uint8),
        np.zeros((2, 3), np.int8),
        np.eye(2, 3, dtype="u1"),
    ]
    assert len({fingerprint(array) for array in arrays}) == 4
    assert fingerprint(arrays[0]) == fingerprint(np.zeros((2, 3), np.uint8))
    assert fingerprint(arrays[0], arrays[1]) != fingerprint(arrays[1], arrays[0])


def test_what_a_run_does_not_use_is_neither_kept_nor_compared(tmp_path: Path) -> None:
    estimator = {"name": "lr", "samples": 8, "prior_share": 0.5, "step_rad": 0.1, "sleep_until": 0.0}
    schedule = {"temperature": "spread", "spread_start": 1.0, "spread_end": 2.0, "sigma_start": 3.0, "sigma_end": 4.0}
    settings = {"train": {"iterations": 5, "estimator": estimator, "schedule": schedule}}
    kept = once(tmp_path / "r.json", settings, MADE, dict)["settings"]["train"]
    assert kept["estimator"] == {"name": "lr", "samples": 8, "sleep_until": 0.0}
    assert kept["schedule"] == {"temperature": "spread", "spread_start": 1.0, "spread_end": 2.0}
    other = {**estimator, "prior_share": 0.25}
    assert once(tmp_path / "r.json", {"train": {**settings["train"], "estimator": other}}, MADE, dict)
    mixture = {**estimator, "name": "mixture"}
    with pytest.raises(InputError, match=r"train\.estimator\.name 'lr', not 'mixture'"):
        once(tmp_path / "r.json", {"train": {**settings["train"], "estimator": mixture}}, MADE, dict)


@pytest.mark.parametrize(
    "settings, left",
    [
        ({"phase": "wake", "dreams": 0, "slips": {}, "disturb": {}, "min_visible": 0.1, "tune": {}, "wake": {"own": 3}},
         {"phase": "wake", "dreams": 0, "wake": {"own": 3}}),
        ({"phase": "tune", "dreams": 8, "slips": {"yaw_rad": 0.2}, "wake": {}, "tune": {"samples": 8}},
         {"phase": "tune", "dreams": 8, "slips": {"yaw_rad": 0.2}, "tune": {"samples": 8}}),
        ({"phase": "sleep", "dreams": 0, "slips": {}, "disturb": {"share": 0.0, "noise": 0.1}, "wake": {}, "tune": {}},
         {"phase": "sleep", "slips": {}, "disturb": {"share": 0.0}}),
        ({"disturb": {"share": 0.5, "noise": 0.1}}, {"disturb": {"share": 0.5, "noise": 0.1}}),
        ({"name": "rws", "sleep_share": 0.1, "centred": True, "step_m": 1.0},
         {"name": "rws", "sleep_share": 0.1, "centred": True}),
        ({"name": "fd", "step_m": 1.0, "step_rad": 0.1, "centred": True},
         {"name": "fd", "step_m": 1.0, "step_rad": 0.1}),
        ({"temperature": "sigma", "sigma_end": 0.3, "samples_end": 0.1}, {"temperature": "sigma", "sigma_end": 0.3}),
        ({"model": "air", "train": {"estimator": "nvil", "explore": 0.5, "baseline_learning_rate": 0.1}},
         {"model": "air", "train": {"estimator": "nvil", "baseline_learning_rate": 0.1}}),
        ({"model": "draw", "train": {"iterations": 3, "estimator": "exact", "explore": 0.5}},
         {"model": "draw", "train": {"iterations": 3}}),
        ({"model": "shipped", "weights_sha256": "ab"}, {"model": "shipped", "weights_sha256": "ab"}),
    ],
)  # fmt: skip
def test_settings_without_use_are_left_out(settings: dict[str, Any], left: dict[str, Any]) -> None:
    assert used(settings) == left == used(left)
