"""The torch datasets: same values as the reader, every sample once, with and without DataLoader workers."""

from __future__ import annotations

import dataclasses
import math
import pickle  # noqa: TID251  to see that it can be done
import shutil
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from air3d.datasets.reader import SceneDataset
from air3d.datasets.torch_dataset import SceneStream, SceneTorchDataset
from air3d.scene3d.errors import InputError


def loader(data, workers, **kwargs):
    return torch.utils.data.DataLoader(data, batch_size=5, num_workers=workers, collate_fn=data.collate, **kwargs)


def check_batch(batch, reader):
    b = len(batch.index)
    assert batch.image.shape == (b, 32, 32, 3) and batch.image.dtype == torch.uint8
    assert batch.depth_m.shape == batch.segmentation.shape == (b, 32, 32)
    scenes = batch.scenes.to_scenes()
    for row, index in enumerate(batch.index.tolist()):
        expected = reader[index]
        np.testing.assert_array_equal(batch.image[row].numpy(), expected["image"])
        np.testing.assert_array_equal(batch.depth_m[row].numpy(), expected["depth_m"])
        np.testing.assert_array_equal(batch.segmentation[row].numpy(), expected["segmentation"])
        assert scenes[row] == expected["scene"]
        assert batch.annotations[row] == expected["annotations"]


def test_a_batch_of_none(dataset):
    data = SceneTorchDataset(dataset)
    none, some = data.collate([]), data.collate([data[0], data[1]])
    check_batch(none, data.reader)
    for name in ("index", "image", "depth_m", "segmentation"):
        joined = torch.cat([getattr(none, name), getattr(some, name)])
        assert joined.dtype == getattr(some, name).dtype and torch.equal(joined, getattr(some, name))
    assert len(none.scenes) == 0 and none.scenes.kind.shape[1] == some.scenes.kind.shape[1]


def test_map_style_in_this_process(dataset):
    data, reader = SceneTorchDataset(dataset), SceneDataset(dataset)
    batches = list(loader(data, 0))
    assert torch.cat([batch.index for batch in batches]).tolist() == list(range(22))
    for batch in batches:
        check_batch(batch, reader)
    assert batches[0].scenes.kinds == data.reader.config.prior.kinds


def test_stream_in_this_process_shuffles_and_repeats(dataset):
    def order(seed, epoch, buffer=10):
        data = SceneStream(dataset, seed, shuffle_buffer=buffer)
        data.set_epoch(epoch)
        return [sample["index"] for sample in data]

    assert order(0, 0, buffer=0) == list(range(22))
    first = order(0, 0)
    assert sorted(first) == list(range(22)) != first
    assert order(0, 0) == first
    assert order(0, 1) != first != order(1, 0)
    again = pickle.loads(pickle.dumps(SceneStream(dataset, 0)))  # noqa: S301
    assert again.reader.config == SceneDataset(dataset).config


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_random_access_by_two_workers(dataset):
    batches = list(loader(SceneTorchDataset(dataset), 2, multiprocessing_context="fork"))
    assert torch.cat([batch.index for batch in batches]).tolist() == list(range(22))
    check_batch(batches[3], SceneDataset(dataset))


def test_two_workers_stream_every_sample_once(dataset):
    stream, reader = SceneStream(dataset, 0, shuffle_buffer=8), SceneDataset(dataset)
    streaming = loader(stream, 2, multiprocessing_context="spawn", persistent_workers=True)
    orders = []
    for epoch in range(2):
        stream.set_epoch(epoch)  # reaches workers that live on
        batches = list(streaming)
        orders.append(torch.cat([batch.index for batch in batches]).tolist())
        check_batch(batches[0], reader)
    assert all(sorted(order) == list(range(22)) for order in orders)
    assert orders[0] != orders[1]


def share(monkeypatch, stream, workers):
    """What the workers of one process yield, one list of samples each."""
    lists = []
    for worker in range(max(workers, 1)):
        info = SimpleNamespace(id=worker, num_workers=workers) if workers else None
        monkeypatch.setattr(torch.utils.data, "get_worker_info", lambda info=info: info)
        lists.append([sample["index"] for sample in stream])
    return lists


@pytest.mark.parametrize("world", [1, 3, 4, 7, 25])
@pytest.mark.parametrize("workers, buffer", [(0, 5), (2, 0), (3, 5)])
def test_every_process_has_as_many_batches(dataset, monkeypatch, world, workers, buffer):
    """22 samples in 3 shards: more processes than shards, and numbers that do not go into 22."""
    sizes, seen = set(), Counter()
    for rank in range(world):
        stream = SceneStream(dataset, 3, buffer, rank, world)
        lists = share(monkeypatch, stream, workers)
        assert sum(map(len, lists)) == len(stream) == math.ceil(22 / world)
        sizes.add(tuple(map(len, lists)))  # so whatever the batch size, and whether or not the last is dropped
        seen.update(index for own in lists for index in own)
    assert len(sizes) == 1
    assert set(seen) == set(range(22)) and max(seen.values()) <= 1 + (world > 1) + (world > 22)
    assert sum(seen.values()) - 22 < world, "no more is seen twice than is needed"


def test_a_stream_asks_the_process_group_then_torchruns_environment(dataset, monkeypatch):
    def first(stream):
        return next(iter(stream))["index"]

    stream = SceneStream(dataset, 0, shuffle_buffer=0)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert (len(stream), first(stream)) == (11, 11)
    before = pickle.dumps(stream)
    for name, value in (("is_initialized", True), ("get_rank", 2), ("get_world_size", 4)):
        monkeypatch.setattr(torch.distributed, name, lambda value=value: value)
    assert (len(stream), first(stream)) == (6, 12)
    within = pickle.dumps(stream)  # as to a spawned worker, which is in no group
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: False)
    assert (len(stream), first(stream)) == (11, 11)
    assert first(pickle.loads(within)) == 12 and first(pickle.loads(before)) == 11  # noqa: S301
    assert first(SceneStream(dataset, 0, 0, rank=0, world_size=2)) == 0, "what is given counts"


@pytest.mark.parametrize("place", [(0, None), (None, 2), (2, 2), (-1, 2), (0, 0)])
def test_a_rank_that_is_none_is_refused(dataset, place):
    with pytest.raises(InputError, match=r"stream: rank .* rank from 0 to world_size - 1"):
        SceneStream(dataset, 0, 0, *place)


def test_batches_are_moved_pinned_and_changed(dataset, monkeypatch):
    data = SceneTorchDataset(dataset)
    batch = next(iter(loader(data, 0)))
    names = ("index", "image", "depth_m", "segmentation")
    moved = batch.to(torch.device("meta"), non_blocking=True)
    assert [getattr(moved, name).device.type for name in names] == ["meta"] * 4
    assert [getattr(batch, name).device.type for name in names] == ["cpu"] * 4
    assert moved.scenes is batch.scenes and moved.annotations is batch.annotations
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor.clone())
    again = torch.utils.data._utils.pin_memory.pin_memory(batch)  # what DataLoader(pin_memory=True) calls
    assert len(pinned) == 4 and all(getattr(again, name) is not getattr(batch, name) for name in names)
    check_batch(again, data.reader)
    half = dataclasses.replace(batch, image=batch.image[:2])
    for field in dataclasses.fields(batch):  # as Lightning does with batches that are dataclasses
        setattr(half, field.name, getattr(batch, field.name))
    check_batch(half, data.reader)


def test_streams_notice_damage(dataset, tmp_path):
    copy = shutil.copytree(dataset, tmp_path / "copy")
    path = copy / "shard-000001.tar"
    good = path.read_bytes()
    path.write_bytes(good[:600] + b"\xff" + good[601:])
    with pytest.raises(InputError, match="is damaged"):
        list(SceneStream(copy, 0, 0))
    path.write_bytes(b"\xff" * len(good))
    with pytest.raises(InputError, match="copy: "):
        list(SceneStream(copy, 0, 0))
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(InputError, match="bytes instead of"):
        list(SceneStream(copy, 0, 0))
