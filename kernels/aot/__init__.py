"""Proof without a device: every kernel compiled ahead of time, its machine code read, its roofline.

``python -m fastgan.kernels.aot`` runs it.
"""
