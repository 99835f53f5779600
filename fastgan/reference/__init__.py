"""The specification: every operation of :mod:`fastgan.ops`, under the same name, in plain PyTorch.

These functions state the formulas as their sources print them and are never tuned. They compute in
the dtype of their inputs, so float64 inputs give the values that every other implementation is
tested against. They check nothing: the public functions of :mod:`fastgan.ops` do. What a whole
training step does is written down in :mod:`fastgan.reference.training_step`.
"""
