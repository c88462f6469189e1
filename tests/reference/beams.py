"""Beam search of one prompt, hypothesis by hypothesis, without a cache."""

import torch


def beam_search(model, prompt, beams, new_tokens, penalty, ends, n=0, refill=True):
    """The best hypothesis: its score, and its tokens, the end token included.

    A hypothesis counts Σ log p / length^penalty; those that never ended compete at the end. No n-gram of what was
    written occurs twice; probabilities are those of the tokens that are left.

    refill: a hypothesis that ends makes room for the next best open one. Without, as published, the open ones are those
        among the best `beams` candidates that have not ended.
    """
    open_, finished = [(0.0, [])], []
    for _ in range(new_tokens):
        candidates = []
        for total, written in open_:
            scores = model(torch.tensor([prompt + written])).logits[0, -1].double()
            scores[banned(written, n)] = -torch.inf
            scores = scores.log_softmax(-1)
            candidates += [(total + score, [*written, token]) for token, score in enumerate(scores.tolist())]
        candidates.sort(key=lambda each: -each[0])
        best = candidates[:beams]
        finished += [each for each in best if each[1][-1] in ends]
        open_ = [each for each in (candidates if refill else best) if each[1][-1] not in ends][:beams]
        if not open_:
            break
    return max((total / len(written) ** penalty, written) for total, written in finished + open_)


def banned(written, n):
    """Tokens that would complete an n-gram which was already written."""
    if not n:
        return []
    begun = written[len(written) - n + 1 :] if n > 1 else []
    return [
        written[at + n - 1]
        for at in range(len(written) - n + 1)
        if written[at : at + n - 1] == begun and len(begun) == n - 1
    ]
