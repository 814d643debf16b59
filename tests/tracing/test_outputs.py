"""Which of several things that forward returns are the class logits."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paperlib import models
from paperlib.errors import InputError
from tests.models.test_adapt import Tiny
from tests.relevance.networks import clip


class Projected(Tiny):
    """Logits, and an embedding by the last layer with weights."""

    def __init__(self):
        super().__init__()
        self.projection = nn.Linear(6, 5)

    def forward(self, x):
        return super().forward(x), self.projection(F.relu(self.conv(x)).mean((2, 3, 4)))


class Scored(Tiny):
    def forward(self, x):
        return {"out": F.relu(self.conv(x)).mean((2, 3, 4)), "cls_score": super().forward(x)}


def test_names_of_classes_tell_logits_from_an_embedding():
    x = clip(5, 8)
    with pytest.raises(
        InputError, match=r"tuple of which 0 \[1, 3\] and 1 \[1, 5\] may be the class logits; .* classes="
    ):
        models.adapt(Projected(), x)
    assert torch.allclose(models.adapt(Projected(), x, classes=list("abc"))(x), Tiny()(x), atol=1e-6)


def test_scores_of_classes_come_before_what_is_merely_out():
    x = clip(5, 8)
    assert torch.allclose(models.adapt(Scored(), x)(x), Tiny()(x), atol=1e-6)
