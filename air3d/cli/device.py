"""Chooses the device on which torch computes."""

from __future__ import annotations

from typing import Literal

import torch

from air3d.scene3d.errors import InputError

Device = Literal["auto", "cpu", "cuda"]


def choose_device(name: Device) -> torch.device:
    """Return the device of this name; auto takes CUDA if there is any.

    Raises:
        InputError: if CUDA is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch finds no CUDA device here; use --device cpu")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")
