"""Estimators with the scikit-learn protocol, and an index kept between calls.

scikit-learn itself is not imported: its protocol is a few methods, and ``import fastgan`` is light.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastgan.evaluation import choose_sigma
from fastgan.ops.neighbors import nearest_neighbors
from fastgan.ops.parzen import parzen_log_likelihood
from fastgan.scores import SigmaChoice

Array = NDArray[Any] | Tensor

# The paper's grid for pixels in [0, 1]: the released parzen_ll.py
DEFAULT_SIGMAS: tuple[float, ...] = tuple(np.logspace(-1, 0, 10).tolist())


class ParzenWindow:
    """Parzen-window density: an isotropic Gaussian of standard deviation ``sigma`` on each sample.

    ``log p(x) = logmeanexp_i(-|x - s_i|^2 / (2 sigma^2)) - d log(sigma sqrt(2 pi))``, in nats.
    Follows scikit-learn's estimator protocol: clones, sits in a pipeline or a grid search.

    Parameters
    ----------
    sigma : float or "validate"
        Standard deviation in the units of the data (for uint8 data: of 0 to 255), or "validate":
        the best of ``sigmas`` on the validation data given to :meth:`fit`.
    sigmas : sequence of float, optional
        Grid for "validate"; logspace(-1, 0, 10), the paper's for pixels in [0, 1], if left out.
    tolerance : float
        The most nats by which a value may be too low because far samples were dropped.
    strategy : {"auto", "pruned", "dense"}
    impl : {"auto", "reference", "native", "triton"}

    Attributes
    ----------
    sigma_ : float
        The sigma used.
    samples_ : Tensor or ndarray of shape (n_samples, n_features)
    n_features_in_ : int
    sigma_choice_ : SigmaChoice or None
        The grid with its validation means, where sigma was chosen.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgan import ParzenWindow
    >>> window = ParzenWindow(sigma=1.0).fit(np.zeros((1, 2)))
    >>> round(float(window.score_samples(np.zeros((1, 2)))[0]), 4)
    -1.8379
    """

    _estimator_type = "density_estimator"

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

    def fit(self, X: Array, y: Any = None, *, validation: Array | None = None) -> ParzenWindow:  # noqa: N803
        """Keep the samples and settle sigma.

        Parameters
        ----------
        X : Tensor or ndarray of shape (n_samples, n_features)
            The samples. Not copied where they are contiguous already.
        y : ignored
        validation : Tensor or ndarray of shape (n_validation, n_features), optional
            Chooses sigma where ``sigma="validate"``. Never test data.

        Returns
        -------
        ParzenWindow
            Itself.

        Raises
        ------
        TypeError
            If ``X`` is no array of numbers.
        ValueError
            If ``X`` has not two dimensions, no rows or no columns, or a number that is not finite;
            if sigma is not positive and finite; if "validate" has no validation data.
        """
        samples = _checked_rows(X, "X")
        if isinstance(self.sigma, str):
            if self.sigma != "validate":
                raise ValueError(f"sigma: expected a number or 'validate', got {self.sigma!r}")
            if validation is None:
                raise ValueError("validation: expected data to choose sigma with, got None")
            grid = DEFAULT_SIGMAS if self.sigmas is None else self.sigmas
            choice = choose_sigma(validation, samples, grid, impl=self.impl)
            self.sigma_choice_: SigmaChoice | None = choice
            self.sigma_ = choice.sigma
        else:
            if not (np.isfinite(self.sigma) and self.sigma > 0):
                raise ValueError(f"sigma: expected a positive finite number, got {self.sigma!r}")
            self.sigma_choice_ = None
            self.sigma_ = float(self.sigma)
        self.samples_ = samples
        self.n_features_in_ = int(samples.shape[1])
        return self

    def score_samples(self, X: Array) -> Any:  # noqa: N803
        """Return log p(x) of each row in nats, float64 of shape (n_queries,).

        ``X`` is of the samples' kind and dtype, else a TypeError is raised; of their number of
        columns, else a ValueError. The answer is a Tensor for a Tensor, an ndarray for an ndarray.
        """
        self._check_fitted()
        return parzen_log_likelihood(
            X,
            self.samples_,
            self.sigma_,
            tolerance=self.tolerance,
            strategy=self.strategy,
            impl=self.impl,
        )

    def score(self, X: Array, y: Any = None) -> float:  # noqa: N803
        """Return the MEAN log-likelihood of the rows in nats, as the paper reports it.

        (scikit-learn's ``KernelDensity.score`` is their sum, its ``GaussianMixture.score`` the
        mean.) Raises a ValueError where there are no rows.
        """
        values = self.score_samples(X)
        if len(values) == 0:
            raise ValueError("X: expected at least one row, got none")
        return float(values.mean())

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments by name."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params: Any) -> ParzenWindow:
        """Set constructor arguments by name and return itself; a wrong name is a ValueError."""
        for name, value in params.items():
            if name not in self._names():
                expected = ", ".join(self._names())
                raise ValueError(f"{name}: no such parameter of ParzenWindow; it has {expected}")
            setattr(self, name, value)
        return self

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            from sklearn.exceptions import NotFittedError  # a ValueError and an AttributeError

            raise NotFittedError("ParzenWindow: expected fit(samples) to be called first")

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "samples_")

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type="density_estimator",
            target_tags=TargetTags(required=False),
            input_tags=InputTags(),
        )

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        changed = [
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if name == "sigma" or value is not defaults[name].default
        ]
        return f"ParzenWindow({', '.join(changed)})"


class NeighborIndex:
    """Data whose nearest rows are asked for again and again.

    Exact: squared Euclidean distances, ascending, ties by the smaller index.

    Parameters
    ----------
    data : Tensor or ndarray of shape (n_data, n_features)
        float32, float64 or uint8 (0 to 255). Checked once and kept; not copied where contiguous.
    strategy : {"auto", "pruned", "dense"}
    impl : {"auto", "reference", "native", "triton"}

    Raises
    ------
    TypeError
        If ``data`` is no array of numbers.
    ValueError
        If it has not two dimensions, no rows or no columns, or a number that is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgan import NeighborIndex
    >>> distances, indices = NeighborIndex(np.array([[0.0], [3.0]])).query(np.array([[2.0]]))
    >>> float(distances[0, 0]), int(indices[0, 0])
    (1.0, 1)
    """

    def __init__(self, data: Array, *, strategy: str = "auto", impl: str = "auto") -> None:
        self.data = _checked_rows(data, "data")
        self.strategy = strategy
        self.impl = impl

    def query(self, queries: Array, k: int = 1, *, exclude_self: bool = False) -> tuple[Any, Any]:
        """Return the ``k`` nearest rows of each query.

        Parameters
        ----------
        queries : Tensor or ndarray of shape (n_queries, n_features)
            Of the kind and dtype of the data.
        k : int, from 1 to n_data
        exclude_self : bool
            The queries are the data: row i is no neighbor of itself.

        Returns
        -------
        squared_distances : float64 of shape (n_queries, k)
        indices : int64 of shape (n_queries, k)
            Tensors for Tensors, ndarrays for ndarrays.

        Raises
        ------
        TypeError, ValueError
            As :func:`fastgan.nearest_neighbors`.
        """
        return nearest_neighbors(
            queries,
            self.data,
            k,
            exclude_self=exclude_self,
            strategy=self.strategy,
            impl=self.impl,
        )

    def __len__(self) -> int:
        return int(self.data.shape[0])

    def __repr__(self) -> str:
        n_data, n_features = self.data.shape
        return f"NeighborIndex(n_data={n_data}, n_features={n_features}, dtype={self.data.dtype})"


def _checked_rows(rows: Array, name: str) -> Any:
    """Return rows contiguous, checked as far as it needs no knowledge of the operation."""
    if not isinstance(rows, (Tensor, np.ndarray)):
        raise TypeError(f"{name}: expected a Tensor or ndarray, got {type(rows).__name__}")
    shape = tuple(rows.shape)
    if len(shape) != 2:
        raise ValueError(f"{name}: expected 2 dimensions (n_rows, n_features), got shape {shape}")
    if 0 in shape:
        raise ValueError(f"{name}: expected at least one row and one column, got shape {shape}")
    if isinstance(rows, Tensor):
        contiguous: Array = rows.detach().contiguous()
        known = rows.dtype in (torch.uint8, torch.float32, torch.float64)
        finite = known and bool(torch.isfinite(rows).all())
    else:
        contiguous = np.ascontiguousarray(rows)
        known = rows.dtype in (np.uint8, np.float32, np.float64)
        finite = known and bool(np.isfinite(rows).all())
    if not known:
        raise TypeError(f"{name}: expected uint8, float32 or float64, got {rows.dtype}")
    if not finite:
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    return contiguous
