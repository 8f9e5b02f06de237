"""docs/environment.md: its tables name what there is, and its code runs."""

import dataclasses
import re
from pathlib import Path

import gymnasium
import pytest

from air3d.environments import MAX_EPISODE_STEPS
from air3d.environments.config import EnvironmentConfig
from air3d.environments.single import TabletopEnv

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "environment.md").read_text(encoding="utf-8")


def table(section):
    """Rows of the first table of a section, cells without their quotes."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    lines = re.search(r"(?:^\|.*\n)+", text, re.M).group().splitlines()
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_settings():
    rows = table("Settings")
    fields = {field.name: field.default for field in dataclasses.fields(EnvironmentConfig)}
    assert [row[0] for row in rows] == list(fields)
    for name, shown, _ in rows:
        default = fields[name]
        expected = ", ".join(default) if isinstance(default, tuple) else default
        assert shown.strip('"') == (f"{expected:g}" if type(default) in (int, float) else str(expected))
    assert f"`max_episode_steps` ({MAX_EPISODE_STEPS})" in PAGE


def test_the_spaces():
    env = TabletopEnv(renderer="analytic")
    n, s = env.config.max_objects, env.config.image_size
    rows = {name: space for names, space, _ in table("Observations") for name in names.split("`, `")}
    assert rows.keys() == env.observation_space.spaces.keys()
    for name, space in env.observation_space.spaces.items():
        kind, shape = re.match(r"(\w+)` (\(.*\))", rows[name]).groups()
        assert kind == type(space).__name__
        assert eval(shape, {"N": n, "S": s}) == space.shape
    parts = {"N": n, "one a kind": len(env.config.kinds)}
    widths = {name: parts.get(width) or int(width) for name, width, _ in table("Actions")}
    assert widths == {name: part.stop - part.start for name, part in env.layout.parts.items()}
    assert f"an action has {env.layout.size} numbers" in PAGE
    scores = table("Actions")[0][2]
    assert f"scores of {', '.join(env.layout.operations)}:" in scores


@pytest.mark.filterwarnings("ignore::UserWarning:stable_baselines3")
def test_the_code_runs_in_order():
    names: dict[str, object] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 5
    for block in blocks:
        exec(block.replace("learn(12_288)", "learn(128)").replace('"n_steps": 64', '"n_steps": 8'), names)
        if "picture" in names:
            assert names.pop("picture").shape == (256, 784, 3)
    assert (names["reward"] >= 0.0).all()
    assert names["agent"].num_timesteps == 128
    assert isinstance(names["env"], gymnasium.Env)
