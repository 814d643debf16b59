"""torchvision's video transformers by name: Video Swin and MViT as published, and small ones of the same classes."""

from torch import nn

from ..errors import InputError, whole
from . import base
from .base import VideoModel, check_options
from .vit import heads

PUBLISHED = {"mvit_v1_b": 16, "mvit_v2_s": 16, "swin3d_t": 32, "swin3d_s": 32, "swin3d_b": 32}  # frames by default
SMALL = ("Swin3D", "MViT")
PATTERN = rf"(?P<network>{'|'.join((*PUBLISHED, *SMALL))})(-f(?P<frames>[1-9]\d*))?"
EXAMPLE = "swin3d_t-f32"


def build(network, frames, num_classes, width, dropout, **options):
    """Build a published network (`swin3d_t-f32`, `mvit_v2_s-f16`) or a small one, `Swin3D-f<frames>` or
    `MViT-f<frames>`, with fresh weights.

    options of the small ones: tubelet, frames per token (1 or 2, by default 2 as in the published ones), window, time
    steps that Swin3D's windows hold (4), and size, MViT's side in pixels (224, or any multiple of 4 from 16 up), with
    which its weights change.
    """
    small = {name.lower(): name for name in SMALL}.get(network.lower())
    network = small or network.lower()
    frames = int(frames or PUBLISHED.get(network, 8))
    name = f"{network}-f{frames}"
    known = {"Swin3D": ["tubelet", "window"], "MViT": ["tubelet", "size"]}.get(network, [])
    given = {key: whole(f"{key} of {name}", options.pop(key)) for key in list(options) if key in known}
    check_options(name, options, known)
    if given.get("tubelet", 2) > 2:
        raise InputError(f"tubelet={given['tubelet']} for {name}: it should be 1 or 2")
    if given.get("size", 224) % 4 or given.get("size", 224) < 16:
        raise InputError(f"size={given['size']} for {name}: it should be a multiple of 4 of at least 16")
    if not small and width != 64:
        raise InputError(f"width={width} for {name}: torchvision's video networks come in width 64 only")
    if network.startswith("mvit") and frames != PUBLISHED[network]:
        raise InputError(
            f"{name}: torchvision's MViT takes {PUBLISHED[network]} frames, since its positions are learned"
        )
    if given.get("tubelet", 2) == 2 and frames % 2:
        tip = "; or give tubelet=1" if small else ""
        raise InputError(f"{name} takes frames in pairs, so their number must be even{tip}")
    if small:
        net = {"Swin3D": small_swin, "MViT": small_mvit}[small](frames, num_classes, width, **given)
    else:
        from torchvision.models import video  # here, because it takes two seconds

        net = getattr(video, network)(weights=None, num_classes=num_classes)
    model = (ClassToken if "mvit" in network.lower() else Swin3D)(net, frames, dropout)
    model.config = dict(name=name, num_classes=num_classes, width=width, dropout=dropout, **given)
    return model


def small_swin(frames, num_classes, width, tubelet=2, window=4):
    """Return a Video Swin of three stages of two blocks: 4 x width channels, windows of window x 4 x 4 tokens."""
    from torchvision.models.video.swin_transformer import SwinTransformer3d

    channels = 4 * width
    shared = [heads(channels * 2**stage) for stage in range(3)]
    return SwinTransformer3d(
        [tubelet, 4, 4], channels, [2, 2, 2], shared, [window, 4, 4], num_classes=num_classes, stochastic_depth_prob=0.1
    )


def small_mvit(frames, num_classes, width, size=224, tubelet=2):
    """Return an MViT v2 of five blocks in three scales, 4, 8 and 16 x width channels; patches overlap."""
    from torchvision.models.video.mvit import MSBlockConfig, MViT

    pooled, same, halved, quartered = [3, 3, 3], [1, 1, 1], [1, 2, 2], [1, 4, 4]
    scales = [  # channels into and out of a block, strides of queries, keys and values
        (4, 4, same, quartered),
        (4, 8, halved, halved),
        (8, 8, same, halved),
        (8, 16, halved, same),
        (16, 16, same, same),
    ]
    blocks = [
        MSBlockConfig(heads(last * width), first * width, last * width, pooled, pooled, queries, keys)
        for first, last, queries, keys in scales
    ]
    return MViT(
        (size, size), frames, blocks, residual_pool=True, residual_with_cls_embed=False, rel_pos_embed=True,
        proj_after_attn=True, num_classes=num_classes, stochastic_depth_prob=0.1,
        patch_embed_kernel=(2 * tubelet - 1, 7, 7), patch_embed_stride=(tubelet, 4, 4),
        patch_embed_padding=(tubelet - 1, 3, 3),
    )  # fmt: skip


def start(net):
    """Start weights as torchvision does, after `base.initialise` has started them as the CNNs' are."""
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv3d):
            module.reset_parameters()


class Swin3D(VideoModel):
    """`net`, a torchvision SwinTransformer3d (possibly with weights), as one of the project's models.

    It norms tokens before it averages them, so that frame_logits has one row per time step of the last maps, T / 2
    for tubelets of two frames.
    """

    attends = True

    def __init__(self, net, num_frames, dropout=0.0):
        super().__init__(num_frames)
        self.net, self.dropout = net, nn.Dropout(dropout)

    @property
    def fc(self):
        """The classifier."""
        return self.net.head

    def features(self, clip):
        """Clip [B, 3, T, H, W] -> feature maps [B, C, T', H', W']."""
        net = self.net
        return net.norm(net.features(net.pos_drop(net.patch_embed(clip)))).permute(0, 4, 1, 2, 3)

    def start(self):
        """Start weights as torchvision does."""
        start(self.net)


class ClassToken(nn.Module):
    """`net`, a torchvision MViT (possibly with weights), whose class token gathers the clip: it has no frame logits."""

    attends = True

    def __init__(self, net, num_frames, dropout=0.0):
        super().__init__()
        self.net, self.num_frames, self.config = net, num_frames, {}
        net.head[0].p = dropout

    def forward(self, clip):
        """Clip [B, 3, T, H, W] -> class logits [B, K]."""
        base.check_clip(clip, self.num_frames)
        side = clip.shape[3:]
        expected = self.size()
        if tuple(side) != expected:
            raise InputError(f"this network takes {expected[0]} x {expected[1]} pixels, but the clip has {list(side)}")
        return self.net(clip)

    def size(self):
        """Return the (height, width) in pixels that the positions of the network are made for."""
        stride = self.net.conv_proj.stride[1:]
        return tuple(n * s for n, s in zip(self.net.pos_encoding.spatial_size, stride, strict=True))

    def start(self):
        """Start weights as torchvision does."""
        start(self.net)
