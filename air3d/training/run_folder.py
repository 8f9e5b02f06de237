"""A training run on disk: its configuration, its log, its checkpoint; and exact resumption from them.

The last checkpoint and the one before it are kept: if the last is damaged, the run goes on from the other, and comes
to the same weights.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from air3d.datasets.config import first_difference
from air3d.datasets.files import RangeLock, atomic_file, remove_stale, reported
from air3d.networks.folder import MODEL_FILES, RUN_MODEL
from air3d.networks.unfinished import CHECKPOINTS, RUN_CONFIG
from air3d.networks.weights import restore
from air3d.scene3d.config_json import config_to_dict
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.scene_json import parse_json
from air3d.training.checkpoint import read_checkpoint, write_checkpoint

SCHEMA = "air3d-run/1"
_CONFIG, _LOG, _LOCK = RUN_CONFIG, "log.jsonl", ".lock"
_CHECKPOINT, _PREVIOUS = CHECKPOINTS


class _Checkpoint(NamedTuple):
    """A checkpoint that was read, and the reason why the one after it could not be, if so."""

    path: Path
    tensors: dict[str, Tensor]
    iteration: int
    damage: str | None


class RunFolder:
    """The folder of one run.

    Args:
        folder: the folder, made if missing.
        config: the configuration, a frozen dataclass; a folder that holds a run of another one is refused.
        source: describes the data of the training, as JSON values (for instance the dataset's fingerprint).

    Raises:
        InputError: if the folder holds something else, or another run; the message names the differing field.
    """

    def __init__(self, folder: Path, config: object, source: dict[str, Any]) -> None:
        self.folder = folder
        self._wanted = {"schema": SCHEMA, "train": config_to_dict(config), "source": source}
        if not (folder / _CONFIG).exists():
            self._begin()
        self._check_config()

    def _begin(self) -> None:
        folder = self.folder
        if folder.exists() and (not folder.is_dir() or any(p.name[0] != "." for p in folder.iterdir())):
            raise InputError(f"{folder} is not empty and holds no run; name another folder")
        with reported(folder):
            folder.mkdir(parents=True, exist_ok=True)
            # Another process may begin the same run at this moment, claim it, and sweep up what we have half written.
            with contextlib.suppress(FileNotFoundError), atomic_file(folder / _CONFIG) as file:
                file.write((json.dumps(self._wanted, indent=2) + "\n").encode())

    def _check_config(self) -> None:
        path = self.folder / _CONFIG
        found = parse_json(_text(path), str(path))
        difference = first_difference(found, json.loads(json.dumps(self._wanted)))
        if difference is not None:
            name, old, new = difference
            raise InputError(
                f"{self.folder} holds a run with {name or 'content'} {shown(old)}, not {shown(new)}; "
                "repeat its own command to resume it, or name another folder"
            )

    @property
    def model_folder(self) -> Path:
        """The folder that the trained model is exported to."""
        return self.folder / RUN_MODEL

    @contextlib.contextmanager
    def claimed(self) -> Iterator[int]:
        """Claim this run within the block, so that no other process may; give the number of iterations already done.

        The claim ends with the process, however that ends. Files that killed processes left half written are removed.

        Raises:
            InputError: if another process holds the run, or its checkpoint is damaged.
        """
        with contextlib.ExitStack() as stack:
            with reported(self.folder):
                lock = stack.enter_context(RangeLock(self.folder / _LOCK))
                if not lock.acquire(0):
                    raise InputError(f"{self.folder}: another process is training here; wait for it, or name another")
                remove_stale(self.folder, (_CONFIG, _LOG, _CHECKPOINT))
                if self.model_folder.is_dir():
                    remove_stale(self.model_folder, MODEL_FILES)
            self._check_config()  # another process may have come first, with another configuration
            yield self.iterations_done()

    def iterations_done(self) -> int:
        """The iteration that `resume` will go on from.

        Raises:
            InputError: if the checkpoint is damaged, and none before it is left.
        """
        found = self._checkpoint()
        return 0 if found is None else found.iteration

    def damage(self) -> str | None:
        """The fault of the last checkpoint, if `resume` will go on from the one before it; else None."""
        found = self._checkpoint()
        return None if found is None else found.damage

    def _checkpoint(self) -> _Checkpoint | None:
        """Read the last checkpoint that is whole; None if there is none.

        Raises:
            InputError: if all are damaged.
        """
        damage: str | None = None
        for path in (self.folder / _CHECKPOINT, self.folder / _PREVIOUS):
            if path.exists():
                try:
                    tensors = read_checkpoint(path)
                    return _Checkpoint(path, tensors, _iteration(tensors, path), damage)
                except InputError as error:
                    damage = damage or str(error)
        if damage is not None:
            raise InputError(f"{damage}; delete it to start over")
        return None

    def log(self, record: dict[str, Any]) -> None:
        """Append one line to the log."""
        with open(self.folder / _LOG, "a", encoding="utf-8") as file:
            file.write(json.dumps(record, allow_nan=False) + "\n")

    def save_checkpoint(
        self, iteration: int, guide: torch.nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator
    ) -> None:
        """Save everything that the next iteration depends on, in one file that appears whole."""
        tensors = {f"guide.{key}": value.detach() for key, value in guide.state_dict().items()}
        for index, moments in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": value for name, value in moments.items()}
        tensors["generator"] = generator.get_state()
        tensors["iteration"] = torch.tensor(iteration)
        path = self.folder / _CHECKPOINT
        if path.exists():
            os.replace(path, self.folder / _PREVIOUS)
        write_checkpoint(path, tensors)

    def resume(self, guide: torch.nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator) -> int:
        """Restore the checkpoint, if there is one; return the number of iterations already done.

        Log lines after it are dropped: they will be written again.

        Raises:
            InputError: if it is damaged, or was written where another kind of device drew the random numbers.
        """
        found = self._checkpoint()
        if found is None:
            self._truncate_log(0)
            return 0
        path, tensors, iteration, damage = found
        try:
            random_state = tensors.pop("generator")
            if random_state.shape != generator.get_state().shape:
                raise InputError(f"{path}: its random numbers are of another device; use the --device it had")
            generator.set_state(random_state)
            restore(guide, _under("guide.", tensors), path)
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in _under("optimiser.", tensors).items():
                index, name = key.split(".")
                state.setdefault(int(index), {})[name] = value
            _check_moments(guide, state)
            optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
        except InputError:
            raise
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            raise InputError(f"{path}: damaged ({' '.join(str(error).split())}); delete it to start over") from None
        if damage is not None:  # else the next one would take the place of the one that is whole
            (self.folder / _CHECKPOINT).unlink()
        self._truncate_log(iteration)
        return iteration

    def _truncate_log(self, iteration: int) -> None:
        path = self.folder / _LOG
        if path.exists():
            lines = [json.dumps(record) for record in read_log(self.folder) if record["iteration"] <= iteration]
            with atomic_file(path) as file:
                file.write("".join(line + "\n" for line in lines).encode())


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Read the log of the run in `folder`; empty if there is none.

    Raises:
        InputError: if a line of it is damaged.
    """
    path = folder / _LOG
    records: list[dict[str, Any]] = []
    for number, line in enumerate(_whole_lines(_text(path)) if path.exists() else (), start=1):
        record = parse_json(line, f"{path}: line {number}")
        if not isinstance(record, dict) or not isinstance(record.get("iteration"), int):
            raise InputError(f"{path}: line {number} is damaged; delete that line")
        records.append(record)
    return records


def _iteration(tensors: dict[str, Tensor], path: Path) -> int:
    value = tensors.get("iteration")
    if value is None or value.numel() != 1 or value.dtype != torch.int64 or int(value) < 0:
        raise InputError(f"{path}: damaged (it names no iteration)")
    return int(value)


def _check_moments(guide: torch.nn.Module, state: dict[int, dict[str, Tensor]]) -> None:
    """Raise ValueError unless Adam's state is there for every parameter, in its shape."""
    for index, (name, parameter) in enumerate(guide.named_parameters()):
        shapes = {key: tuple(value.shape) for key, value in state.get(index, {}).items()}
        if shapes != {"step": (), "exp_avg": tuple(parameter.shape), "exp_avg_sq": tuple(parameter.shape)}:
            raise ValueError(f"the optimiser's state of '{name}' does not fit")


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None


def _whole_lines(text: str) -> list[str]:
    """Keep the lines that end; a killed process may have left half a line at the end."""
    return text.split("\n")[:-1]
