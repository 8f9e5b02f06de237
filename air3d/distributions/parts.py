"""NamedTuples of tensors, mapped, indexed and joined part by part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

_Parts = TypeVar("_Parts", bound=tuple[Any, ...])


def each(parts: _Parts, change: Callable[[Tensor], Tensor]) -> _Parts:
    """Return the NamedTuple with every part changed."""
    return type(parts)(*map(change, parts))


def take(parts: _Parts, *index: Tensor) -> _Parts:
    """Return every part at `index` of its first axis, or of its first axes."""
    return each(parts, lambda part: part[index])


def joined(several: Sequence[_Parts], dim: int = 0) -> _Parts:
    """Return NamedTuples of one type concatenated along `dim`, part by part."""
    return type(several[0])(*(torch.cat(parts, dim) for parts in zip(*several, strict=True)))
