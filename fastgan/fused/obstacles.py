"""Which pairs of networks the fused step can train."""

from __future__ import annotations

import torch
from torch import nn

from fastgan import backends
from fastgan.models import Discriminator, Generator
from fastgan.recipes import ConvolutionalMaxoutLayer, Recipe, TransposedConvolutionLayer

# What of a recipe the modules were made of; the rest may differ.
_LAYER_FIELDS = ("n_latent", "generator", "discriminator", "output_include_probability")
_CONVOLUTIONAL = (TransposedConvolutionLayer, ConvolutionalMaxoutLayer)


def why_not_fused(
    generator: nn.Module, discriminator: nn.Module, recipe: Recipe, impl: str
) -> str | None:
    """Say what keeps :class:`FusedStep` from training a pair; None if nothing does."""
    for module, expected in ((generator, Generator), (discriminator, Discriminator)):
        if type(module) is not expected:
            return f"it needs fastgan's own {expected.__name__}, not a {type(module).__qualname__}"
    for field in _LAYER_FIELDS:
        if any(
            getattr(m.recipe, field) != getattr(recipe, field) for m in (generator, discriminator)
        ):
            return "the modules have other layers than the recipe"
    if any(
        isinstance(layer, _CONVOLUTIONAL) for layer in (*recipe.generator, *recipe.discriminator)
    ):
        return "the recipe has convolutional layers"
    parameters = [*generator.parameters(), *discriminator.parameters()]
    if not all(parameter.requires_grad for parameter in parameters):
        return "some parameters are not to be trained"
    if len({(parameter.device, parameter.dtype) for parameter in parameters}) > 1:
        return "the parameters are not all of one device and dtype"
    if parameters[0].dtype not in (torch.float32, torch.float64):
        return f"the parameters are of {parameters[0].dtype}, neither float32 nor float64"
    if not all(parameter.is_contiguous() for parameter in parameters):
        return "some parameters are not contiguous"
    device = parameters[0].device
    if impl == "auto" and backends.resolve_impl("fused_step", impl, device) == "reference":
        return f"there are no kernels for it on {device.type}"
    return None
