"""Weights as the bytes of a safetensors file, and back into a network."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from air3d.scene3d.errors import InputError


def weights_of(module: nn.Module, half: bool = False) -> bytes:
    """Make the bytes of a safetensors file of a module's parameters and buffers.

    Args:
        half: rounds numbers of 32 bits to 16 (float16), half the size.

    Raises:
        InputError: if that is asked for, and a number is too large for it.
    """
    tensors = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    if half:
        tensors = {key: t.half() if t.dtype == torch.float32 else t for key, t in tensors.items()}
        if large := [key for key, tensor in tensors.items() if not tensor.isfinite().all()]:
            raise InputError(f"weights: tensor '{large[0]}' has numbers that are too large for half precision")
    return save(tensors)


def load_tensors(data: bytes, source: Path) -> dict[str, Tensor]:
    """Parse the bytes of a safetensors file.

    Raises:
        InputError: if they are something else.
    """
    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{source}: not a safetensors file ({' '.join(str(error).split())})") from None


def restore(module: nn.Module, tensors: dict[str, Tensor], source: Path) -> None:
    """Load parameters and buffers, exactly those that the module has, finite and of the same shapes; in half or whole
    precision.

    Raises:
        InputError: if one is missing, unknown, of another shape or not finite; the message names the first.
    """
    own = module.state_dict()
    for key in sorted(own.keys() | tensors.keys()):
        if key not in tensors or key not in own:
            raise InputError(f"{source}: tensor '{key}' is {'missing' if key in own else 'unknown'}")
        found, wanted = _form(tensors[key]), _form(own[key])
        if found not in (wanted, wanted.replace("float32", "float16")):
            raise InputError(f"{source}: tensor '{key}' is {found}, not {wanted}")
        if not tensors[key].isfinite().all():
            raise InputError(f"{source}: tensor '{key}' holds numbers that are not finite")
    module.load_state_dict(tensors)


def _form(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
