"""The layout of actions: every number has one meaning, and what is encoded is what is decoded."""

import numpy as np
import pytest

from air3d.environments.actions import OPERATIONS, ActionLayout
from air3d.environments.config import EnvironmentConfig
from air3d.scene3d.errors import InputError

WHOLE = EnvironmentConfig()
SIMPLE = EnvironmentConfig(kinds=("mug",), max_objects=1, camera="fixed")


@pytest.mark.parametrize(
    "config, operations, size",
    # Operations, slots, kinds, place, turn, camera: 7 + 3 + 3 + 2 + 1 + 3; without what leaves no choice, 5 + 2 + 1.
    [(WHOLE, OPERATIONS, 19), (SIMPLE, ("add", "move", "turn", "remove", "stop"), 8)],
)
def test_the_parts_tile_the_action(config, operations, size):
    layout = ActionLayout(config)
    assert layout.operations == operations
    assert layout.box().shape == (size,)
    covered = np.concatenate([np.arange(size)[part] for part in layout.parts.values()])
    assert covered.tolist() == list(range(size))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_encoding_and_decoding(operation):
    layout = ActionLayout(WHOLE)
    action = layout.encode(operation, slot=2, kind=1, place=(0.5, -0.25), turn=-0.75, camera=(0.125, -1.0, 1.0))
    assert layout.box().contains(action)
    found = layout.decode(action[None])
    assert OPERATIONS[found.operation[0]] == operation
    assert found.slot_score[0].argmax() == 2
    assert found.kind[0] == 1
    assert found.place[0].tolist() == [0.5, -0.25]
    assert found.turn[0] == -0.75
    assert found.camera[0].tolist() == [0.125, -1.0, 1.0]


def test_parts_that_leave_no_choice_choose_the_only_one():
    layout = ActionLayout(SIMPLE)
    found = layout.decode(layout.encode("add", place=(1.0, 0.5), turn=0.5)[None])
    assert (found.kind[0], found.slot_score.shape, found.camera.tolist()) == (0, (1, 1), [[0.0, 0.0, 0.0]])
    assert found.place[0].tolist() == [1.0, 0.5]


def test_numbers_beyond_the_box_are_cut():
    layout = ActionLayout(WHOLE)
    found = layout.decode(layout.encode("move", place=(7.0, -7.0), turn=2.0)[None])
    assert found.place[0].tolist() == [1.0, -1.0]
    assert found.turn[0] == 1.0


@pytest.mark.parametrize(
    "actions", [np.zeros((1, 18)), np.zeros(19), np.full((1, 19), np.nan), np.full((1, 19), np.inf)]
)
def test_what_is_no_action_is_refused(actions):
    with pytest.raises(InputError, match="action: "):
        ActionLayout(WHOLE).decode(actions)


@pytest.mark.parametrize(
    "wrong", [{"operation": "camera"}, {"operation": "add", "slot": 1}, {"operation": "add", "kind": -1}]
)
def test_what_cannot_be_encoded_is_refused(wrong):
    with pytest.raises(InputError, match="action: "):
        ActionLayout(SIMPLE).encode(**wrong)
