"""PhysNet: a 3D CNN with temporal pooling and learned temporal upsampling (Yu, Li and Zhao 2019)."""

from torch import nn

from .reader import EPSILON, PulseReader, convolved, two

WIDTHS = (16, 32, 64, 64, 64, 64, 64, 64, 64)  # of its nine blocks
POOLS = {1: (1, 2, 2), 3: (2, 2, 2), 5: (2, 2, 2), 7: (1, 2, 2)}  # block: pooling behind it


class PhysNet(PulseReader):
    """Nine blocks that take 32 x 32 pixels to 2 x 2 and a quarter of the frames, then two that undo the latter."""

    SIZE, FILE = 32, "physnet"

    def __init__(self):
        super().__init__()
        self.standardise = nn.InstanceNorm3d(3, eps=1e-12)  # over the clip
        inside = (3, *WIDTHS[:-1])
        kernels = [(1, 5, 5)] + [(3, 3, 3)] * (len(WIDTHS) - 1)
        self.blocks = nn.ModuleList(
            convolved(a, b, kernel, nn.ReLU) for a, b, kernel in zip(inside, WIDTHS, kernels, strict=True)
        )
        self.pools = nn.ModuleDict({str(block): nn.MaxPool3d(size) for block, size in POOLS.items()})
        self.upsample = nn.ModuleList(
            nn.Sequential(
                nn.ConvTranspose3d(64, 64, (4, 1, 1), stride=(2, 1, 1), padding=(1, 0, 0)),
                nn.BatchNorm3d(64, eps=EPSILON),
                nn.ELU(),
            )
            for _ in range(2)
        )
        self.pool = nn.AvgPool3d((1, 2, 2))
        self.last = nn.Conv3d(64, 1, 1)

    def values(self, pixels):
        """Pixels [B, 3, T, 32, 32] -> [B, T]; T is a multiple of 4."""
        x = self.standardise(pixels)
        for number, block in enumerate(self.blocks, 1):
            x = block(x)
            if number in POOLS:
                x = self.pools[str(number)](x)
        for block in self.upsample:
            x = block(x)
        return self.last(self.pool(x)).flatten(1)

    def places(self):
        """Return {layer: its place in the file}."""
        found = {"last": "convBlock10"}
        for number in range(len(WIDTHS)):
            found |= two(f"blocks.{number}", f"ConvBlock{number + 1}")
        for number in range(2):
            found |= two(f"upsample.{number}", f"layers/sequential_{number + 9}", "conv3d_transpose")
        return found
