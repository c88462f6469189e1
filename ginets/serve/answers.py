"""Questions answered from a context of any length, window by window, as in evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..data.squad_features import Windows
from ..extras import require
from ..metrics.squad_answers import best_spans
from .engine import Row, Served
from .limits import RequestError


WINDOW, STRIDE = 384, 128  # as in training, where the model has so many positions
N_BEST = 20


@dataclass
class Question:
    """A question with its windows.

    Attributes:
        windows: a `datasets.Dataset` as `Windows` makes it.
    """

    question: str
    context: str
    windows: object
    rows: list[Row]
    max_answer_length: int = 30
    no_answer: bool = False


class Answers(Served):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        width = min(WINDOW, self.max_length)
        # no context is remembered once it is answered
        self.windows = Windows(self.reader, width, min(STRIDE, width // 4), characters=True, cached_tokens=0)

    def check(self, question: str, context: str) -> None:
        """Raises `RequestError`: a text is empty or too long. Contexts longer than the model are read in windows."""
        counts = []
        for place, text in (("question", question), ("context", context)):
            if not text.strip():
                raise RequestError(400, f"{place} is empty.", "empty", place)
            counts.append(len(self.reader(text, add_special_tokens=False, verbose=False)["input_ids"]))
            if counts[-1] > self.limits.input_tokens:
                message = f"{place} has {counts[-1]} tokens, at most {self.limits.input_tokens} are taken."
                raise RequestError(400, message, "context_length_exceeded", place)
        if self.windows.cuts(*counts):
            message = f"question has {counts[0]} tokens; with this context fewer than {self.windows.question_room} are taken."
            raise RequestError(400, message, "context_length_exceeded", "question")

    def read(self, question: str, context: str, adapter: str | None, **options) -> Question:
        datasets = require("datasets", extra="serve")
        examples = datasets.Dataset.from_dict({"question": [question], "context": [context]})
        (table,) = self.windows.batches(examples)
        names = [name for name in self.reader.model_input_names if name in table.column_names]
        columns = table.select(names).to_pydict()
        rows = [
            Row({name: columns[name][at] for name in names} | {"attention_mask": [1] * len(columns["input_ids"][at])}, adapter)
            for at in range(table.num_rows)
        ]  # fmt: skip
        return Question(question, context, datasets.Dataset(table), rows, **options)

    def run(self, questions: Sequence[Question]) -> list[dict]:
        outputs = iter(self.forward([row for each in questions for row in each.rows]))
        return [self.answer(each, [next(outputs) for _ in each.rows]) for each in questions]

    def answer(self, question: Question, outputs: list[dict[str, np.ndarray]]) -> dict:
        """The best spans, best first, with their share of the probability among all that compete."""
        longest = max(row.length for row in question.rows)
        starts, ends = (
            np.stack([np.pad(each[name], (0, longest - len(each[name])), constant_values=-1e9) for each in outputs])
            for name in ("start_logits", "end_logits")
        )
        spans, null = best_spans(question.windows, (starts, ends), N_BEST, question.max_answer_length)
        if question.no_answer or not spans:
            spans = sorted([*spans, (0, 0, null)], key=lambda span: -span[2])
        scores = np.array([score for *_, score in spans], float)
        shares = np.exp(scores - scores.max())
        shares /= shares.sum()
        best = [
            {"answer": question.context[start:end], "score": float(share), "start": start, "end": end}
            for (start, end, _), share in zip(spans, shares, strict=True)
        ]
        return best[0] | {"alternatives": best[1:]}
