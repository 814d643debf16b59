"""Turn uint8 frames into the normalised clips that models take, and back."""

import numpy as np
import torch

from ..errors import InputError

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def to_clip(frames: np.ndarray) -> torch.Tensor:
    """Normalise uint8 frames `[T, H, W, 3]` to a float32 clip `[3, T, H, W]` (ImageNet statistics)."""
    pixels = torch.as_tensor(np.ascontiguousarray(frames))
    if pixels.ndim != 4 or pixels.shape[-1] != 3 or pixels.dtype != torch.uint8:
        kind = str(pixels.dtype).removeprefix("torch.")
        raise InputError(f"to_clip takes uint8 frames [T, H, W, 3], not {kind} {list(pixels.shape)}.")
    mean, scale = (each.view(3, 1, 1, 1) for each in (torch.tensor(MEAN) * 255, 1 / (torch.tensor(STD) * 255)))
    by_colour = pixels.permute(3, 0, 1, 2).contiguous()  # takes half as long as colours last
    return by_colour.float().sub_(mean).mul_(scale)


def to_frames(clip: torch.Tensor) -> np.ndarray:
    """Undo `to_clip`: a float clip `[3, T, H, W]` to uint8 frames `[T, H, W, 3]`, rounded and clamped."""
    clip = torch.as_tensor(clip).detach().float().cpu()
    if clip.ndim != 4 or clip.shape[0] != 3:
        raise InputError(f"to_frames takes one clip [3, T, H, W], not {list(clip.shape)}.")
    pixels = (clip.permute(1, 2, 3, 0) * torch.tensor(STD) + torch.tensor(MEAN)) * 255
    return pixels.round().clamp(0, 255).to(torch.uint8).numpy()
