"""The distractor task: true answers, no leaks between splits, balance, determinism."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from ginets.data.distractors import COLOURS, LABELS, THINGS, generate, is_heldout, main, word_list


SIZES = {"train": 600, "validation": 120, "heldout": 120}


@pytest.fixture(scope="module")
def splits():
    return generate(SIZES, seed=3)


def rows(splits):
    return [row for split in splits.values() for row in split]


def stated(text: str) -> set[tuple[str, str]]:
    """Bindings read off the words, independently of how the generator built them."""
    found = set()
    for sentence in text.split(". "):
        words = [w for w in re.findall(r"\w+", sentence) if w in THINGS or w in COLOURS]
        if "beside" in sentence:  # "the box beside the red bag is black": the outer two and the inner two
            words = [words[0], words[3], words[1], words[2]]
        for pair in zip(words[::2], words[1::2], strict=True):
            found.add(pair if pair[0] in THINGS else pair[::-1])
    return found


def test_answers_follow_from_the_text(splits):
    for row in rows(splits):
        assert stated(row.sentence1) == set(row.bound), row.sentence1
        thing = row.sentence2.removeprefix("What colour is the ").removesuffix("?")
        assert dict(row.bound)[thing] == LABELS[row.label]


def test_every_text_has_distractors(splits):
    for row in rows(splits):
        colours = [colour for _, colour in row.bound]
        assert len(row.bound) == len(set(colours)) == len({thing for thing, _ in row.bound}) == 4


def test_sizes_and_balance(splits):
    assert {name: len(split) for name, split in splits.items()} == SIZES
    for split in splits.values():
        assert set(Counter(row.label for row in split).values()) == {len(split) // len(LABELS)}


def test_heldout_pairs_occur_nowhere_else(splits):
    for name in ("train", "validation"):
        assert not any(is_heldout(*pair) for row in splits[name] for pair in row.bound)
    for row in splits["heldout"]:
        assert is_heldout(*row.asked)
        assert sum(is_heldout(*pair) for pair in row.bound) == 1
    assert {pair for row in splits["heldout"] for pair in [row.asked]} <= {(t, c) for t in THINGS for c in COLOURS}


def test_no_text_occurs_twice(splits):
    texts = [row.sentence1 for row in rows(splits)]
    assert len(texts) == len(set(texts))


def test_same_seed_same_rows(splits):
    assert generate(SIZES, seed=3) == splits
    assert generate(SIZES, seed=4) != splits


def test_place_in_the_text_does_not_tell_the_answer(splits):
    """Naming the first or the last colour of the text is little better than naming any of the four."""
    for end in (0, -1):
        hits = [re.findall("|".join(COLOURS), r.sentence1)[end] == LABELS[r.label] for r in splits["train"]]
        assert sum(hits) / len(hits) < 0.35


def test_word_list_covers_all_texts(splits):
    words = {w for r in rows(splits) for w in re.findall(r"\w+|[.?]", f"{r.sentence1} {r.sentence2}".lower())}
    assert words <= set(word_list())


def test_bad_arguments():
    with pytest.raises(ValueError, match="unknown splits"):
        generate({"dev": 1})
    with pytest.raises(ValueError, match="things is 7"):
        generate(SIZES, things=7)


def test_written_rows_are_the_generated_ones(tmp_path, capsys):
    main(
        [
            str(tmp_path / "data"),
            "--train",
            "12",
            "--validation",
            "6",
            "--heldout",
            "6",
            "--seed",
            "3",
            "--things",
            "2",
        ]
    )
    paths = capsys.readouterr().out.split()
    assert [Path(path).name for path in paths] == ["train.jsonl", "validation.jsonl", "heldout.jsonl"]
    for path, expected in zip(
        paths, generate({"train": 12, "validation": 6, "heldout": 6}, seed=3, things=2).values(), strict=True
    ):
        found = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
        assert found == [
            {"sentence1": row.sentence1, "sentence2": row.sentence2, "label": row.asked[1]} for row in expected
        ]
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--things", "9"])
    assert "things is 9" in capsys.readouterr().err
