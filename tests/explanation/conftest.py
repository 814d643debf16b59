"""A small network and a short video that the tests of explanations share."""

import numpy as np
import pytest
import torch

from paperlib import models


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    net = models.create("TSM-R18-f4", num_classes=3, width=4).eval()
    with torch.no_grad():
        net.fc.weight.mul_(20)
    return net


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 255, (20, 8, 8, 3), np.uint8).repeat(4, 1).repeat(4, 2)
