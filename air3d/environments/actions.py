"""Actions as flat boxes: scores that choose an operation, an object and a kind, and parameters in [-1, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import ArrayLike, NDArray

from air3d.environments.config import EnvironmentConfig
from air3d.scene3d.errors import InputError

Operation = Literal["add", "move", "turn", "change", "remove", "camera", "stop"]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)

Floats = NDArray[np.float64]


class Commands(NamedTuple):
    """B decoded actions.

    Attributes:
        operation: (B,), the index into `OPERATIONS`.
        slot_score: (B, N); the slot of the highest score is meant, among those that hold an object.
        kind: (B,), the index of a kind.
        place: (B, 2), turn: (B,), camera: (B, 3) in [-1, 1].
    """

    operation: NDArray[np.int64]
    slot_score: Floats
    kind: NDArray[np.int64]
    place: Floats
    turn: Floats
    camera: Floats


class ActionLayout:
    """Tells what each number of an action means. Parts that leave no choice have no numbers.

    One flat box suits most learners: those for continuous actions take nothing else, those for policy gradients take it
    too, and places are not limited to a grid. The choices among operations, slots and kinds are arguments of the
    largest score.

    Attributes:
        operations: the possible operations in the order of their scores: no "change" of a single kind, no "camera" that
            is fixed.
        parts: the slice of each part: operation, slot, kind, place, turn, camera.
        size: A, the number of numbers in an action.
    """

    def __init__(self, config: EnvironmentConfig) -> None:
        kinds, self.slots, free = len(config.kinds), config.max_objects, config.camera == "free"
        missing = {"change": kinds == 1, "camera": not free}
        self.operations = tuple(name for name in OPERATIONS if not missing.get(name, False))
        widths = {
            "operation": len(self.operations),
            "slot": self.slots if self.slots > 1 else 0,
            "kind": kinds if kinds > 1 else 0,
            "place": 2,
            "turn": 1,
            "camera": 3 if free else 0,
        }
        ends = np.cumsum([0, *widths.values()]).tolist()
        self.parts = {name: slice(*ends[i : i + 2]) for i, name in enumerate(widths)}
        self.size = int(ends[-1])

    def box(self) -> Box[np.float32]:
        """The space of actions, (A,) float32 in [-1, 1]."""
        return Box(-1.0, 1.0, (self.size,), np.float32)

    def encode(
        self,
        operation: Operation,
        slot: int = 0,
        kind: int = 0,
        place: Sequence[float] = (0.0, 0.0),
        turn: float = 0.0,
        camera: Sequence[float] = (0.0, 0.0, 0.0),
    ) -> NDArray[np.float32]:
        """Encode an action as (A,); parts that the layout lacks are left out.

        Raises:
            InputError: for an operation, slot or kind that does not exist.
        """
        chosen = {"slot": slot, "kind": kind}
        if operation not in self.operations:
            raise InputError(f"action: no operation '{operation}' here; use one of {', '.join(self.operations)}")
        chosen["operation"] = self.operations.index(operation)
        action = np.zeros(self.size, np.float32)
        for name, index in chosen.items():
            part = action[self.parts[name]]
            if not 0 <= index < max(len(part), 1):
                raise InputError(f"action: {name} is {index}; use 0 to {max(len(part), 1) - 1}")
            part[:] = np.where(np.arange(len(part)) == index, 1.0, -1.0)
        action[self.parts["place"]], action[self.parts["turn"]] = place, turn
        if "camera" in self.operations:
            action[self.parts["camera"]] = camera
        return action

    def decode(self, actions: ArrayLike) -> Commands:
        """Decode actions (B, A), which are cut to [-1, 1].

        Raises:
            InputError: if the shape is another, or a number is not finite.
        """
        array = np.asarray(actions, np.float64)
        if array.ndim != 2 or array.shape[1] != self.size:
            raise InputError(f"action: shape {array.shape[1:]} of each; an action here is {self.size} numbers")
        if not np.isfinite(array).all():
            raise InputError("action: holds numbers that are not finite; give numbers in [-1, 1]")
        part = {name: np.clip(array[:, where], -1.0, 1.0) for name, where in self.parts.items()}
        names = np.array([OPERATIONS.index(name) for name in self.operations])
        b, none = len(array), np.zeros((len(array), 1))
        return Commands(
            operation=names[part["operation"].argmax(1)],
            slot_score=part["slot"] if self.slots > 1 else none,
            kind=(part["kind"] if part["kind"].size else none).argmax(1),
            place=part["place"],
            turn=part["turn"][:, 0],
            camera=part["camera"] if part["camera"].size else np.zeros((b, 3)),
        )
