"""PhysFormer: a video transformer whose queries and keys are temporal difference convolutions (Yu et al. 2022)."""

from torch import nn

from .reader import EPSILON, PulseReader, convolved, two

WIDTH, HIDDEN, HEADS, BLOCKS = 96, 144, 12, 12
SHARPNESS = 2.0  # what scores of attention are divided by
THETA = 0.7  # weight of the temporal difference


class PhysFormer(PulseReader):
    """A stem of three convolutions, patches of 4 x 4 x 4, twelve blocks, and upsampling to one value per frame."""

    SIZE, FILE = 128, "PhysFormer"

    def __init__(self):
        super().__init__()
        self.standardise = nn.InstanceNorm3d(3, eps=1e-12)  # over the clip
        widths, kernels = (3, WIDTH // 4, WIDTH // 2, WIDTH), [(1, 5, 5), (3, 3, 3), (3, 3, 3)]
        self.stem = nn.ModuleList(
            convolved(a, b, k, nn.ReLU) for a, b, k in zip(widths, widths[1:], kernels, strict=False)
        )
        self.pool = nn.MaxPool3d((1, 2, 2))
        self.patches = nn.Conv3d(WIDTH, WIDTH, 4, stride=4)
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.longer = nn.Upsample(scale_factor=(2, 1, 1))
        self.upsample = nn.ModuleList(convolved(WIDTH, width, (3, 1, 1), nn.ELU) for width in (WIDTH, WIDTH // 2))
        self.last = nn.Conv1d(WIDTH // 2, 1, 1)

    def values(self, pixels):
        """Pixels [B, 3, T, 128, 128] -> [B, T]; T is a multiple of 4."""
        x = self.standardise(pixels)
        for part in self.stem:
            x = self.pool(part(x))
        x = self.patches(x)
        for block in self.blocks:
            x = block(x)
        for part in self.upsample:
            x = part(self.longer(x))
        return self.last(x.mean((3, 4)))[:, 0]

    def places(self):
        """Return {layer: its place in the file}."""
        found = {"patches": "layers/conv3d", "last": "ConvBlockLast"}
        for number in range(3):
            found |= two(f"stem.{number}", f"layers/sequential{f'_{number}' if number else ''}")
        for number in range(2):
            found |= two(f"upsample.{number}", f"layers/sequential_{number + 3}")
        for number in range(BLOCKS):
            stage, place = (f"_{k}" if k else "" for k in divmod(number, BLOCKS // 3))
            name = "block_st_tdc_gra_sharp"
            found |= _of_block(f"blocks.{number}", f"layers/transformer_st_tdc_gra_sharp{stage}/blocks/{name}{place}")
        return found

    def filled(self, trained_on):
        """Fill the network with the package's weights and return it, temporal differences within the kernels."""
        super().filled(trained_on)
        for block in self.blocks:
            for part in (block.queries, block.keys):
                subtract_differences(part[0].weight.data)
        return self


class Block(nn.Module):
    """Attention among all tokens, then a convolution per token and its neighbours: [B, 96, T, H, W] -> the same."""

    def __init__(self):
        super().__init__()
        self.before, self.between = nn.LayerNorm(WIDTH, eps=1e-6), nn.LayerNorm(WIDTH, eps=1e-6)
        self.queries, self.keys = (
            nn.Sequential(nn.Conv3d(WIDTH, WIDTH, 3, padding=1, bias=False), nn.BatchNorm3d(WIDTH, eps=EPSILON))
            for _ in range(2)
        )
        self.signals = nn.Conv3d(WIDTH, WIDTH, 1, bias=False)
        self.project = nn.Linear(WIDTH, WIDTH)
        self.forth = nn.Sequential(
            nn.Conv3d(WIDTH, HIDDEN, 1, bias=False), nn.BatchNorm3d(HIDDEN, eps=EPSILON), nn.ELU()
        )
        self.among = nn.Sequential(
            nn.Conv3d(HIDDEN, HIDDEN, 3, padding=1, groups=HIDDEN, bias=False),
            nn.BatchNorm3d(HIDDEN, eps=EPSILON),
            nn.ELU(),
        )
        self.back = nn.Sequential(nn.Conv3d(HIDDEN, WIDTH, 1, bias=False), nn.BatchNorm3d(WIDTH, eps=EPSILON))

    def forward(self, x):
        shape = x.shape[2:]
        normed = _normed(self.before, x)
        q, k, v = (_heads(part(normed)) for part in (self.queries, self.keys, self.signals))
        weights = (q @ k.transpose(2, 3) / SHARPNESS).softmax(3)
        attended = self.project((weights @ v).transpose(1, 2).flatten(2))
        x = x + attended.transpose(1, 2).unflatten(2, shape)
        return x + self.back(self.among(self.forth(_normed(self.between, x))))


def subtract_differences(kernel):
    """Subtract THETA times all taps of the outer two frames from the centre of kernels [out, in, 3, 3, 3], in place.

    A temporal difference convolution is a convolution with such a kernel.
    """
    kernel[:, :, 1, 1, 1] -= THETA * kernel[:, :, [0, 2]].sum((2, 3, 4))


def _normed(norm, x):
    return norm(x.movedim(1, -1)).movedim(-1, 1)


def _heads(x):
    """[B, C, T, H, W] -> [B, heads, tokens, C / heads]."""
    return x.flatten(2).transpose(1, 2).unflatten(2, (HEADS, -1)).transpose(1, 2)


def _of_block(here, there):
    """Return {layer: place} of one block."""
    found = {
        f"{here}.before": f"{there}/norm1",
        f"{here}.between": f"{there}/norm2",
        f"{here}.project": f"{there}/proj",
        f"{here}.signals": f"{there}/attn/proj_v/layers/conv3d",
    }
    found |= two(f"{here}.queries", f"{there}/attn/proj_q", "cdc") | two(f"{here}.keys", f"{there}/attn/proj_k", "cdc")
    for name, keras in (("forth", "fc1"), ("among", "STConv"), ("back", "fc2")):
        found |= two(f"{here}.{name}", f"{there}/pwff/{keras}")
    return found
