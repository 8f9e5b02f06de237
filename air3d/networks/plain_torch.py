"""Gives torch the global settings that air3d expects, whatever another library in the process has set."""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from collections.abc import Iterator

import torch

_BUSY = 0.5


@contextlib.contextmanager
def plain_torch() -> Iterator[None]:
    """Within the block (or the function that it decorates) new tensors are float32, on the CPU, and have gradients.

    This holds for this thread; only the type of numbers torch keeps for the whole process. Where nothing was changed
    it costs nothing; a default device, which torch looks at in every operation, is overruled only where there is one.
    """
    _warn_of_spinning_threads()
    dtype = torch.get_default_dtype()
    with contextlib.ExitStack() as stack:
        if dtype != torch.float32:
            torch.set_default_dtype(torch.float32)
            stack.callback(torch.set_default_dtype, dtype)
        if torch.get_default_device() != torch.device("cpu"):
            stack.enter_context(torch.device("cpu"))
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        if not torch.is_grad_enabled():
            stack.enter_context(torch.enable_grad())
        yield


@functools.cache
def _warn_of_spinning_threads() -> None:
    """Warn, once, where torch was loaded before air3d could tell its threads to wait quietly, on a busy machine.

    The number of threads is left as it is: results are rounded by it, and interrupted runs go on exactly.
    """
    passive = os.environ.get("OMP_WAIT_POLICY", "").upper() == "PASSIVE"
    if not passive and torch.get_num_threads() > 1 and os.getloadavg()[0] > _BUSY:
        warnings.warn(
            f"torch was loaded before air3d: its {torch.get_num_threads()} threads spin while they wait, which beside "
            "other busy processes can be slower than one thread; import air3d before torch, set "
            "OMP_WAIT_POLICY=PASSIVE, or call torch.set_num_threads(1)",
            stacklevel=2,
        )
