"""`generate tabletop --pose` and `--table`: the same bytes for any number of workers, finished when repeated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from air3d.cli.main import main
from air3d.datasets.reader import SceneDataset

GENERATE = (
    "generate tabletop {out} --num 6 --seed 3 --size 32 --kinds mug bowl --min-objects 1 --renderer raster --quiet "
    "--scenes-per-shard 3 --workers {workers} --pose {pose} --table {table}"
)


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("shard-*.tar"))}


@pytest.mark.parametrize("pose, table", [("settled", "bin"), ("resting", "round"), ("free", "rectangle")])
def test_bytes_do_not_depend_on_workers_and_what_is_missing_is_made(pose: str, table: str, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for out, workers in ((one, 1), (two, 2)):
        assert main(GENERATE.format(out=out, workers=workers, pose=pose, table=table).split()) == 0
    whole = shards(one)
    assert len(whole) == 2 and shards(two) == whole
    (two / "shard-000001.tar").unlink()
    assert main(GENERATE.format(out=two, workers=1, pose=pose, table=table).split()) == 0
    assert shards(two) == whole
    config = json.loads((one / "config.json").read_text())
    assert config["prior"]["pose"] == pose and config["prior"]["table"].get("shape", "round") == table
    dataset = SceneDataset(one)
    items = [item for i in range(6) for item in dataset[i]["scene"].objects]
    tilts, heights = np.array([item.tilt_rad for item in items]), np.array([item.position_m[2] for item in items])
    assert tilts.max() > 0.5 and (heights.min() > 0.02) == (pose == "free")


def test_an_unknown_pose_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(GENERATE.format(out=tmp_path / "x", workers=1, pose="flying", table="round").split()) == 2
    assert "flying" in capsys.readouterr().err and not (tmp_path / "x").exists()
