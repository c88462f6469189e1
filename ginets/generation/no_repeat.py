"""The ban on repeated n-grams as published for data-to-text: among the tokens written, whatever the prompt says."""

import torch
from transformers import LogitsProcessor


class NoRepeatGeneratedNGram(LogitsProcessor):
    """Bans each token that would complete an n-gram which was already written.

    transformers' `no_repeat_ngram_size` counts the prompt's n-grams as well, and does not renormalise: there the
    probability of what is banned is lost to the hypothesis. Here the ban comes before the softmax, as in the published
    beam search.

    Args:
        n: of the n-grams; 1 bans every token that was written.
        prompt_length: of the padded batch, in tokens.
    """

    def __init__(self, n: int, prompt_length: int):
        if n < 1 or prompt_length < 0:
            raise ValueError(f"n is {n} and prompt_length {prompt_length}; they must be at least 1 and 0.")
        self.n = n
        self.prompt_length = prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores `(rows, vocabulary)` after `input_ids` `(rows, length)`; rows with a ban are log-probabilities."""
        written = input_ids[:, self.prompt_length :]
        if written.shape[1] < self.n:
            return scores
        grams = written.unfold(1, self.n, 1)
        begun = written[:, written.shape[1] - self.n + 1 :]
        row, at = (grams[..., :-1] == begun[:, None]).all(-1).nonzero(as_tuple=True)
        if not len(row):
            return scores
        scores = scores.clone()
        scores[row, grams[row, at, -1]] = -torch.inf
        concerned = row.unique()
        scores[concerned] = scores[concerned].log_softmax(-1)
        return scores
