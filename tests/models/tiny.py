"""A network small enough for a test and no special case of what it computes."""

import torch
from torch import nn

from paperlib import models


def tiny(name, **options):
    """A network of width 8 in evaluation mode, with batch norms that do something."""
    torch.manual_seed(0)
    model = models.create(name, num_classes=5, width=8, **options).eval()
    for layer in model.modules():
        if isinstance(layer, (nn.BatchNorm2d, nn.BatchNorm3d)):
            layer.running_mean.normal_(std=0.1)
            layer.running_var.uniform_(0.5, 1.5)
    return model
