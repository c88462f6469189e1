"""Completions and chat, against `Writer`, which the tests of generation hold to transformers."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from ginets import InAConfig
from ginets.data.templates import ALPACA
from ginets.generation.decoding import Decoding
from ginets.generation.writer import load_writer
from ginets.serve.engine import rope_types
from ginets.serve.limits import Limits
from ginets.serve.service import Service
from ginets.serve.text import TextFeed
from tests.real_tokenizers import TOKENIZERS
from tests.serve.conftest import open_client
from tests.serve.models import served
from tests.serve.test_batching import figure


PROMPTS = ["a b", "c d e f g", "h", "p o n", "k k k k k k k", "b a"]
GREEDY = {"model": "gpt", "temperature": 0}


def complete(client, **body) -> dict:
    answer = client.post("/v1/completions", json=GREEDY | body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def events(client, path: str, **body) -> list[dict]:
    with client.stream("POST", path, json=GREEDY | {"stream": True} | body) as answer:
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def written(folder: str, prompt: str | list[int], tokens: int) -> str:
    """What stock transformers writes, greedily; without special tokens."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(prompt)["input_ids"] if isinstance(prompt, str) else prompt
    output = model.eval().generate(torch.tensor([ids]), max_new_tokens=tokens, do_sample=False, pad_token_id=0)
    return tokenizer.decode(output[0, len(ids) :], skip_special_tokens=True)


def test_completions_meet_in_batches(zoo):
    """Each with its own number of tokens; as alone."""
    model = served("gpt", zoo["gpt"])
    bodies = [{"prompt": prompt, "max_tokens": 3 + 2 * at} for at, prompt in enumerate(PROMPTS)]
    with open_client(model) as client, ThreadPoolExecutor(len(PROMPTS)) as pool:
        answers = list(pool.map(lambda body: complete(client, **body), bodies))
        assert figure(client, "ginets_batch_rows_count") < len(PROMPTS)
        assert figure(client, 'ginets_tokens_total{direction="written"') == sum(each["usage"]["completion_tokens"] for each in answers)  # fmt: skip
    for body, answer in zip(bodies, answers, strict=True):
        (choice,) = answer["choices"]
        assert choice["text"].split() == written(zoo["gpt"], body["prompt"], body["max_tokens"]).split()
        short = answer["usage"]["completion_tokens"] < body["max_tokens"]
        read = len(body["prompt"].split())
        assert answer["usage"] == {"prompt_tokens": read, "completion_tokens": (n := answer["usage"]["completion_tokens"]), "total_tokens": read + n}  # fmt: skip
        assert choice["finish_reason"] == "stop" or not short
    assert len({answer["choices"][0]["text"] for answer in answers}) > 2


@pytest.mark.parametrize("method", ["lora", "ina"])
def test_adapters_write_in_one_batch(zoo, tmp_path, method):
    """Prompts of different lengths for two adapters and for none; each as that adapter alone writes."""
    kind, options = {"lora": (LoraConfig, {"init_lora_weights": False}), "ina": (InAConfig, {"init_weights": False})}[method]  # fmt: skip
    adapters = {}
    for seed, name in enumerate(("one", "two")):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_pretrained(zoo["gpt"])
        get_peft_model(model, kind(target_modules=["c_attn"], task_type="CAUSAL_LM", **options)).save_pretrained(tmp_path / name)  # fmt: skip
        adapters[name] = str(tmp_path / name)

    def expected(name: str, prompt: str) -> list[str]:
        model, tokenizer = AutoModelForCausalLM.from_pretrained(zoo["gpt"]), AutoTokenizer.from_pretrained(zoo["gpt"])
        model = PeftModel.from_pretrained(model, adapters[name]) if name else model
        ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
        output = model.eval().generate(input_ids=ids, max_new_tokens=8, do_sample=False, pad_token_id=0)
        return tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True).split()

    served_model = served("gpt", zoo["gpt"], **adapters)
    assert served_model.mixes
    asked = [(name, prompt) for prompt in PROMPTS[:3] for name in ("", "one", "two")]
    bodies = [{"model": f"gpt:{name}" if name else "gpt", "prompt": prompt, "max_tokens": 8} for name, prompt in asked]
    with open_client(served_model) as client, ThreadPoolExecutor(len(asked)) as pool:
        before = figure(client, "ginets_batch_rows_count")
        answers = list(pool.map(lambda body: complete(client, **body)["choices"][0]["text"].split(), bodies))
        assert figure(client, "ginets_batch_rows_count") - before < len(asked)
    assert answers == [expected(*each) for each in asked]
    assert len({tuple(each) for each in answers[:3]}) == 3


def test_a_long_prompt_and_a_long_answer_do_not_meet(zoo):
    """A batch is as long as its longest prompt and its longest answer together, and a GPT-2 has 256 positions."""
    model = served("gpt", zoo["gpt"])
    model.end_ids = set()

    def prompts():
        asked = (([4, 5] * 120, 10), ([6], 200), ([7] * 200, 3))
        return [model.prompt(ids, None, new, 0.0, 1.0, None, (), None, "prompt") for ids, new in asked]

    async def write():
        service = Service([model], Limits())
        try:
            return await service.write(model, prompts())
        finally:
            service.close()

    alone = [model.run([each])[0] for each in prompts()]
    calls = []
    model.model.generate, stock = (
        lambda **given: (calls.append(len(given["input_ids"])), stock(**given)),
        model.model.generate,
    )
    assert [feed.text for feed in asyncio.run(write())] == [feed.text for feed in alone] and alone[1].count == 200
    assert calls == [2, 1]  # the first and the third together


def test_frequencies_that_change_with_the_batch(zoo, tmp_path, caplog):
    """Longrope takes others from a length on: a text would be read otherwise beside a long one."""
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 32, "factor": 4.0,
            "short_factor": [1.0] * 4, "long_factor": [4.0] * 4}  # fmt: skip
    config = LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=128, rope_parameters=rope,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(zoo["gpt"]).save_pretrained(tmp_path)
    assert served("llama", str(tmp_path)).max_rows == 1 and "rope_type 'longrope'" in caplog.text
    assert served("gpt", zoo["gpt"]).max_rows > 1
    config.rope_parameters = {
        "full_attention": rope,
        "sliding_attention": {"rope_type": "default"},
    }  # by kind of layer
    assert rope_types(config) == {"longrope", "default"}


def test_null_is_what_is_not_given(client):
    """Clients send it, and what the server itself answers: the message of an answer is the next request's."""
    body = {"prompt": "a b", "max_tokens": 4}
    nulls = dict.fromkeys(("n", "top_p", "stop", "stream", "seed", "presence_penalty", "user", "suffix", "logit_bias"))
    assert complete(client, **body, **nulls)["choices"] == complete(client, **body)["choices"]
    chat = lambda *messages: client.post("/v1/chat/completions", json=GREEDY | {"messages": messages, "max_tokens": 4, "tools": None, "logprobs": False})  # noqa: E731  # fmt: skip
    said = {"role": "user", "content": "a b"}
    first = chat(said).json()["choices"][0]["message"]
    assert first["refusal"] is None and chat(said, first, said).status_code == 200
    assert client.post("/v1/completions", json=GREEDY | {"prompt": None}).status_code == 422


def test_a_model_by_its_name(client):
    listed = client.get("/v1/models").json()["data"]
    assert client.get("/v1/models/gpt").json() in listed and client.get("/v1/models/gpt").json()["id"] == "gpt"
    assert client.get("/v1/models/none").json()["error"]["code"] == "model_not_found"


def test_who_has_gone_is_not_written_for(zoo):
    """Nobody reads the answer any more: the model is free for others, as with a stream."""
    model = served("gpt", zoo["gpt"])
    model.end_ids = set()
    steps, gone = [], threading.Event()

    def slow(*_):
        steps.append(1)
        gone.wait(0.02 if len(steps) > 3 else 0)  # once the client has gone it is not slow any more

    model.model.register_forward_hook(slow)
    with open_client(model) as client:
        app, begun = client.app, len(steps)
        body = json.dumps(GREEDY | {"prompt": "a b", "max_tokens": 200}).encode()

        async def leave():
            """A request whose client hangs up after the first steps."""
            messages = [{"type": "http.request", "body": body}]

            async def receive():
                if messages:
                    return messages.pop()
                while len(steps) < begun + 4:
                    await asyncio.sleep(0.005)
                gone.set()
                return {"type": "http.disconnect"}

            async def send(message):
                sent.append(message)

            sent = []
            headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
            scope = {"type": "http", "method": "POST", "path": "/v1/completions", "headers": headers, "query_string": b"", "http_version": "1.1", "scheme": "http", "root_path": ""}  # fmt: skip
            await app(scope, receive, send)
            return sent[0]["status"]

        assert client.portal.call(leave) == 499
        assert complete(client, prompt="a", max_tokens=2)["usage"]["completion_tokens"] == 2
    assert len(steps) < begun + 100


def test_several_prompts(client):
    both = complete(client, prompt=PROMPTS[:2], max_tokens=5)["choices"]
    assert [each["index"] for each in both] == [0, 1]
    assert [each["text"] for each in both] == [complete(client, prompt=p, max_tokens=5)["choices"][0]["text"] for p in PROMPTS[:2]]  # fmt: skip


def test_a_completion_brings_its_blank_and_an_answer_none(client, zoo):
    """One is put behind the prompt, the other stands by itself."""
    prompt = "c d e f g"
    text = complete(client, prompt=prompt, max_tokens=6)["choices"][0]["text"]
    assert text == " " + written(zoo["gpt"], prompt, 6)
    body = {"messages": [{"role": "user", "content": "a b"}], "max_tokens": 6}
    message = client.post("/v1/chat/completions", json=GREEDY | body).json()["choices"][0]["message"]
    assert message["content"] == written(zoo["gpt"], "u a b <end> a", 6)


def test_stream_is_the_same_text(client):
    body = {"prompt": "c d e f g", "max_tokens": 12}
    whole = complete(client, **body)
    pieces = events(client, "/v1/completions", **body, stream_options={"include_usage": True})
    assert pieces[-1]["usage"] == whole["usage"] and pieces[-1]["choices"] == []
    assert "".join(each["choices"][0]["text"] for each in pieces[:-1]) == whole["choices"][0]["text"]
    assert pieces[-2]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert len(pieces) > 5


def test_stop(client):
    whole = complete(client, prompt="c d e f g", max_tokens=12)["choices"][0]["text"]
    stop = whole[5:8]
    cut = complete(client, prompt="c d e f g", max_tokens=12, stop=["zzz", stop])["choices"][0]
    assert cut["text"] == whole[: whole.index(stop)] and cut["finish_reason"] == "stop"
    streamed = events(client, "/v1/completions", prompt="c d e f g", max_tokens=12, stop=stop)
    assert "".join(each["choices"][0]["text"] for each in streamed) == cut["text"]


def test_seed(client, zoo):
    body = {"prompt": "a b", "max_tokens": 20, "temperature": 1.5}
    first, again, other = (complete(client, **body, seed=seed)["choices"][0]["text"] for seed in (1, 1, 2))
    assert first == again != other
    write = load_writer(zoo["gpt"], Decoding(20, sample=True, temperature=1.5))
    (expected,) = write([write.tokenizer("a b")["input_ids"]], seed=1)
    assert first.strip() == expected


def test_draws_of_a_seed_do_not_depend_on_who_else_asks(client):
    body = {"prompt": "a b", "max_tokens": 20, "temperature": 1.5, "seed": 1}
    alone = complete(client, **body)["choices"][0]["text"]
    bodies = [body, body | {"seed": 2}, body, body | {"prompt": "c d e"}, body]
    with ThreadPoolExecutor(len(bodies)) as pool:
        texts = list(pool.map(lambda each: complete(client, **each)["choices"][0]["text"], bodies))
    assert texts[0] == texts[2] == texts[4] == alone and texts[1] != alone


@pytest.mark.parametrize("cancelled,stop", [(True, ()), (False, ("zzz", None))], ids=["nobody waits", "stop string"])
def test_nothing_is_computed_for_nobody(zoo, cancelled, stop):
    """A text that has ended, or that nobody waits for, holds the model no longer; the limit is 200 tokens."""
    model = served("gpt", zoo["gpt"])
    model.end_ids = set()
    prompt = lambda *stop: model.prompt([4, 5], None, 200, 0.0, 1.0, None, stop, None, "prompt")  # noqa: E731
    (feed,) = model.run([prompt()])
    assert feed.count == 200
    steps = []
    model.model.register_forward_hook(lambda *given: steps.append(1))
    asked = prompt(*(each or feed.text[5:9] for each in stop))
    asked.cancelled = cancelled
    model.run([asked])
    assert len(steps) <= (1 if cancelled else 12)


@pytest.mark.parametrize("model", ["gpt", "plain"])
def test_chat(client, zoo, model):
    """By the chat template of the tokenizer; by Alpaca's where there is none."""
    messages = [{"role": "user", "content": "a b"}, {"role": "assistant", "content": "c"}, {"role": "user", "content": [{"type": "text", "text": "d"}]}]  # fmt: skip
    answer = client.post("/v1/chat/completions", json={"model": model, "messages": messages, "max_tokens": 9, "temperature": 0})  # fmt: skip
    assert answer.status_code == 200, answer.text
    choice = answer.json()["choices"][0]
    tokenizer = AutoTokenizer.from_pretrained(zoo[model])
    if model == "gpt":
        ids = tokenizer("u a b <end> a c <end> u d <end> a")["input_ids"]
    else:
        ids = tokenizer(ALPACA.prompt("a b"))["input_ids"] + tokenizer("c <end>")["input_ids"] + tokenizer(ALPACA.prompt("d"))["input_ids"]  # fmt: skip
    assert answer.json()["usage"]["prompt_tokens"] == len(ids)
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"].split() == written(zoo[model], ids, 9).split()


def test_chat_stream(client):
    body = {"messages": [{"role": "system", "content": "h"}, {"role": "user", "content": "a b"}], "max_tokens": 9}
    whole = client.post("/v1/chat/completions", json=GREEDY | body).json()["choices"][0]
    deltas = [each["choices"][0]["delta"] for each in events(client, "/v1/chat/completions", **body)]
    assert deltas[0]["role"] == "assistant"
    assert "".join(each["content"] for each in deltas) == whole["message"]["content"] != ""


def test_the_least_that_is_drawn_from_is_greedy(client):
    """Every value that the schema takes has an answer."""
    greedy = complete(client, prompt="a b", max_tokens=9)["choices"]
    assert complete(client, prompt="a b", max_tokens=9, temperature=1.0, top_p=1e-12)["choices"] == greedy
    assert complete(client, prompt="a b", max_tokens=9, temperature=1e-12)["choices"] == greedy


def test_limits_of_prompts_are_not_those_of_texts(zoo):
    """The first for what is read, the other for what is written, the model's positions for both together."""
    limits = Limits(input_tokens=6, new_tokens=20)
    with open_client(served("gpt", zoo["gpt"], limits), limits=limits) as client:
        assert complete(client, prompt="a b c d e f", max_tokens=20)["usage"]["completion_tokens"] > 0
        answer = client.post("/v1/completions", json=GREEDY | {"prompt": "a b c d e f g", "max_tokens": 1})
    assert answer.status_code == 400 and "prompt has 7 tokens, at most 6" in answer.json()["error"]["message"]


def test_a_chat_template_without_an_end_token(zoo, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(zoo["gpt"])
    tokenizer.eos_token = None
    AutoModelForCausalLM.from_pretrained(zoo["gpt"]).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with open_client(served("gpt", str(tmp_path))) as client:
        body = {"messages": [{"role": "user", "content": "a b"}], "max_tokens": 3}
        answer = client.post("/v1/chat/completions", json=GREEDY | body)
    assert answer.status_code == 200 and answer.json()["usage"]["prompt_tokens"] == 5, answer.text


def test_refusals(client):
    def refusal(path="/v1/completions", **body):
        answer = client.post(path, json=GREEDY | body)
        assert 400 <= answer.status_code < 500
        return answer.json()["error"]

    assert refusal(prompt="a " * 250, max_tokens=20)["code"] == "context_length_exceeded"
    assert refusal(prompt="a", max_tokens=5000)["code"] == "max_tokens"
    assert refusal(prompt="")["code"] == "empty"
    assert "n" in refusal(prompt="a", n=2)["message"]
    assert "top" in refusal(prompt="a", top_p=0)["message"]
    for roles in (["assistant"], ["user", "user"], ["user", "system"], ["user", "assistant"], ["system"]):
        messages = [{"role": role, "content": "a"} for role in roles]
        assert refusal("/v1/chat/completions", messages=messages)["code"] == "bad_messages"
    many = refusal("/v1/chat/completions", messages=[{"role": "user", "content": "a"}] * 20_000)
    assert many["param"] == "messages" and "at most 512" in many["message"]


@pytest.mark.parametrize("name", ["bert", "roberta", "llama", "llama, bos"])
def test_an_answer_goes_on_from_its_prompt(data_dir, name):
    """With the blank between them, which a tokenizer of pieces drops at the begin of a text."""
    tokenizer = TOKENIZERS[name](data_dir)
    ids = tokenizer("Once upon a time there was Grüße 🙂 and more", add_special_tokens=False)["input_ids"]
    whole = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    for cut in range(1, 6):
        pieces = []
        feed = TextFeed(tokenizer, len(ids) - cut, set(), (), pieces.append, before=ids[:cut])
        for token in ids[cut:]:
            feed.put(token)
        assert (
            tokenizer.decode(ids[:cut], skip_special_tokens=True, clean_up_tokenization_spaces=False) + feed.text
            == whole
        )
        assert feed.finish_reason == "length" and "".join(pieces) == feed.text


@pytest.mark.parametrize("name", ["bert", "roberta", "llama", "llama, bos"])
@pytest.mark.parametrize("stop", [(), ("\n\n", "¿")])
def test_pieces_make_the_text(data_dir, name, stop):
    """Half characters and blanks between tokens, of real tokenizers."""
    tokenizer = TOKENIZERS[name](data_dir)
    text = "Grüße, 你好 🙂🙂 and  two blanks.\n Ende ¿ and more"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    pieces = []
    feed = TextFeed(tokenizer, len(ids), set(), stop, pieces.append)
    for token in ids:
        feed.put(token)
    expected = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    if stop and "¿" in expected:
        assert feed.finish_reason == "stop"
        expected = expected.partition("¿")[0]
    assert "".join(pieces) == feed.text == expected
    assert len(pieces) > 3
