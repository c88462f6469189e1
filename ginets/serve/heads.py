"""What each head reads and answers. A request becomes rows, rows are batched, their outputs become answers."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from .answers import Answers
from .engine import Row, Served
from .limits import RequestError
from .writing import Writing


class Encoder(Served):
    """Heads that look at a text or a pair once."""

    def read(self, text: str, text_pair: str | None, truncate: bool, adapter: str | None, place: str) -> Row:
        """Raises `RequestError`: the text is empty or too long."""
        options = {"return_offsets_mapping": self.reader.is_fast, "verbose": False}
        if truncate:
            options |= {"truncation": True, "max_length": self.max_length}
        encoding = self.reader(text, text_pair, **options)
        row = Row({name: encoding[name] for name in self.reader.model_input_names if name in encoding}, adapter)
        if not row.length or not text.strip():
            raise RequestError(400, f"{place} is empty.", "empty", place)
        if row.length > self.max_length:
            message = (
                f"{place} has {row.length} tokens, at most {self.max_length} are taken; shorten it or set truncate."
            )
            raise RequestError(400, message, "context_length_exceeded", place)
        row.source = (text, encoding)
        return row

    def run(self, rows: Sequence[Row]) -> list[dict]:
        return [self.answer(row, outputs["logits"]) for row, outputs in zip(rows, self.forward(rows), strict=True)]

    @abstractmethod
    def answer(self, row: Row, logits: np.ndarray) -> dict:
        """What the logits of a row say; they have no padding."""

    def label(self, number: int, adapter: str | None) -> str:
        return str(self.config_of(adapter).id2label.get(number, number))


class Classification(Encoder):
    """One label; with several at once (`multi_label_classification`) the likeliest, with one output its value."""

    def answer(self, row: Row, logits: np.ndarray) -> dict:
        if len(logits) == 1:
            scores = logits
        elif self.config_of(row.adapter).problem_type == "multi_label_classification":
            scores = 1 / (1 + np.exp(-logits.astype(float)))
        else:
            scores = softmax(logits)
        best = int(np.argmax(scores))
        return {
            "label": self.label(best, row.adapter),
            "score": float(scores[best]),
            "scores": {self.label(i, row.adapter): float(score) for i, score in enumerate(scores)},
            "logits": logits.tolist(),
        }


class TokenClassification(Encoder):
    """Entities: words (their first token decides) of one label side by side, `O` left out."""

    def answer(self, row: Row, logits: np.ndarray) -> dict:
        text, encoding = row.source
        scores = softmax(logits)
        entities: list[dict] = []
        previous = None
        for at, word in enumerate(encoding.word_ids(0)):
            if word is None or encoding.sequence_ids(0)[at] != 0:
                previous = None
                continue
            start, end = encoding["offset_mapping"][at]
            if word == previous and entities and entities[-1]["word"] == word:
                entities[-1]["end"] = end  # a further piece of a word
                continue
            if word == previous:
                continue
            name = self.label(best := int(np.argmax(scores[at])), row.adapter)
            begins, label = name.startswith("B-"), name[2:] if name[:2] in ("B-", "I-") else name
            last, previous = entities[-1] if entities else None, word
            if label == "O":
                continue
            score = float(scores[at, best])
            if last and not begins and last["label"] == label and last["word"] == word - 1:
                last |= {"end": end, "word": word, "scores": [*last["scores"], score]}
            else:
                entities.append({"label": label, "start": start, "end": end, "word": word, "scores": [score]})
        return {"entities": [finished(each, text) for each in entities]}


def finished(entity: dict, text: str) -> dict:
    start, end = entity["start"], entity["end"]
    start += len(text[start:end]) - len(text[start:end].lstrip())  # a blank that belongs to a token
    score = float(np.mean(entity["scores"]))
    return {"label": entity["label"], "score": score, "text": text[start:end], "start": start, "end": end}


class FillMask(Encoder):
    """The likeliest tokens in place of each mask."""

    MOST = 16  # masks in a text

    def read(self, *args, top_k: int = 5) -> Row:
        row, place = super().read(*args), args[-1]
        masks = row.inputs["input_ids"].count(self.reader.mask_token_id)
        if not 1 <= masks <= self.MOST:
            message = f"{place} has {masks} masks; it needs 1 to {self.MOST}. The mask of this model: {self.reader.mask_token}"
            raise RequestError(400, message, "no_mask" if not masks else "too_many_masks", place)
        row.source = top_k
        return row

    def answer(self, row: Row, logits: np.ndarray) -> dict:
        ids = row.inputs["input_ids"]
        places = [at for at, token in enumerate(ids) if token == self.tokenizer.mask_token_id]
        return {"masks": [self.fills(ids, at, logits[at], row.source) for at in places]}

    def fills(self, ids: list[int], at: int, logits: np.ndarray, top_k: int) -> list[dict]:
        scores = softmax(logits)
        best = np.argsort(-scores, kind="stable")[:top_k]
        words = self.tokenizer.convert_ids_to_tokens(best.tolist())
        texts = [self.tokenizer.decode([*ids[:at], int(i), *ids[at + 1 :]], skip_special_tokens=True) for i in best]
        return [
            {"token": word, "score": float(scores[i]), "text": text}
            for word, text, i in zip(words, texts, best, strict=True)
        ]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Along the last dimension."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


# head → how it is served
HEADS = {
    "SequenceClassification": Classification,
    "QuestionAnswering": Answers,
    "TokenClassification": TokenClassification,
    "MaskedLM": FillMask,
    "CausalLM": Writing,
}
