"""The answer in a text that reasons: a number, the letter of an option, or a label. By data set, and two rules each.

`ours` looks where the text says that the answer comes ("The answer is …", "####", "\\boxed{"), and reads numbers as
people write them. `published` is the rule of LLM-Adapters, which AFLoRA's GSM8K figures were made with (their
evaluation scripts); docs/math.md lists where they differ.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass


TOLERANCE = 1e-3  # between numbers that count as equal, as published
WAYS = ("ours", "published")

DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d|,\d)|\d+)"
DECIMAL = rf"(?:{DIGITS}(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d{{1,2}}(?!\d))?"
DIVISOR = r"0*[1-9]\d*(?!\d|/|\.\d)"
CURRENCY = "[$€£¥₹]"
NUMBER = re.compile(
    rf"(?P<minus>(?<![\w)\].])[-−](?:\s*{CURRENCY}\s*)?|{CURRENCY}\s*[-−])?"  # not the dash of 10-3 or (2)-3
    rf"(?:(?P<whole>\d+) (?P<top>\d+)/(?P<bottom>{DIVISOR})"  # 2 1/2
    rf"|(?P<number>{DECIMAL})(?:\s*/\s*(?P<divisor>{DIVISOR}))?)"  # 1,234.5 or 3/4
)
FRACTION = re.compile(r"(\d?)\\[dt]?frac\{(\d+)\}\{(\d+)\}")  # LaTeX's 1/2, or 1/2 behind a whole number
CUE = re.compile(
    r"\banswers?\b[^\S\n]*(?:\S+[^\S\n]+){0,6}?(?:is|are|was|be|equals)\b[^\S\n]*:?|\banswer\s*[:=]|####|\\boxed\{",
    re.IGNORECASE,
)
SENTENCE = re.compile(r"\n|[.!?](?=\s|$)")  # what ends the words behind a cue; no point inside a number
LETTER = re.compile(r"(?<![\w'’])(?:([B-E])|(A)(?=\s*(?:[.,;:)\]}*!?]|$)))(?![\w'’])")  # no article, no E's
CUED_LETTER = re.compile(r"\W*(?:(?:option|choice|letter)\W+)?([A-E])(?![\w'’])(?!\s+[a-z])", re.IGNORECASE)
BRACKETED = re.compile(r"\(([A-E])\)|(?<![\w'’])([A-E])\)", re.IGNORECASE)


def find_number(text: str) -> float | None:
    """The first number behind the last cue that one follows in its sentence; else that of the last sentence with one.

    Where there is a "=" before a number, the number behind the last of them is meant; a sentence without a cue and
    without "=" ends with the number that is meant.
    """
    text = FRACTION.sub(lambda found: f"{found[1]}{' ' * bool(found[1])}{found[2]}/{found[3]}", text)
    for cue in reversed(list(CUE.finditer(text))):
        clause = SENTENCE.split(text[cue.end() :].lstrip(), maxsplit=1)[0]
        if found := _result(clause) or NUMBER.search(clause):
            return _value(found)
    for sentence in reversed(SENTENCE.split(text)):
        if numbers := list(NUMBER.finditer(sentence)):
            return _value(_result(sentence) or numbers[-1])
    return None


def _result(sentence: str) -> re.Match | None:
    """The number behind the last "="."""
    _, equals, after = sentence.rpartition("=")
    return NUMBER.search(after) if equals else None


def _value(found: re.Match) -> float:
    """Commas, currency and the percent sign mean nothing; 50 % is 50."""
    if found["whole"]:
        value = float(found["whole"]) + float(found["top"]) / float(found["bottom"])
    else:
        value = float(found["number"].replace(",", "")) / float(found["divisor"] or 1)
    return -value if found["minus"] else value


def published_number(text: str) -> float | None:
    """The last match of `-?\\d+\\.?\\d*`, commas removed."""
    matches = re.findall(r"-?\d+\.?\d*", text.replace(",", ""))
    return float(matches[-1]) if matches else None


def read_number(text: str) -> float | None:
    """A gold answer: what follows "####", where there is that mark, and nothing but a number."""
    text = text.rpartition("####")[2].strip()
    found = NUMBER.match(text)
    rest = text[found.end() :].strip() if found else text
    value = None if found is None or rest not in ("", "%", ".") else _value(found)
    if value is None and (lone := re.fullmatch(rf"{CURRENCY}\s*(\S+)", text)):
        return read_number(lone[1])
    return value if value is not None and math.isfinite(value) else None


def same_number(found: float, gold: float) -> bool:
    return abs(found - gold) <= TOLERANCE


def find_letter(text: str) -> str | None:
    """Behind the last cue that a letter follows; else the last in brackets; else the last that stands alone."""
    for cue in reversed(list(CUE.finditer(text))):
        if found := CUED_LETTER.match(text, cue.end()):
            return found[1].upper()
    for pattern in (BRACKETED, LETTER):
        if found := list(pattern.finditer(text)):
            return next(filter(None, found[-1].groups())).upper()
    return None


def published_letter(text: str) -> str | None:
    """The first capital A to E anywhere."""
    found = re.search(r"[A-E]", text)
    return found and found[0]


def read_letter(text: str) -> str | None:
    found = re.fullmatch(r"\(?([A-E])\)?\.?", text.strip())
    return found and found[1]


@dataclass(frozen=True)
class Rule:
    """How answers of a kind of data set are found and compared.

    Attributes:
        ours, published: text → answer, or None where there is none.
        gold: the answer of the data → the same form, or None where it is no such answer.
        equal: `(found, gold)`.
    """

    ours: Callable[[str], object]
    published: Callable[[str], object]
    gold: Callable[[str], object]
    equal: Callable[[object, object], bool] = lambda found, gold: found == gold

    def find(self, text: str, way: str = "ours") -> float | str | None:
        """The answer in `text` by the rule `way` of `WAYS`."""
        if way not in WAYS:
            raise ValueError(f"rule is {way!r}; choose from {', '.join(WAYS)}.")
        return getattr(self, way)(text)


def label_rule(labels: str) -> Rule:
    """One of some words: the first behind the last cue that one follows in its sentence, else the first of the text.

    The published rule is the first anywhere, also inside of other words.
    """
    word = re.compile(rf"(?<!\w)(?:{labels})(?!\w)", re.IGNORECASE)

    def ours(text: str) -> str | None:
        for cue in reversed(list(CUE.finditer(text))):
            if found := word.search(SENTENCE.split(text[cue.end() :].lstrip(), maxsplit=1)[0]):
                return found[0].lower()
        found = word.search(text)
        return found and found[0].lower()

    def published(text: str) -> str | None:
        found = re.search(labels, text)
        return found and found[0]

    def gold(text: str) -> str | None:
        return text.strip().lower() if word.fullmatch(text.strip()) else None

    return Rule(ours, published, gold)


NUMBERS = Rule(find_number, published_number, read_number, same_number)
LETTERS = Rule(find_letter, published_letter, read_letter)
ANSWERS = label_rule("answer[1-5]")

RULES = {
    **dict.fromkeys(("gsm8k", "mawps", "svamp", "addsub", "multiarith", "singleeq"), NUMBERS),
    "aqua": LETTERS,
    "boolq": label_rule("true|false"),
    "piqa": label_rule("solution[12]"),
    **dict.fromkeys(("siqa", "arc-easy", "arc-challenge", "openbookqa"), ANSWERS),
    "hellaswag": label_rule("ending[1-4]"),
    "winogrande": label_rule("option[12]"),
}


def rule_for(golds: list[str]) -> str:
    """The first data set of `RULES` whose rule reads all gold answers.

    Raises:
        ValueError: there is none.
    """
    for name, rule in RULES.items():
        if all(rule.gold(gold) is not None for gold in golds):
            return name
    raise ValueError(f"the gold answers fit no data set of {', '.join(RULES)}; the first is {golds[0]!r:.60}.")
