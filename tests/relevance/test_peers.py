"""Agreement with captum's LRP and with zennit, on networks and with rules that they support."""

import pytest
import torch
import torchvision
from captum.attr import LRP
from captum.attr._utils.custom_modules import Addition_Module
from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, IdentityRule
from torch import nn

from paperlib import relevance

from .networks import Frames, clip, plain, settle

pytestmark = pytest.mark.numerics


class Stretched(nn.Module):
    """A Frames network as modules only, all frame logits in one row, as captum and zennit need it."""

    def __init__(self, net, size):
        super().__init__()
        self.trunk = net.trunk
        self.pool = nn.AvgPool3d((1, *size))
        self.fc = net.fc

    def forward(self, x):
        return self.fc(self.pool(self.trunk(x)).flatten(2).transpose(1, 2)).flatten(1)


def build():
    torch.manual_seed(4)
    net = plain(6, bias=False).eval()
    x = clip(4, size=16, seed=2)
    return net, x, Stretched(net, net.trunk(x).shape[3:]).eval()


def test_captum_agrees_on_convolutions_pools_and_linear_layers():
    net, x, flat = build()
    x = x - x.min()  # captum's rule takes inputs to be positive
    ours = relevance.pixel_relevance(
        net, x, 1, method="lrp", rules={"trunk.0": relevance.ZPlus()}, input_bounds=(-1, 10)
    )[0]
    for step in range(4):
        for layer in flat.modules():  # captum deletes rules after each call
            if isinstance(layer, (nn.Conv3d, nn.Linear)):
                layer.rule = Alpha1_Beta0_Rule(set_bias_to_zero=True)
            elif isinstance(layer, (nn.MaxPool3d, nn.AvgPool3d)):
                layer.rule = EpsilonRule()
            elif isinstance(layer, nn.ReLU):
                layer.rule = IdentityRule()
        theirs = LRP(flat).attribute(x, target=step * 4 + 1).detach()
        assert torch.allclose(ours[step], theirs[0], rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


class Skip(nn.Module):
    """A residual sum, by captum's addition module where it needs one."""

    def __init__(self, channels, add=None):
        super().__init__()
        self.conv = nn.Conv3d(channels, channels, 3, padding=1, bias=False)
        self.add = add

    def forward(self, x):
        return self.add(self.conv(x), x) if self.add else self.conv(x) + x


def test_captum_agrees_on_residual_sums():
    """Its addition module takes the epsilon rule, whose 1e-9 is the paper's (appendix F)."""
    torch.manual_seed(4)
    net = (
        Frames(
            nn.Sequential(nn.Conv3d(3, 6, 3, padding=1, bias=False), nn.ReLU(), Skip(6), nn.ReLU(), Skip(6), nn.ReLU()),
            6,
        )
        .double()
        .eval()
    )
    x = clip(3, size=8, dtype=torch.float64)
    x = x - x.min()
    ours = relevance.pixel_relevance(
        net, x, 1, method="lrp", rules={"trunk.0": relevance.ZPlus()}, input_bounds=(-1, 10)
    )[0]
    flat = Stretched(net, (8, 8)).eval()
    for block in (flat.trunk[2], flat.trunk[4]):
        block.add = Addition_Module()
    for step in range(3):
        for layer in flat.modules():
            if isinstance(layer, (nn.Conv3d, nn.Linear)):
                layer.rule = Alpha1_Beta0_Rule(set_bias_to_zero=True)
            elif isinstance(layer, (nn.AvgPool3d, Addition_Module)):
                layer.rule = EpsilonRule()
            elif isinstance(layer, nn.ReLU):
                layer.rule = IdentityRule()
        theirs = LRP(flat).attribute(x, target=step * 4 + 1).detach()
        assert torch.allclose(ours[step], theirs[0], rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


def of_output(modified, x, place):
    """Relevance of the clip x [1, ...] for one output of a network that zennit has modified: [...]."""
    y = x.clone().requires_grad_()
    out = modified(y)
    start = torch.zeros_like(out)
    start[0, place] = out[0, place].detach()
    return torch.autograd.grad(out, y, start)[0][0]


def test_zennit_agrees_with_z_plus_and_z_beta():
    composites = pytest.importorskip("zennit.composites")
    from zennit import rules as zr
    from zennit import types as zt

    net, x, flat = build()
    low, high = (
        torch.tensor([(end - m) / s for m, s in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))])
        .view(1, 3, 1, 1, 1)
        .expand(x.shape)
        for end in (0, 1)
    )
    composite = composites.SpecialFirstLayerMapComposite(
        layer_map=[
            (zt.Activation, zr.Pass()),
            (zt.AvgPool, zr.Norm()),
            (zt.Convolution, zr.ZPlus(zero_params="bias")),
            (zt.Linear, zr.ZPlus(zero_params="bias")),
        ],
        first_map=[(zt.Convolution, zr.ZBox(low, high, zero_params="bias"))],
    )
    ours = relevance.pixel_relevance(net, x, 2, method="lrp")[0]
    with composite.context(flat) as modified:
        for step in range(4):
            theirs = of_output(modified, x, step * 4 + 2)
            assert torch.allclose(ours[step], theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


@pytest.mark.parametrize("name", ["Epsilon", "Gamma", "WSquare", "Flat"])
def test_zennit_has_the_same_rules_under_the_same_names(name):
    composites = pytest.importorskip("zennit.composites")
    from zennit import rules as zr
    from zennit import types as zt

    torch.manual_seed(4)  # no max pooling: zennit gives ties, of which WSquare and Flat make many, to the first
    convolutions = nn.Conv3d(3, 6, 3, padding=1, bias=False), nn.Conv3d(6, 12, 3, padding=1, bias=False)
    net = Frames(nn.Sequential(convolutions[0], nn.ReLU(), convolutions[1], nn.ReLU()), 12).double().eval()
    x, flat = clip(4, size=8, seed=2, dtype=torch.float64), Stretched(net, (8, 8)).eval()
    options = {"Gamma": {"by_sign": True}}.get(name, {})  # zennit's favours the contributions of the output's own sign
    ours = getattr(relevance, name)(**options)
    stabiliser = {"epsilon" if name == "Epsilon" else "stabilizer": 1e-9}
    theirs = getattr(zr, name)(zero_params="bias", **stabiliser)
    layers = [(zt.Activation, zr.Pass()), (zt.AvgPool, zr.Norm()), (zt.Convolution, theirs), (zt.Linear, theirs)]
    rules = {nn.Conv3d: ours, nn.Linear: ours, "trunk.0": ours}
    found = relevance.pixel_relevance(net, x, 2, method="lrp", rules=rules, rows="logits")[0]
    with composites.LayerMapComposite(layers).context(flat) as modified:
        for step in range(4):
            expected = of_output(modified, x, step * 4 + 2)
            assert torch.allclose(found[step], expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.slow
def test_zennit_agrees_on_a_residual_network_with_its_own_canonizer():
    composites = pytest.importorskip("zennit.composites")
    from zennit import rules as zr
    from zennit import types as zt
    from zennit.layer import Sum
    from zennit.torchvision import ResNetBasicBlockCanonizer

    class Images(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def frame_logits(self, clips):
            b, _, t = clips.shape[:3]
            return self.net(clips.transpose(1, 2).flatten(0, 1)).view(b, t, -1)

    torch.manual_seed(0)
    net = settle(torchvision.models.resnet18(num_classes=5)).double()
    for module in net.modules():  # so that the identity rule and a merged batch norm agree
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.zero_()
            module.running_var.fill_(1 - module.eps)
            module.weight.data.fill_(1)
            module.bias.data.zero_()
    x = clip(1, size=40, dtype=torch.float64)
    # zennit's habit: batch norms merged into convolutions, as its canonizer does
    composite = composites.LayerMapComposite(
        [
            (Sum, zr.Norm()),
            (zt.Activation, zr.Pass()),
            (zt.AvgPool, zr.Norm()),
            (zt.Convolution, zr.ZPlus(zero_params="bias")),
            (zt.Linear, zr.ZPlus(zero_params="bias")),
        ],
        canonizers=[ResNetBasicBlockCanonizer()],
    )
    rules = {"net.conv1": relevance.ZPlus()}
    ours = relevance.pixel_relevance(Images(net), x, 3, method="lrp", rules=rules)[0, 0, :, 0]
    with composite.context(net) as modified:
        theirs = of_output(modified, x[:, :, 0], 3)
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


def test_epsilon_on_every_layer_is_gradient_times_input():
    """A third peer that needs no library: LRP-0 on a network of ReLUs without biases (Shrikumar et al. 2016)."""
    torch.manual_seed(1)
    net = Frames(
        nn.Sequential(
            nn.Conv3d(3, 5, 3, padding=1, bias=False),
            nn.ReLU(),
            nn.Conv3d(5, 5, (3, 1, 1), padding=(1, 0, 0), bias=False),
            nn.ReLU(),
        ),
        5,
    )
    net.fc.bias.data.zero_()
    net = net.double().eval()
    x = clip(4, size=8, dtype=torch.float64).requires_grad_()
    rules = {nn.Conv3d: relevance.Epsilon(0.0), nn.Linear: relevance.Epsilon(0.0)}
    ours = relevance.pixel_relevance(net, x, 1, method="lrp", rules=rules)[0]
    logits = net.frame_logits(x)[0, :, 1]
    for step in range(4):
        (gradient,) = torch.autograd.grad(logits[step], x, retain_graph=True)
        assert torch.allclose(ours[step], (gradient * x)[0], atol=1e-10)
