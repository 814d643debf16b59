"""LRP by zennit and captum as their users do it: a forward and a backward pass for every target."""

import torch
from torch import nn


class Rows(nn.Module):
    """All frame logits in one row, as the other libraries want them."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, clip):
        """Clip [B, 3, T, H, W] -> [B, T' * K]."""
        return self.model.frame_logits(clip).flatten(1)


def with_zennit(model, clip, targets):
    """Relevance of one clip for each of `targets`, columns of Rows, by zennit's epsilon-plus composite."""
    from zennit.composites import EpsilonPlus

    with EpsilonPlus().context(Rows(model)) as modified:
        for target in targets:
            x = clip.clone().requires_grad_()
            out = modified(x)
            start = torch.zeros_like(out)
            start[0, target] = out[0, target].detach()
            torch.autograd.grad(out, x, start)


def with_captum(model, clip, targets):
    """Relevance of one clip for each of `targets`, columns of Rows, by captum's LRP with the alpha-beta rule."""
    from captum.attr import LRP
    from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, IdentityRule

    net = Rows(model)
    for target in targets:
        for layer in net.modules():  # captum deletes rules after each call
            if isinstance(layer, (nn.Conv3d, nn.Linear)):
                layer.rule = Alpha1_Beta0_Rule(set_bias_to_zero=True)
            elif isinstance(layer, nn.MaxPool3d):
                layer.rule = EpsilonRule()
            elif not list(layer.children()):
                layer.rule = IdentityRule()
        LRP(net).attribute(clip.clone().requires_grad_(), target=target)
