"""torch as air3d expects it, whatever another library in the process has made of its global settings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def plain_torch() -> Iterator[None]:
    """Within the block (or the function that it decorates) new tensors are float32, on the CPU, and have gradients.

    So for this thread, but for the type of numbers, which torch keeps for the whole process. Where nothing was changed
    it costs nothing; a default device, which torch looks at in every operation, is overruled only where there is one.
    """
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
