"""The training step without autograd: see :class:`FusedStep`."""

from fastgan.fused.obstacles import why_not_fused
from fastgan.fused.step import FusedStep

__all__ = ["FusedStep", "why_not_fused"]
