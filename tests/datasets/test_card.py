"""The README.md of a dataset, by which Hugging Face's library opens it. (It cannot be imported beside air3d.)"""

from __future__ import annotations

import tarfile
from dataclasses import replace

import yaml

from air3d.datasets.card import CARD_FILE, write_card
from air3d.datasets.digits.config import DigitsConfig
from air3d.datasets.reader import SceneDataset


def front_matter(folder):
    _, head, text = (folder / CARD_FILE).read_text().split("---\n")
    assert "load_dataset" in text
    return yaml.safe_load(head)


def test_it_names_the_shards_alone_and_types_every_member(dataset):
    head = front_matter(dataset)
    (config,) = head["configs"]
    (split,) = config["data_files"]
    assert (config["config_name"], split["split"]) == ("default", "train")
    found = sorted(dataset.glob(split["path"]))
    assert found == SceneDataset(dataset).shard_paths and len(found) == 3
    types = {column["name"]: column["dtype"] for column in head["dataset_info"]["features"]}
    with tarfile.open(found[0]) as shard:
        members = {name.partition(".")[2] for name in shard.getnames()}
    # A type for each column, since those of the first samples, which may show nothing, are not those of all.
    expected = {name: "json" if name.endswith(".json") else "image" for name in members}
    assert types == expected | {"__key__": "string", "__url__": "string"}


def test_digits_too(tmp_path):
    write_card(tmp_path, DigitsConfig.MEMBERS)
    types = {column["name"]: column["dtype"] for column in front_matter(tmp_path)["dataset_info"]["features"]}
    assert types == {"digits.json": "json", "image.png": "image", "__key__": "string", "__url__": "string"}


def test_it_comes_with_the_manifest_and_is_mended_but_not_replaced(config, generate, tmp_path, digests):
    config, folder = replace(config, num=6, scenes_per_shard=3), tmp_path / "made"
    generate(config, folder, "0/2")
    assert not (folder / CARD_FILE).exists()
    (folder / ".README.md.12345.tmp").write_text("of a killed run")
    generate(config, folder, "1/2")
    whole = digests(folder)
    assert CARD_FILE in whole and not list(folder.glob(".*tmp"))
    (folder / CARD_FILE).unlink()
    assert not SceneDataset(folder).verify(), "a dataset of an earlier version has none, and is whole"
    assert generate(config, folder).made == 0
    assert digests(folder) == whole
    (folder / CARD_FILE).write_text("mine")
    (folder / "shard-000001.tar").unlink()
    assert generate(config, folder).made == 3
    assert (folder / CARD_FILE).read_text() == "mine"
    (folder / CARD_FILE).unlink()
    generate(config, folder)
    assert digests(folder) == whole
