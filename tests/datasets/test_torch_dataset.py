"""The torch datasets: same values as the reader, every sample once, with and without DataLoader workers."""

from __future__ import annotations

import pickle  # noqa: TID251  to see that it can be done
import shutil

import numpy as np
import pytest
import torch

from datasets.reader import SceneDataset
from datasets.torch_dataset import SceneStream, SceneTorchDataset
from scene3d.errors import InputError


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
