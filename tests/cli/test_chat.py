"""`ginets chat`: answers as the model writes them, what was said before, commands, a terminal."""

import io
import os
import pty
import subprocess
import sys

import pytest
from peft import get_peft_model

from ginets import InAConfig
from ginets.cli import chat, main
from ginets.data.templates import ALPACA
from ginets.generation.conversation import Conversation
from ginets.generation.decoding import Decoding
from ginets.generation.run import batch_seed
from ginets.generation.writer import Writer, load_writer
from tests.generation.models import make_model, save
from tests.tiny_language import make_tokenizer


TEMPLATE = (
    "{% for message in messages %}{{ message.role[0] }} {{ message.content }} <end> {% endfor %}"
    "{% if add_generation_prompt %}a {% endif %}"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    """Instructions alone are over 30 tokens of this tokenizer, which does not know their words."""
    return save(tmp_path_factory.mktemp("models") / "model", n_positions=256)


@pytest.fixture
def say(monkeypatch, capsys):
    """`say(arguments, *lines)`: what is printed."""

    def say(arguments, *lines) -> str:
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        assert main(["chat", *arguments]) == 0
        return capsys.readouterr().out

    return say


def alpaca(write: Writer, *said: str) -> list[int]:
    """Ids of question, answer, question, …"""
    tokenizer = write.tokenizer
    ids = []
    for at, text in enumerate(said):
        ids += tokenizer(text if at % 2 else ALPACA.prompt(text), add_special_tokens=False)["input_ids"]
        ids += [tokenizer.eos_token_id] * (at % 2)
    return ids


def test_a_conversation(model, say):
    """Greedy answers, each after all that was said; /clear forgets it."""
    write = load_writer(model, Decoding(max_new_tokens=6))
    first = write([alpaca(write, "a b")])[0]
    second = write([alpaca(write, "a b", first, "c")])[0]
    alone = write([alpaca(write, "c")])[0]
    assert second != alone
    printed = say([model, "--max-new-tokens", "6"], "a b", "", "c", "/help", "/clear", "c", "/exit", "d")
    assert printed == f"> {first}\n> > {second}\n> commands: /clear, /exit\n> > {alone}\n> "


def test_draws(model, say):
    """Each answer has its own seed, and the same one in the next conversation."""
    arguments = [model, "--max-new-tokens", "8", "--sample", "--temperature", "2.0", "--top-k", "15", "--seed"]
    once = say([*arguments, "5"], "a", "/clear", "a")
    assert once == say([*arguments, "5"], "a", "/clear", "a") != say([*arguments, "6"], "a", "/clear", "a")
    write = load_writer(model, Decoding(8, sample=True, temperature=2.0, top_k=15))
    answers = [write([alpaca(write, "a")], batch_seed(5, number))[0] for number in range(2)]
    assert once == f"> {answers[0]}\n> > {answers[1]}\n> \n" and answers[0] != answers[1]


def test_a_chat_template_and_an_adapter(model, say, tmp_path):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = TEMPLATE
    base = make_model("llama", max_position_embeddings=64)
    base.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    config = InAConfig(r=4, target_modules=["q_proj", "v_proj"], init_weights=False, task_type="CAUSAL_LM")
    adapted = get_peft_model(base, config)
    adapted.peft_config["default"].base_model_name_or_path = str(tmp_path / "base")
    adapted.save_pretrained(tmp_path / "ina")
    write = Writer(adapted, tokenizer, Decoding(max_new_tokens=6))
    first = write([tokenizer("s g h <end> u b <end> a")["input_ids"]])[0]
    second = write([tokenizer(f"s g h <end> u b <end> a {first} <end> u c <end> a")["input_ids"]])[0]
    arguments = [str(tmp_path / "ina"), "--max-new-tokens", "6"]
    assert say([*arguments, "--system", "g h"], "b", "c") == f"> {first}\n> {second}\n> \n"
    assert say([*arguments, "--template", "alpaca"], "b") != say(arguments, "b")


def test_a_long_conversation_forgets_its_beginning():
    talk = Conversation(make_tokenizer(), ALPACA)
    alone = talk.prompt("a")
    for _ in range(3):
        talk.add("a", "b c")
    assert len(talk.prompt("a")) > 3 * len(alone)
    ids = talk.prompt("a", room=2 * len(alone) + 5)
    assert len(talk.turns) == 1 and len(ids) <= 2 * len(alone) + 5 and ids[-len(alone) :] == alone
    with pytest.raises(ValueError, match=f"that has {len(alone)} tokens, and there is room for 5"):
        talk.prompt("a", room=5)
    talk.add("a", f"b\n\n{ALPACA.instruction}\nc")  # the model went on with a question of its own
    assert talk.turns == [("a", "b")]


def test_a_question_without_room(model, say):
    count = len(make_tokenizer()(ALPACA.prompt("a"))["input_ids"])
    printed = say([model, "--max-new-tokens", str(256 - 2 * count)], "a", "a", "a " * 200)
    assert "(1 of the oldest turns are forgotten" in printed
    assert f"that has {count + 199} tokens, and there is room for {2 * count}.\n" in printed


def test_an_answer_that_is_stopped(model, say, monkeypatch):
    """Ctrl-C: neither the answer nor its question stays."""
    write, real = load_writer(model, Decoding(max_new_tokens=6)), Writer.write
    calls = []

    def interrupted(self, prompts, *given):
        calls.append(prompts)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return real(self, prompts, *given)

    monkeypatch.setattr(Writer, "write", interrupted)
    printed = say([model, "--max-new-tokens", "6"], "b", "a")
    monkeypatch.undo()
    assert printed == f"> \n(stopped)\n> {write([alpaca(write, 'a')])[0]}\n> \n"


def test_in_a_terminal(model):
    """A real one, in which Ctrl-D ends the conversation."""
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "ginets.cli", "chat", model, "--max-new-tokens", "6"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TERM": "dumb"}
    run = subprocess.Popen(command, stdin=child, stdout=child, stderr=subprocess.DEVNULL, env=environment)
    os.close(child)
    printed = b""
    for line in (b"a b\n", b"\x04"):
        while not printed.endswith(b"> "):
            printed += os.read(parent, 1024)
        os.write(parent, line)
        printed += os.read(parent, 1) if line != b"\x04" else b""
    assert run.wait(120) == 0
    write = load_writer(model, Decoding(max_new_tokens=6))
    assert write([alpaca(write, "a b")])[0] in printed.decode()
    os.close(parent)


@pytest.mark.parametrize("arguments,message", [
    (["--template", "chat"], "the tokenizer has no chat template; choose the template alpaca"),
    (["--system", "a"], "system is for chat templates"),
    (["--top-k", "3"], "--top-k is for --sample"),
    (["--max-new-tokens", "256"], "--max-new-tokens is 256; the model has 256 positions"),
    (["--num-beams", "3"], "No such option: --num-beams"),
])  # fmt: skip
def test_bad_input_is_one_line_before_weights_are_read(arguments, message, model, monkeypatch, capsys):
    monkeypatch.setattr("ginets.hub.load.ModelSource.model", lambda *given: pytest.fail("a model was read"))
    with pytest.raises(SystemExit) as end:
        main(["chat", model, *arguments])
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert end.value.code == 2 and error.startswith("ginets") and message in error


def test_answers_come_as_they_are_written(model, monkeypatch):
    """Words are printed before the answer is whole."""
    write = load_writer(model, Decoding(max_new_tokens=12))
    seen, out = [], io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    original = type(write.model).forward

    def forward(self, *given, **named):
        seen.append(out.getvalue())
        return original(self, *given, **named)

    monkeypatch.setattr(type(write.model), "forward", forward)
    chat.answer(write, Conversation(write.tokenizer, ALPACA), None, "a b", 0)
    assert len(set(seen)) > 5 and all(out.getvalue().startswith(part) for part in seen)
