"""Training on several GPUs: one process each, started by torchrun, which sets RANK, WORLD_SIZE and LOCAL_RANK."""

import os
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..models import devices

PATIENCE = timedelta(hours=12)  # process 0 looks through all videos while the others wait


@dataclass(frozen=True)
class Ranks:
    """This process among those that train one model together: rank 0 to count - 1, and its device."""

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def first(self):
        """Whether this is the process that writes."""
        return self.rank == 0

    def share(self, compute):
        """Return `compute()` of process 0 in every process."""
        if self.count == 1:
            return compute()
        held = [compute() if self.first else None]
        distributed.broadcast_object_list(held, src=0, device=self.device)
        return held[0]

    def total(self, value):
        """Return the sum of a number over all processes."""
        if self.count == 1:
            return value
        held = torch.tensor(float(value), dtype=torch.float64, device=self.device)
        distributed.all_reduce(held)
        return held.item()

    def wait(self):
        """Wait until every process has come here."""
        if self.count > 1:
            distributed.barrier()

    def shard(self, indices):
        """Return this process's part of the indices; the parts are disjoint and make up the whole."""
        return indices[self.rank :: self.count]


@contextmanager
def group(device="auto"):
    """Join the processes that torchrun started and yield this one's `Ranks`; without torchrun, one of one."""
    count, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    if count == 1:
        yield Ranks(devices.device(device))
        return
    own = devices.device(device)
    if own.type == "cuda":
        own = devices.device(f"cuda:{os.environ['LOCAL_RANK']}")
        torch.cuda.set_device(own)
    distributed.init_process_group("nccl" if own.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Ranks(own, rank, count)
    finally:
        distributed.destroy_process_group()


def synchronise(model, ranks):
    """Let all batch norms take their statistics over the clips of all processes; returns the model."""
    if ranks.count == 1:
        return model
    if ranks.device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for name, child in model.named_children():
        if isinstance(child, _BatchNorm):
            model.register_module(name, SyncBatchNorm.of(child))
        else:
            synchronise(child, ranks)
    return model


def distribute(module, ranks):
    """Return a module whose gradients are the mean over all processes."""
    if ranks.count == 1:
        return module
    devices = [ranks.device] if ranks.device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(module, device_ids=devices)


class Sum(torch.autograd.Function):
    """The sum of a tensor over all processes; so is its gradient."""

    @staticmethod
    def forward(ctx, x):
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient):
        total = gradient.clone()
        distributed.all_reduce(total)
        return total


class SyncBatchNorm(_BatchNorm):
    """nn.SyncBatchNorm for the CPU, where torch has none: same parameters, statistics over all processes."""

    @classmethod
    def of(cls, other):
        """Return a synchronised copy of a batch norm."""
        own = cls(other.num_features, other.eps, other.momentum, other.affine, other.track_running_stats)
        own = own.to(next(other.buffers()))
        own.load_state_dict(other.state_dict())
        return own.train(other.training)

    def _check_input_dim(self, input):
        pass

    def forward(self, input):
        """[B, C, ...] -> the same shape; uses the running statistics in evaluation, as nn.BatchNorm3d."""
        if not self.training:
            return super().forward(input)
        x = input.float() if input.dtype in (torch.bfloat16, torch.float16) else input
        over, shape = [d for d in range(x.dim()) if d != 1], [1, -1] + [1] * (x.dim() - 2)
        count = x.new_tensor([x.numel() / x.shape[1]])
        sums = Sum.apply(torch.cat([x.sum(over), x.square().sum(over), count]))
        n = sums[-1]
        mean, square = sums[:-1].view(2, -1) / n
        variance = (square - mean.square()).clamp(min=0)
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n / (n - 1), self.momentum)
        scale = self.weight / (variance + self.eps).sqrt()
        return ((x - mean.view(shape)) * scale.view(shape) + self.bias.view(shape)).to(input.dtype)
