"""Answers from logits by the loop that defines them: one question, window, start and end after the other."""

import numpy as np


def read_answers(examples, features, logits, negative, n_best, longest, threshold):
    """predictions, n-best lists, null odds; scores in the precision of the logits."""
    predictions, nbest, odds = {}, {}, {}
    for number, example in enumerate(examples):
        found, null = [], None
        for row, start, end in zip(features, *logits, strict=True):
            if row["example"] != number:
                continue
            at = row["null_position"]
            if null is None or start[at] + end[at] < null[0]:
                null = (start[at] + end[at], start[at], end[at], "")
            chars = list(zip(row["char_starts"], row["char_ends"], strict=True))
            for i in np.argsort(start)[::-1][:n_best]:
                for j in np.argsort(end)[::-1][:n_best]:
                    a, b = i - row["context_start"], j - row["context_start"]
                    if not (0 <= a <= b < len(chars)) or b - a >= longest:
                        continue
                    if chars[a][0] == chars[a][1] or chars[b][0] == chars[b][1]:
                        continue  # begins or ends with a token of white space
                    text = example["context"][chars[a][0] : chars[b][1]]
                    found.append((start[i] + end[j], start[i], end[j], text))
        ranked = sorted([*found, null] if negative else found, key=lambda each: -each[0])[:n_best]
        if negative and not any(each is null for each in ranked):
            ranked.append(null)
        if not any(text for *_, text in ranked):
            ranked.insert(0, (0.0, 0.0, 0.0, "empty"))
        powers = np.exp(np.array([each[0] for each in ranked]) - max(each[0] for each in ranked))
        nbest[example["id"]] = [
            {"start_logit": float(start), "end_logit": float(end), "text": text, "probability": float(share)}
            for (_, start, end, text), share in zip(ranked, powers / powers.sum(), strict=True)
        ]
        best = next(each for each in ranked if each[3])
        difference = null[0] - best[1] - best[2]
        odds[example["id"]] = float(difference)
        predictions[example["id"]] = "" if negative and difference > threshold else best[3]
    return predictions, nbest, odds if negative else None
