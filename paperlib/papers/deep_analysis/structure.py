"""What the networks of the framework are made of, read from the networks themselves (Figure 3, Table 1)."""

import pandas as pd
import torch
from torch import nn

from ... import models
from ...models.modules import NonLocal, Shift
from ..findings import Check
from . import name

KINDS = ("3D", "2D", "1D", "1D depthwise", "1x1", "shift", "non-local")
TEMPORAL = ("3D", "1D", "1D depthwise", "shift", "non-local")


def build(network, num_classes=87, **options):
    """Return the network on the meta device: its structure without weights, in milliseconds."""
    with torch.device("meta"):
        return models.create(network, num_classes=num_classes, **options).eval()


def kind(layer):
    """Return which of KINDS a layer is, or None."""
    if isinstance(layer, Shift):
        return "shift"
    if isinstance(layer, NonLocal):
        return "non-local"
    if not isinstance(layer, nn.Conv3d):
        return None
    time, *space = layer.kernel_size
    if max(space) > 1:
        return "3D" if time > 1 else "2D"
    if time > 1:
        return "1D depthwise" if layer.groups == layer.in_channels > 1 else "1D"
    return "1x1"


def layers(model):
    """Return the kinds of all layers that have one, in the order of definition; inside a non-local block the
    1x1 convolutions count as part of it."""
    found, skipped = [], ()
    for path, layer in model.named_modules():
        this = kind(layer)
        if this and not path.startswith(skipped):
            found.append(this)
            skipped = (*skipped, f"{path}.") if this == "non-local" else skipped
    return found


def counts(networks):
    """Return for each network how many layers of each kind it has, and its parameters: one row per name."""
    rows = []
    for network in networks:
        model = build(network)
        kinds = pd.Series(layers(model)).value_counts().reindex(KINDS, fill_value=0)
        rows.append(
            {
                "model": network,
                **kinds,
                "temporal": int(kinds[list(TEMPORAL)].sum()),
                "parameters": models.count(model, size=64).parameters,
            }
        )
    return pd.DataFrame(rows)


def shapes(model, size=224):
    """Return [(name, [C, T, H, W])] behind every child of the model that gives a feature map."""
    found, hooks = [], []
    for child, layer in model.named_children():
        parts = layer.named_children() if isinstance(layer, nn.ModuleDict) else [(child, layer)]
        for part, inner in parts:
            hooks.append(
                inner.register_forward_hook(
                    lambda _, __, output, part=part: found.append((part, list(output.shape[1:])))
                )
            )
    with torch.no_grad():
        model(torch.empty(1, 3, model.num_frames, size, size, device="meta"))
    for hook in hooks:
        hook.remove()
    return [(part, shape) for part, shape in found if len(shape) == 4]


def block(model):
    """Return the layers of a ResNet's second block of stage 2, from its input on: [(kernel, kind)]."""
    inner = model.layer2[1]
    parts = [inner.temporal, *(getattr(inner, f"conv{step}") for step in inner.steps), inner.after]
    leaves = [next((m for m in part.modules() if kind(m)), None) for part in parts if part is not None]
    sizes = ["x".join(map(str, getattr(leaf, "kernel_size", ()))) for leaf in leaves]
    return [(size or kind(leaf), kind(leaf)) for size, leaf in zip(sizes, leaves, strict=True)]


def counted(models_table, num_classes=87, size=224):
    """Return the architectures of a table of models with their cost by our own counter.

    Columns: module, backbone, num_frames, temporal_pooling, gmacs (multiply-accumulates of one clip / 1e9),
    parameters_counted (with num_classes classes).
    """
    keys = ["module", "backbone", "num_frames", "temporal_pooling"]
    rows = models_table[keys].drop_duplicates()
    found = [models.count(build(name(*row), num_classes), size) for row in rows.itertuples(index=False)]
    return rows.assign(gmacs=[c.flops / 1e9 for c in found], parameters_counted=[c.parameters for c in found])


def cost(network, size=256):
    """Return the multiply-accumulates of one clip in thousand millions; Table 2's models see 256 pixels."""
    return models.count(build(network), size).flops / 1e9


def stages(network, size=224):
    """Return the chain of a ResNet for Figure 3: [(label, [C, T, H, W])], temporal pools counted to the stage
    before them, and the classifier with its shape [T', K]."""
    model = build(network)
    labels = {"maxpool": "stem", **{f"layer{i}": f"stage {i}" for i in range(1, 5)}}
    chain = [("clip", [3, model.num_frames, size, size])]
    for part, shape in shapes(model, size):
        if part in labels:
            chain.append((labels[part], shape))
        elif part.startswith("pool"):
            chain[-1] = (chain[-1][0], shape)
    return [*chain, ("logits", [model.fc.out_features, chain[-1][1][1], 1, 1])]


def stage_table(plain, pooled):
    """Return the chains of `stages` without and with temporal pooling as one table."""
    rows = [[label, *shape, other[1]] for (label, shape), (_, other) in zip(plain, pooled, strict=True)]
    return pd.DataFrame(rows, columns=["stage", "channels", "frames", "height", "width", "frames_pooled"])


def of_framework(modules):
    """Return the checks of Figure 3, from 16-frame R18 networks of these modules."""
    full, left = (
        sorted({stages(f"{module}-R18-f16{pooled}")[-1][1][1] for module in modules}) for pooled in ("", "-tp")
    )
    return [
        Check(
            "frames that keep their own prediction in a 16-frame network, any module",
            "16",
            str(full)[1:-1],
            full == [16],
        ),
        Check("frames left with temporal pooling, the same for all modules", "2", str(left)[1:-1], left == [2]),
    ]


def of_approaches(counted):
    """Return the checks of Table 1; counted: of `counts`."""
    temporal, parameters = (counted.set_index("model")[column] for column in ("temporal", "parameters"))
    share = parameters["TAM-R50-f8"] / parameters["TSN-R50-f8"] - 1
    most = int(temporal[["TSN-Inc-f8", "TSN-R50-f8"]].max())
    return [
        Check("layers of TSN that see more than one frame", 0, most, most == 0),
        Check("parameters that TAM adds to TSN-R50, as a share", "below 0.01", share, share < 0.01),
    ]
