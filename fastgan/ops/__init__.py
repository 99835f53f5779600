"""The operations: public function, checks, then a registered torch op or the reference.

Each has a twin of the same name in :mod:`fastgan.reference`. ``impl`` is one of ``auto``,
``reference``, ``native``, ``triton``; a forced one works or raises.
"""

from fastgan.ops import philox
from fastgan.ops.count_within import count_within
from fastgan.ops.dropout import dropout
from fastgan.ops.maxout_linear import maxout_linear
from fastgan.ops.momentum_sgd import momentum_sgd
from fastgan.ops.neighbors import nearest_neighbors
from fastgan.ops.parzen import parzen_log_likelihood, parzen_log_sums
from fastgan.ops.parzen_sums import ParzenSums

__all__ = [
    "ParzenSums",
    "count_within",
    "dropout",
    "maxout_linear",
    "momentum_sgd",
    "nearest_neighbors",
    "parzen_log_likelihood",
    "parzen_log_sums",
    "philox",
]
