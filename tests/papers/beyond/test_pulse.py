"""The networks that read a pulse from a face, and the pulse planted into one; needs the packages' files."""

from importlib import metadata, util

import numpy as np
import pandas as pd
import pytest
import torch

from paperlib.data import clips
from paperlib.errors import InputError
from paperlib.papers.beyond import pulse
from paperlib.papers.beyond.pulse import physformer
from paperlib.storage import paths

REFERENCE = paths.ROOT / "tests/papers/beyond/pulse_reference.csv"


def installed(package):
    try:
        return bool(metadata.version(package)) and util.find_spec("h5py") is not None
    except metadata.PackageNotFoundError:
        return False


weights = pytest.mark.skipif(not installed("open-rppg"), reason="open-rppg and h5py are not installed")


def noise(frames, size):
    """Return frames uint8 [frames, size, size, 3]: blocks that change every four frames, and noise on them."""
    random = np.random.default_rng(0)
    blocks = random.integers(0, 256, (frames // 4, 4, 4, 3)).repeat(4, 0).repeat(size // 4, 1).repeat(size // 4, 2)
    return blocks.astype(np.uint8) // 2 + random.integers(0, 128, (frames, size, size, 3), dtype=np.uint8)


@weights
@pytest.mark.numerics
@pytest.mark.parametrize("name", pulse.NETWORKS)
def test_outputs_are_those_of_the_packages_own_code(name):
    """The file holds what open-rppg 0.1.1 gives for `noise`, on Keras 3 and JAX in float32 (it ships in float16)."""
    expected = pd.read_csv(REFERENCE).query("network == @name")
    net = pulse.opened(name)
    clip = clips.to_clip(noise(len(expected), net.SIZE))[None]
    with torch.no_grad():
        found = net.frame_logits(clip)[..., 0] if name == "TS-CAN" else net.pulse(clip)
    assert found[0].numpy() == pytest.approx(expected.value.to_numpy(), abs=1e-4)


def test_a_temporal_difference_convolution_is_one_convolution():
    x, kernel = torch.randn(1, 2, 5, 4, 4, dtype=torch.double), torch.randn(3, 2, 3, 3, 3, dtype=torch.double)
    difference = kernel[:, :, [0, 2]].sum((2, 3, 4), keepdim=True)
    written = torch.conv3d(x, kernel, padding=1) - physformer.THETA * torch.conv3d(x, difference)
    folded = kernel.clone()
    physformer.subtract_differences(folded)
    assert torch.allclose(torch.conv3d(x, folded, padding=1), written)


def test_an_absent_package_is_one_sentence(monkeypatch):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(InputError, match="open-rppg is not installed: pip install"):
        pulse.opened("TS-CAN")
