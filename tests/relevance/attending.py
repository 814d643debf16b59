"""A small video transformer whose operations can be exchanged: plain, with modified gradients, or another package's."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class Plain:
    """What the network computes, and what the engine records."""

    @staticmethod
    def linear(layer, x):
        return layer(x)

    @staticmethod
    def add(x, y):
        return x + y

    @staticmethod
    def product(a, b):
        return a @ b

    @staticmethod
    def scaled(x, factor):
        return x * factor

    @staticmethod
    def softmax(x):
        return x.softmax(-1)

    @staticmethod
    def norm(layer, x):
        return layer(x)

    @staticmethod
    def act(x):
        return F.gelu(x)

    @staticmethod
    def mean(x, dim):
        return x.mean(dim)

    @classmethod
    def attention(cls, q, k, v, mask=None):
        """softmax(q k^T / sqrt(d) + mask) v, [..., L, d]."""
        scores = cls.scaled(cls.product(q, k.transpose(-2, -1)), q.shape[-1] ** -0.5)
        if mask is not None:
            scores = cls.add(scores, mask)
        return cls.product(cls.softmax(scores), v)


class Fused(Plain):
    @classmethod
    def attention(cls, q, k, v, mask=None):
        return F.scaled_dot_product_attention(q, k, v, mask)


class Gradients(Plain):
    """AttnLRP as gradient times input: x * d logit / d x of the network with these backward passes."""

    @staticmethod
    def product(a, b):
        return (a @ b) / 2 + ((a @ b) / 2).detach()

    @staticmethod
    def norm(layer, x):
        centred = x - x.mean(-1, keepdim=True)
        deviation = (centred.square().mean(-1, keepdim=True) + layer.eps).sqrt().detach()
        return centred / deviation * layer.weight + layer.bias

    @staticmethod
    def act(x):
        return x * (F.gelu(x) / x).detach()


class Conservative(Gradients):
    """CP-LRP: queries and keys held fixed, values take all."""

    @classmethod
    def attention(cls, q, k, v, mask=None):
        return Plain.attention(q.detach(), k.detach(), torch.zeros_like(v), mask) + (
            ((q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5 + (0 if mask is None else mask)).softmax(-1)).detach() @ v
        )


def package():
    """Return the operations of the package lxt, whose backward pass is relevance, without its stabilisers."""
    from lxt.explicit import functional as lf
    from lxt.explicit.rules import identity

    class Package(Plain):
        linear = staticmethod(lambda layer, x: lf.linear_epsilon(x, layer.weight, layer.bias, epsilon=0.0))
        add = staticmethod(lambda x, y: lf.add2(x, y.expand(x.shape), epsilon=0.0))
        product = staticmethod(lambda a, b: lf.matmul(a, b, epsilon=0.0))
        scaled = staticmethod(lambda x, factor: lf.mul2(x, torch.tensor(factor)))
        softmax = staticmethod(lambda x: lf.softmax(x, -1))
        norm = staticmethod(lambda n, x: lf.layer_norm_grad_fn.apply(x, n.weight, n.bias, n.eps, 0.0))
        act = staticmethod(lambda x: identity(F.gelu, x))
        mean = staticmethod(lambda x, dim: lf.mean(x, dim, False, epsilon=0.0))

    return Package


class Encoder(nn.Module):
    """Joint attention over all places of all frames, a norm in front of each part, linear logits per frame.

    mask: added to the scores, [tokens, tokens].
    """

    def __init__(self, frames=3, patch=2, size=4, dim=8, heads=2, layers=2, classes=3, mask=None):
        super().__init__()
        self.patch, self.heads, self.ops, self.mask = patch, heads, Plain, mask
        places = (size // patch) ** 2
        self.embed = nn.Linear(3 * patch**2, dim)
        self.place = nn.Parameter(0.3 * torch.randn(frames * places, dim))
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                dict(
                    norm1=nn.LayerNorm(dim),
                    qkv=nn.Linear(dim, 3 * dim),
                    out=nn.Linear(dim, dim),
                    norm2=nn.LayerNorm(dim),
                    wide=nn.Linear(dim, 2 * dim),
                    narrow=nn.Linear(2 * dim, dim),
                )
            )
            for _ in range(layers)
        )
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, classes)
        for parameter in self.parameters():  # biases and norms as training leaves them: not 0 and 1
            if parameter.dim() == 1:
                parameter.data.add_(0.2 * torch.randn_like(parameter))

    def tokens(self, clip):
        """[B, 3, T, H, W] -> [B, T * places, 3 * patch * patch]."""
        p = self.patch
        x = clip.unflatten(4, (-1, p)).unflatten(3, (-1, p))  # B 3 T h p w p
        return x.permute(0, 2, 3, 5, 1, 4, 6).flatten(4).flatten(1, 3)

    def frame_logits(self, clip):
        ops, frames = self.ops, clip.shape[2]
        x = ops.add(ops.linear(self.embed, self.tokens(clip)), self.place)
        for block in self.blocks:
            qkv = ops.linear(block["qkv"], ops.norm(block["norm1"], x)).unflatten(-1, (3, self.heads, -1))
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            mixed = ops.attention(q, k, v, self.mask).transpose(1, 2).flatten(2)
            x = ops.add(x, ops.linear(block["out"], mixed))
            hidden = ops.act(ops.linear(block["wide"], ops.norm(block["norm2"], x)))
            x = ops.add(x, ops.linear(block["narrow"], hidden))
        x = ops.norm(self.norm, x).unflatten(1, (frames, -1))
        return ops.linear(self.head, ops.mean(x, 2))

    def forward(self, clip):
        return self.frame_logits(clip).mean(1)

    def times_input(self, ops, clip, target):
        """Return clip * d logit / d clip for every frame logit with the backward passes of `ops`, [T', 3, N, H, W]."""
        self.ops = ops
        clip = clip.clone().requires_grad_()
        rows = self.frame_logits(clip)[0, :, target]
        found = [torch.autograd.grad(row, clip, retain_graph=True)[0][0] for row in rows]
        self.ops = Plain
        return torch.stack(found) * clip.detach()[0]


def causal(frames, places, dtype=torch.float64):
    """Return a mask that lets every frame see itself and earlier ones: 0 and -inf, [tokens, tokens]."""
    frame = torch.arange(frames).repeat_interleave(places)
    return torch.where(frame[:, None] >= frame, 0.0, float("-inf")).to(dtype)


class HalvedGradients(TorchFunctionMode):
    """While it is on, any network's backward pass is AttnLRP's: x * d logit / d x is the relevance of x.

    What depends on the clip requires a gradient, and nothing else may.
    """

    PRODUCTS = {torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.bmm, torch.mul, torch.Tensor.mul,
                torch.Tensor.__mul__, torch.Tensor.__rmul__, torch.einsum}  # fmt: skip
    ACTIVATIONS = {F.gelu, F.silu, F.relu, torch.sigmoid, torch.tanh, torch.relu, F.sigmoid, F.tanh}

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            with self:
                return self.attention(*args, **kwargs)
        if func is F.layer_norm:
            return self.norm(*args, **kwargs)
        out = func(*args, **kwargs)
        signals = [x for x in args if isinstance(x, torch.Tensor) and x.requires_grad]
        if func in self.PRODUCTS and len(signals) == 2:
            return out / 2 + (out / 2).detach()
        if func in self.ACTIVATIONS and signals:
            return args[0] * (out / args[0]).detach()
        return out

    @staticmethod
    def norm(x, shape, weight=None, bias=None, eps=1e-5):
        dims = tuple(range(-len(shape), 0))
        deviation = (x.var(dims, correction=0, keepdim=True) + eps).sqrt().detach()
        out = (x - x.mean(dims, keepdim=True)) / deviation
        return out * (1 if weight is None else weight) + (0 if bias is None else bias)

    @staticmethod
    def attention(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
        if enable_gqa:
            k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
        scores = torch.matmul(q, k.transpose(-2, -1)) * (q.shape[-1] ** -0.5 if scale is None else scale)
        if is_causal:
            attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, float("-inf"))
        elif attn_mask is not None:
            scores = scores + attn_mask
        return torch.matmul(scores.softmax(-1), v)


def gradient_times_input(net, clip, target):
    """Return clip * d logit / d clip under HalvedGradients, for every frame logit of one clip: [T', 3, N, H, W]."""
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    leaf = clip.clone().requires_grad_()
    with HalvedGradients():
        rows = net.frame_logits(leaf)[0, :, target]
    return torch.stack([torch.autograd.grad(row, leaf, retain_graph=True)[0][0] * clip[0] for row in rows])


class Whole(nn.Module):
    """A network that gives logits of whole clips [B, K], with these as its one row."""

    def __init__(self, net, call=None):
        super().__init__()
        self.net, self.call = net, call or (lambda net, clip: net(clip))

    def frame_logits(self, clip):
        return self.call(self.net, clip)[:, None]

    def forward(self, clip):
        return self.frame_logits(clip).mean(1)


def unsettle(net, seed=0):
    """Move every bias, norm and embedding off 0 and 1, as training would, and return the net for evaluation."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=generator).to(parameter))
    return net.eval()
