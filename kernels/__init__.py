"""Triton kernels; they ship as ``fastgan.kernels`` and are imported only when asked for."""
