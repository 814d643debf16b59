"""Learning a mask in a widget: what goes wrong is said, what is interrupted ends, one thing is asked at a time."""

import os
import signal
import threading

import numpy as np
import pytest
import torch
from torch.utils import checkpoint

from paperlib import relevance, widgets
from paperlib.data import clips
from paperlib.errors import InputError
from paperlib.tracing.probing import evaluating
from paperlib.widgets.explorer import Explorer

from ..masks.networks import SmallVideoNet

NAMES = ["a", "b", "c"]
FRAMES = np.random.default_rng(0).integers(0, 255, (6, 16, 16, 3), np.uint8)
ENDLESS = {"iterations": 1_000_000, "tolerance": 0}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return SmallVideoNet().train()


def as_before(network):
    return network.training and all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("wrong", [{"length_weigth": 0.5}, {"preset": "as_publishd"}, {"initial": [0, 1]}])
def test_what_learning_refuses_is_raised_and_changes_nothing(network, wrong):
    widget = widgets.scrub_masks(FRAMES, network, classes=NAMES)
    before, said = widget.masks, []
    with pytest.raises(InputError):
        widget.learn(**wrong)
    widget.send = lambda content, buffers=None: said.append(content)
    widget.learn(wait=False, **wrong)
    widget._done.wait(60)
    assert [(one["kind"], one["of"]) for one in said] == [("error", "learn")]
    assert widget.masks == before and as_before(network)
    widget.learn(iterations=2)
    assert widget.masks[0]["loss"]


def test_an_error_of_another_kind_is_raised_too(network, monkeypatch):
    widget = widgets.scrub_masks(FRAMES, network, classes=NAMES)
    monkeypatch.setattr("paperlib.masks.learn", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        widget.learn()
    assert not widget.masks[0]["running"]


@pytest.fixture
def interruptible():
    """Let SIGINT raise KeyboardInterrupt, which tests in the background ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_ends_learning_before_it_is_raised(network, interruptible):
    widget = widgets.scrub_masks(FRAMES, network, classes=NAMES)
    asked = []

    def interrupt(change):
        if change.new[0]["running"] and not asked:
            asked.append(True)
            os.kill(os.getpid(), signal.SIGINT)

    widget.observe(interrupt, "masks")
    with pytest.raises(KeyboardInterrupt):
        widget.learn(**ENDLESS)
    assert as_before(network) and not widget.masks[0]["running"]
    mine = [0, 0, 1, 1, 0, 0]
    scores = widget.set_mask(mine)
    widget._worker.join(60)
    assert widget.masks[0]["mask"] == mine and widget.masks[0]["scores"] == scores
    network(torch.zeros(1, 3, 6, 16, 16)).sum().backward()


def test_the_network_is_asked_one_thing_at_a_time(network):
    widget = Explorer([widgets.subject(FRAMES, network, NAMES, target=0)], ["relevance", "mask"])
    begun = threading.Event()
    widget.observe(lambda change: begun.set(), "masks")
    widget.learn(wait=False, **ENDLESS)
    assert begun.wait(60)
    widget.explain(sigma=0.6)  # the matrix is there
    assert widget._worker.is_alive()
    widget.explain(method="lrp")
    assert widget._done.is_set() and as_before(network) and widget.masks[0]["loss"]
    expected = relevance.relevance_matrix(network, clips.to_clip(FRAMES)[None], [0], method="lrp")[0]
    np.testing.assert_allclose(widget.subjects[0].artifact.matrix, expected, rtol=1e-5, atol=1e-6)
    begun.clear()
    widget.learn(wait=False, **ENDLESS)
    assert begun.wait(60)
    widget.show(widget.subjects)
    assert widget._done.is_set() and as_before(network)


def test_checkpointing_works_again_whichever_of_two_threads_ends_first():
    real = checkpoint.CheckpointFunction
    first, second = evaluating(SmallVideoNet()), evaluating(SmallVideoNet())
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert checkpoint.CheckpointFunction is not real  # the second still needs it
    second.__exit__(None, None, None)
    assert checkpoint.CheckpointFunction is real
