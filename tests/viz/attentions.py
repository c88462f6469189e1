"""Made-up attention of the right form, without a model."""

import numpy as np

from ginets.viz.attention import Attention


TOKENS = ("[CLS]", "my", "</script>", "$red$", "##bag", "“ü”", "[SEP]")
SHAPE = (3, 4)  # layers, heads


def made_up(seed: int = 0, tokens: tuple[str, ...] = TOKENS, shape: tuple[int, int] = SHAPE) -> Attention:
    """Rows that sum to one, uneven as attention is, all layers and heads different."""
    count = len(tokens)
    weights = np.random.default_rng(seed).dirichlet(np.full(count, 0.3), (*shape, count)).astype(np.float32)
    special = np.array([token in ("[CLS]", "[SEP]") for token in tokens])
    offsets = np.stack([np.arange(count), np.arange(1, count + 1)], axis=1)
    return Attention(tokens, special, weights, offsets, np.where(special, -1, 0))
