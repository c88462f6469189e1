"""The bootstrap against a loop, and its intervals against the normal approximation."""

import numpy as np

from ginets.metrics.bootstrap import interval, resampled_means


def test_means_are_those_of_drawn_clusters():
    """A naive loop over the same draws: every example of a cluster comes as often as the cluster was drawn."""
    values = np.random.default_rng(1).normal(size=(7, 2, 3))
    clusters = np.array([5, 5, 2, 9, 2, 2, 9])
    got = resampled_means(values, clusters, draws=50, seed=3)
    drawn = np.random.default_rng(3).multinomial(3, [1 / 3] * 3, size=50)
    for mean, times in zip(got, drawn, strict=True):
        examples = [value for name, count in zip((2, 5, 9), times, strict=True) for _ in range(count)
                    for value in values[clusters == name]]  # fmt: skip
        np.testing.assert_allclose(mean, np.mean(examples, 0))


def width(values: np.ndarray, clusters: np.ndarray) -> float:
    low, high = interval(resampled_means(values, clusters, draws=4000))
    assert low < values.mean() < high
    return float(high - low)


def test_intervals_agree_with_the_normal_approximation():
    rng = np.random.default_rng(0)
    values = rng.normal(3, 2, size=500)
    normal = 2 * 1.96 * values.std(ddof=1) / np.sqrt(500)
    assert abs(width(values, np.arange(500)) / normal - 1) < 0.05
    # four equal examples of a cluster are one observation: taken for four, the interval would be half as wide
    repeated, clusters = np.repeat(values[:125], 4), np.repeat(np.arange(125), 4)
    normal = 2 * 1.96 * values[:125].std(ddof=1) / np.sqrt(125)
    assert abs(width(repeated, clusters) / normal - 1) < 0.05
    assert abs(width(repeated, np.arange(500)) / normal - 0.5) < 0.05


def test_coverage():
    """Of 200 intervals of 95 %, about 190 cover the true mean."""
    rng, covered = np.random.default_rng(2), 0
    for seed in range(200):
        low, high = interval(resampled_means(rng.exponential(size=150), np.arange(150), draws=600, seed=seed))
        covered += low < 1 < high
    assert 180 <= covered <= 198


def test_the_same_seed_draws_the_same_clusters():
    """So a difference of two equal series has an interval of no width."""
    values, clusters = np.random.default_rng(0).normal(size=40), np.arange(40) // 2
    one, two = (resampled_means(x, clusters, 100, seed=7) for x in (values, values + 2))
    np.testing.assert_allclose(two - one, 2)
    assert not np.allclose(one, resampled_means(values, clusters, 100, seed=8))
