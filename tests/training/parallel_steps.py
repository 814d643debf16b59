"""Run by torchrun from test_parallel.py: one training step of several processes against the same step of one."""

import copy
import json
import sys

import numpy as np
import torch

from paperlib import models
from paperlib.training import parallel, train


def gradients(net, model, clip, target):
    """Return {name: gradient} of the mean loss, and the running statistics after it."""
    torch.nn.functional.cross_entropy(net(clip), target).backward()
    found = {name: p.grad for name, p in model.named_parameters()}
    return found, {name: b for name, b in model.named_buffers() if "running" in name or "tracked" in name}


def main(out):
    with parallel.group("cpu") as ranks:
        torch.manual_seed(0)
        alone = models.create("TAM2D-R18-f4", num_classes=3, width=4).double()
        shared = parallel.synchronise(copy.deepcopy(alone), ranks)
        clip, target = torch.randn(8, 3, 4, 32, 32, dtype=torch.float64), torch.arange(8) % 3
        whole, whole_statistics = gradients(train.Scores(alone, 0), alone, clip, target)
        mine = torch.from_numpy(ranks.shard(np.arange(8)))
        net = parallel.distribute(train.Scores(shared, 0), ranks)
        parts, statistics = gradients(net, shared, clip[mine], target[mine])
        worst = max((whole[k] - parts[k]).abs().max() / whole[k].abs().max().clamp(min=1e-9) for k in whole)
        off = max((whole_statistics[k] - statistics[k]).abs().max() for k in statistics)
        shared.eval(), alone.eval()
        away = (shared(clip) - alone(clip)).abs().max()
        found = {
            "rank": ranks.rank,
            "indices": mine.tolist(),
            "gradient": float(worst),
            "statistics": float(off),
            "names": sorted(shared.state_dict()) == sorted(alone.state_dict()),
            "evaluation": float(away),
            "shared": ranks.share(lambda: f"from {ranks.rank}"),
            "total": ranks.total(ranks.rank + 1),
        }
        with open(f"{out}.{ranks.rank}", "w", encoding="utf-8") as file:
            json.dump(found, file)


if __name__ == "__main__":
    main(sys.argv[1])
