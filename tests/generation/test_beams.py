"""Batches against one prompt at a time, beams against a naive search, the ban on n-grams against its formula."""

import itertools

import pytest
import torch
from peft import get_peft_model
from transformers import GenerationConfig, GPT2Tokenizer, LogitsProcessorList

from ginets import InAConfig
from ginets.generation.batches import left_padded, plan
from ginets.generation.decoding import Decoding
from ginets.generation.no_repeat import NoRepeatGeneratedNGram
from ginets.generation.writer import Writer, end_ids
from tests.generation.models import PROMPTS, make_model, writer
from tests.reference.beams import banned, beam_search
from tests.tiny_language import make_tokenizer


BEAMS = {"num_beams": 4, "length_penalty": 0.9, "no_repeat_ngram": 2, "max_new_tokens": 9}


@pytest.mark.parametrize("decoding", [{"max_new_tokens": 12}, BEAMS], ids=["greedy", "beams"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "bloom", "llama_ina"])
def test_a_batch_is_its_prompts_one_by_one(name, decoding):
    """Left padding, masks and positions do not show."""
    write = writer(name, **decoding)
    together = write.write(PROMPTS)
    assert together == [write.write([prompt])[0] for prompt in PROMPTS]
    assert len({tuple(ids) for ids in together}) > 3  # and the prompts matter


def test_an_adapter_is_live():
    model = make_model("llama")
    plain = Writer(model, make_tokenizer(), Decoding(**BEAMS)).write(PROMPTS)
    config = InAConfig(r=4, target_modules=["q_proj", "v_proj"], init_weights=False, task_type="CAUSAL_LM")
    adapted = get_peft_model(model, config)
    write = Writer(adapted, make_tokenizer(), Decoding(**BEAMS))
    together = write.write(PROMPTS)
    assert together == [write.write([prompt])[0] for prompt in PROMPTS]
    assert together != plain


@pytest.mark.parametrize("penalty,n", [(0.9, 2), (0.0, 0), (2.0, 3)])
@pytest.mark.parametrize("seed", range(3))
def test_naive_beam_search(penalty, n, seed):
    """The same hypothesis with the same score, whether it ended or not."""
    model = make_model("gpt2", seed).double()
    decoding = Decoding(num_beams=4, length_penalty=penalty, no_repeat_ngram=n, max_new_tokens=8)
    write = Writer(model, make_tokenizer(), decoding)
    ends = {2, 6}
    write.end_ids = ends
    batch = left_padded(PROMPTS, 0)
    longest = batch["input_ids"].shape[1]
    found = model.generate(
        **batch,
        generation_config=decoding.generation_config(ends, 0),
        logits_processor=LogitsProcessorList([NoRepeatGeneratedNGram(n, longest)] if n else []),
        return_dict_in_generate=True,
        output_scores=True,
    )
    lengths = set()
    for prompt, ids, score, text in zip(
        PROMPTS, found.sequences[:, longest:].tolist(), found.sequences_scores, write.write(PROMPTS), strict=True
    ):
        expected, tokens = beam_search(model, prompt, 4, 8, penalty, ends, n)
        assert ids[: len(tokens)] == tokens and score.item() == pytest.approx(expected, rel=1e-5)
        assert text == (tokens[:-1] if tokens[-1] in ends else tokens)
        lengths.add(len(tokens))
    assert len(lengths) > 1 or penalty  # some ended


def test_rules_that_would_change_the_result():
    """What the settings beside the beam width are for: each of transformers' own can give other texts.

    Seed and end tokens are chosen so that all three do; with others, one or the other changes nothing.
    """
    model, ends = make_model("gpt2", 2).double(), [2, 5, 9]
    exact = Decoding(num_beams=4, length_penalty=0.9, max_new_tokens=12).generation_config(ends, 0)
    prompts = [list(pair) for pair in itertools.product(range(4, 20), repeat=2)][::7]
    batch = left_padded(prompts, 0)
    best = model.generate(**batch, generation_config=exact)
    fields = exact.to_diff_dict()
    for change in ({"early_stopping": True}, {"early_stopping": False}, {"length_penalty": 0.0}):
        other = model.generate(**batch, generation_config=GenerationConfig(**fields | change))
        assert other.shape != best.shape or not torch.equal(other, best)


@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("prompt_length", [0, 3])
def test_ban_against_its_formula(n, prompt_length):
    generator = torch.Generator().manual_seed(n)
    for length in range(prompt_length, prompt_length + 13, 2):
        input_ids = torch.randint(0, 3, (7, length), generator=generator)
        scores = torch.randn(7, 5, generator=generator)
        kept = scores.clone()
        result = NoRepeatGeneratedNGram(n, prompt_length)(input_ids, scores)
        assert torch.equal(scores, kept)
        for row in range(7):
            forbidden = banned(input_ids[row, prompt_length:].tolist(), n)
            expected = scores[row].clone()
            expected[forbidden] = -torch.inf
            expected = expected.log_softmax(-1) if forbidden else expected
            torch.testing.assert_close(result[row], expected, rtol=0, atol=1e-6)


def test_ngrams_of_the_prompt_may_occur():
    """A text that repeats nothing of its own stays as it is; transformers' ban changes it for the prompt's sake."""
    model = make_model("gpt2", 3)
    prompts = torch.randint(4, 20, (40, 9), generator=torch.Generator().manual_seed(0)).tolist()
    plain, ours = (
        Writer(model, make_tokenizer(), Decoding(max_new_tokens=4, no_repeat_ngram=n)).write(prompts) for n in (0, 2)
    )
    stock = model.generate(torch.tensor(prompts), max_new_tokens=4, do_sample=False, no_repeat_ngram_size=2)
    changed = 0
    for free, kept, other in zip(plain, ours, stock[:, 9:].tolist(), strict=True):
        if len(set(itertools.pairwise(free))) == len(free) - 1:
            assert kept == free
            changed += other[: len(free)] != free
        else:
            assert kept != free
    assert changed


def test_ban_refuses_nonsense():
    with pytest.raises(ValueError, match="n is 0"):
        NoRepeatGeneratedNGram(0, 3)


def test_draws_follow_the_seed():
    write = writer("gpt2", sample=True, temperature=1.5, top_k=9, top_p=0.95, max_new_tokens=12)
    state = torch.get_rng_state()
    first = write(PROMPTS, 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert write(PROMPTS, 1) == first != write(PROMPTS, 2)


def test_draws_are_among_the_most_likely():
    """top_k 1 and a tiny top_p are greedy."""
    greedy = writer("gpt2", max_new_tokens=12)(PROMPTS)
    for setting in ({"top_k": 1}, {"top_p": 1e-6}):
        assert writer("gpt2", sample=True, max_new_tokens=12, **setting)(PROMPTS) == greedy


@pytest.mark.parametrize("own", [
    {"do_sample": True, "temperature": 9.0, "top_k": 3, "repetition_penalty": 3.0, "no_repeat_ngram_size": 1},
    {"suppress_tokens": list(range(4, 12))},
    {"bad_words_ids": [[at] for at in range(4, 12)]},
    {"forced_eos_token_id": 9},
    {"min_new_tokens": 12},
])  # fmt: skip
def test_the_model_s_own_settings_do_not_come_in(own):
    """But for its end tokens."""
    tokenizer, decoding = make_tokenizer(), Decoding(max_new_tokens=12)
    model = make_model("gpt2")
    model.generation_config = GenerationConfig(eos_token_id=9)
    expected = Writer(model, tokenizer, decoding).write(PROMPTS)
    assert any(len(ids) < 12 for ids in expected)
    model.generation_config = GenerationConfig(eos_token_id=9, **own)
    assert Writer(model, tokenizer, decoding).write(PROMPTS) == expected


def test_ends(data_dir):
    tokenizer = GPT2Tokenizer.from_pretrained(data_dir / "tokenizers" / "gpt2")
    model = make_model("gpt2")
    model.generation_config.eos_token_id = [7, 9]
    assert end_ids(model, tokenizer, True) == {7, 9, 50256, 628}  # those published
    assert end_ids(model, tokenizer, False) == {7, 9, 50256}
    assert end_ids(model, make_tokenizer(), True) == {7, 9, 2}  # "\n\n" is no token there
    write = Writer(model, tokenizer, Decoding(stop_at_blank_line=True))
    lines = tokenizer(" one\ntwo \n\nthree")["input_ids"]
    assert write.text(lines) == "one\ntwo"
    assert write.cut([*tokenizer(" one")["input_ids"], 628, 50256, 3]) == tokenizer(" one")["input_ids"]


def test_plan():
    lengths = [3, 9, 4, 9, 1, 20, 2]
    batches = plan(lengths, new_tokens=10, num_beams=2, batch_tokens=80)
    assert batches == [[5], [1, 3], [2, 0], [6, 4]]
    assert plan(lengths, 10, 2, batch_size=2, batch_tokens=1000) == [[5, 1], [3, 2], [0, 6], [4]]
    assert plan(lengths, 10, batch_tokens=1) == [[at] for at in (5, 1, 3, 2, 0, 6, 4)]
    for values, message in (({"batch_size": 0}, "batch_size is 0"), ({"batch_tokens": 0}, "batch_tokens is 0")):
        with pytest.raises(ValueError, match=message):
            plan(lengths, 10, **values)


@pytest.mark.parametrize("values,message", [
    ({"num_beams": 0}, "num_beams is 0; allowed: at least 1"),
    ({"max_new_tokens": 0}, "max_new_tokens is 0"),
    ({"length_penalty": -1.0}, "length_penalty is -1.0"),
    ({"temperature": 0.0}, "temperature is 0.0"),
    ({"top_p": 1.5}, "top_p is 1.5; allowed: 1e-06 to 1"),
    ({"sample": True, "num_beams": 4}, "sample is for num_beams 1"),
])  # fmt: skip
def test_settings_out_of_range(values, message):
    with pytest.raises(ValueError, match=message):
        Decoding(**values)
