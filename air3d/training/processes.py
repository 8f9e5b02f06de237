"""The processes that train one model together: those that torchrun has started, or this one alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.distributed.rendezvous import rendezvous

from air3d.scene3d.errors import InputError


@dataclass(frozen=True)
class Processes:
    """One process among all that train together. All must call the same methods in the same order.

    Attributes:
        rank: the number of this process; the first, 0, alone reads and writes the run's folder.
        count: the number of processes.
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Tell whether this is the process that reads and writes."""
        return self.rank == 0

    def check_shares(self, shares: int) -> None:
        """Raise InputError unless so many shares of a batch can be dealt out evenly."""
        if shares % self.count:
            raise InputError(
                f"train: {self.count} processes cannot divide shares {shares} of a batch among them; "
                f"add --train.shares {self.count}, or a multiple of it"
            )

    def sum(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over the processes."""
        if self.count > 1:
            distributed.all_reduce(tensor)

    def take_from_first(self, tensor: Tensor) -> None:
        """Replace a tensor by the first process's."""
        if self.count > 1:
            plain = tensor.contiguous()
            distributed.broadcast(plain, 0)
            tensor.copy_(plain)

    def start_alike(self, done: int, module: nn.Module, adam: torch.optim.Optimizer) -> int:
        """Give all processes the first's weights and state of Adam, all on one device; return its `done`, iterations.

        So the others need no access to the run's folder, and weights cannot differ from the start.
        """
        if self.count == 1:
            return done
        state = module.state_dict()  # tensors of the module itself, not copies
        number = torch.tensor(done, device=next(iter(state.values())).device)
        for tensor in (number, *state.values()):
            self.take_from_first(tensor)
        for group in adam.param_groups if int(number) else ():
            for parameter in group["params"]:
                moments = adam.state[parameter]
                device = parameter.device if group.get("fused") else "cpu"
                moments.setdefault("step", torch.zeros((), device=device))
                for name in ("exp_avg", "exp_avg_sq"):
                    moments.setdefault(name, torch.zeros_like(parameter))
                for name in ("exp_avg", "exp_avg_sq"):
                    self.take_from_first(moments[name])
                moments["step"].fill_(float(number))  # Adam has counted every iteration
        return int(number)


ALONE = Processes()


@contextlib.contextmanager
def processes() -> Iterator[Processes]:
    """Join the processes that torchrun has started, for the length of the block; without it, this process alone.

    They talk by gloo about tensors of the CPU and by NCCL about those of GPUs. Each sees one GPU, if there are any: its
    own, so that the network and a renderer on CUDA meet there. Call it before CUDA is used.

    Raises:
        InputError: if the processes cannot find each other.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or "RANK" not in os.environ:
        yield ALONE
        return
    _see_own_gpu(int(os.environ.get("LOCAL_RANK", "0")))
    try:
        store, rank, _ = next(rendezvous("env://"))
        # torchrun keeps one store over its restarts, where the addresses of the dead would be found again.
        attempt = f"{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}/{count}"
        own = distributed.PrefixStore(attempt, store)  # type: ignore[attr-defined]
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(backend, store=own, rank=rank, world_size=count)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"the {count} training processes cannot meet ({reason}); start them with torchrun") from None
    yield Processes(rank, count)
    distributed.destroy_process_group()  # not after an error: the others may wait for this one, and must not


def _see_own_gpu(local: int) -> None:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(i) for i in range(torch.cuda.device_count())] if visible is None else visible.split(",")
    if names and names != [""]:
        os.environ["CUDA_VISIBLE_DEVICES"] = names[local % len(names)]
