"""Figure 1: both networks drawn from the code, layer by layer, with their parameter counts."""

import matplotlib.pyplot as plt
import pandas as pd
import torch

from ... import models
from ...explanation import plotting
from .. import published
from ..findings import Check, Finding

PAPER = {  # the paper's networks for Something-Something: 174 classes, 16 frames of 224 x 224 pixels
    "I3D": ("I3D-original-f16", {"reduced_strides": True}),
    "C-LSTM": ("C-LSTM-f16", {"size": 224, "layers": 3}),
}
STAGES = {  # what is drawn of each network: module name -> label
    "I3D": {
        "conv1": "7x7x7 conv",
        "maxpool1": "1x3x3 max pool",
        "conv2": "1x1x1 conv",
        "conv3": "3x3x3 conv",
        "maxpool2": "1x3x3 max pool",
        "inception3a": "Inception",
        "inception3b": "Inception",
        "maxpool3": "3x3x3 max pool",
        "inception4a": "Inception",
        "inception4b": "Inception",
        "inception4c": "Inception",
        "inception4d": "Inception",
        "inception4e": "Inception",
        "maxpool4": "2x2x2 max pool",
        "inception5a": "Inception",
        "inception5b": "Inception",
        "fc": "linear",
    },
    "C-LSTM": {"cells.0": "C-LSTM 5x5", "cells.1": "C-LSTM 5x5", "cells.2": "C-LSTM 5x5", "fc": "linear"},
}


def create(model):
    """Return the paper's `I3D` or `C-LSTM` at full size."""
    name, options = PAPER[model]
    return models.create(name, num_classes=174, **options)


def layers(model):
    """Return one row per drawn layer: label, output channels, steps, height and width, parameters.

    Shapes come from a forward pass on torch's meta device: nothing is computed. Those of the C-LSTM's layers are behind
    their pooling, and the batch norm that they share is counted with the first.
    """
    network = create(model).eval()
    shapes, pooled, modules = {}, [], dict(network.named_modules())

    def note(name):
        def hook(module, inputs, output):
            shapes[name] = tuple(output.shape[1:])

        return hook

    counts = {name: sum(p.numel() for p in modules[name].parameters()) for name in STAGES[model]}
    network = network.to("meta")
    for name in STAGES[model]:
        modules[name].register_forward_hook(note(name))
    if model == "C-LSTM":
        counts["cells.0"] += sum(p.numel() for p in network.bn[0].parameters())
        network.pool.register_forward_hook(lambda module, inputs, output: pooled.append(tuple(output.shape[1:])))
    with torch.no_grad():
        network(torch.empty(1, 3, 16, 224, 224, device="meta"))
    shapes |= {f"cells.{k}": shape for k, shape in enumerate(pooled)}
    rows = []
    for name, label in STAGES[model].items():
        shape = shapes.get(name, (174,))
        rows.append(
            {
                "model": model,
                "layer": name,
                "label": label,
                "output": " x ".join(map(str, shape)),
                "parameters": counts[name],
            }
        )
    return pd.DataFrame(rows)


def parameters():
    """Return each network's parameters beside the paper's (section 4.2)."""
    rows = []
    for model in PAPER:
        ours = sum(p.numel() for p in create(model).parameters())
        paper = int(published.value("video_features_text", row=model, column="parameters", dataset="SSV2"))
        rows.append({"model": model, "parameters": ours, "paper": paper, "equal": ours == paper})
    return pd.DataFrame(rows)


def findings(table):
    """Return section 4.2's statement on time, and the checks that our networks have the paper's parameters."""
    checks = [Check(f"parameters of {row.model}", row.paper, row.parameters, row.equal) for row in table.itertuples()]
    why = "time depends on the widths, which are a quarter and three sixteenths of the paper's here"
    return [Finding("vf.sec4.slower", None, why)], checks


def draw(tables):
    """Draw the networks as columns of boxes from input (top) to class scores, with their output sizes."""
    tallest = max(map(len, tables))
    figure, axes = plt.subplots(1, len(tables), figsize=(4.2 * len(tables), 0.34 * tallest + 0.8))
    colours = {
        "Inception": plotting.SKY,
        "max pool": "0.85",
        "conv": plotting.ORANGE,
        "C-LSTM": plotting.BLUE,
        "linear": plotting.GREEN,
    }
    for axis, table in zip(axes, tables, strict=True):
        for k, row in enumerate(table.itertuples()):
            colour = next(c for word, c in colours.items() if word in row.label)
            axis.add_patch(plt.Rectangle((0, -k), 1, -0.78, facecolor=colour, alpha=0.55, edgecolor="0.3", lw=0.6))
            after = " + batch norm, 2x2 max pool" if row.label.startswith("C-LSTM") else ""
            axis.text(0.03, -k - 0.39, row.label + after, va="center", fontsize=7)
            axis.text(1.03, -k - 0.39, f"{row.output}   {row.parameters:,}", va="center", fontsize=6.5)
        axis.set(
            xlim=(0, 1.7),
            ylim=(-tallest, 0.2),
            title=f"{table.model[0]}: output size (C x T x H x W), parameters",
        )
        axis.axis("off")
    return figure
