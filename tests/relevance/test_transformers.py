"""Video transformers as people bring them, tiny and with random weights: every composite, and AttnLRP to the digit."""

import copy
import functools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paperlib import relevance
from paperlib.errors import InputError
from paperlib.relevance import fused

from .attending import HalvedGradients, Whole, gradient_times_input, unsettle
from .networks import clip

pytestmark = pytest.mark.numerics

EXACT = {"composite": "attnlrp"} | dict.fromkeys(
    ("linear", "addmm", "matmul", "conv2d", "conv3d", "einsum"), relevance.Epsilon(0, bias=True)
)


def largest(x):
    return float(x.abs().max())


def swin():
    from torchvision.models.video import swin_transformer

    return Whole(
        swin_transformer.SwinTransformer3d(
            [2, 4, 4], embed_dim=8, depths=[2, 2], num_heads=[1, 2], window_size=[2, 2, 2], num_classes=3
        )
    ), clip(4, size=24, dtype=torch.float64)


def mvit(v2=False):
    from torchvision.models.video import mvit

    pooled = [3, 3, 3]
    if v2:  # every query is pooled, positions relative
        blocks = [
            mvit.MSBlockConfig(1, 8, 8, pooled, pooled, [1, 1, 1], [1, 2, 2]),
            mvit.MSBlockConfig(2, 8, 16, pooled, pooled, [1, 2, 2], [1, 1, 1]),
        ]
    else:
        blocks = [
            mvit.MSBlockConfig(1, 8, 16, [], pooled, [], [1, 2, 2]),
            mvit.MSBlockConfig(2, 16, 16, pooled, pooled, [1, 2, 2], [1, 1, 1]),
        ]
    more = dict(residual_pool=v2, residual_with_cls_embed=not v2, rel_pos_embed=v2, proj_after_attn=v2)
    net = mvit.MViT((32, 32), 4, blocks, num_classes=3, dropout=0.0, stochastic_depth_prob=0.0, **more)
    return Whole(net), clip(4, size=32, dtype=torch.float64)


TORCHVISION = {"swin3d": swin, "mvit_v1": mvit, "mvit_v2": lambda: mvit(True)}


@pytest.mark.parametrize("name", sorted(TORCHVISION))
def test_torchvisions_transformers_equal_gradients_times_input(name):
    torch.manual_seed(0)
    net, x = TORCHVISION[name]()
    unsettle(net.double())
    expected = gradient_times_input(net, x, 1)
    ours = relevance.pixel_relevance(net, x, 1, method="lrp", rules=EXACT)[0]
    assert largest(ours - expected) < 1e-7 * largest(expected)
    ledger = relevance.ledger(net, x, 1)
    assert ledger.attrs["composite"] == "attnlrp" == relevance.coverage(net, x).attrs["composite"]
    lost = ledger[["bias", "dead", "excluded", "leak"]].sum().sum()
    assert ledger.attrs["clip"] == pytest.approx(ledger.attrs["logits"] - lost - ledger.stabiliser.sum(), rel=1e-6)
    assert ledger.stabiliser.abs().max() < 1e-5 * ledger["in"].abs().max()
    for rules in ("cp-lrp", "gamma", "paper"):
        A = relevance.relevance_matrix(net, x, 1, rules=rules)
        assert torch.isfinite(A).all() and largest(A) > 0


def face(name):
    """A tiny network of Hugging Face's for video, its clips [B, T, C, H, W]."""
    transformers = pytest.importorskip("transformers")
    common = dict(num_hidden_layers=2, num_attention_heads=2, hidden_size=16, intermediate_size=32, num_labels=3)
    sized = dict(image_size=16, patch_size=8, num_frames=4, **common)
    made = {
        "TimeSformer": lambda: transformers.TimesformerForVideoClassification(transformers.TimesformerConfig(**sized)),
        "VideoMAE": lambda: transformers.VideoMAEForVideoClassification(transformers.VideoMAEConfig(**sized)),
        "ViViT": lambda: transformers.VivitForVideoClassification(
            transformers.VivitConfig(tubelet_size=[2, 8, 8], **sized)
        ),
        "V-JEPA 2": lambda: transformers.VJEPA2ForVideoClassification(
            transformers.VJEPA2Config(
                crop_size=16, patch_size=8, frames_per_clip=4, tubelet_size=2, num_pooler_layers=1, mlp_ratio=2,
                pred_num_hidden_layers=1, pred_hidden_size=16, pred_num_attention_heads=2, **common
            )
        ),
    }  # fmt: skip
    return Whole(made[name](), lambda net, clip: net(clip.transpose(1, 2)).logits)


@pytest.mark.parametrize("name", ["TimeSformer", "VideoMAE", "ViViT", "V-JEPA 2"])
def test_hugging_faces_transformers_equal_gradients_times_input(name):
    torch.manual_seed(0)
    net, x = unsettle(face(name).double()), clip(4, size=16, dtype=torch.float64)
    ours = relevance.pixel_relevance(net, x, 1, method="lrp", rules=EXACT)[0]
    for module in net.modules():
        if type(module).__name__ == "FastGELUActivation":  # written out in ViViT, an activation all the same
            module.forward = functools.partial(F.gelu, approximate="tanh")
    expected = gradient_times_input(net, x, 1)
    assert largest(ours - expected) < 1e-7 * largest(expected)
    for rules in ("cp-lrp", "gamma"):
        assert largest(relevance.relevance_matrix(net, x, 1, rules=rules)) > 0


class Tokens(nn.Module):
    """Frames as tokens [B, T, 12] through `mix`, and linear logits of every frame."""

    def __init__(self, mix):
        super().__init__()
        self.embed, self.mix, self.head = nn.Linear(48, 12), mix, nn.Linear(12, 3)

    def frame_logits(self, clip):
        return self.head(self.mix(self.embed(clip.transpose(1, 2).flatten(2))))

    def forward(self, clip):
        return self.frame_logits(clip).mean(1)


class Calling(nn.Module):
    """mix(q, k, v) of four heads made from tokens; keys and values of two heads if grouped."""

    def __init__(self, attend, grouped=False):
        super().__init__()
        self.attend = attend
        self.q, self.k, self.v = nn.Linear(12, 12), *(nn.Linear(12, 6 if grouped else 12) for _ in range(2))

    def forward(self, x):
        q, k, v = (part(x).unflatten(-1, (-1, 3)).transpose(1, 2) for part in (self.q, self.k, self.v))
        return self.attend(q, k, v).transpose(1, 2).flatten(2)


ATEN = torch.ops.aten
ALLOWED = torch.tensor([[1, 0, 1, 1], [1, 1, 0, 0], [0, 0, 1, 0], [1, 1, 1, 1]], dtype=torch.bool)
NUMBERS = torch.where(ALLOWED, torch.arange(16.0).view(4, 4) / 8, -torch.inf).double()
SDPA = F.scaled_dot_product_attention
FORMS = {  # how it is called, and what that means
    "plain": (SDPA, {}),
    "causal": (lambda *qkv: SDPA(*qkv, is_causal=True), dict(is_causal=True)),
    "scaled": (lambda *qkv: SDPA(*qkv, scale=0.3), dict(scale=0.3)),
    "allowed": (lambda *qkv: SDPA(*qkv, ALLOWED), dict(attn_mask=ALLOWED)),
    "numbers": (lambda *qkv: SDPA(*qkv, NUMBERS, 0.0), dict(attn_mask=NUMBERS)),
    "grouped": (lambda *qkv: SDPA(*qkv, enable_gqa=True), dict(enable_gqa=True)),
    "math": (lambda *qkv: ATEN._scaled_dot_product_attention_math(*qkv, NUMBERS)[0], dict(attn_mask=NUMBERS)),
    "flash": (lambda *qkv: ATEN._scaled_dot_product_flash_attention_for_cpu(*qkv, 0.0, True)[0], dict(is_causal=True)),
    "flash, masked": (
        lambda *qkv: ATEN._scaled_dot_product_flash_attention_for_cpu(*qkv, attn_mask=NUMBERS, scale=0.3)[0],
        dict(attn_mask=NUMBERS, scale=0.3),
    ),
}


@pytest.mark.parametrize("name", sorted(FORMS))
def test_every_form_of_fused_attention_equals_it_written_out(name):
    torch.manual_seed(0)
    call, meaning = FORMS[name]
    net, x = Tokens(Calling(call, name == "grouped")), clip(4, size=4, dtype=torch.float64)
    unsettle(net.double())
    composites = (EXACT, "cp-lrp", "paper", "gamma")
    called = [relevance.pixel_relevance(net, x, 2, "lrp", rules) for rules in composites]
    net.mix.attend = lambda *qkv: HalvedGradients.attention(*qkv, **meaning)
    expected = gradient_times_input(net, x, 2)
    assert largest(called[0][0] - expected) < 1e-8 * largest(expected)
    for rules, found in zip(composites, called, strict=True):
        again = relevance.pixel_relevance(copy.deepcopy(net), x, 2, "lrp", rules)
        assert torch.isfinite(again).all() and largest(again - found) < 1e-8 * largest(found)


@pytest.mark.parametrize("name", sorted(fused.VARIANTS))
def test_every_variant_is_taken_apart_into_what_torch_computes(name):
    torch.manual_seed(0)
    overload = getattr(ATEN, name).default
    q, k, v = torch.randn(3, 2, 4, 5, 3, dtype=torch.float64)
    given = {argument.name for argument in overload._schema.arguments}
    mask = torch.randn(5, 5, dtype=torch.float64) if given & {"attn_mask", "attn_bias"} else None
    values = {"attn_mask": mask, "attn_bias": mask, "compute_log_sumexp": False}
    more = [a for a in overload._schema.arguments[3:] if a.name in values]
    out = fused._written_out(overload)(
        q,
        k,
        v,
        *(values[a.name] for a in more if not a.kwarg_only),
        **{a.name: values[a.name] for a in more if a.kwarg_only},
        scale=0.7,
    )
    out = out if isinstance(out, torch.Tensor) else out[0]
    assert torch.allclose(out, SDPA(q, k, v, mask, scale=0.7))


def test_fused_attention_that_cannot_be_taken_apart_is_refused_by_name():
    x = clip(4, size=4, dtype=torch.float64)
    random = Tokens(Calling(lambda *qkv: SDPA(*qkv, dropout_p=1e-9))).double().eval()
    with pytest.raises(InputError, match=r"mix drops weights at random in evaluation mode too; give it dropout_p=0"):
        relevance.coverage(random, x)

    def both(*qkv):
        out, logs = ATEN._scaled_dot_product_flash_attention_for_cpu(*qkv)
        return out + logs[..., None]

    with pytest.raises(InputError, match=r"mix \(Calling\).*cannot be taken apart.*softmax"):
        relevance.coverage(Tokens(Calling(both)).double().eval(), x)


class Llama(nn.Module):
    """A block with RMSNorm and a gated feed-forward part."""

    def __init__(self, unit, written):
        super().__init__()
        self.norm, self.unit, self.written = nn.RMSNorm(12), unit, written
        self.attend = nn.MultiheadAttention(12, 3, batch_first=True)
        self.wide, self.narrow = nn.Linear(12, 20), nn.Linear(10, 12)

    def forward(self, x):
        y = self.normed(x)
        x = x + self.attend(y, y, y, need_weights=self.written)[0]
        a, b = self.wide(self.normed(x)).chunk(2, -1)
        return x + self.narrow(self.unit(a) * b)

    def normed(self, x):
        if not self.written:
            return self.norm(x)
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + torch.finfo(x.dtype).eps) * self.norm.weight


@pytest.mark.parametrize("unit", [F.silu, F.gelu, torch.sigmoid])
def test_rms_norms_and_gated_units_conserve_and_equal_them_written_out(unit):
    torch.manual_seed(0)
    net, x = unsettle(Tokens(Llama(unit, False)).double()), clip(4, size=4, dtype=torch.float64)
    found = {rules: relevance.pixel_relevance(net, x, 0, "lrp", rules) for rules in ("attnlrp", "cp-lrp", "gamma")}
    ledger = relevance.ledger(net, x, 0, "attnlrp").set_index("operation")
    assert ledger.loc["rms_norm", "in"].to_numpy() == pytest.approx(ledger.loc["rms_norm", "out"].to_numpy())
    assert (ledger.loc["mul", "in"] - ledger.loc["mul", "out"]).abs().max() < 1e-9
    written = copy.deepcopy(net)
    written.mix.written = True
    for rules, expected in found.items():
        ours = relevance.pixel_relevance(written, x, 0, "lrp", rules)
        assert largest(ours - expected) < 1e-6 * largest(expected)


@pytest.mark.parametrize("first", [False, True], ids=["norm behind", "norm in front"])
def test_torchs_own_encoder_equals_gradients_times_input(first):
    """HalvedGradients does not look into nn.MultiheadAttention, which therefore is written out for it."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(12, 3, 20, activation="gelu", batch_first=True, norm_first=first)
    net, x = Tokens(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)), clip(4, size=4, dtype=torch.float64)
    unsettle(net.double())
    ours = relevance.pixel_relevance(net, x, 1, "lrp", EXACT)[0]
    for layer in net.mix.layers:
        layer._sa_block = functools.partial(attended, layer.self_attn)
        layer.activation = F.gelu
        layer.train()
        for module in (layer.dropout, layer.dropout1, layer.dropout2):
            module.p = 0.0
    expected = gradient_times_input(net, x, 1)
    assert largest(ours - expected) < 1e-8 * largest(expected)


@pytest.mark.parametrize("kind", ["causal", "window"])
@pytest.mark.parametrize("numbers", [bool, float])
def test_torchs_own_encoder_takes_a_mask_without_a_word_on_whether_it_is_causal(kind, numbers):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(12, 3, 20, batch_first=True)

    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.inside, self.hint, self.masks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), {}, True

        def forward(self, x):
            hidden = torch.ones(x.shape[1], x.shape[1]).triu(1).bool()
            if kind == "window":
                hidden = hidden | hidden.roll(3, 1)
                hidden.fill_diagonal_(False)
            mask = hidden if numbers is bool else torch.zeros(hidden.shape).to(x).masked_fill(hidden, -torch.inf)
            return self.inside(x, mask=mask if self.masks else None, **self.hint)

    net, x = unsettle(Tokens(Masked()).double()), clip(4, size=4, dtype=torch.float64)
    ours = relevance.pixel_relevance(net, x, 1, "lrp")[0]
    net.mix.hint = {"is_causal": False}  # said to be any mask, so that torch need not look
    assert torch.equal(relevance.pixel_relevance(net, x, 1, "lrp")[0], ours) and largest(ours) > 0
    net.mix.masks = False  # the mask was not lost on the way
    assert largest(relevance.pixel_relevance(net, x, 1, "lrp")[0] - ours) > 1e-3 * largest(ours)


def attended(module, x, *_, **__):
    """Return what nn.MultiheadAttention does, written out."""
    q, k, v = F.linear(x, module.in_proj_weight, module.in_proj_bias).unflatten(-1, (3, 3, 4)).permute(2, 0, 3, 1, 4)
    return module.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Pooler(nn.Module):
    """Learned queries that attend to all tokens, as attentive poolers do."""

    def __init__(self):
        super().__init__()
        self.query, self.attend = nn.Parameter(torch.randn(1, 2, 12)), nn.MultiheadAttention(12, 3, batch_first=True)

    def forward(self, x):
        query = self.query.expand(len(x), -1, -1)
        return self.attend(query, x, x, need_weights=False)[0].mean(1, keepdim=True)


def test_an_attentive_pooler_lets_keys_and_values_take_half_each():
    torch.manual_seed(0)
    net, x = unsettle(Tokens(Pooler()).double()), clip(4, size=4, dtype=torch.float64)
    report = relevance.coverage(net, x)
    assert report.attrs["composite"] == "attnlrp"
    products = report[(report.operation == "matmul")]
    assert list(products.rule) == ["Epsilon(epsilon=1e-09, bias=True)", "HalfEach()"]  # learned queries are weights
    ledger = relevance.ledger(net, x, 1)
    assert ledger.stabiliser.abs().max() < 1e-6 * ledger["in"].abs().max()
    assert (relevance.relevance_matrix(net, x, 1) > 0).any()
