"""The same bytes however a dataset is made; what is whole is kept, what is not is made again."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

import air3d.datasets.build
import air3d.datasets.shards
from air3d.datasets.build import Build, Part
from air3d.datasets.files import RangeLock
from air3d.scene3d.errors import InputError

LAST = "shard-000002.tar"


def test_what_is_on_disk(config, dataset, digests):
    names = [f"shard-{k:06d}.{ext}" for k in range(3) for ext in ("json", "tar")]
    assert list(digests(dataset)) == ["README.md", "config.json", "manifest.json", *names]
    manifest = json.loads((dataset / "manifest.json").read_text())
    assert manifest["samples"] == 22
    assert [entry["samples"] for entry in manifest["shards"]] == [8, 8, 6]
    assert {entry["file"]: entry["sha256"] for entry in manifest["shards"]} == {
        name: digest for name, digest in digests(dataset).items() if name.endswith(".tar")
    }


def test_tar_holds_every_member_in_order_with_fixed_headers(dataset):
    members = ("depth.png", "image.png", "scene.json", "segmentation.png")
    with tarfile.open(dataset / LAST) as tar:
        infos = tar.getmembers()
        assert [info.name for info in infos] == [f"{i:08d}.{m}" for i in range(16, 22) for m in members]
        assert {(i.mtime, i.uid, i.gid, i.mode, i.uname, i.gname) for i in infos} == {(0, 0, 0, 0o644, "", "")}
        index = json.loads((dataset / "shard-000002.json").read_text())["members"]
        for info in infos:
            key, member = info.name.split(".", 1)
            row = int(key) - 16
            assert (info.offset_data, info.size) == (index[member]["offsets"][row], index[member]["lengths"][row])


def test_same_config_same_bytes(config, dataset, generate, digests, tmp_path):
    generate(config, tmp_path / "again")
    assert digests(tmp_path / "again") == digests(dataset)


def test_workers_do_not_change_bytes(config, dataset, generate, digests, tmp_path):
    outcome = generate(config, tmp_path, workers=2)
    assert outcome.made == 22
    assert digests(tmp_path) == digests(dataset)


def test_parts_together_are_the_whole(config, dataset, generate, digests, tmp_path):
    first = generate(config, tmp_path, "1/2")
    assert (first.made, first.missing) == (8, 2)
    assert not (tmp_path / "manifest.json").exists()
    second = generate(config, tmp_path, "0/2")
    assert (second.made, second.missing) == (14, 0)
    assert digests(tmp_path) == digests(dataset)


def test_only_the_last_part_reads_what_others_made(config, dataset, generate, digests, tmp_path, monkeypatch):
    """n parts that each read all others' shards would read a dataset n times."""
    read = []
    real = air3d.datasets.build.verify_shard

    def counted(folder, shard, *rest, deep):
        if deep and (folder / f"shard-{shard:06d}.tar").exists():
            read.append(shard)
        return real(folder, shard, *rest, deep=deep)

    monkeypatch.setattr(air3d.datasets.build, "verify_shard", counted)
    for i, expected in ((2, []), (0, []), (1, [0, 2])):
        generate(config, tmp_path, f"{i}/3")
        assert read == expected
    assert digests(tmp_path) == digests(dataset)


def test_parts_made_apart_and_copied_together(config, dataset, generate, digests, tmp_path):
    for i in range(3):
        generate(config, tmp_path / str(i), f"{i}/3")
    for i in (1, 2):
        for path in (tmp_path / str(i)).glob("shard-*"):
            path.rename(tmp_path / "0" / path.name)
    outcome = generate(config, tmp_path / "0")
    assert (outcome.made, outcome.kept) == (0, 22)
    assert digests(tmp_path / "0") == digests(dataset)


def test_seed_changes_every_shard(config, dataset, generate, digests, tmp_path):
    generate(replace(config, seed=1), tmp_path)
    ours, theirs = digests(tmp_path), digests(dataset)
    assert all(ours[name] != theirs[name] for name in theirs if name != "README.md")


def damage_truncate(folder):
    os.truncate(folder / LAST, 5000)


def damage_flip(folder):
    data = bytearray((folder / LAST).read_bytes())
    data[3000] ^= 1
    (folder / LAST).write_bytes(data)


def damage_remove(folder):
    (folder / LAST).unlink()


def damage_sidecar(folder):
    (folder / "shard-000002.json").write_text("{")


def damage_other_config(folder):
    path = folder / "shard-000002.json"
    path.write_text(path.read_text().replace('"config_sha256":"', '"config_sha256":"0'))


def damage_length(folder):
    damage_index(folder, lambda members: members["image.png"]["lengths"].__setitem__(2, 70))


def damage_crc(folder):
    damage_index(folder, lambda members: members["scene.json"]["crc32"].__setitem__(5, 1))


def damage_offset(folder):
    damage_index(folder, lambda members: members["depth.png"]["offsets"].__setitem__(0, 1024))


def damage_name(folder):
    damage_index(folder, lambda members: members.update({"imagf.png": members.pop("image.png")}))


def damage_index(folder, change):
    path = folder / "shard-000002.json"
    document = json.loads(path.read_text())
    change(document["members"])
    path.write_text(json.dumps(document))


def damage_manifest(folder):
    (folder / "manifest.json").write_text("[]")


@pytest.mark.parametrize(
    "damage, remade",
    [
        (damage_truncate, 6),
        (damage_flip, 6),
        (damage_remove, 6),
        (damage_sidecar, 6),
        (damage_other_config, 6),
        (damage_length, 6),
        (damage_crc, 6),
        (damage_offset, 6),
        (damage_name, 6),
        (damage_manifest, 0),
    ],
)
def test_damage_is_repaired_and_the_rest_kept(config, dataset, generate, digests, tmp_path, damage, remade):
    generate(config, tmp_path)
    untouched = (tmp_path / "shard-000000.tar").stat().st_mtime_ns
    damage(tmp_path)
    assert generate(config, tmp_path).made == remade
    assert digests(tmp_path) == digests(dataset)
    assert (tmp_path / "shard-000000.tar").stat().st_mtime_ns == untouched


def test_temporary_files_of_killed_runs_are_removed(config, dataset, generate, digests, tmp_path):
    generate(config, tmp_path)
    for name in ("shard-000001.tar", "shard-000001.json", "manifest.json", "config.json"):
        (tmp_path / f".{name}.12345.tmp").write_bytes(b"half")
    (tmp_path / ".notes").write_text("mine")
    generate(config, tmp_path)
    found = digests(tmp_path)
    assert found.pop(".notes") == hashlib.sha256(b"mine").hexdigest()
    assert found == digests(dataset)


def test_another_config_is_refused_by_name(config, dataset, digests):
    before = digests(dataset)
    for change, words in (({"num": 23}, "num = 22, not 23"), ({"seed": 5}, "seed = 0, not 5")):
        with pytest.raises(InputError, match=words):
            Build(replace(config, **change), dataset)
    with pytest.raises(InputError, match=r"prior\.max_objects = 3, not 2"):
        Build(replace(config, prior=replace(config.prior, max_objects=2)), dataset)
    assert digests(dataset) == before


def test_foreign_folders_are_refused(config, tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match=r"not empty \('holiday.jpg'\)"):
        Build(config, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"], "not even a lock is left there"
    with pytest.raises(InputError, match="is a file, not a folder"):
        Build(config, tmp_path / "holiday.jpg")
    with pytest.raises(InputError, match=r"holiday.jpg"):
        Build(config, tmp_path / "holiday.jpg" / "below")


def test_parts_are_counted_from_zero(config):
    assert [list(Part.parse(f"{i}/2").shards(config)) for i in range(2)] == [[0, 2], [1]]
    for text in ("2/2", "1", "a/b", "0/0", "-1/2", "1/2/3", "", "²/3"):
        with pytest.raises(InputError, match="from 0 to n-1"):
            Part.parse(text)


def test_two_processes_do_not_make_the_same_shard(config, tmp_path):
    hold = (
        "import sys; from pathlib import Path; from air3d.datasets.files import RangeLock\n"
        "lock = RangeLock(Path(sys.argv[1])); print(lock.acquire(1), flush=True); sys.stdin.read()"
    )
    Build(config, tmp_path).close()
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "True\n"
        with pytest.raises(InputError, match=r"another 'air3d generate' is making shard 1"):
            Build(config, tmp_path)
        Build(config, tmp_path, Part(0, 2)).close()  # shards 0 and 2 are free
        other.kill()
        other.communicate()
    with RangeLock(tmp_path / ".lock") as lock:  # the dead hold nothing
        assert lock.acquire(1)


def test_a_full_disk_leaves_nothing_half_written(config, dataset, generate, digests, tmp_path, monkeypatch):
    real, written = air3d.datasets.shards._TarWriter._write, []

    def write(self, data):
        if len(written) == 50:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(data)
        real(self, data)

    monkeypatch.setattr(air3d.datasets.shards._TarWriter, "_write", write)
    with pytest.raises(InputError, match="No space left on device; free some space"):
        generate(config, tmp_path)
    names = set(digests(tmp_path))
    assert names == {"config.json", "shard-000000.tar", "shard-000000.json"}
    monkeypatch.undo()
    assert generate(config, tmp_path).kept == 8
    assert digests(tmp_path) == digests(dataset)
