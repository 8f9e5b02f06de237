"""Leaves out of a result's settings what the run did not use, so that its line says only what it depends on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Settings = dict[str, Any]


def _unless(choice: str, *values: Any) -> Callable[[Settings], bool]:
    """True of a configuration in which `choice` is made, but is none of `values`."""
    return lambda config: choice in config and config[choice] not in values


def _by_default(config: Settings) -> bool:
    """Whether a phase has no estimator, or the wake phase its own, which kept results do not name."""
    if config.get("phase") == "wake":
        return bool(config.get("estimator", {}).get("name") == "rws")
    return _unless("phase", "tune")(config)


# Where a configuration, at any depth, is so, these fields of it are without use.
_WITHOUT_USE: tuple[tuple[Callable[[Settings], bool], tuple[str, ...]], ...] = (
    # gradient estimators
    (_unless("name", "rws"), ("sleep_share",)),
    (_unless("name", "mixture"), ("prior_share",)),
    (_unless("name", "rws", "mixture"), ("centred",)),
    (_unless("name", "fd"), ("step_m", "step_rad")),
    # rules of the temperature
    (_unless("temperature", "spread"), ("spread_start", "spread_end")),
    (_unless("temperature", "samples"), ("samples_start", "samples_end")),
    (_unless("temperature", "sigma"), ("sigma_start", "sigma_end")),
    # refinement and direct optimisation, whose results do not depend on it
    (lambda config: "reach" in config, ("sigma",)),
    # phases of whole scenes
    (_unless("phase", "wake"), ("wake",)),
    (_unless("phase", "tune"), ("tune",)),
    (_by_default, ("estimator",)),
    (_unless("phase", "wake", "tune"), ("dreams",)),
    (lambda config: config.get("phase") != "sleep" and config.get("dreams") == 0, ("slips", "disturb", "min_visible")),
    (lambda config: config.get("share") == 0.0, ("shade", "pattern", "tone", "glare", "noise")),
    # the 2D track
    (_unless("estimator", "exact"), ("explore",)),
    (_unless("estimator", "nvil"), ("baseline_learning_rate",)),
)
_COUNTING = ("air", "dair")  # models of the 2D track whose count has an estimator
_OF_COUNTS = ("estimator", "explore", "baseline_learning_rate")


def used(settings: Settings) -> Settings:
    """Leave out the fields without use, of the settings and of every configuration in them."""
    without = {name for unused, names in _WITHOUT_USE if unused(settings) for name in names}
    found = {
        key: used(value) if isinstance(value, dict) else value for key, value in settings.items() if key not in without
    }
    if _unless("model", *_COUNTING)(found) and isinstance(found.get("train"), dict):
        found["train"] = {key: value for key, value in found["train"].items() if key not in _OF_COUNTS}
    return found
