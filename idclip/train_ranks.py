"""Several processes that train one model: each takes a share of every batch (torch).

Vectors are gathered from all, so that each process computes the loss of the whole batch, and the
gradients of its own share are summed over all: the same step as one process would take.
"""

# torch is not seen by mypy, so its functions are of any type.
# mypy: disable-error-code="no-any-return"
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Ranks:
    """This process among `size` of them, which `torch.distributed` has brought together."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0

    def share(self, length: int) -> slice:
        """The rows of `length` that are this process's own."""
        return slice(length * self.rank // self.size, length * (self.rank + 1) // self.size)

    def whole(self, mine: Tensor, length: int) -> Tensor:
        """All rows [length, ...] of which each process has its share."""
        if self.size == 1:
            return mine
        rows = torch.zeros(length, *mine.shape[1:], dtype=mine.dtype, device=mine.device)
        rows[self.share(length)] = mine
        return self.sum(rows)

    def sum(self, values: Tensor) -> Tensor:
        """Summed over all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def largest(self, value: int, device: str) -> int:
        """Of the values that the processes have."""
        if self.size == 1:
            return value
        found = torch.tensor([value], device=device)
        distributed.all_reduce(found, distributed.ReduceOp.MAX)
        return int(found)

    def wait(self) -> None:
        """Until all have come here."""
        if self.size > 1:
            distributed.barrier()


ALONE = Ranks()
