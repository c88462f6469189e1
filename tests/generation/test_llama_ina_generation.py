"""LlamaInA with live branches writes the same text however it is computed: with and without a cache, of either kind."""

import pytest
import torch

from tests.generation.models import PROMPTS, make_model
from tests.reference.beams import beam_search


LENGTH = 12
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@pytest.fixture(scope="module")
def model():
    return make_model("llama_ina", ina_target_modules=ALL, inhibition_level=0.3, gi_query_side=True).double()


def greedy(model, prompt: list[int]) -> list[int]:
    """Token by token, each from a whole forward without a cache."""
    ids = list(prompt)
    for _ in range(LENGTH):
        ids.append(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax().item())
    return ids[len(prompt) :]


def generate(model, prompt: list[int], **options) -> list[int]:
    options = {"max_new_tokens": LENGTH, "do_sample": False, "eos_token_id": None, "pad_token_id": 0, **options}
    return model.generate(torch.tensor([prompt]), **options)[0, len(prompt) :].tolist()


@pytest.mark.parametrize("options", [
    {"use_cache": False},
    {"use_cache": True},
    {"cache_implementation": "static"},
    {"prompt_lookup_num_tokens": 3},
], ids=lambda options: next(iter(options)))  # fmt: skip
def test_greedy(model, options):
    texts = [greedy(model, prompt) for prompt in PROMPTS]
    assert [generate(model, prompt, **options) for prompt in PROMPTS] == texts
    assert len(set(map(tuple, texts))) > 3


def test_assisted_by_a_smaller_model(model):
    """What the assistant proposes is checked against the model: the text is the model's, not the assistant's."""
    assistant = make_model("llama_ina", 1, num_hidden_layers=1).double()
    for prompt in PROMPTS[:3]:
        text = greedy(model, prompt)
        assert generate(model, prompt, assistant_model=assistant) == text != greedy(assistant, prompt)
        assert generate(model, prompt, assistant_model=model) == text


@pytest.mark.parametrize(
    "options", [{"use_cache": False}, {"use_cache": True}, {"cache_implementation": "static"}], ids=str
)
def test_beams(model, options):
    beams = {"num_beams": 3, "length_penalty": 0.9, "early_stopping": "never", **options}
    for prompt in PROMPTS[:3]:
        _, expected = beam_search(model, prompt, 3, LENGTH, 0.9, ends=set())
        assert generate(model, prompt, **beams) == expected


def test_branches_are_live(model):
    silent = make_model("llama_ina", ina_target_modules=ALL, inhibition_level=0.3, gi_query_side=True).double()
    with torch.no_grad():
        for name, parameter in silent.named_parameters():
            if "_ina.B" in name:
                parameter.zero_()
    assert [greedy(silent, prompt) for prompt in PROMPTS] != [greedy(model, prompt) for prompt in PROMPTS]
