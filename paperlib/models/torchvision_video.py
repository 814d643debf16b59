"""Adapter that gives torchvision's video networks per-step logits."""

from torch import nn

from ..errors import InputError
from . import base
from .base import VideoModel, check_options

NAMES = ("r3d_18", "mc3_18", "r2plus1d_18", "s3d")
PATTERN = rf"(?P<network>{'|'.join(NAMES)})(-f(?P<frames>[1-9]\d*))?"
EXAMPLE = "r3d_18-f16"


def build(network, frames, num_classes, width, dropout, **options):
    """Build torchvision's network with fresh weights, as `r3d_18` (16 frames) or `r3d_18-f8`."""
    from torchvision.models import video  # here, because it takes two seconds

    network, frames = network.lower(), int(frames or 16)  # names are known in any case, torchvision's functions in one
    name = f"{network}-f{frames}"
    check_options(name, options, [])
    if width != 64:
        raise InputError(f"width={width} for {name}: torchvision's video networks come in width 64 only")
    model = TorchvisionVideo(getattr(video, network)(weights=None, num_classes=num_classes), frames, dropout)
    model.config = dict(name=name, num_classes=num_classes, width=width, dropout=dropout)
    return model


class TorchvisionVideo(VideoModel):
    """`net`, a torchvision VideoResNet or S3D (possibly with weights), as one of the project's models.

    frame_logits has one row per time step of the last feature map: T/8 for r3d_18 and r2plus1d_18, T for
    mc3_18, T/8 - 1 for s3d, whose head averages neighbouring pairs of steps.
    """

    def __init__(self, net, num_frames, dropout=0.0):
        from torchvision.models import video

        super().__init__(num_frames)
        if not isinstance(net, (video.VideoResNet, video.S3D)):
            raise InputError(f"{type(net).__name__} is not one of torchvision's networks {', '.join(NAMES)}")
        self.net, self.is_s3d = net, isinstance(net, video.S3D)
        self.dropout = nn.Dropout(dropout)

    def features(self, clip):
        """Clip [B, 3, T, H, W] -> feature maps [B, C, T', H', W']."""
        if self.is_s3d:
            return base.average_pairs(self.net.features(clip))
        x = self.net.stem(clip)
        for stage in (self.net.layer1, self.net.layer2, self.net.layer3, self.net.layer4):
            x = stage(x)
        return x

    def frame_logits(self, clip):
        """Clip [B, 3, T, H, W] -> logits of every output time step [B, T', K]."""
        base.check_clip(clip, self.num_frames)
        steps = self.dropout(self.features(clip).mean((3, 4)).transpose(1, 2))
        if not self.is_s3d:
            return self.net.fc(steps)
        last = self.net.classifier[1]
        return nn.functional.linear(steps, last.weight.flatten(1), last.bias)
