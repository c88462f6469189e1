"""`ginets generate`: tasks, files, a kill in the middle, and one line with exit code 2 for bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ginets.cli import main
from ginets.data.nlg import distinct, read_predictions, read_rows
from ginets.data.segments import Segment, tokenize
from ginets.data.tabular import DataError
from ginets.data.templates import ALPACA
from ginets.generation.decoding import Decoding
from ginets.generation.instructions import prompt
from ginets.generation.writer import load_writer
from tests.generation.models import save, write_prompts
from tests.tiny_language import make_tokenizer


E2E = "mr,ref\na b,c\nd e f,g\na b,h\n"
PUBLISHED = {"num_beams": 10, "length_penalty": 0.9, "no_repeat_ngram": 4, "stop_at_blank_line": True}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return save(tmp_path_factory.mktemp("models") / "model", n_positions=128)


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_data_to_text_as_published(model, tmp_path, capsys):
    (tmp_path / "e2e.csv").write_text(E2E)
    task = ["--task", "nlg", "--task-name", "e2e", "--data", str(tmp_path / "e2e.csv")]
    files = ["--output", str(tmp_path / "out.jsonl"), "--predictions", str(tmp_path / "deep" / "out.txt")]
    assert main(["generate", model, *task, *files]) == 0
    assert capsys.readouterr().out == f"2 texts in {tmp_path / 'out.jsonl'}\n"
    write = load_writer(model, Decoding(max_new_tokens=64, **PUBLISHED))
    prompts = [
        ids for ids, _ in tokenize([(Segment("a b", end=True),), (Segment("d e f", end=True),)], write.tokenizer)
    ]
    assert prompts == [[4, 5, 2], [7, 8, 9, 2]]
    texts = [write([ids])[0] for ids in prompts]
    assert rows(tmp_path / "out.jsonl") == [
        {"id": str(at), "prompt": facts, "text": text}
        for at, (facts, text) in enumerate(zip(("a b", "d e f"), texts, strict=True))
    ]
    items = distinct(read_rows("e2e", tmp_path / "e2e.csv"))  # both files are what `ginets eval nlg` reads
    assert read_predictions(tmp_path / "out.jsonl", items) == texts
    assert read_predictions(tmp_path / "deep" / "out.txt", items) == [" ".join(text.split()) for text in texts]


def test_options_reach_the_model(model, tmp_path):
    prompts = write_prompts(tmp_path / "prompts.txt", 6)
    options = ["--num-beams", "3", "--max-new-tokens", "7", "--length-penalty", "0.5", "--no-repeat-ngram", "2"]
    task = ["--task", "text", "--data", prompts, "--output", str(tmp_path / "out.jsonl"), "--limit", "4"]
    assert main(["generate", model, *task, *options, "--batch-size", "2", "--batch-tokens", "50"]) == 0
    write = load_writer(model, Decoding(7, 3, 0.5, 2))
    lines = Path(prompts).read_text().splitlines()[:4]
    ids = [write.tokenizer(line)["input_ids"] for line in lines]
    assert [row["text"] for row in rows(tmp_path / "out.jsonl")] == [write([each])[0] for each in ids]
    assert [row["prompt"] for row in rows(tmp_path / "out.jsonl")] == lines


def test_instructions(model, tmp_path):
    given = [{"instruction": "a", "input": "b", "output": "c"}, {"instruction": "d"}]
    (tmp_path / "data.json").write_text(json.dumps(given))
    task = ["--task", "instruct", "--data", str(tmp_path / "data.json"), "--output", str(tmp_path / "out.jsonl")]
    assert main(["generate", model, *task, "--max-new-tokens", "3"]) == 0
    prompts = [row["prompt"] for row in rows(tmp_path / "out.jsonl")]
    assert "### Instruction:\na\n\n### Input:\nb\n\n### Response:\n" in prompts[0]
    assert prompts[1].endswith("### Instruction:\nd\n\n### Response:\n")
    assert "c" not in prompts[0].split("Response:")[1]


def test_dialogues():
    """All up to the last answer, cut into the pieces of training."""
    tokenizer = make_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{{ m.role[0] }}{{ m.content }}<end>{% endfor %}{% if add_generation_prompt %}a{% endif %}"  # fmt: skip
    asked = [{"role": "system", "content": "b"}, {"role": "user", "content": "c"}]
    said = [*asked, {"role": "assistant", "content": "d"}]
    for messages in (asked, said):
        assert "".join(each.text for each in prompt({"messages": messages}, tokenizer)) == "sb<end>uc<end>a"
    again = prompt({"messages": [*said, {"role": "user", "content": "e"}]}, tokenizer)
    assert [each.text for each in again] == ["sb<end>uc<end>a", "d<end>", "ue<end>a"]  # cut as in training
    for messages, message in (([], "messages is"), ([{"role": "user"}], "must have role and content")):
        with pytest.raises(DataError, match=message):
            prompt({"messages": messages}, tokenizer)
    with pytest.raises(ValueError, match="the tokenizer has no chat template"):
        prompt({"messages": said}, make_tokenizer())


def test_word_problems(model, tmp_path, capsys):
    """What `ginets eval math` reads."""
    given = [{"question": "a b ?", "answer": "c\n#### 3"}, {"question": "d ?", "answer": "e\n#### 4"}]
    data, output = tmp_path / "test.jsonl", tmp_path / "out.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in given))
    assert main(["generate", model, "--task", "math", "--data", str(data), "--output", str(output), "--max-new-tokens", "3"]) == 0  # fmt: skip
    assert [row["prompt"] for row in rows(output)] == [ALPACA.prompt("a b ?"), ALPACA.prompt("d ?")]
    capsys.readouterr()
    assert main(["eval", "math", str(data), str(output), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["without_answer"] == 2


def test_killed_and_continued(model, tmp_path):
    """SIGKILL of a run with two workers: its processes end, its texts stay, the rest is as if nothing had happened."""
    prompts, output = write_prompts(tmp_path / "prompts.txt", 48), tmp_path / "out.jsonl"
    part = Path(f"{output}.part")
    command = ["generate", model, "--task", "text", "--data", prompts, "--no-repeat-ngram", "3"]
    command += ["--num-beams", "4", "--max-new-tokens", "60", "--output"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.Popen(
        [sys.executable, "-m", "ginets.cli", *command, str(output), "--workers", "2", "--batch-size", "2"],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait(lambda: part.exists() and part.read_bytes().count(b"\n") > 5)
    finally:
        family = psutil.Process(run.pid).children(recursive=True)
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert len(family) >= 2 and not psutil.wait_procs(family, timeout=120)[1]
    lines = part.read_bytes().splitlines(keepends=True)
    assert 5 < len(lines) < 49 and not output.exists()
    finished = json.loads(lines[1])["id"]
    lines[1] = json.dumps({"id": finished, "text": "not redone"}).encode() + b"\n"
    part.write_bytes(b"".join(lines) + b'{"id": "torn')
    assert main([*command, str(output)]) == 0 and not part.exists()
    assert main([*command, str(tmp_path / "whole.jsonl")]) == 0
    differing = [(a, b) for a, b in zip(rows(output), rows(tmp_path / "whole.jsonl"), strict=True) if a != b]
    assert len(differing) == 1 and differing[0][0]["id"] == finished and differing[0][0]["text"] == "not redone"


def wait(condition, seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.05)


@pytest.mark.parametrize("arguments,message", [
    (["--task", "nlg"], "--task-name is None; --task nlg needs one of e2e, webnlg, dart"),
    (["--task", "nlg", "--task-name", "gsm8k"], "--task-name is 'gsm8k'; --task nlg needs one of e2e"),
    (["--task", "text", "--task-name", "e2e"], "--task-name is 'e2e'; --task text takes none"),
    (["--task", "song"], "Invalid value for '--task'"),
    (["--task", "text", "--limit", "0"], "--limit is 0"),
    (["--task", "text", "--num-beams", "0"], "num_beams is 0; allowed: at least 1"),
    (["--task", "text", "--sample", "--num-beams", "2"], "sample is for num_beams 1"),
    (["--task", "text", "--top-p", "0.5"], "--top-p is for --sample"),
    (["--task", "text", "--max-new-tokens", "126"], "2 of 4 prompts are too long, e.g. '3' with 4 tokens: the model has 128"),
    (["--task", "text", "--batch-size", "0"], "batch_size is 0"),
    (["--task", "text", "--workers", "0"], "workers is 0"),
    (["--task", "text", "--output", "prompts.txt"], "prompts.txt: is there already"),
])  # fmt: skip
def test_bad_input_is_one_line_before_weights_are_read(arguments, message, model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("ginets.hub.load.ModelSource.model", lambda *given: pytest.fail("a model was read"))
    monkeypatch.chdir(tmp_path)
    write_prompts(tmp_path / "prompts.txt", 4)
    with pytest.raises(SystemExit) as end:
        main(["generate", model, "--data", "prompts.txt", "--output", "out.jsonl", *arguments])
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert end.value.code == 2 and error.startswith("ginets generate: error: ") and message in error
    assert {path.name for path in tmp_path.iterdir()} == {"prompts.txt"}


def test_a_model_that_cannot_write(tmp_path, capsys):
    from tests import words

    words.bert().save_pretrained(tmp_path / "bert")
    words.tokenizer().save_pretrained(tmp_path / "bert")
    prompts = write_prompts(tmp_path / "prompts.txt", 2)
    with pytest.raises(SystemExit):
        main(
            ["generate", str(tmp_path / "bert"), "--task", "text", "--data", prompts, "--output", str(tmp_path / "o")]
        )
    assert "give a language model (CausalLM)" in capsys.readouterr().err
