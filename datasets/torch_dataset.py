"""Datasets for torch: one with random access, one that streams; and the collation of samples into a batch.

Both give the same tensors. Both may be used with any number of DataLoader workers; `collate` of either packs the
scenes of a batch into a `SceneBatch`, which torch's own collation could not.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import tarfile
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypedDict, cast

import numpy as np
import torch
from numpy.typing import NDArray

from air3d.datasets.config import GenerateConfig
from air3d.datasets.reader import SceneDataset
from air3d.datasets.samples import MEMBERS, Sample
from air3d.scene3d.arguments import whole
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.scene import Scene


class TorchSample(TypedDict):
    """A sample as tensors: `Sample` of `air3d.datasets.samples` with the same keys, shapes and types."""

    index: int
    image: torch.Tensor
    depth_m: torch.Tensor
    segmentation: torch.Tensor
    scene: Scene
    annotations: dict[str, Any]


@dataclass(eq=False)
class TorchBatch:
    """B samples. `DataLoader(pin_memory=True)` and libraries that move batches by `to` (Lightning, Accelerate) take it.

    Attributes:
        index: (B,) int64.
        image: (B, H, W, 3) uint8.
        depth_m: (B, H, W) float32, +inf where nothing is seen.
        segmentation: (B, H, W) uint8.
        scenes: the B scenes; `kinds` and slots are those of the dataset's prior.
        annotations: the B dicts of annotations.
    """

    index: torch.Tensor
    image: torch.Tensor
    depth_m: torch.Tensor
    segmentation: torch.Tensor
    scenes: SceneBatch
    annotations: list[dict[str, Any]]

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> TorchBatch:
        """Return the batch with its tensors on a device; scenes and annotations are the same objects."""
        return self._with(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> TorchBatch:
        """Return the batch with its tensors in page-locked memory."""
        return self._with(torch.Tensor.pin_memory)

    def _with(self, change: Callable[[torch.Tensor], torch.Tensor]) -> TorchBatch:
        values = vars(self).items()
        changed: dict[str, Any] = {name: change(value) for name, value in values if isinstance(value, torch.Tensor)}
        return replace(self, **changed)


class Collate:
    """Packs samples of one dataset into a batch; the `collate_fn` of a DataLoader."""

    def __init__(self, config: GenerateConfig) -> None:
        self._kinds, self._slots, self._size = config.prior.kinds, config.slots, config.image_size

    def __call__(self, samples: Sequence[TorchSample]) -> TorchBatch:
        """Pack samples; none are a batch of none."""
        if not samples:
            flat = (0, self._size.height, self._size.width)
            return TorchBatch(
                index=torch.zeros(0, dtype=torch.int64),
                image=torch.zeros((*flat, 3), dtype=torch.uint8),
                depth_m=torch.zeros(flat, dtype=torch.float32),
                segmentation=torch.zeros(flat, dtype=torch.uint8),
                scenes=SceneBatch.from_scenes([], self._kinds, self._slots),
                annotations=[],
            )
        return TorchBatch(
            index=torch.tensor([sample["index"] for sample in samples]),
            image=torch.stack([sample["image"] for sample in samples]),
            depth_m=torch.stack([sample["depth_m"] for sample in samples]),
            segmentation=torch.stack([sample["segmentation"] for sample in samples]),
            scenes=SceneBatch.from_scenes([sample["scene"] for sample in samples], self._kinds, self._slots),
            annotations=[sample["annotations"] for sample in samples],
        )


class SceneTorchDataset(torch.utils.data.Dataset[TorchSample]):
    """Gives random access to the samples of a dataset."""

    def __init__(self, folder: Path | str) -> None:
        """Open a dataset. Raises InputError if the folder holds no complete one."""
        self.reader = SceneDataset(folder)
        self.collate = Collate(self.reader.config)

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, index: int) -> TorchSample:
        """Read sample `index`; raises like `SceneDataset.__getitem__`."""
        return _tensors(self.reader[index])


class SceneStream(torch.utils.data.IterableDataset[TorchSample]):
    """The samples of a dataset as a stream of whole shards, for data that is larger than memory or far away.

    The shards, one after the other, are cut into equal runs of samples, one for each process of a distributed run, and
    each of those into runs for the workers of its DataLoader. So every process yields the same number of batches, with
    fewer shards than processes, too, if all have as many workers. All together see every sample once an epoch; where
    their number does not go into that of the samples, the first few are seen twice, as by torch's DistributedSampler.
    The order is shuffled shard by shard and then within a buffer.
    """

    def __init__(
        self,
        folder: Path | str,
        seed: int,
        shuffle_buffer: int = 1000,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        """Open a dataset.

        Args:
            seed: seeds the order: that of epoch e depends on (seed, e) and the numbers of processes and workers.
            shuffle_buffer: how many samples are held for shuffling; 0 keeps the order of the files.
            rank, world_size: the number of this process, from 0, and how many there are; default: the process group's,
                else those that torchrun sets in the environment, else one process.

        Raises:
            InputError: if the folder holds no complete dataset, or the rank is not possible.
        """
        if (rank is None) != (world_size is None) or not 0 <= (rank or 0) < (1 if world_size is None else world_size):
            raise InputError(f"stream: rank {rank} of {world_size} processes; give both, rank from 0 to world_size - 1")
        self.reader = SceneDataset(folder)
        self.collate = Collate(self.reader.config)
        self._seed = whole("stream", "seed", seed, 0)
        self._buffer = whole("stream", "shuffle_buffer", shuffle_buffer, 0)
        self._process = None if rank is None or world_size is None else (rank, world_size)
        # In shared memory, so that workers which live on between epochs see the change.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def __len__(self) -> int:
        """The number of samples that this process sees in an epoch."""
        return -(-len(self.reader) // self._place()[1])

    def __getstate__(self) -> dict[str, Any]:
        # A worker that is spawned has no process group to ask.
        return self.__dict__ | {"_process": self._place() if _in_group() else self._process}

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass; without it every pass has the same order."""
        self._epoch.fill_(whole("stream", "epoch", epoch, 0))

    def __iter__(self) -> Iterator[TorchSample]:
        """Yield this worker's share of the samples.

        Raises:
            InputError: if a shard is missing or damaged.
        """
        webdataset = _webdataset()
        self.reader.check_sizes()  # a stream that is cut off would otherwise just end early
        shards = np.arange(self.reader.config.shards)
        stream = [self._seed, int(self._epoch)]
        if self._buffer:  # the same order of shards everywhere, which all have their runs of
            np.random.Generator(np.random.PCG64(stream)).shuffle(shards)
        run = self._run()
        try:
            with contextlib.closing(self._records(webdataset, shards, run)) as records:
                if self._buffer:
                    key = np.random.SeedSequence([*stream, run.start, 1]).generate_state(1)[0]
                    shuffle = webdataset.shuffle(self._buffer, initial=self._buffer, rng=random.Random(int(key)))
                    records = shuffle(records)
                for record in records:
                    yield _tensors(self._decode(record))
        except (OSError, ValueError, tarfile.TarError) as error:
            if isinstance(error, InputError):
                raise
            reason = " ".join(str(error).split())
            raise InputError(f"{self.reader.folder}: {reason}; run 'air3d inspect' on it") from None

    def _place(self) -> tuple[int, int]:
        """This process's rank, and the number of processes."""
        if self._process is not None:
            return self._process
        if _in_group():
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
        return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))

    def _run(self) -> range:
        """The samples of this worker of this process, cut from an order that starts again at its end."""
        info = torch.utils.data.get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        own = len(self)
        first = self._place()[0] * own
        return range(first + own * worker // workers, first + own * (worker + 1) // workers)

    def _records(
        self, webdataset: ModuleType, shards: NDArray[np.int64], run: range
    ) -> Generator[dict[str, Any], None, None]:
        """Yield the records of a run of samples: their names, and the bytes of each member."""
        config, paths = self.reader.config, self.reader.shard_paths
        ends = np.cumsum([len(config.shard_indices(int(shard))) for shard in shards])
        position = run.start
        while position < run.stop:
            k = int(np.searchsorted(ends, position % config.num, side="right"))
            length = len(config.shard_indices(int(shards[k])))
            first = position % config.num - (int(ends[k]) - length)
            last = min(length, first + run.stop - position)
            # webdataset's own opener never closes, and takes '#' and '?' in a path for parts of a URL.
            path = paths[shards[k]]
            with open(path, "rb") as file:
                members = webdataset.tariterators.tar_file_expander([{"url": str(path), "stream": file}])
                yield from itertools.islice(webdataset.tariterators.group_by_keys(members), first, last)
            position += last - first

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


def _in_group() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _tensors(sample: Sample) -> TorchSample:
    parts = {key: torch.from_numpy(part) if isinstance(part, np.ndarray) else part for key, part in sample.items()}
    return cast(TorchSample, parts)
