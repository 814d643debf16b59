"""Networks whose truth is known because they were built, not trained: they read given frames and no others."""

from dataclasses import dataclass

import torch
from torch import nn

from ..errors import InputError, whole

CELL = 4  # pixels: side of a square whose brightness is one number
BRIGHT, FAINT = 1.2, 0.5  # of signs and of what means nothing, in normalised pixels; the mean colour is 0


class Oracle(nn.Module):
    """Reads one sign per class in the frames where `inside` bool [N] is true, and nothing anywhere else.

    Brightness of cells (a convolution and a ReLU), then for each class one sum over the cells that its sign lights, in
    the frames inside alone, then a classifier in which classes speak against each other. The weights for all other
    frames are zero. `signs` float [K, N, h, w] are the cells of each class's sign.
    """

    def __init__(self, inside, signs):
        super().__init__()
        self.num_frames = len(inside)
        self.bright = nn.Conv3d(3, 1, (1, CELL, CELL), stride=(1, CELL, CELL), bias=False)
        self.relu = nn.ReLU()
        self.read = nn.Conv3d(1, len(signs), signs.shape[1:], bias=False)
        self.relu_read = nn.ReLU()
        self.fc = nn.Linear(len(signs), len(signs), bias=False)
        with torch.no_grad():
            self.bright.weight.fill_(1 / self.bright.weight[0].numel())
            self.read.weight.copy_((signs * inside[None, :, None, None])[:, None] / inside.sum())
            self.fc.weight.copy_(8 * torch.eye(len(signs)) - 3)
        self.eval()

    def frame_logits(self, clip):
        """Clip [B, 3, N, H, W] -> [B, 1, K]: one reading of the whole clip."""
        seen = self.relu_read(self.read(self.relu(self.bright(clip))))
        return self.fc(seen.flatten(2).transpose(1, 2))

    def forward(self, clip):
        """Clip [B, 3, N, H, W] -> class logits [B, K]."""
        return self.frame_logits(clip).mean(1)


@dataclass
class Known:
    """Clips of which it is known on which frames the answer rests.

    clips float32 [n, 3, N, H, W], targets int64 [n], inside bool [n, N]; where there are twins, `others` int64 [n] are
    their classes and `twins` [n, 3, N, H, W] the clips that differ inside alone; `ids` names the videos.
    """

    clips: torch.Tensor
    targets: torch.Tensor
    inside: torch.Tensor
    others: torch.Tensor | None = None
    twins: torch.Tensor | None = None
    ids: list | None = None

    def __len__(self):
        return len(self.clips)

    def subset(self, keep):
        """Return the clips where `keep` bool [n] is true, or at these positions."""
        given, count = keep, len(self)
        keep = torch.as_tensor(given)
        each = keep.dtype == torch.bool
        number = not each and not keep.is_floating_point() and keep.ndim == 1 and bool((keep.abs() < count).all())
        if not (number or each and keep.shape == (count,)):
            raise InputError(f"{count} clips are kept by a truth value for each or by positions, not by {given!r}.")
        keep = keep.nonzero()[:, 0] if each else keep
        optional = [None if x is None else x[keep] for x in (self.others, self.twins)]
        ids = None if self.ids is None else [self.ids[i] for i in keep.tolist()]
        return Known(self.clips[keep], self.targets[keep], self.inside[keep], *optional, ids)


def oracle(
    events: list[tuple[int, int]], frames: int = 16, classes: int = 3, clips: int = 4, seed: int = 0
) -> tuple[Oracle, Known]:
    """Return (network, clips) of an oracle that reads the frames first (included) to after (excluded) of each event.

    In an event a light moves to the right by one cell per frame, in the row of its class; in two further rows lights go
    on and off at random all the time, which mean nothing. Twins show another class's light. A frame shown at another
    time lights no cell that is read then, so only the frames inside count, whatever replaces frames.
    InputError for events outside of the frames 1 to N - 1: before frame 0 there is nothing that it could repeat.
    """
    whole("frames", frames, 2)
    whole("classes", classes, 2)
    whole("clips", clips)
    inside = torch.zeros(frames, dtype=torch.bool)
    pairs = isinstance(events, list | tuple) and all(isinstance(one, list | tuple) and len(one) == 2 for one in events)
    if not pairs or not events:
        raise InputError(f"events must be a list of (first, after), frames of at least one event, not {events!r}.")
    for first, after in [(whole("an event's first frame", a, 0), whole("an event's end", b)) for a, b in events]:
        if not 1 <= first < after <= frames:
            raise InputError(f"an event lies within the frames 1 to {frames - 1}, not from {first} to before {after}.")
        inside[first:after] = True
    generator = torch.Generator().manual_seed(whole("seed", seed, 0))
    signs = torch.zeros(classes, frames, classes + 2, frames)
    steps = torch.arange(frames)
    for k in range(classes):
        signs[k, steps, k, steps] = 1
    labels = torch.arange(clips) % classes
    others = (labels + 1) % classes
    noise = torch.rand(clips, frames, 2, frames, generator=generator) < 0.3
    scenes = []
    for chosen in (labels, others):
        cells = torch.full((clips, *signs.shape[1:]), -1.0)
        cells[:, :, classes:] = torch.where(noise, FAINT, -1.0)
        shown = (signs[chosen] > 0) & inside[None, :, None, None]
        cells[shown] = BRIGHT
        pixels = cells.repeat_interleave(CELL, 2).repeat_interleave(CELL, 3)
        scenes.append(pixels[:, None].expand(-1, 3, -1, -1, -1).contiguous())
    return Oracle(inside, signs), Known(scenes[0], labels, inside.expand(clips, -1), others, scenes[1])
