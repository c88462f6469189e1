"""Word problems with a worked solution: GSM8K's file, the json of the LLM-Adapters collection, AQuA's own."""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ..metrics.math_answers import RULES, WAYS, rule_for
from .records import Record, check_object, keep, read_records
from .segments import Segments
from .tabular import DataError, check_text
from .templates import ALPACA, Template


CALCULATION = re.compile(r"<<[^<>\n]*>>")  # GSM8K: what a calculator would be asked, written before its result


@dataclass(frozen=True)
class Problem:
    """A question with its answer.

    Attributes:
        id: of the row, or its number in the file, from 0, as text.
        question: with its options, where there are any.
        rationale: the worked solution with the answer at its end; empty where the data have none.
        answer: gold, as the data have it.
    """

    id: str
    question: str
    rationale: str
    answer: str


def read_problems(path: str | os.PathLike, bad_rows: str | None = None, rationales: bool = False) -> list[Problem]:
    """The problems of a file; the columns of each row tell its form (`FORMS`).

    Args:
        bad_rows: see `keep`.
        rationales: for training: a row is bad without a rationale that ends in the gold answer. It keeps other
            models' texts out, which some files of the collection have in that column.

    Raises:
        DataError: there are bad rows and they are refused, or no good one.
    """
    return make_problems(read_records(path), path, bad_rows, rationales)


def make_problems(
    records: Iterable[Record], source: str | os.PathLike, bad_rows: str | None = None, rationales: bool = False
) -> list[Problem]:
    """The same from records, e.g. of a dataset on the Hub."""
    seen: set[str] = set()

    def parse(numbered: object) -> Problem:
        number, record = numbered
        if isinstance(record, DataError):
            raise record
        found = problem(record)
        found = replace(found, id=found.id or str(number))
        if found.id in seen:
            raise DataError(f"id {found.id!r} occurs twice.")
        if rationales:
            check_rationale(found)
        seen.add(found.id)
        return found

    counted = ((place, (number, record)) for number, (place, record) in enumerate(records))
    return keep(counted, parse, source, bad_rows)


def problem(record: object) -> Problem:
    """A row of one of `FORMS`; its id is empty where it has none."""
    record = check_object(record)
    read = next((read for columns, read in FORMS if columns <= set(record)), None)
    if read is None:
        forms = "; ".join(", ".join(sorted(columns)) for columns, _ in FORMS)
        raise DataError(f"the columns are {', '.join(map(str, record)) or 'none'}; needed: {forms}.")
    name = record.get("id")
    found = read(record)
    for field in ("question", "rationale", "answer"):
        check_text(getattr(found, field), field)
    if empty := [field for field in ("question", "answer") if not getattr(found, field).strip()]:
        raise DataError(f"{empty[0]} is empty.")
    try:
        rule_for([found.answer])
    except ValueError:
        raise DataError(f"the answer {found.answer[-40:]!r} is no number, letter or label.") from None
    return replace(found, id="" if name is None else str(name))


def check_rationale(found: Problem):
    """Refuse a solution that is missing, or ends in something else than the gold answer by either rule."""
    if not found.rationale.strip():
        raise DataError("there is no worked solution to train on.")
    rule = RULES[rule_for([found.answer])]
    gold = rule.gold(found.answer)
    ends = [rule.find(found.rationale, way) for way in WAYS]
    if not any(end is not None and rule.equal(end, gold) for end in ends):
        raise DataError(f"the solution ends in {ends[0]}, the answer is {gold}; it may be another model's text.")


def segments(found: Problem, calculations: bool = False, template: Template = ALPACA) -> Segments:
    """A problem and its solution to train on.

    Args:
        calculations: keep GSM8K's <<…>>.
    """
    solution = found.rationale if calculations else CALCULATION.sub("", found.rationale)
    return template.segments(found.question, solution.strip())


def _gsm8k(record: dict) -> Problem:
    solution = record["answer"]
    check_text(solution, "answer")
    before, mark, answer = solution.rpartition("####")
    return Problem("", record["question"], solution if mark and before.strip() else "", answer.strip())


def _llm_adapters(record: dict) -> Problem:
    for name in ("instruction", "input"):
        check_text(record.get(name) or "", name)
    question = "\n".join(filter(None, (record["instruction"], record.get("input"))))
    return Problem("", question.strip(), record.get("output") or "", _as_text(record["answer"]))


def _aqua(record: dict) -> Problem:
    options = record["options"]
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        raise DataError(f"options is {str(options)[:60]!r}; it must be a list of texts.")
    check_text(record["question"], "question")
    question = f"{record['question']}\nAnswer choices: {', '.join(options)}"
    rationale = record.get("rationale") or ""
    check_text(rationale, "rationale")
    answer = _as_text(record["correct"])
    return Problem("", question, f"{rationale.strip()}\nThe answer is {answer}." if rationale.strip() else "", answer)


def _as_text(value: object) -> str:
    return str(value) if isinstance(value, int | float | bool) else value


# columns that a form has → its reader; the first that fits
FORMS: tuple[tuple[set[str], Callable[[dict], Problem]], ...] = (
    ({"question", "options", "correct"}, _aqua),
    ({"question", "answer"}, _gsm8k),
    ({"instruction", "answer"}, _llm_adapters),
)
