"""The generated passages: answers that follow from the words, no leaks between splits, no easy way to guess."""

import json
import re
from collections import Counter
from typing import NamedTuple

import pytest

from ginets.data import passages
from ginets.data.distractors import COLOURS, THINGS, is_heldout
from ginets.data.passages import MATERIALS, NAMES, PLACES, SIZES, generate, showcase, word_list


SIZES_OF_SPLITS = {"train": 600, "validation": 150, "heldout": 150}
WORDS = {"colour": COLOURS, "thing": THINGS, "place": PLACES, "owner": NAMES, "size": SIZES, "material": MATERIALS}
THING, OTHER = "(?P<c>{colour}) (?P<t>{thing})", "(?P<c2>{colour}) (?P<t2>{thing})"
# what a sentence says, read off its words; independent of how the generator put it together
SENTENCES = [
    (f"I put my {THING} in the {OTHER}", "in"),
    (f"In the {OTHER} I put my {THING}", "in"),
    (f"The (?P<t>{{thing}}) in the {OTHER} is (?P<c>{{colour}})", "in"),
    (f"The {THING} is in the {OTHER}", "in"),
    (f"The {OTHER} holds a {THING}", "in"),
    (f"The {THING} is (?P<v>{{place}})", "place"),
    ("The (?P<t>{thing}) (?P<v>{place}) is (?P<c>{colour})", "place"),
    (f"(?P<v>{{place}}) is a {THING}", "place"),
    (f"(?P<v>{{owner}}) has a {THING}", "owner"),
    ("The (?P<t>{thing}) of (?P<v>{owner}) is (?P<c>{colour})", "owner"),
    (f"The {THING} belongs to (?P<v>{{owner}})", "owner"),
    (f"The {THING} is (?P<v>{{size}})", "size"),
    ("The (?P<v>{size}) (?P<t>{thing}) is (?P<c>{colour})", "size"),
    (f"There is a (?P<v>{{size}}) {THING}", "size"),
    (f"The {THING} is made of (?P<v>{{material}})", "material"),
    ("The (?P<t>{thing}) made of (?P<v>{material}) is (?P<c>{colour})", "material"),
    (f"There is a {THING} made of (?P<v>{{material}})", "material"),
]
# what a question gives, and what it asks for
QUESTIONS = [
    (f"What colour is the (?P<t>{{thing}}) (that I put )?in the {OTHER}", "in", "{c}"),
    (f"What colour is the (?P<t2>{{thing}}) (where I put my|that holds the) {THING}", "in", "{c2}"),
    (f"What (did I put|is) in the {OTHER}", "in", "{c} {t}"),
    (f"Where (did I put my|is the) {THING}", "in", "in the {c2} {t2}"),
    (f"Where is the {THING}", "place", "{v}"),
    ("What colour is the (?P<t>{thing}) (?P<v>{place})", "place", "{c}"),
    ("What is (?P<v>{place})", "place", "{c} {t}"),
    ("What colour is the (?P<t>{thing}) of (?P<v>{owner})", "owner", "{c}"),
    ("What does (?P<v>{owner}) have", "owner", "{c} {t}"),
    (f"Who has the {THING}", "owner", "{v}"),
    ("What colour is the (?P<v>{size}) (?P<t>{thing})", "size", "{c}"),
    (f"What size is the {THING}", "size", "{v}"),
    ("What colour is the (?P<t>{thing}) made of (?P<v>{material})", "material", "{c}"),
    (f"What is the {THING} made of", "material", "{v}"),
]


ALTERNATIVES = {name: "|".join(words) for name, words in WORDS.items()}
SENTENCES, QUESTIONS = (
    [(re.compile(pattern.format(**ALTERNATIVES), re.IGNORECASE), *rest) for pattern, *rest in patterns]
    for patterns in (SENTENCES, QUESTIONS)
)


class Found(NamedTuple):
    """An answer that the passage gives, what was asked for, and the fact that gives it: its slots and characters."""

    answer: str
    wanted: str
    slots: dict[str, str]
    start: int
    end: int


def parse(text: str, patterns: list) -> list[tuple]:
    """What `text` says by each pattern that fits the whole of it: ({slot: word}, kind, further parts)."""
    matches = [(pattern.fullmatch(text), *rest) for pattern, *rest in patterns]
    return [
        ({name: word.lower() for name, word in match.groupdict().items()}, *rest) for match, *rest in matches if match
    ]


def facts_of(row: dict) -> list[tuple[dict, str, int, int]]:
    """Slots, kind, and characters of the facts of a passage."""
    facts = []
    for sentence in re.finditer(r"[^. ][^.]*", row["context"]):
        ((slots, kind),) = parse(sentence[0], SENTENCES)  # exactly one reading
        facts.append((slots, kind, *sentence.span()))
    return facts


def solve(row: dict) -> list[Found]:
    return [
        Found(wanted.format(**slots), wanted, slots, start, end)
        for given, asked, wanted in parse(row["question"].removesuffix("?"), QUESTIONS)
        for slots, kind, start, end in facts_of(row)
        if kind == asked and given.items() <= slots.items()
    ]


def things_of(row: dict) -> list[tuple[str, str]]:
    """(noun, colour) of everything that a passage mentions."""
    return [(slots[t], slots[c]) for slots, *_ in facts_of(row) for t, c in (("t", "c"), ("t2", "c2")) if t in slots]


def target(row: dict) -> tuple[str, str]:
    """The thing asked for."""
    (found,) = solve(row)
    t, c = ("t2", "c2") if found.wanted == "{c2}" else ("t", "c")
    return found.slots[t], found.slots[c]


@pytest.fixture(scope="module")
def splits():
    return generate(SIZES_OF_SPLITS, seed=3)


def rows(splits):
    return [row for split in splits.values() for row in split]


def test_answers_follow_from_the_words(splits):
    for row in [*rows(splits), showcase()]:
        (found,) = solve(row)  # one answer, from one fact
        (text,), (start,) = row["answers"]["text"], row["answers"]["answer_start"]
        assert text.lower() == found.answer, row
        assert row["context"][start : start + len(text)] == text and found.start <= start < found.end


def test_relevant_are_the_words_of_the_fact(splits):
    for row in [*rows(splits), showcase()]:
        (found,) = solve(row)
        words = [row["context"][start:end].lower() for start, end in row["relevant"]]
        assert sorted(words) == sorted(found.slots.values()) and row["relevant"] == sorted(row["relevant"])
        assert all(found.start <= start < end <= found.end for start, end in row["relevant"])


@pytest.mark.parametrize("facts", [2, 3, 4])
def test_every_passage_has_distractors(facts):
    """Another fact of the kind, another thing of the noun, and no thing twice."""
    for row in rows(generate({"train": 100, "heldout": 50}, facts=facts)):
        stated, things = [slots for slots, *_ in facts_of(row)], things_of(row)
        kinds = Counter(kind for _, kind, *_ in facts_of(row))
        noun, _ = target(row)
        assert len(stated) == facts and len(set(things)) == len(things)
        assert sum(each == noun for each, _ in things) > 1
        assert kinds["in" if row["title"] in ("put", "inside") else row["title"]] > 1
        values = [slots["v"] for slots in stated if "v" in slots]
        assert len(set(values)) == len(values)


def test_heldout_pairs_occur_nowhere_else(splits):
    for name, split in splits.items():
        for row in split:
            pairs = [thing for thing in things_of(row) if is_heldout(*thing)]
            assert pairs == ([target(row)] if name == "heldout" else []), row
    assert is_heldout(*target(showcase()))


def test_unanswerable_questions_have_no_answer():
    split = generate({"train": 400}, unanswerable=0.25)["train"]
    without = [row for row in split if not row["answers"]["text"]]
    assert 0.18 < len(without) / len(split) < 0.32
    for row in split:
        assert len(solve(row)) == len(row["answers"]["text"]) == len(row["answers"]["answer_start"])
        assert len(facts_of(row)) == 3
        assert bool(row["relevant"]) == bool(row["answers"]["text"])


@pytest.fixture(scope="module")
def many():
    return generate({"train": 2000})["train"]


def test_no_easy_way_to_the_answer(many):
    """Rates of answers that need no binding: well below a half, as each passage offers at least two candidates."""
    hits = Counter()
    for row in many:
        context, question = row["context"].lower(), row["question"].lower()
        answer = solve(row)[0].answer
        pool = next(words for words in (*WORDS.values(), [answer]) if answer in map(str.lower, words))
        if pool == [answer]:  # "red bag", "in the black bag": any such phrase of the passage
            begin = "in the " if answer.startswith("in the") else ""
            pool = [f"{begin}{c} {t}" for c in COLOURS for t in THINGS if f"{c} {t}" not in question]
        candidates = list(re.finditer("|".join(map(str.lower, pool)), context))
        noun = next((word for word in re.findall(r"\w+", question) if word in THINGS), None)
        place = re.search(rf"\b{noun}\b", context).start() if noun else 0
        hits["first"] += candidates[0][0] == answer
        hits["last"] += candidates[-1][0] == answer
        hits["nearest"] += min(candidates, key=lambda each: abs(each.start() - place))[0] == answer
    rates = {name: count / len(many) for name, count in hits.items()}
    assert all(rate < 0.5 for rate in rates.values()), rates


def test_the_question_does_not_tell_the_answer(many):
    """Of the questions in the same words, apart from nouns, no answer makes up more than a good third."""
    answers = {}
    for row in many:
        form = re.sub("|".join(THINGS + COLOURS), "_", row["question"])
        answers.setdefault(form, Counter())[row["answers"]["text"][0].lower()] += 1
    for counts in answers.values():
        if counts.total() >= 100:
            assert max(counts.values()) / counts.total() < 0.4, counts


def test_sizes_ids_and_kinds(splits):
    assert {name: len(split) for name, split in splits.items()} == SIZES_OF_SPLITS
    assert len({row["id"] for row in rows(splits)}) == len(rows(splits))
    shares = Counter(row["title"] for row in splits["train"])
    assert shares.keys() == passages.KINDS.keys() and min(shares.values()) > 60


def test_no_text_occurs_twice(splits):
    texts = [row["context"] for row in [*rows(splits), showcase()]]
    assert len(texts) == len(set(texts))


def test_rows_are_short_and_of_known_words(splits):
    known = set(word_list())
    for row in [*rows(splits), showcase()]:
        words = re.findall(r"\w+|[.?]", f"{row['question']} {row['context']}".lower())
        assert set(words) <= known and len(words) + 3 <= 48


def test_same_seed_same_rows(splits):
    assert generate(SIZES_OF_SPLITS, seed=3) == splits
    assert generate(SIZES_OF_SPLITS, seed=4) != splits
    assert json.loads(json.dumps(splits)) == splits


def test_the_showcase_is_the_question_of_the_readme():
    row = showcase()
    assert "I put my red bag in the black bag." in row["context"] and row["answers"]["text"] == ["red"]
    assert row == showcase() and row["id"] == "showcase"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sizes": {"dev": 1}}, "unknown splits \\['dev'\\]"),
        ({"sizes": {"train": 1}, "facts": 5}, "facts is 5; a passage states 2 to 4"),
        ({"sizes": {"train": 1}, "unanswerable": 1.5}, "unanswerable is 1.5"),
    ],
)
def test_bad_arguments(options, says):
    with pytest.raises(ValueError, match=says):
        generate(**options)
