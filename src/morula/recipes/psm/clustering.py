"""Stage 3: semantic clustering on explicit features, fitted over the data set and named without labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi

from morula.core.types import Array

__all__ = ["Mixture", "features", "fit_mixture"]

_FLOOR = 0.02  # smallest variance of a z-scored feature


@dataclass(frozen=True)
class Mixture:
    """A Gaussian mixture with diagonal covariance over z-scored features.

    Attributes:
        centre: `(f,)` mean of each feature over the data set.
        spread: `(f,)` standard deviation.
        means: `(k, f)`.
        variances: `(k, f)`.
        weights: `(k,)`.
    """

    centre: Array
    spread: Array
    means: Array
    variances: Array
    weights: Array

    @property
    def ranks(self) -> Array:
        """Foreground share of each component in [0, 1]: its density's place between darkest and brightest."""
        dense = self.means[:, 0]
        return (dense - dense.min()) / max(float(np.ptp(dense)), 1e-6)

    def posterior(self, values: Array) -> Array:
        """Probability of each component, `(..., k)`, for features `(..., f)`."""
        z = (values - self.centre) / self.spread
        return np.exp(_log_posterior(z, self.means, self.variances, self.weights))

    def foreground(self, values: Array) -> Array:
        """Probability of the densest components: those above half way between the extremes."""
        return self.posterior(values)[..., self.ranks > 0.5].sum(axis=-1)


def features(density: Array, colour: Array, activation: Array) -> Array:
    """`(y, x, 4)`: density, self-activation, local contrast, and the share of red in what is absorbed.

    Args:
        density: `(y, x)`.
        colour: `(y, x, 3)` optical densities.
        activation: `(y, x)` prior self-activation map.
    """
    smooth = ndi.gaussian_filter(density, 1.5)
    contrast = smooth - ndi.gaussian_filter(density, 20.0)
    total = ndi.gaussian_filter(colour.sum(axis=-1), 1.5)
    hue = ndi.gaussian_filter(colour[..., 0], 1.5) / (total + 0.15)
    return np.stack([smooth, activation, contrast, hue], axis=-1).astype(np.float32)


def fit_mixture(samples: Array, clusters: int, rng: np.random.Generator, iterations: int = 40) -> Mixture:
    """Expectation maximisation from quantiles of the density.

    Args:
        samples: `(n, f)` features of pixels of the whole data set, density first.
        clusters: number of components.
        rng: breaks ties between equal starts.
        iterations: of the algorithm.
    """
    centre, spread = samples.mean(axis=0), samples.std(axis=0) + 1e-6
    z = (samples - centre) / spread
    order = np.argsort(z[:, 0] + 1e-6 * rng.standard_normal(len(z)), kind="stable")
    means = np.stack([z[part].mean(axis=0) for part in np.array_split(order, clusters)])
    variances = np.ones_like(means)
    weights = np.full(clusters, 1 / clusters)
    for _ in range(iterations):
        share = np.exp(_log_posterior(z, means, variances, weights))
        total = share.sum(axis=0) + 1e-6
        means = share.T @ z / total[:, None]
        variances = np.maximum(share.T @ z**2 / total[:, None] - means**2, _FLOOR)
        weights = total / total.sum()
    return Mixture(centre, spread, means, variances, weights)


def _log_posterior(z: Array, means: Array, variances: Array, weights: Array) -> Array:
    terms: Sequence[Array] = [
        np.log(weight) - 0.5 * (((z - mean) ** 2 / variance) + np.log(variance)).sum(axis=-1)
        for mean, variance, weight in zip(means, variances, weights, strict=True)
    ]
    joint = np.stack(terms, axis=-1)
    top = joint.max(axis=-1, keepdims=True)
    return joint - (top + np.log(np.exp(joint - top).sum(axis=-1, keepdims=True)))
