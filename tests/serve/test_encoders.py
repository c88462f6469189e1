"""Answers of the encoders' routes, against the plain models called directly."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from ginets.data.squad_features import build_features
from ginets.metrics.squad_answers import read_answers
from tests.serve.models import NAMES, TEXTS, alone


def ask(client, path: str, **body) -> dict:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_classification(client, zoo):
    results = ask(client, "/v1/classify", model="cls", inputs=TEXTS)["results"]
    for text, found in zip(TEXTS, results, strict=True):
        logits = alone(zoo["cls"], None, text)
        torch.testing.assert_close(torch.tensor(found["logits"]), logits, atol=1e-5, rtol=0)
        scores = logits.softmax(-1)
        assert found["label"] == NAMES["SequenceClassification"][int(scores.argmax())]
        assert found["score"] == pytest.approx(float(scores.max()), abs=1e-5)
        assert sum(found["scores"].values()) == pytest.approx(1)
    assert len({found["label"] for found in results}) > 1  # else the test could not fail


def test_a_pair(client, zoo):
    (found,) = ask(client, "/v1/classify", model="cls", inputs={"text": "good", "text_pair": "a bad film"})["results"]
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(zoo["cls"]), AutoTokenizer.from_pretrained(zoo["cls"])  # fmt: skip
    with torch.no_grad():
        logits = model.eval()(**tokenizer("good", "a bad film", return_tensors="pt")).logits[0]
    torch.testing.assert_close(torch.tensor(found["logits"]), logits, atol=1e-5, rtol=0)


def test_truncate(client, zoo):
    long = "good film " * 40
    refused = client.post("/v1/classify", json={"model": "cls", "inputs": long})
    assert refused.status_code == 400 and "82 tokens, at most 32" in refused.json()["error"]["message"]
    cut = ask(client, "/v1/classify", model="cls", inputs=long, truncate=True)["results"][0]
    whole = ask(client, "/v1/classify", model="cls", inputs="good film " * 15)["results"][0]
    assert cut["logits"] == pytest.approx(whole["logits"], abs=1e-5)


def test_attention_is_the_mean_of_the_heads(client, zoo):
    found = ask(client, "/v1/classify", model="cls", inputs=["good film"], attention=True)["results"][0]["attention"]
    model = AutoModelForSequenceClassification.from_pretrained(zoo["cls"], attn_implementation="eager").eval()
    with torch.no_grad():
        inputs = AutoTokenizer.from_pretrained(zoo["cls"])("good film", return_tensors="pt")
        attentions = model(**inputs, output_attentions=True).attentions
    expected = np.stack([layer[0].mean(0).numpy() for layer in attentions])
    assert found["tokens"] == ["[CLS]", "good", "film", "[SEP]"] and found["special"] == [True, False, False, True]
    np.testing.assert_allclose(np.array(found["layers"]), expected, atol=1e-5)


def test_token_classification(client, zoo):
    """Entities by hand from the label of each word."""
    tokenizer = AutoTokenizer.from_pretrained(zoo["ner"])
    model = AutoModelForTokenClassification.from_pretrained(zoo["ner"]).eval()
    seen = set()
    for text in TEXTS:
        with torch.no_grad():
            scores = model(**tokenizer(text, return_tensors="pt")).logits[0, 1:-1].softmax(-1)
        expected, at = [], 0
        for word, row in zip(text.split(), scores, strict=True):
            start = text.index(word, at)
            at = start + len(word)
            begins, _, label = NAMES["TokenClassification"][int(row.argmax())].partition("-")
            seen.add(begins)
            if begins == "O":
                continue
            goes_on = expected and begins == "I" and expected[-1][0] == label and expected[-1][2] == start - 1
            if goes_on:
                expected[-1][2] = at
            else:
                expected.append([label, start, at])
        entities = ask(client, "/v1/tokens", model="ner", inputs=text)["results"][0]["entities"]
        assert [[each["label"], each["start"], each["end"]] for each in entities] == expected
        assert all(each["text"] == text[each["start"] : each["end"]] for each in entities)
    assert len(seen) > 1


def test_fill_mask(client, zoo):
    (fills,) = ask(client, "/v1/fill-mask", model="fill", inputs="a [MASK] film", top_k=3)["results"][0]["masks"]
    tokenizer = AutoTokenizer.from_pretrained(zoo["fill"])
    with torch.no_grad():
        logits = AutoModelForMaskedLM.from_pretrained(zoo["fill"]).eval()(**tokenizer("a [MASK] film", return_tensors="pt")).logits  # fmt: skip
    best = logits[0, 2].softmax(-1).topk(3)
    assert [each["token"] for each in fills] == tokenizer.convert_ids_to_tokens(best.indices.tolist())
    assert [each["score"] for each in fills] == pytest.approx(best.values.tolist(), abs=1e-5)
    for text, code in (("a film", "no_mask"), ("[MASK] " * 17, "too_many_masks")):
        answer = client.post("/v1/fill-mask", json={"model": "fill", "inputs": text})
        assert answer.status_code == 400 and answer.json()["error"]["code"] == code


@pytest.mark.parametrize("context", ["it was a great film a very bad book", "a good book was it " * 12])
def test_question_answering(client, zoo, context):
    """The second context needs several windows."""
    found = ask(client, "/v1/answer", model="qa", question="was it good", context=context, top_k=5)
    tokenizer = AutoTokenizer.from_pretrained(zoo["qa"])
    examples = Dataset.from_dict({"id": ["0"], "question": ["was it good"], "context": [context]})
    features = build_features(examples, tokenizer, max_seq_length=32, doc_stride=8, characters=True)
    assert (len(features) > 1) == (len(context) > 50)
    model = AutoModelForQuestionAnswering.from_pretrained(zoo["qa"]).eval()
    logits = np.full((2, len(features), 32), -1e9, np.float32)
    for at, row in enumerate(features):
        with torch.no_grad():
            outputs = model(**{n: torch.tensor([row[n]]) for n in ("input_ids", "token_type_ids")})
        for which, values in enumerate((outputs.start_logits, outputs.end_logits)):
            logits[which, at, : values.shape[1]] = values[0].numpy()
    answers = read_answers(examples, features, (logits[0], logits[1])).nbest_predictions["0"]
    assert [found["answer"], *(each["answer"] for each in found["alternatives"])] == [
        one["text"] for one in answers[:5]
    ]
    assert found["score"] == pytest.approx(answers[0]["probability"], abs=1e-5)
    assert context[found["start"] : found["end"]] == found["answer"]


def test_no_answer(client):
    body = {"model": "qa", "question": "was it good", "context": "a film", "top_k": 20}
    assert all(each["answer"] for each in ask(client, "/v1/answer", **body)["alternatives"])
    found = ask(client, "/v1/answer", **body, no_answer=True)
    assert [found["answer"], *(each["answer"] for each in found["alternatives"])].count("") == 1


def test_a_question_is_not_cut(client):
    """As it would be in training, where its context has to be cut and no room is left for it."""
    body = {"model": "qa", "question": "was it good " * 7, "context": "a film " * 20}
    answer = client.post("/v1/answer", json=body)
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "question"
    assert "question has 21 tokens; with this context fewer than 21 are taken" in answer.json()["error"]["message"]
    assert client.post("/v1/answer", json=body | {"context": "a film"}).status_code == 200
    assert client.post("/v1/answer", json=body | {"question": "was it good"}).status_code == 200
