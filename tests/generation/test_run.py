"""Files of texts: in the order of the prompts, resumed without loss or repetition, refused with other settings."""

import json
from dataclasses import replace

import pytest

from ginets.data.segments import Segment
from ginets.data.tabular import DataError
from ginets.generation import run
from ginets.generation.decoding import Decoding
from ginets.generation.journal import Journal
from ginets.generation.prompts import Prompt, check_lengths, make_prompts, read_prompts
from ginets.generation.run import batch_seed, generate_file
from ginets.generation.writer import load_writer
from tests.generation.models import save, write_prompts
from tests.tiny_language import make_tokenizer


DECODING = Decoding(max_new_tokens=4, num_beams=2)


class Killed(BaseException):
    """What no handler of errors catches."""


class Recorder:
    """Writes the prompt's ids backwards; remembers what it was asked; dies before batch `last`."""

    def __init__(self, last: int | None = None):
        self.asked, self.last = [], last

    def __call__(self, prompts, seed):
        if len(self.asked) == self.last:
            raise Killed
        self.asked.append(([list(ids) for ids in prompts], seed))
        return [" ".join(map(str, reversed(ids))) for ids in prompts]


@pytest.fixture
def call(tmp_path, monkeypatch):
    """`call(recorder, **changes)`: a run with the recorder as its model."""
    prompts = [Prompt(f"p{n}", "x", list(range(n + 1, 2 * n + 2 - n % 3))) for n in range(1, 13)]
    (tmp_path / "model").mkdir()

    def call(recorder, decoding=DECODING, prompts=prompts, **options):
        monkeypatch.setattr(run, "load_writer", lambda *given: recorder)
        output = tmp_path / "out" / "texts.jsonl"
        options = {"batch_size": 3, "quiet": True, **options}
        return generate_file(str(tmp_path / "model"), prompts, decoding, output, **options)

    call.prompts, call.output, call.part = (
        prompts,
        tmp_path / "out" / "texts.jsonl",
        tmp_path / "out" / "texts.jsonl.part",
    )
    return call


def expected(prompts) -> list[dict]:
    return [{"id": p.id, "prompt": p.text, "text": " ".join(map(str, reversed(p.ids)))} for p in prompts]


def rows(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_order_of_the_data(call):
    recorder = Recorder()
    texts = call(recorder)
    assert rows(call.output) == expected(call.prompts) and not call.part.exists()
    assert texts == {row["id"]: row["text"] for row in rows(call.output)}
    asked = [ids for batch, _ in recorder.asked for ids in batch]
    assert [len(ids) for ids in asked] == sorted((len(p.ids) for p in call.prompts), reverse=True)
    assert [seed for _, seed in recorder.asked] == [batch_seed(0, number) for number in range(4)]
    with pytest.raises(DataError, match="is there already; name another file, or give --overwrite"):
        call(Recorder())
    again = Recorder()
    call(again, overwrite=True)
    assert again.asked == recorder.asked


def test_what_is_finished_is_kept_and_not_redone(call):
    first = Recorder(last=2)
    with pytest.raises(Killed):
        call(first)
    assert len(rows(call.part)) == 1 + 6 and not call.output.exists()
    second = Recorder()
    call(second)
    assert rows(call.output) == expected(call.prompts)
    whole = Recorder()
    call(whole, overwrite=True)
    assert first.asked + second.asked == whole.asked  # seeds included


@pytest.mark.parametrize("cut", [1, 7, 60])
def test_a_torn_line_is_dropped(call, cut):
    with pytest.raises(Killed):
        call(Recorder(last=2))
    content = call.part.read_bytes()
    call.part.write_bytes(content[:-cut])
    left = len(content[:-cut].splitlines()) - 2 if cut < 60 else 5 - content[-60:].count(b"\n") + 1
    second = Recorder()
    call(second)
    assert rows(call.output) == expected(call.prompts)
    assert 3 <= left < 6 and len(second.asked) == 3  # of the batches, one is not whole


def test_a_run_that_overwrites_goes_on_too(call):
    """What it had finished is kept; a part of other settings is begun anew."""
    call(Recorder())
    with pytest.raises(Killed):
        call(Recorder(last=2), overwrite=True)
    assert len(rows(call.part)) == 1 + 6
    second = Recorder()
    call(second, overwrite=True)
    assert len(second.asked) == 2 and not call.part.exists() and rows(call.output) == expected(call.prompts)
    with Journal(call.output, {"other": 1}, overwrite=True) as journal:
        journal.add({"a": "text"})
    whole = Recorder()
    call(whole, overwrite=True)
    assert len(whole.asked) == 4 and rows(call.output) == expected(call.prompts)


def test_texts_alone(call, tmp_path):
    """They are there before the run counts as done; that they can be written is known before it begins."""
    recorder = Recorder()
    (tmp_path / "there").mkdir()
    with pytest.raises(IsADirectoryError):
        call(recorder, predictions=tmp_path / "there")
    assert not recorder.asked and not call.output.exists()
    call(recorder, predictions=tmp_path / "new/texts.txt")
    texts = (tmp_path / "new/texts.txt").read_text(encoding="utf-8").splitlines()
    assert texts == [row["text"] for row in expected(call.prompts)]
    with pytest.raises(DataError, match="is there already"):
        call(recorder, predictions=tmp_path / "refused.txt")
    assert not (tmp_path / "refused.txt").exists()


def test_a_run_that_is_complete_but_for_its_end(call):
    class NoEnd(BaseException):
        pass

    def fail(*given):
        raise NoEnd

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ginets.generation.journal.os.replace", fail)
        with pytest.raises(NoEnd):
            call(Recorder())
    second = Recorder(last=0)
    call(second)
    assert rows(call.output) == expected(call.prompts) and not call.part.exists()


def test_nothing_done_binds_to_nothing(call):
    with pytest.raises(Killed):
        call(Recorder(last=0))
    call.part.write_bytes(call.part.read_bytes()[:5])  # not even the settings
    with pytest.raises(Killed):
        call(Recorder(last=0))
    call(Recorder(), decoding=replace(DECODING, num_beams=3))
    assert rows(call.output) == expected(call.prompts)


def test_other_settings_are_refused(call, tmp_path):
    with pytest.raises(Killed):
        call(Recorder(last=1))
    before = call.part.read_bytes()
    with pytest.raises(
        DataError, match=r"texts.jsonl.part: was begun with num_beams 2, not 3; give the same settings"
    ):
        call(Recorder(), decoding=replace(DECODING, num_beams=3))
    with pytest.raises(DataError, match="was begun with prompts"):
        call(Recorder(), prompts=call.prompts[1:])
    with pytest.raises(DataError, match="was begun with dtype 'float32', not 'bfloat16'"):
        call(Recorder(), dtype="bfloat16")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(DataError, match="was begun with weights None"):
        call(Recorder())
    (tmp_path / "model" / "model.safetensors").unlink()
    assert call.part.read_bytes() == before
    call(Recorder(), batch_size=5)  # this one changes no text
    assert rows(call.output) == expected(call.prompts)


def test_draws_depend_on_the_batch(call):
    drawn = Decoding(max_new_tokens=4, sample=True, seed=3)
    with pytest.raises(Killed):
        call(Recorder(last=1), decoding=drawn)
    with pytest.raises(DataError, match="was begun with batch_size 3, not 4"):
        call(Recorder(), decoding=drawn, batch_size=4)


def test_what_is_there_stays_as_it_is(tmp_path):
    """A batch that was finished in part is written again as a whole; draws may come out otherwise."""
    with Journal(tmp_path / "texts", {}) as journal:
        journal.add({"a": "first"})
        journal.add({"a": "second", "b": "new"})
        assert journal.done == {"a": "first", "b": "new"}
    assert [row["text"] for row in rows(tmp_path / "texts.part")[1:]] == ["first", "new"]


def test_two_runs_do_not_write_one_file(call):
    """The second is refused, also one that would overwrite, and takes nothing from the first."""

    class Twice(Recorder):
        def __call__(self, prompts, seed):
            for overwrite in (False, True):
                with pytest.raises(DataError, match=r"texts.jsonl.part: another run is writing it"):
                    Journal(call.output, {}, overwrite)
            return super().__call__(prompts, seed)

    call(Twice())
    assert rows(call.output) == expected(call.prompts)


def test_a_damaged_part(call):
    with pytest.raises(Killed):
        call(Recorder(last=2))
    lines = call.part.read_bytes().splitlines(keepends=True)
    call.part.write_bytes(b"".join([*lines[:2], b'{"id": \n', *lines[2:]]))
    with pytest.raises(DataError, match=r"part, line 3: is damaged; mend it, or give --overwrite"):
        call(Recorder())


@pytest.mark.parametrize("workers", [1, 2])
def test_real_texts(tmp_path, workers):
    """From the model of the folder, the same with any number of processes."""
    model = save(tmp_path / "model")
    prompts = make_prompts(read_prompts(write_prompts(tmp_path / "prompts.txt", 7)), make_tokenizer())
    decoding = Decoding(max_new_tokens=5, sample=True)
    options = {"batch_size": 3, "quiet": True, "workers": workers}
    texts = generate_file(model, prompts, decoding, tmp_path / "texts.jsonl", **options)
    write = load_writer(model, decoding)
    for number, batch in enumerate(run.plan([len(p.ids) for p in prompts], 5, 1, 3)):
        written = write([prompts[at].ids for at in batch], batch_seed(0, number))
        assert [texts[prompts[at].id] for at in batch] == written


def test_a_worker_that_ends(tmp_path):
    model = save(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"")
    prompts = [Prompt("0", "a", [4])]
    with pytest.raises(Exception, match=r"(?i)header|safetensors"):  # its error comes here
        generate_file(model, prompts, Decoding(), tmp_path / "texts.jsonl", workers=2, quiet=True)
    with pytest.raises(ValueError, match="workers is 0"):
        generate_file(model, prompts, Decoding(), tmp_path / "texts.jsonl", workers=0, quiet=True)


def test_prompts_of_your_own(tmp_path):
    def file(name, text):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    tokenizer = make_tokenizer(begin=True)
    prompts = make_prompts(read_prompts(file("a.txt", "a b\n\nc\n")), tokenizer)
    assert prompts == [Prompt("0", "a b", [1, 4, 5]), Prompt("1", "c", [1, 6])]
    named = file("a.jsonl", '{"prompt": "a", "id": 7}\n{"prompt": "b", "id": "x"}\n{"prompt": "c"}\n')
    assert [prompt.id for prompt in make_prompts(read_prompts(named), tokenizer)] == ["7", "x", "2"]
    for content, message in (
        ('{"text": "a"}', "line 1: there is no 'prompt'; a row has prompt, and perhaps id"),
        ('{"prompt": 3}', "line 1: prompt is 3; it must be text"),
        ('{"prompt": "a", "id": 1}\n{"prompt": "b", "id": "1"}', "id '1' occurs twice"),
    ):
        with pytest.raises(DataError, match=message):
            make_prompts(read_prompts(file("b.jsonl", content)), tokenizer)
    tokenizer.eos_token = None
    with pytest.raises(DataError, match="the tokenizer has no end token"):
        make_prompts([("0", (Segment("a", end=True),))], tokenizer)
    with pytest.raises(DataError, match="prompt '0' is empty"):
        make_prompts(read_prompts(file("c.jsonl", '{"prompt": ""}')), make_tokenizer())
    check_lengths(prompts, 60, 63)
    check_lengths(prompts, 60, None)
    with pytest.raises(
        DataError, match=r"1 of 2 prompts are too long, e\.g\. '0' with 3 tokens: the model has 62 positions"
    ):
        check_lengths(prompts, 60, 62)
