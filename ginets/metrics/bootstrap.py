"""Bootstrap over clusters of examples: examples that share something (a paragraph) are drawn together."""

import numpy as np


def resampled_means(values: np.ndarray, clusters: np.ndarray, draws: int = 2000, seed: int = 0) -> np.ndarray:
    """Means of `draws` samples, each of as many clusters as there are, drawn with replacement.

    The same seed draws the same clusters, so that differences between means of two calls are paired.

    Args:
        values: `(examples, ...)`.
        clusters: `(examples,)`, equal for examples that belong together.

    Returns:
        `(draws, ...)`.
    """
    _, members = np.unique(clusters, return_inverse=True)
    count = members.max() + 1
    flat = values.reshape(len(values), -1).astype(np.float64)
    sums = np.zeros((count, flat.shape[1]))
    np.add.at(sums, members, flat)
    times = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws).astype(np.float64)
    means = times @ sums / (times @ np.bincount(members))[:, None]
    return means.reshape(draws, *values.shape[1:])


def interval(samples: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper percentile over the first axis, for a share of `level` between them."""
    low, high = np.quantile(samples, ((1 - level) / 2, (1 + level) / 2), axis=0)
    return low, high
