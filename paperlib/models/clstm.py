"""The convolutional LSTM of the ACCV 2020 paper."""

import torch
from torch import nn

from ..errors import InputError, whole
from . import base
from .base import MaxPool3d, VideoModel, check_options

PATTERN = r"C-LSTM-f(?P<frames>[1-9]\d*)"
EXAMPLE = "C-LSTM-f16"


def build(frames, num_classes, width, dropout, size=224, layers=3, spatial_stride=None, **options):
    """Build `C-LSTM-f<frames>`: width / 2 filters per layer (32 in the paper), size x size pixels.

    layers: 3 for Something-Something, 2 for KTH. The classifier sees the whole output sequence, so its
    weights depend on the number of frames and on the size.
    spatial_stride: pixels from one cell of the last maps to the next, 4 per layer as published, or less by powers of
    two: later layers then see all of their input, and maps of small videos have cells enough for Grad-CAM.
    """
    name = f"C-LSTM-f{frames}"
    check_options(name, options, ["size", "layers", "spatial_stride"])
    size, layers = whole(f"size of {name}", size), whole(f"layers of {name}", layers)
    allowed = [2 ** (layers + strided) for strided in range(layers + 1)]
    stride = allowed[-1] if spatial_stride is None else whole(f"spatial_stride of {name}", spatial_stride)
    if stride not in allowed:
        raise InputError(
            f"spatial_stride={stride!r} for {name} with {layers} layers: "
            f"it should be one of {', '.join(map(str, allowed))}"
        )
    if size // stride < 1:
        raise InputError(f"size={size} for {name}: {layers} layers divide it by {stride}, so it must be at least that")
    model = CLSTM(int(frames), num_classes, max(1, width // 2), dropout, size, layers, stride)
    model.config = dict(
        name=name, num_classes=num_classes, width=width, dropout=dropout,
        size=size, layers=layers, spatial_stride=stride,
    )  # fmt: skip
    return model


def cells(size, layers, strided):
    """Return how many cells high the last maps of `size` pixels are: the first `strided` layers halve, all pool."""
    for layer in range(layers):
        size = ((size + 1) // 2 if layer < strided else size) // 2
    return size


class CLSTM(VideoModel):
    """Layers of [convolutional LSTM cell, dropout, batch norm, 2 x 2 max pool], then a linear classifier.

    All layers and time steps share the weights of one batch norm, as in the released code (its parameter count
    needs it). There they also share its running statistics, which then fit no layer: with two layers that cost
    half of the accuracy in evaluation mode (47 instead of 90 % on synth_kth). Here every layer has its own;
    weights as released come with the same statistics for all. In training, a layer's batch statistics are taken
    over all time steps at once.
    """

    def __init__(self, num_frames, num_classes, filters, dropout, size, layers, stride):
        super().__init__(num_frames)
        self.size = size
        inputs = [3] + [filters] * (layers - 1)
        strided = (stride // 2**layers).bit_length() - 1  # so many layers, the first ones, take every second pixel
        self.cells = nn.ModuleList(
            Cell(channels, filters, num_frames, 2 if layer < strided else 1) for layer, channels in enumerate(inputs)
        )
        self.dropout = nn.Dropout(dropout)
        self.bn = nn.ModuleList(nn.BatchNorm3d(filters) for _ in inputs)
        for norm in self.bn[1:]:
            norm.weight, norm.bias = self.bn[0].weight, self.bn[0].bias
        self.pool = MaxPool3d((1, 2, 2))
        self.fc = nn.Linear(num_frames * filters * cells(size, layers, strided) ** 2, num_classes)

    def features(self, clip):
        """Clip [B, 3, T, size, size] -> output sequence [B, C, T, H', W']."""
        check_size(clip, self.size)
        x = clip
        for cell, norm in zip(self.cells, self.bn, strict=True):
            x = self.pool(norm(self.dropout(cell(x))))
        return x

    def frame_logits(self, clip):
        """Clip [B, 3, T, size, size] -> [B, T, K]: T times each step's share of the logits, plus the bias."""
        base.check_clip(clip, self.num_frames)
        steps = self.features(clip).transpose(1, 2).flatten(2)
        weight = self.fc.weight.unflatten(1, (self.num_frames, -1))
        return torch.einsum("btf,ktf->btk", steps, weight) * self.num_frames + self.fc.bias


class Cell(nn.Module):
    """Convolutional LSTM cell: 5 x 5 kernels, stride 2 (or 1) on the input, no peepholes (zeros as released).

    The four gates (input, forget, candidate, output) are one convolution each for input and hidden state.
    """

    def __init__(self, channels, filters, num_frames, stride=2):
        super().__init__()
        self.filters, self.num_frames = filters, num_frames
        self.input = nn.Conv3d(channels, 4 * filters, (1, 5, 5), stride=(1, stride, stride), padding=(0, 2, 2))
        self.hidden = nn.Conv3d(filters, 4 * filters, (1, 5, 5), padding=(0, 2, 2), bias=False)

    def forward(self, x):
        """[B, C, T, H, W] -> hidden states [B, filters, T, H/stride, W/stride]."""
        driven = self.input(x).split(1, 2)  # slices would each have a gradient of the whole length
        hidden = state = torch.zeros_like(driven[0][:, : self.filters])
        states = []
        for t in range(self.num_frames):
            gates = driven[t] + self.hidden(hidden)
            enter, forget, candidate, leave = gates.chunk(4, 1)
            state = torch.sigmoid(forget) * state + torch.sigmoid(enter) * torch.tanh(candidate)
            hidden = torch.sigmoid(leave) * torch.tanh(state)
            states.append(hidden)
        return torch.cat(states, 2)


@torch.fx.wrap
def check_size(clip, size):
    """Raise InputError unless the clip has size x size pixels."""
    if tuple(clip.shape[3:]) != (size, size):
        raise InputError(
            f"this C-LSTM was created for {size} x {size} pixels, but the clip has "
            f"{clip.shape[3]} x {clip.shape[4]}; give clips of that size, or create it for theirs"
        )
