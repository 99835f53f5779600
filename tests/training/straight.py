"""The training of the paper, written plainly, to hold the library's step against."""

import math

import torch

from fastgan.reference import philox
from fastgan.steps import AutogradStep

# Stream numbers, written out: kind << 16 | passage << 8 | layer.
NOISE, DROPOUT = 2 << 16, 4 << 16
REAL, FAKE, GENERATOR = 0, 1 << 8, 2 << 8


class Straight:
    """The same training, written plainly: masks multiplied in, a forward pass for each cost."""

    def __init__(self, step: AutogradStep) -> None:
        recipe = step.recipe
        self.recipe = recipe
        self.generator = [p.detach().clone() for p in step.generator.parameters()]
        self.discriminator = [p.detach().clone() for p in step.discriminator.parameters()]
        self.velocity = {id(p): torch.zeros_like(p) for p in self.generator + self.discriminator}
        for parameter in self.generator + self.discriminator:
            parameter.requires_grad_()

    def sample(self, n, update, passage):
        recipe = self.recipe
        shape = (n, recipe.n_latent)
        if recipe.latent == "uniform":
            u = philox.uniform(shape, recipe.seed, update, NOISE | passage, dtype=torch.float64)
            values = math.sqrt(3) * (2 * u - 1)
        else:
            values = philox.normal(shape, recipe.seed, update, NOISE | passage, dtype=torch.float64)
        w = self.generator
        values = (values @ w[0].T + w[1]).clamp(min=0)
        values = (values @ w[2].T + w[3]).clamp(min=0)
        return 1 / (1 + torch.exp(-(values @ w[4].T + w[5])))

    def mask(self, values, include, update, passage, layer):
        words = philox.words(0, values.numel(), self.recipe.seed, update, DROPOUT | passage | layer)
        return values * (words < round(include * 2**32)).reshape(values.shape) / include

    def logits(self, values, update, passage):
        recipe, w = self.recipe, self.discriminator
        for i, layer in enumerate(recipe.discriminator):
            if layer.include_probability < 1:
                values = self.mask(values, layer.include_probability, update, passage, i)
            pieces = values @ w[2 * i].T + w[2 * i + 1]
            k = layer.n_pieces
            values = torch.stack([pieces[:, j::k] for j in range(k)], dim=2).max(dim=2)[0]
        if recipe.output_include_probability < 1:
            layer = len(recipe.discriminator)
            include = recipe.output_include_probability
            values = self.mask(values, include, update, passage, layer)
        return (values @ w[-2].T + w[-1])[:, 0]

    def cost_of_generator(self, logits):
        d = 1 / (1 + torch.exp(-logits))
        if self.recipe.cost == "non_saturating":
            return -torch.log(d).mean()
        return torch.log(1 - d).mean()

    def cost_of_discriminator(self, real, fake):
        real, fake = 1 / (1 + torch.exp(-real)), 1 / (1 + torch.exp(-fake))
        return -(torch.log(real).mean() + torch.log(1 - fake).mean()) / 2

    def move(self, parameters, gradients, update, epoch):
        recipe = self.recipe
        lr = max(recipe.learning_rate / recipe.learning_rate_decay**update, 1e-6)
        grown = min(1.0, (epoch - 1) / (recipe.momentum_epochs - 1))
        momentum = recipe.momentum_first + grown * (recipe.momentum_last - recipe.momentum_first)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                velocity = self.velocity[id(parameter)]
                velocity.copy_(momentum * velocity - lr * gradient)
                parameter += velocity
                if recipe.max_norm is not None and parameter.ndim == 2:
                    for row in parameter:
                        norm = float(row.norm())
                        row *= min(norm, recipe.max_norm) / (1e-7 + norm)

    def __call__(self, batch, update, epoch):
        n = len(batch)
        fake = self.sample(n, update, FAKE)
        fake_logits = self.logits(fake, update, FAKE)
        real_logits = self.logits(batch, update, REAL)
        of_d = self.cost_of_discriminator(real_logits, fake_logits)
        d_gradients = torch.autograd.grad(of_d, self.discriminator, retain_graph=True)
        of_g = self.cost_of_generator(fake_logits)
        if self.recipe.schedule == "simultaneous":
            g_gradients = torch.autograd.grad(of_g, self.generator)
            self.move(self.discriminator, d_gradients, update, epoch)
            self.move(self.generator, g_gradients, update, epoch)
        else:
            self.move(self.discriminator, d_gradients, update, epoch)
            if (update + 1) % self.recipe.k == 0:
                fresh = self.logits(self.sample(n, update, GENERATOR), update, GENERATOR)
                of_g = self.cost_of_generator(fresh)
                g_gradients = torch.autograd.grad(of_g, self.generator)
                self.move(self.generator, g_gradients, update, epoch)
        return of_d.item(), of_g.item()


def assert_same_weights(step, straight):
    pairs = [
        *zip(step.generator.parameters(), straight.generator, strict=True),
        *zip(step.discriminator.parameters(), straight.discriminator, strict=True),
    ]
    for ours, plain in pairs:
        assert (ours - plain).abs().max() <= 1e-9 * plain.abs().max()
