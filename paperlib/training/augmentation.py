"""Training clips from frames: normalised, and shifted, zoomed or mirrored at random, all frames of a clip alike."""

import torch
from torch.nn import functional as F

from ..data.clips import MEAN, STD


def augment(frames, generator, shift=4, mirror=0.0):
    """Shift each clip by up to `shift` pixels and vary its contrast; uint8 [B, T, H, W, 3] -> float32 [B, 3, T, H, W].

    mirror: share of the clips that are mirrored; 0 where that would turn "moving left" into "moving right".
    """
    clip = normalise(frames)
    if mirror:
        turned = torch.rand(len(clip), 1, 1, 1, 1, generator=generator).to(clip.device) < mirror
        clip = torch.where(turned, clip.flip(4), clip)
    side = clip.shape[-1]
    padded = F.pad(clip.flatten(1, 2), (shift,) * 4, mode="replicate")
    offsets = torch.randint(0, 2 * shift + 1, (len(clip), 2), generator=generator)
    gain = 0.8 + 0.4 * torch.rand(len(clip), 1, 1, 1, generator=generator)
    moved = torch.stack([p[:, y : y + side, x : x + side] for p, (y, x) in zip(padded, offsets.tolist(), strict=True)])
    moved = (moved * gain.to(moved)).view(clip.shape)
    return moved.contiguous(memory_format=torch.channels_last_3d)  # a quarter faster for 3D convolutions on CPU


def zoomed(frames, generator, size, mirror=0.0):
    """Cut a random square out of each clip, with a side between `size` and the frames', and scale it to `size`.

    uint8 [B, T, H, W, 3] -> float32 [B, 3, T, size, size]; the same square in all frames of a clip. mirror: as in
    `augment`.
    """
    clip, found = normalise(frames), []
    for one in clip:
        side = int(torch.randint(size, clip.shape[-1] + 1, (), generator=generator))
        y, x = torch.randint(0, clip.shape[-1] - side + 1, (2,), generator=generator).tolist()
        part = one[:, :, y : y + side, x : x + side]
        if torch.rand((), generator=generator) < mirror:
            part = part.flip(3)
        found.append(F.interpolate(part, (size, size), mode="bilinear", antialias=True, align_corners=False))
    return torch.stack(found).contiguous(memory_format=torch.channels_last_3d)


def normalise(frames):
    """Turn uint8 [B, T, H, W, 3] into normalised float32 [B, 3, T, H, W] on the same device."""
    mean, std = (torch.as_tensor(value, dtype=torch.float32, device=frames.device) for value in (MEAN, STD))
    return ((frames.float() / 255 - mean) / std).permute(0, 4, 1, 2, 3).contiguous()
