"""A dataset of several objects under a free camera, as evaluation gets it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from air3d.cli.main import main
from air3d.datasets.labelled import load_labelled
from air3d.datasets.reader import SceneDataset
from air3d.evaluation.evaluate import answer_metrics
from air3d.scene3d.errors import InputError

GENERATE = "generate tabletop {out} --num 14 --seed 3 --size 32 --workers 1 --renderer analytic --quiet --min-visible 0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("labelled") / "data"
    assert main([part.format(out=made) for part in GENERATE.split()]) == 0
    return made


def test_a_tabletop_dataset_has_images_scenes_and_visibility(folder: Path) -> None:
    data, samples = load_labelled(folder), list(SceneDataset(folder))
    assert data.truth.kinds == data.prior.kinds == ("mug", "plate", "bowl")
    assert data.visible_fraction.shape == data.truth.kind.shape == (14, 3)
    assert len({len(sample["scene"].objects) for sample in samples}) > 2, "counts vary"
    assert np.ptp(data.truth.camera_azimuth_rad) > 1.0, "the camera varies"
    for i, sample in enumerate(samples):
        assert np.array_equal(data.images[i], sample["image"])
        assert data.truth[i : i + 1].to_scenes() == [sample["scene"]]
        seen = [(sample["segmentation"] == n + 1).sum() for n in range(3)]
        alone = [item["amodal_pixels"] for item in sample["annotations"]["objects"]] + [1] * 3
        assert data.visible_fraction[i].tolist() == [s / a for s, a in zip(seen, alone, strict=False)]
    partly = (data.visible_fraction > 0.0) & (data.visible_fraction < 1.0)
    assert partly.any() and not data.visible_fraction[~data.truth.present].any()
    none = load_labelled(folder, 0)
    assert none.images.shape == (0, *data.images.shape[1:]) and len(none.truth) == 0
    assert none.visible_fraction.shape == (0, data.visible_fraction.shape[1])
    with pytest.raises(InputError, match="limit is -1; use a whole number from 0"):
        load_labelled(folder, -1)
    assert load_labelled(folder, 5).visible_fraction.tolist() == data.visible_fraction[:5].tolist()
    metrics = answer_metrics(data.images, data.truth, data.truth, data.images, None, data.visible_fraction)
    assert metrics["mssd_ap"] == metrics["mspd_ap"] == metrics["mssd_recall"] == metrics["count_accuracy"] == 1.0
    assert metrics["reconstruction_mse"] == 0.0


def test_annotations_of_other_objects_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = SceneDataset.__getitem__

    def shortened(self: SceneDataset, index: int) -> object:
        sample = read(self, index)
        del sample["annotations"]["objects"][1:]
        return sample

    monkeypatch.setattr(SceneDataset, "__getitem__", shortened)
    with pytest.raises(InputError, match=r"sample \d+ annotates 1 of [23] objects"):
        load_labelled(folder)
