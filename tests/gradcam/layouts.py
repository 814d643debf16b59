"""Small networks that hold their features in other places than [B, C, T, H, W]: each stands for a kind people bring."""

import torch
from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Attention over [N, L, C], written out or fused, with several heads."""

    def __init__(self, width, heads=2, fused=False):
        super().__init__()
        self.heads, self.fused = heads, fused
        self.qkv, self.softmax, self.proj = nn.Linear(width, 3 * width), nn.Softmax(-1), nn.Linear(width, width)

    def forward(self, x):
        n, length, width = x.shape
        q, k, v = self.qkv(x).reshape(n, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        if self.fused:
            out = F.scaled_dot_product_attention(q, k, v)
        else:
            out = self.softmax(q @ k.transpose(-2, -1) * (width // self.heads) ** -0.5) @ v
        return self.proj(out.transpose(1, 2).reshape(n, length, width))


class Block(nn.Module):
    """A transformer's block over [N, L, C]."""

    def __init__(self, width, fused=False):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, fused=fused)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class WindowBlock(nn.Module):
    """A Swin's block over [..., H, W, C]: attention within windows, shifted by half of one."""

    def __init__(self, width, window=2, shift=0):
        super().__init__()
        self.window, self.shift = window, shift
        self.norm, self.attn = nn.LayerNorm(width), Attention(width)

    def forward(self, x):
        *first, h, w, c = x.shape
        y, s = self.norm(x).reshape(-1, h, w, c), self.window
        y = torch.roll(y, (-self.shift, -self.shift), (1, 2))
        y = y.view(-1, h // s, s, w // s, s, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, s * s, c)
        y = self.attn(y).view(-1, h // s, w // s, s, s, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, h, w, c)
        return x + torch.roll(y, (self.shift, self.shift), (1, 2)).view(*first, h, w, c)


class Merging(nn.Module):
    """A Swin's patch merging: four neighbours become features, then a linear layer."""

    def __init__(self, width):
        super().__init__()
        self.norm, self.reduction = nn.LayerNorm(4 * width), nn.Linear(4 * width, 2 * width)

    def forward(self, x):
        x = torch.cat([x[..., i::2, j::2, :] for i in (0, 1) for j in (0, 1)], -1)
        return self.reduction(self.norm(x))


class Swin(nn.Module):
    """Channels last, [B, T, H, W, C]."""

    def __init__(self, width=8, classes=3):
        super().__init__()
        self.embed = nn.Conv3d(3, width, (2, 4, 4), stride=(2, 4, 4))
        self.blocks = nn.Sequential(WindowBlock(width), WindowBlock(width, shift=1))
        self.merge, self.last = Merging(width), WindowBlock(2 * width)
        self.norm, self.head = nn.LayerNorm(2 * width), nn.Linear(2 * width, classes)

    def forward(self, x):
        x = self.embed(x).permute(0, 2, 3, 4, 1)
        x = self.norm(self.last(self.merge(self.blocks(x))))
        return self.head(x.mean((1, 2, 3)))


class FrameSwin(Swin):
    """The same frame by frame, [B * T, H, W, C]."""

    def forward(self, x):
        x = self.embed(x).permute(0, 2, 3, 4, 1)
        b, t = x.shape[:2]
        x = self.norm(self.last(self.merge(self.blocks(x.flatten(0, 1)))))
        return self.head(x.mean((1, 2))).view(b, t, -1).mean(1)


class ViT(nn.Module):
    """Tokens of the whole clip, [B, N, C]; with a class token in front, from which alone the logits come."""

    def __init__(self, width=8, classes=3, token=True, fused=False):
        super().__init__()
        self.embed = nn.Conv3d(3, width, (2, 4, 4), stride=(2, 4, 4))
        self.token = nn.Parameter(torch.randn(1, 1, width)) if token else None
        self.place = nn.Parameter(torch.randn(1, 64, width))
        self.blocks = nn.ModuleList(Block(width, fused) for _ in range(3))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def tokens(self, x):
        return self.embed(x).flatten(2).transpose(1, 2)

    def encode(self, x):
        x = x + self.place[:, : x.shape[1]]
        if self.token is not None:
            x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.head(x.mean(1) if self.token is None else x[:, 0])

    def forward(self, x):
        return self.encode(self.tokens(x))


class FrameViT(ViT):
    """A picture's network frame by frame: tokens [B * T, 1 + H * W, C]."""

    def forward(self, x):
        x = self.embed(x)
        b, t = x.shape[0], x.shape[2]
        x = x.transpose(1, 2).flatten(0, 1).flatten(2).transpose(1, 2)
        return self.encode(x).view(b, t, -1).mean(1)


class TimeFastest(ViT):
    """As TimeSformer orders its tokens: all time steps of a place, then the next place, [B, 1 + H * W * T, C]."""

    def tokens(self, x):
        return self.embed(x).permute(0, 3, 4, 2, 1).flatten(1, 3)


class Divided(nn.Module):
    """As TimeSformer attends: over time in every place, then over the places of every step with the class token."""

    def __init__(self, width=8):
        super().__init__()
        self.time, self.space = Attention(width), Attention(width)

    def forward(self, x, steps):
        token, places = x[:, :1], x[:, 1:]
        b, n, c = places.shape
        moved = self.time(places.reshape(b * n // steps, steps, c)).reshape(b, n, c) + places
        frames = moved.view(b, n // steps, steps, c).transpose(1, 2).reshape(b * steps, n // steps, c)
        frames = torch.cat([token.repeat(1, steps, 1).view(b * steps, 1, c), frames], 1)
        out = self.space(frames)
        tokens = out[:, :1].view(b, steps, 1, c).mean(1)
        out = out[:, 1:].reshape(b, steps, n // steps, c).transpose(1, 2).reshape(b, n, c)
        return torch.cat([token, moved], 1) + torch.cat([tokens, out], 1)


class TimeSformer(TimeFastest):
    """Tokens in TimeSformer's order under its divided attention."""

    def __init__(self, width=8):
        super().__init__(width)
        self.blocks = nn.ModuleList(Divided(width) for _ in range(3))

    def encode(self, x):
        steps = 3
        x = torch.cat([self.token.expand(len(x), -1, -1), x + self.place[:, : x.shape[1]]], 1)
        for block in self.blocks:
            x = block(x, steps)
        return self.head(self.norm(x[:, 0]))


class PoolingBlock(nn.Module):
    """As in MViT: keys and values, but not the class token, pooled by a depthwise convolution; returns a tuple."""

    def __init__(self, width, heads=2):
        super().__init__()
        self.heads = heads
        self.norm, self.qkv, self.proj = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.pool = nn.Conv3d(width // heads, width // heads, 3, (1, 2, 2), 1, groups=width // heads)

    def pooled(self, x, size):
        b, n, _, c = x.shape
        token, places = x[:, :, :1], x[:, :, 1:]
        places = self.pool(places.reshape(b * n, *size, c).permute(0, 4, 1, 2, 3))
        return torch.cat([token, places.reshape(b, n, c, -1).transpose(2, 3)], 2)

    def forward(self, x, size):
        b, length, width = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(b, length, 3, self.heads, -1).transpose(1, 3).unbind(2)
        k, v = self.pooled(k, size), self.pooled(v, size)
        out = (q @ k.transpose(2, 3)).softmax(-1) @ v
        return x + self.proj(out.transpose(1, 2).reshape(b, length, width)), size


class MViT(ViT):
    """Blocks that return (tokens, size)."""

    def __init__(self, width=8):
        super().__init__(width)
        self.blocks = nn.ModuleList(PoolingBlock(width) for _ in range(3))

    def forward(self, x):
        x = self.embed(x)
        size = x.shape[2:]
        x = torch.cat([self.token.expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1)
        for block in self.blocks:
            x, size = block(x, size)
        return self.head(self.norm(x[:, 0]))


class TimeFirst(nn.Module):
    """Frames folded into the batch with time in front of the clips, [T * B, C, H, W]; squeeze and excitation."""

    def __init__(self, width=6, classes=3):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, width, 3, 2, 1), nn.Conv2d(width, width, 3, padding=1)
        self.gate, self.head = nn.Conv2d(width, width, 1), nn.Linear(width, classes)

    def forward(self, x):
        b, _, t = x.shape[:3]
        x = F.relu(self.conv1(x.permute(2, 0, 1, 3, 4).flatten(0, 1)))
        x = self.conv2(x)
        x = F.relu(x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid())
        return self.head(x.mean((2, 3))).view(t, b, -1).mean(0)


class MeanFrame(nn.Module):
    """Frames weighted by a mask that is made from their mean, which has no time, behind what sees the frames."""

    def __init__(self, width=6, classes=3):
        super().__init__()
        self.motion, self.looks = nn.Conv2d(3, width, 3, 2, 1), nn.Conv2d(3, 1, 3, 2, 1)
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        seen = F.relu(self.motion(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (len(x), -1)))
        seen = seen * self.looks(x.mean(2)).sigmoid()[:, None]
        return self.head(seen.mean((1, 3, 4)))


class Looped(nn.Module):
    """A network that goes through the frames one by one, with a state, and stacks what it saw."""

    def __init__(self, width=6, classes=3):
        super().__init__()
        self.see, self.keep = nn.Conv2d(3, width, 3, 2, 1), nn.Conv2d(width, width, 3, padding=1)
        self.after, self.head = nn.Conv3d(width, width, 1), nn.Linear(width, classes)

    def forward(self, x):
        state, states = 0, []
        for frame in x.unbind(2):
            state = torch.tanh(self.see(frame) + (self.keep(state) if states else 0))
            states.append(state)
        return self.head(F.relu(self.after(torch.stack(states, 2))).mean((2, 3, 4)))


class Classify(nn.Module):
    """As X3D and slow_r50 end: a pool of fixed size, a linear layer over channels last, the mean of what is left."""

    def __init__(self, width=6, classes=3):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv3d(3, width, 3, (1, 2, 2), 1), nn.ReLU(), nn.Conv3d(width, width, 1), nn.ReLU()
        )
        self.pool, self.wide = nn.AvgPool3d((6, 4, 4), 1), nn.Conv3d(width, 8, 1)
        self.proj, self.out = nn.Linear(8, classes), nn.AdaptiveAvgPool3d(1)

    def forward(self, x):
        x = self.proj(self.wide(self.pool(self.trunk(x))).permute(0, 2, 3, 4, 1))
        return self.out(x.permute(0, 4, 1, 2, 3)).flatten(1)


class ByFrames(nn.Module):
    """A picture's network over the frames."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        b, _, t = x.shape[:3]
        return self.net(x.transpose(1, 2).flatten(0, 1)).view(b, t, -1).mean(1)


class FramesFirst(nn.Module):
    """A network of [B, T, C, H, W] that returns an object."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(pixel_values=x.transpose(1, 2)).logits
