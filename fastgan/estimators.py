"""Estimators that keep what they are fitted on: a Parzen window with scikit-learn's protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from fastgan import backends
from fastgan._sklearn import validate_rows
from fastgan.checks import check_integer, check_number, dtype_name
from fastgan.neighbor_index import NeighborIndex
from fastgan.ops._points import as_tensor
from fastgan.ops.index import Index
from fastgan.ops.parzen import check_sigmas, parzen_log_likelihood
from fastgan.scores import SigmaChoice

__all__ = ["DEFAULT_SIGMAS", "NeighborIndex", "ParzenWindow"]

Array = NDArray[Any] | Tensor

# The paper's grid for pixels in [0, 1]: the released parzen_ll.py
DEFAULT_SIGMAS: tuple[float, ...] = tuple(np.logspace(-1, 0, 10).tolist())
_DTYPES = ("uint8", "float32", "float64")  # each holds every number of those before it


class ParzenWindow(DensityMixin, BaseEstimator):
    """Parzen-window density: an isotropic Gaussian of standard deviation ``sigma`` on each sample.

    ``log p(x) = logmeanexp_i(-|x - s_i|^2 / (2 sigma^2)) - d log(sigma sqrt(2 pi))``, in nats.

    A scikit-learn estimator: it clones, pickles, sits in a pipeline, and ``GridSearchCV`` chooses
    its sigma. The row values are those of :func:`fastgan.parzen_log_likelihood`, right to within
    ``max(1e-4 nats, 1e-12 |value|)``; a row's bits do not depend on the rows it is asked with.

    Parameters
    ----------
    sigma : float, "validate" or "leave_one_out"
        Standard deviation in the units of the data (for uint8 data: of 0 to 255). Or the best of
        ``sigmas`` by mean log-likelihood, ties to the smallest: of the validation data given to
        :meth:`fit`, as in the paper's protocol, or of the samples themselves, each under all
        others (Duin 1976; two equal samples let it run to the least sigma of the grid).
    sigmas : sequence of float, optional
        That grid, in any order; logspace(-1, 0, 10), the paper's for pixels in [0, 1], if left out.
    tolerance : float
        The most nats by which a value may be too low because far samples were dropped.
    strategy : {"auto", "pruned", "dense"}
    impl : {"auto", "reference", "native", "triton"}

    Attributes
    ----------
    sigma_ : float
        The sigma used.
    sigma_choice_ : SigmaChoice or None
        The grid with its mean log-likelihoods, where sigma was chosen from one.
    samples_ : ndarray or Tensor of shape (n_samples, n_features), uint8, float32 or float64
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        The names of the columns, where a data frame brought them.

    See Also
    --------
    fastgan.parzen_log_likelihood : The same for one call.
    sklearn.neighbors.KernelDensity : Many kernels, for few dimensions; normalised alike.

    Notes
    -----
    **Input.** Whatever scikit-learn takes (arrays, lists, data frames), in its words where it
    refuses, and torch tensors on any device. float64, float32 and uint8 are kept and not copied
    where they are in C order already (do not change samples afterwards); float16, bfloat16, other
    integers and bool become float64. Where queries and samples differ in dtype, both are taken in
    the wider one, which changes no number; the samples so widened are kept, so bring queries in
    the samples' dtype to spare the memory.

    **Tensors.** The samples decide where it is computed, the queries what the answer is: a Tensor
    on their device for a Tensor, an ndarray for anything else.

    References
    ----------
    Parzen, *On estimation of a probability density function and mode*, 1962. Goodfellow et al.,
    *Generative Adversarial Nets*, 2014, section 5. Duin, *On the choice of smoothing parameters
    for Parzen estimators of probability density functions*, 1976.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgan import ParzenWindow
    >>> window = ParzenWindow(sigma=1.0).fit([[0.0, 0.0]])
    >>> round(float(window.score_samples(np.zeros((1, 2)))[0]), 4)
    -1.8379
    """

    def __init__(
        self,
        sigma: float | str = 0.2,
        *,
        sigmas: Sequence[float] | None = None,
        tolerance: float = 1e-6,
        strategy: str = "auto",
        impl: str = "auto",
    ) -> None:
        self.sigma = sigma
        self.sigmas = sigmas
        self.tolerance = tolerance
        self.strategy = strategy
        self.impl = impl

    def fit(
        self,
        X: ArrayLike | Tensor,  # noqa: N803
        y: Any = None,
        *,
        validation: ArrayLike | Tensor | None = None,
    ) -> Self:
        """Keep the samples and settle sigma.

        Parameters
        ----------
        X : array-like or Tensor of shape (n_samples, n_features)
            The samples.
        y : ignored
        validation : array-like or Tensor of shape (n_validation, n_features), optional
            Chooses sigma where ``sigma="validate"``. Never test data.

        Returns
        -------
        ParzenWindow
            Itself.

        Raises
        ------
        TypeError
            If ``X`` is sparse or a parameter is of a wrong kind.
        ValueError
            If ``X`` or ``validation`` is not a matrix of finite numbers; if a parameter cannot be;
            if validation data are missing, or given where ``sigma`` does not ask for any.
        """
        samples = validate_rows(self, X, reset=True)
        self._check_parameters(samples, validation)
        choice = self._choose(samples, validation) if isinstance(self.sigma, str) else None
        # set together, so that a fit that fails leaves no half of itself
        self.samples_ = samples
        self.sigma_ = float(self.sigma) if choice is None else choice.sigma
        self.sigma_choice_ = choice
        self._kept: dict[str, Index] = {}
        return self

    def score_samples(
        self,
        X: ArrayLike | Tensor,  # noqa: N803
        *,
        process_group: dist.ProcessGroup | None = None,
    ) -> Any:
        """Return log p(x) of each row in nats.

        Parameters
        ----------
        X : array-like or Tensor of shape (n_queries, n_features)
        process_group : torch.distributed.ProcessGroup, optional
            The processes that share the work, each with a window fitted to the same samples; None:
            this process alone. See :func:`fastgan.parzen_log_likelihood`.

        Returns
        -------
        float64 ndarray or Tensor of shape (n_queries,)
            A Tensor for a Tensor, on its device.

        Raises
        ------
        TypeError, ValueError
            As :meth:`fit`; ValueError also for another number of features.
        sklearn.exceptions.NotFittedError
            Before :meth:`fit`.
        """
        check_is_fitted(self)
        queries = validate_rows(self, X, reset=False)
        index = self._index(queries)
        return self._values(queries, index, self.sigma_, process_group=process_group)

    def score(self, X: ArrayLike | Tensor, y: Any = None) -> float:  # noqa: N803
        """Return the MEAN log-likelihood of the rows in nats, as the paper reports it.

        (scikit-learn's ``GaussianMixture.score`` is the mean too, its ``KernelDensity.score`` the
        sum.) Arguments and errors are those of :meth:`score_samples`; ``y`` is ignored.
        """
        return _mean(self.score_samples(X))

    def leave_one_out(self) -> Any:
        """Return log p(s_i) of each sample under all OTHER samples, in nats.

        Its mean judges a sigma without further data; ``score(samples)`` does not, as each sample
        then stands on its own peak.

        Returns
        -------
        float64 ndarray or Tensor of shape (n_samples,)
            Of the samples' kind.

        Raises
        ------
        ValueError
            If there is one sample only.
        sklearn.exceptions.NotFittedError
            Before :meth:`fit`.
        """
        check_is_fitted(self)
        index = self._index(self.samples_)
        return self._values(self.samples_, index, self.sigma_, exclude_self=True)

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Any:
        """Draw rows from the fitted density: a sample chosen at random, plus Gaussian noise.

        Parameters
        ----------
        n_samples : int
            How many rows to draw, at least 1.
        random_state : None, int or numpy.random.RandomState
            scikit-learn's: an int draws the same rows each time, None uses NumPy's global state.

        Returns
        -------
        ndarray or Tensor of shape (n_samples, n_features)
            Of the samples' kind and device; float32 for float32 samples, else float64.

        Raises
        ------
        TypeError
            If ``n_samples`` is no integer.
        ValueError
            If it is below 1, or ``random_state`` cannot seed.
        sklearn.exceptions.NotFittedError
            Before :meth:`fit`.
        """
        check_is_fitted(self)
        check_integer("n_samples", n_samples, 1)
        random = check_random_state(random_state)
        chosen = random.randint(len(self.samples_), size=n_samples, dtype=np.int64)
        noise = random.normal(scale=self.sigma_, size=(n_samples, self.n_features_in_))
        dtype = "float32" if dtype_name(self.samples_) == "float32" else "float64"
        if isinstance(self.samples_, Tensor):
            device = self.samples_.device
            centres = self.samples_[torch.from_numpy(chosen).to(device)]
            drawn = centres.to(torch.float64) + torch.from_numpy(noise).to(device)
            return drawn.to(getattr(torch, dtype))
        return (self.samples_[chosen] + noise).astype(dtype, copy=False)

    def _check_parameters(self, samples: Array, validation: Any) -> None:
        device = samples.device if isinstance(samples, Tensor) else torch.device("cpu")
        if isinstance(self.sigma, str):
            if self.sigma not in ("validate", "leave_one_out"):
                raise ValueError(
                    f"sigma: expected a number, 'validate' or 'leave_one_out', got {self.sigma!r}"
                )
            if self.sigmas is not None and check_sigmas(self.sigmas, "sigmas")[1]:
                raise TypeError(f"sigmas: expected a sequence of numbers, got {self.sigmas!r}")
        elif not check_sigmas(self.sigma)[1]:
            raise TypeError(f"sigma: expected one number, got {self.sigma!r}")
        if validation is not None and self.sigma != "validate":
            raise ValueError(
                "validation: expected None, as only sigma='validate' uses it, "
                f"got {type(validation).__name__}"
            )
        check_number("tolerance", self.tolerance)
        if self.tolerance < 0:
            raise ValueError(
                f"tolerance: expected a number of nats of at least 0, got {self.tolerance}"
            )
        impl = backends.resolve_impl("parzen", self.impl, device)
        backends.check_strategy(self.strategy, impl=impl)

    def _choose(self, samples: Array, validation: ArrayLike | Tensor | None) -> SigmaChoice:
        """Return the sigma of largest mean log-likelihood; ties take the smallest."""
        grid = sorted(float(s) for s in (DEFAULT_SIGMAS if self.sigmas is None else self.sigmas))
        if self.sigma == "leave_one_out":
            values = self._values(samples, samples, grid, exclude_self=True)
        elif validation is None:
            raise ValueError("validation: expected data to choose sigma with, got None")
        else:
            values = self._values(validate_rows(self, validation, reset=False), samples, grid)
        means = tuple(_mean(row) for row in values)
        best = means.index(max(means))
        return SigmaChoice(grid[best], tuple(grid), means, best in (0, len(grid) - 1))

    def _values(
        self,
        queries: Array,
        samples: Array | Index,
        sigma: Any,
        *,
        exclude_self: bool = False,
        process_group: dist.ProcessGroup | None = None,
    ) -> Any:
        """Return log p of checked rows, of their kind and on their device."""
        rows: Array = samples.given if isinstance(samples, Index) else samples
        if exclude_self and len(rows) < 2:
            raise ValueError("X: expected at least 2 samples to leave one out, got n_samples = 1")
        dtype = _wider(queries, rows)
        values = parzen_log_likelihood(
            _as_kind(_as_dtype(queries, dtype), rows),
            samples if isinstance(samples, Index) else _as_dtype(samples, dtype),
            sigma,
            tolerance=self.tolerance,
            exclude_self=exclude_self,
            strategy=self.strategy,
            impl=self.impl,
            process_group=process_group,
        )
        return _as_kind(values, queries)

    def _index(self, queries: Array) -> Index:
        """Return what such queries are put to: made when first asked for, never pickled."""
        dtype = _wider(queries, self.samples_)
        if dtype not in self._kept:
            samples = _as_dtype(self.samples_, dtype)
            self._kept[dtype] = Index(as_tensor(samples), given=samples)
        return self._kept[dtype]

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "_kept" in state:
            state["_kept"] = {}
        return state


def _mean(values: Array) -> float:
    # NumPy's order of summation depends on their number alone, torch's on its threads
    return float(np.asarray(values.cpu() if isinstance(values, Tensor) else values).mean())


def _wider(queries: Array, samples: Array) -> str:
    return max(dtype_name(queries), dtype_name(samples), key=_DTYPES.index)


def _as_dtype(rows: Array, dtype: str) -> Array:
    if isinstance(rows, Tensor):
        return rows.to(getattr(torch, dtype))
    return rows.astype(dtype, copy=False)


def _as_kind(values: Array, model: Array) -> Array:
    """Return values as an ndarray, or as a Tensor on the device, of ``model``."""
    if isinstance(model, Tensor):
        tensor = values if isinstance(values, Tensor) else torch.tensor(values)
        return tensor.to(model.device)
    return values.cpu().numpy() if isinstance(values, Tensor) else values
