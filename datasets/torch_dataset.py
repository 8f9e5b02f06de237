"""Datasets as torch sees them: one with random access, one that streams; and how samples become a batch.

Both give the same tensors. Both may be used with any number of DataLoader workers; `collate` of either packs the
scenes of a batch into a `SceneBatch`, which torch's own collation could not.
"""

from __future__ import annotations

import contextlib
import random
import tarfile
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypedDict

import numpy as np
import torch

from datasets.config import GenerateConfig
from datasets.reader import SceneDataset
from datasets.samples import MEMBERS, Sample
from scene3d.batch import SceneBatch
from scene3d.errors import InputError
from scene3d.scene import Scene


class TorchSample(TypedDict):
    """A sample as tensors: `Sample` of `datasets.samples` with the same keys, shapes and types."""

    index: int
    image: torch.Tensor
    depth_m: torch.Tensor
    segmentation: torch.Tensor
    scene: Scene
    annotations: dict[str, Any]


@dataclass(frozen=True)
class TorchBatch:
    """B samples.

    Attributes:
        index: (B,) int64.
        image: (B, H, W, 3) uint8.
        depth_m: (B, H, W) float32, +inf where nothing is seen.
        segmentation: (B, H, W) uint8.
        scenes: the B scenes; `kinds` and slots are those of the dataset's prior.
        annotations: B dicts.
    """

    index: torch.Tensor
    image: torch.Tensor
    depth_m: torch.Tensor
    segmentation: torch.Tensor
    scenes: SceneBatch
    annotations: list[dict[str, Any]]


class Collate:
    """Packs samples of one dataset into a batch; the `collate_fn` of a DataLoader."""

    def __init__(self, config: GenerateConfig) -> None:
        self._kinds, self._slots = config.prior.kinds, config.slots

    def __call__(self, samples: Sequence[TorchSample]) -> TorchBatch:
        """Pack samples."""
        return TorchBatch(
            index=torch.tensor([sample["index"] for sample in samples]),
            image=torch.stack([sample["image"] for sample in samples]),
            depth_m=torch.stack([sample["depth_m"] for sample in samples]),
            segmentation=torch.stack([sample["segmentation"] for sample in samples]),
            scenes=SceneBatch.from_scenes([sample["scene"] for sample in samples], self._kinds, self._slots),
            annotations=[sample["annotations"] for sample in samples],
        )


class SceneTorchDataset(torch.utils.data.Dataset[TorchSample]):
    """Random access to the samples of a dataset."""

    def __init__(self, folder: Path | str) -> None:
        """Raises InputError if the folder holds no complete dataset."""
        self.reader = SceneDataset(folder)
        self.collate = Collate(self.reader.config)

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, index: int) -> TorchSample:
        """Sample `index`; raises as `SceneDataset.__getitem__`."""
        return _tensors(self.reader[index])


class SceneStream(torch.utils.data.IterableDataset[TorchSample]):
    """The samples of a dataset as a stream of whole shards, for data that is larger than memory or far away.

    Shards are dealt out to the processes of a distributed run and to the workers of each DataLoader, so all of them
    together see every sample once an epoch. The order is shuffled shard by shard and then within a buffer.
    """

    def __init__(self, folder: Path | str, seed: int, shuffle_buffer: int = 1000) -> None:
        """Open a dataset.

        Args:
            seed: the order of epoch e depends on (seed, e) and the number of workers.
            shuffle_buffer: samples held for shuffling; 0 keeps the order of the files.

        Raises:
            InputError: if the folder holds no complete dataset.
        """
        self.reader = SceneDataset(folder)
        self.collate = Collate(self.reader.config)
        self._seed, self._buffer = seed, shuffle_buffer
        # In shared memory, so that workers which live on between epochs see the change.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def __len__(self) -> int:
        return len(self.reader)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass; without it every pass has the same order."""
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[TorchSample]:
        """Yield this worker's share of the samples.

        Raises:
            InputError: if a shard is missing or damaged.
        """
        webdataset = _webdataset()
        self.reader.check_sizes()  # a stream that is cut off would otherwise just end early
        paths = list(self.reader.shard_paths)
        info = torch.utils.data.get_worker_info()
        stream = [self._seed, int(self._epoch)]
        if self._buffer:  # the same order of shards in every worker: they take turns
            np.random.Generator(np.random.PCG64(stream)).shuffle(paths)
        own = list(webdataset.split_by_worker(webdataset.split_by_node(paths)))
        try:
            with contextlib.closing(_open_each(own)) as files:
                records = webdataset.tariterators.group_by_keys(webdataset.tariterators.tar_file_expander(files))
                if self._buffer:
                    key = np.random.SeedSequence([*stream, 0 if info is None else info.id, 1]).generate_state(1)[0]
                    shuffle = webdataset.shuffle(self._buffer, initial=self._buffer, rng=random.Random(int(key)))
                    records = shuffle(records)
                for record in records:
                    yield _tensors(self._decode(record))
        except (OSError, ValueError, tarfile.TarError) as error:
            if isinstance(error, InputError):
                raise
            reason = " ".join(str(error).split())
            raise InputError(f"{self.reader.folder}: {reason}; run 'air3d inspect' on it") from None

    def _decode(self, record: dict[str, Any]) -> Sample:
        key = record["__key__"]
        if not (key.isascii() and key.isdigit() and int(key) < len(self.reader)):
            raise InputError(f"{self.reader.folder}: holds a sample called '{key}'; run 'air3d inspect' on it")
        return self.reader.decode(int(key), {name: record[name] for name in MEMBERS if name in record})


def _webdataset() -> ModuleType:
    try:
        import webdataset
    except ModuleNotFoundError:
        raise InputError("streams need the package webdataset: pip install 'air3d[stream]'") from None
    return webdataset


def _open_each(paths: Sequence[Path]) -> Generator[dict[str, Any], None, None]:
    # webdataset's own opener never closes, and takes '#' and '?' in a path for parts of a URL.
    for path in paths:
        with open(path, "rb") as file:
            yield {"url": str(path), "stream": file}


def _tensors(sample: Sample) -> TorchSample:
    return TorchSample(
        index=sample["index"],
        image=torch.from_numpy(sample["image"]),
        depth_m=torch.from_numpy(sample["depth_m"]),
        segmentation=torch.from_numpy(sample["segmentation"]),
        scene=sample["scene"],
        annotations=sample["annotations"],
    )
