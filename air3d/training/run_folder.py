"""A training run on disk: its configuration, its log, its checkpoint; and exact resumption from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from air3d.store import RUN_MODEL, load_tensors, restore
from datasets.config import first_difference
from datasets.files import atomic_file
from scene3d.config_json import config_to_dict
from scene3d.errors import InputError
from scene3d.scene_json import parse_json

SCHEMA = "air3d-run/1"
_CONFIG, _LOG, _CHECKPOINT = "run.json", "log.jsonl", "checkpoint.safetensors"


class RunFolder:
    """The folder of one run.

    Args:
        folder: made if missing.
        config: of this run, a frozen dataclass; a folder that holds a run of another configuration is refused.
        source: what it is trained on, JSON values (for instance the dataset's fingerprint).

    Raises:
        InputError: if the folder holds something else, or another run; the message names the differing field.
    """

    def __init__(self, folder: Path, config: object, source: dict[str, Any]) -> None:
        self.folder = folder
        wanted = {"schema": SCHEMA, "train": config_to_dict(config), "source": source}
        path = folder / _CONFIG
        if path.exists():
            found = parse_json(_text(path), str(path))
            difference = first_difference(found, json.loads(json.dumps(wanted)))
            if difference is not None:
                name, old, new = difference
                raise InputError(
                    f"{folder} holds a run with {name or 'content'} {old!r}, not {new!r}; "
                    "repeat its own command to resume it, or name another folder"
                )
            return
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder} is not empty and holds no run; name another folder")
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            file.write((json.dumps(wanted, indent=2) + "\n").encode())

    @property
    def model_folder(self) -> Path:
        """Where the trained model is exported."""
        return self.folder / RUN_MODEL

    def iterations_done(self) -> int:
        """Where `resume` will go on from.

        Raises:
            InputError: if the checkpoint is damaged.
        """
        path = self.folder / _CHECKPOINT
        if not path.exists():
            return 0
        return _iteration(load_tensors(path.read_bytes(), path), path)

    def log(self, record: dict[str, Any]) -> None:
        """Append one line to the log."""
        with open(self.folder / _LOG, "a", encoding="utf-8") as file:
            file.write(json.dumps(record, allow_nan=False) + "\n")

    def save_checkpoint(
        self, iteration: int, guide: torch.nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator
    ) -> None:
        """Everything that the next iteration depends on, in one file that appears whole."""
        tensors = {f"guide.{key}": value.detach() for key, value in guide.state_dict().items()}
        for index, moments in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": value for name, value in moments.items()}
        tensors["generator"] = generator.get_state()
        tensors["iteration"] = torch.tensor(iteration)
        with atomic_file(self.folder / _CHECKPOINT) as file:
            file.write(save({key: value.contiguous() for key, value in tensors.items()}))

    def resume(self, guide: torch.nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator) -> int:
        """Restore the checkpoint, if there is one; the number of iterations already done.

        Log lines after it are dropped: they will be written again.

        Raises:
            InputError: if it is damaged.
        """
        path = self.folder / _CHECKPOINT
        if not path.exists():
            self._truncate_log(0)
            return 0
        tensors = load_tensors(path.read_bytes(), path)
        try:
            iteration = _iteration(tensors, path)
            generator.set_state(tensors.pop("generator"))
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
        self._truncate_log(iteration)
        return iteration

    def _truncate_log(self, iteration: int) -> None:
        path = self.folder / _LOG
        if path.exists():
            lines = [json.dumps(record) for record in read_log(self.folder) if record["iteration"] <= iteration]
            with atomic_file(path) as file:
                file.write("".join(line + "\n" for line in lines).encode())


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The log of the run in `folder`; empty if there is none.

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
        raise InputError(f"{path}: damaged (it names no iteration); delete it to start over")
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
    """The lines that end; a killed process may have left half a line at the end."""
    return text.split("\n")[:-1]
