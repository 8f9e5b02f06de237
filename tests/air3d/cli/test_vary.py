"""`--vary`: names and strengths, and what they become."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from air3d.cli.main import main
from air3d.cli.vary import VARIED, parse_vary, perturbation
from air3d.datasets.reader import SceneDataset
from air3d.datasets.sensor import Sensor
from air3d.renderers.choice import make_renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.own_kinds import is_own
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


def test_the_command_makes_what_it_names_and_inspect_tells(tmp_path, capsys) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.new("RGB", (80, 60), (200, 100, 50)).save(pictures / "one.jpg")
    words = ["generate", "tabletop", str(tmp_path / "data"), "--num", "6", "--seed", "0", "--renderer", "analytic"]
    words += ["--workers", "1", "--vary", "backdrop", "blur=0.5", "colour=0.25", "--pictures", str(pictures)]
    assert main(words) == 0
    config = SceneDataset(tmp_path / "data").config
    assert config.backdrop.strength == 1.0 and len(config.backdrop.pictures) == 64
    assert config.sensor == Sensor(blur=0.5) and config.prior.perturb == Perturbation(colour=0.25)
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "data")]) == 0
    assert "backdrop=1, blur=0.5" in capsys.readouterr().out
    # A picture more is another dataset.
    Image.new("RGB", (80, 60), (20, 10, 5)).save(pictures / "two.jpg")
    assert main(words) == 2
    assert "backdrop.pictures" in capsys.readouterr().err


def test_pictures_without_backdrops_are_refused(tmp_path, capsys) -> None:
    out = tmp_path / "data"
    words = ["generate", "single", str(out), "--num", "4", "--seed", "0", "--pictures", str(tmp_path)]
    assert main(words) == 2
    assert "--vary backdrop, or texture" in capsys.readouterr().err and not out.exists()


def test_textures_are_named_in_the_scenes(tmp_path) -> None:
    words = ["generate", "tabletop", str(tmp_path / "data"), "--num", "3", "--seed", "0", "--renderer", "raster"]
    assert main([*words, "--workers", "1", "--min-objects", "1", "--vary", "texture", "lights"]) == 0
    scenes = [sample["scene"] for sample in SceneDataset(tmp_path / "data")]
    assert all(scene.cloth is not None and all(item.texture for item in scene.objects) for scene in scenes)


def test_shapes_vary_and_the_dataset_carries_them(tmp_path, monkeypatch, capsys) -> None:
    def generate(name, words):
        usual = "--num 6 --seed 2 --min-objects 2 --scenes-per-shard 3 --renderer raster --quiet --workers"
        return main(["generate", "tabletop", str(tmp_path / name), *usual.split(), *words.split()])

    def shards(name):
        return [path.read_bytes() for path in sorted((tmp_path / name).glob("*.tar"))]

    varied = "--kinds mug plate cube --vary shape=0.5 --variants 3"
    assert generate("one", f"1 {varied}") == generate("two", f"2 {varied}") == 0
    assert len(shards("one")) == 2 and shards("one") == shards("two")
    monkeypatch.setenv("AIR3D_OBJECTS", str(tmp_path / "elsewhere"))
    dataset = SceneDataset(tmp_path / "one")
    kinds = dataset.config.prior.kinds
    names = [*(f"{family}~{number}~50" for family in ("mug", "plate") for number in (1, 2, 3)), "cube"]
    assert [kind.partition("@")[0] for kind in kinds] == names
    seen = [item for sample in dataset for item in sample["annotations"]["objects"]]
    assert {item.get("family") for item in seen} == {"mug", "plate", None}
    for item in seen:
        assert ("drawn" in item) == ("family" in item) == (item["kind"] != "cube")
    kept = {path.name for path in (tmp_path / "one" / "objects" / "kinds").iterdir()}
    assert kept == {f"{kind}.json" for kind in kinds if kind != "cube"}
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "one")]) == 0
    shown = capsys.readouterr().out
    assert "mug (3 variants): " in shown and "plate (3 variants): " in shown and "cube: " in shown and "@" not in shown
    assert generate("off", "1 --kinds mug --vary shape=0") == generate("plain", "1 --kinds mug") == 0
    assert shards("off") == shards("plain")
    capsys.readouterr()
    assert generate("none", "1 --kinds cube --vary shape") == 2
    message = capsys.readouterr().err
    assert "none of cube is a family" in message and message.count("\n") == 1


def test_worn_pictures_are_carried_with_the_dataset(tmp_path, monkeypatch) -> None:
    """It is read, and its scenes are drawn again, where the pictures were never seen."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    rng = np.random.default_rng(3)
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 256, (90, 140, 3)).astype(np.uint8)).save(pictures / name)
    words = ["generate", "tabletop", str(tmp_path / "data"), "--num", "8", "--seed", "0", "--renderer", "raster"]
    words += ["--workers", "1", "--min-objects", "1", "--vary", "texture", "--pictures", str(pictures)]
    assert main(words) == 0
    shutil.rmtree(pictures)
    monkeypatch.setenv("AIR3D_OBJECTS", str(tmp_path / "elsewhere"))
    dataset = SceneDataset(tmp_path / "data")
    scenes = [sample["scene"] for sample in dataset]
    worn = {name for scene in scenes for name in scene.textures if is_own(name)}
    assert worn == set(dataset.config.prior.pictures) and len(worn) == 2
    assert not dataset.config.backdrop.pictures
    with make_renderer(dataset.config.render_config, "raster") as renderer:
        again = renderer.render(SceneBatch.from_scenes(scenes, dataset.config.prior.kinds, 3))
    assert all(np.array_equal(sample["image"], image) for sample, image in zip(dataset, again, strict=True))


def test_training_says_what_it_takes_for_noise_and_refuses_what_it_cannot_represent(tmp_path, capsys) -> None:
    def run(line: str) -> int:
        capsys.readouterr()
        return main([word.replace("OUT", str(tmp_path)) for word in line.split()])

    made = "--num 6 --seed 0 --renderer analytic --workers 1 --quiet --vary"
    fast = "--train.iterations 1 --train.batch 2 --train.estimator.samples 2 --renderer analytic --film-every 0 --quiet"
    assert run(f"generate single OUT/noisy {made} noise=0.5 jpeg") == 0
    assert run(f"train single --data OUT/noisy --run OUT/run {fast}") == 0
    assert "its pictures have noise, jpeg, which models do not know and take for noise" in capsys.readouterr().err
    assert run(f"generate single OUT/worn {made} texture") == 0
    assert run(f"train single --data OUT/worn --run OUT/other {fast}") == 2
    assert "knows no textures" in capsys.readouterr().err
