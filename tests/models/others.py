"""Other people's video networks at tiny random configurations, a function each that returns (network, clip)."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.relevance.networks import clip, settle

CLASSES = 4


def _torchvision(name):
    from torchvision.models import video

    return settle(getattr(video, name)(weights=None, num_classes=CLASSES))


def r3d():
    return _torchvision("r3d_18"), clip(16, 16)


def mc3():
    return _torchvision("mc3_18"), clip(4, 16)


def r2plus1d():
    return _torchvision("r2plus1d_18"), clip(16, 16)


def s3d():
    return _torchvision("s3d"), clip(24, 224)


def _mvit(version):
    from torchvision.models.video.mvit import MSBlockConfig, MViT

    block = dict(num_heads=2, kernel_q=[3, 3, 3], kernel_kv=[3, 3, 3], stride_kv=[1, 2, 2])
    blocks = [
        MSBlockConfig(input_channels=16, output_channels=16, stride_q=[1, 1, 1], **block),
        MSBlockConfig(input_channels=16, output_channels=16, stride_q=[1, 2, 2], **block),
    ]
    newer = dict(residual_pool=True, residual_with_cls_embed=False, rel_pos_embed=True, proj_after_attn=True)
    return MViT((32, 32), 8, blocks, num_classes=CLASSES, **(newer if version == 2 else newer | _off(newer)))


def _off(options):
    return dict.fromkeys(options, False)


def mvit_v1():
    return _mvit(1).eval(), clip(8, 32)


def mvit_v2():
    return _mvit(2).eval(), clip(8, 32)


def swin3d():
    from torchvision.models.video.swin_transformer import PatchEmbed3d, SwinTransformer3d

    net = SwinTransformer3d([2, 4, 4], 8, [2, 2], [2, 2], [2, 4, 4], num_classes=CLASSES, patch_embed=PatchEmbed3d)
    return net.eval(), clip(8, 32)


def slow():
    models = pytest.importorskip("pytorchvideo.models.resnet")
    net = models.create_resnet(model_depth=50, model_num_class=CLASSES, stem_dim_out=8, head_pool_kernel_size=(4, 1, 1))
    return settle(net), clip(4, 32)


def slowfast():
    models = pytest.importorskip("pytorchvideo.models.slowfast")
    net = models.create_slowfast(
        model_num_class=CLASSES, stem_dim_outs=(16, 2), head_pool_kernel_sizes=((2, 1, 1), (8, 1, 1))
    )
    return settle(net), clip(8, 32)


def x3d():
    models = pytest.importorskip("pytorchvideo.models.x3d")
    net = models.create_x3d(model_num_class=CLASSES, input_clip_length=4, input_crop_size=64)
    return settle(net), clip(4, 64)


def csn():
    models = pytest.importorskip("pytorchvideo.models.csn")
    net = models.create_csn(model_num_class=CLASSES, stem_dim_out=8, head_pool_kernel_size=(2, 1, 1))
    return settle(net), clip(16, 32)


def r2plus1d_pytorchvideo():
    models = pytest.importorskip("pytorchvideo.models.r2plus1d")
    net = models.create_r2plus1d(model_num_class=CLASSES, stem_dim_out=8, head_pool_kernel_size=(2, 1, 1))
    return settle(net), clip(8, 32)


def mvit_pytorchvideo():
    models = pytest.importorskip("pytorchvideo.models.vision_transformers")
    net = models.create_multiscale_vision_transformers(
        spatial_size=32, temporal_size=8, depth=2, patch_embed_dim=16, num_heads=2, head_num_classes=CLASSES
    )
    return net.eval(), clip(8, 32)


def _transformers(name, layout="num_frames", **options):
    transformers = pytest.importorskip("transformers")
    small = dict(
        image_size=32,
        num_frames=8,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=CLASSES,
    )
    config = getattr(transformers, f"{name}Config")(**small | options)
    return getattr(transformers, f"{name}ForVideoClassification")(config).eval(), clip(8, 32)


def timesformer():
    return _transformers("Timesformer", patch_size=16)


def vivit():
    return _transformers("Vivit", tubelet_size=[2, 16, 16])


def videomae():
    return _transformers("VideoMAE", patch_size=16)


def vjepa2():
    return _transformers(
        "VJEPA2",
        patch_size=16,
        crop_size=32,
        frames_per_clip=8,
        mlp_ratio=2,
        num_pooler_layers=1,
        pred_hidden_size=16,
        pred_num_attention_heads=2,
        pred_num_hidden_layers=1,
    )


def timm_resnet():
    timm = pytest.importorskip("timm")
    return settle(timm.create_model("resnet10t", num_classes=CLASSES)), clip(4, 64)


def timm_vit():
    timm = pytest.importorskip("timm")
    net = timm.models.VisionTransformer(
        img_size=32, patch_size=16, embed_dim=16, depth=2, num_heads=2, num_classes=CLASSES
    )
    return net.eval(), clip(4, 32)


class FramesInChannels(nn.Module):
    """How the code of the CVPR 2021 checkpoints takes clips: [B, T * C, H, W], frames folded into the batch inside."""

    def __init__(self, frames=4):
        super().__init__()
        self.frames = frames
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.Conv2d(8, 8, 3, 1, 1)
        self.bn1, self.fc = nn.BatchNorm2d(8), nn.Linear(8, CLASSES)

    def forward(self, x):
        b, c, h, w = x.shape
        x = x.view(b * self.frames, c // self.frames, h, w)
        x = F.relu(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        x = F.adaptive_avg_pool2d(x, 1).flatten(1)
        return self.fc(x).view(b, self.frames, -1).mean(1)


def frames_in_channels():
    torch.manual_seed(0)
    return settle(FramesInChannels()), clip(4, 16)


class LogitsPerStep(nn.Module):
    """How the code of the pytorch-i3d checkpoints ends: a pool over two steps, a 1 x 1 x 1 convolution, [B, K, T']."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(3, 8, 3, (1, 4, 4), 1)
        self.avg_pool = nn.AvgPool3d([2, 4, 4], stride=(1, 1, 1))
        self.dropout, self.logits = nn.Dropout(0.5), nn.Conv3d(8, CLASSES, 1)

    def forward(self, x):
        x = self.logits(self.dropout(self.avg_pool(F.relu(self.conv(x)))))
        return x.squeeze(3).squeeze(3)


def logits_per_step():
    torch.manual_seed(0)
    return LogitsPerStep().eval(), clip(6, 16)
