"""Answers as pieces of a page: plain HTML, everything a user or a model wrote escaped."""

from collections.abc import Iterable
from html import escape


STYLE = """
.gradio-container { width: 100% !important; max-width: 60rem !important; margin: 0 auto !important; }
.gradio-container > main, .gradio-container > main > .wrap { width: 100%; }
.notice { border-left: 4px solid #d55e00; padding: .5rem .75rem; margin: 0; }
.answer { overflow-wrap: anywhere; line-height: 1.6; }
.answer mark { background: #ffd84d; color: #1a1a1a; border-radius: 3px; padding: .1em .15em; }
.answer .passage { white-space: pre-wrap; max-height: 24rem; overflow-y: auto; margin: .5rem 0; }
.answer table { border-collapse: collapse; width: 100%; }
.answer table, .answer tr, .answer th, .answer td { border: 0 !important; font-weight: normal; text-align: left; }
.answer th, .answer td { padding: .2rem .75rem .2rem 0 !important; }
.answer td.bar { width: 55%; padding-right: 0; }
.answer td.bar div { background: #0072b2; height: .8rem; border-radius: 3px; min-width: 1px; }
.dark .answer td.bar div { background: #56b4e9; }
.answer td.number, .answer .number { font-variant-numeric: tabular-nums; white-space: nowrap; }
.answer .lead { font-size: 1.15rem; font-weight: 600; margin: 0 0 .4rem; }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 1rem; }
.sides h3 { margin: 0 0 .4rem; font-weight: 600; overflow-wrap: anywhere; }
.sides section { min-width: 0; }
.answer img { max-width: 100%; height: auto; margin: .5rem 0; }
.answer pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .3rem 0; max-height: 16rem; overflow-y: auto; }
img.on-dark, .dark img.on-light { display: none; }
.dark img.on-dark { display: inline; }
:focus-visible { outline: 2px solid #0072b2 !important; outline-offset: 2px; }
.dark :focus-visible { outline-color: #56b4e9 !important; }
"""


def notice(sentence: str) -> str:
    """What could not be done; screen readers say it at once."""
    return f'<p class="notice" role="alert">{escape(sentence)}</p>'


def percent(share: float) -> str:
    return f"{share:.1%}"


def bars(rows: Iterable[tuple[str, float]], number=percent) -> str:
    """A table of names with numbers from 0 to 1 and bars."""
    cells = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td class="number">{number(value)}</td>'
        f'<td class="bar"><div style="width:{min(max(value, 0), 1):.1%}"></div></td></tr>'
        for name, value in rows
    )
    return f"<table>{cells}</table>"


def framed(content: str) -> str:
    return f'<div class="answer" role="status">{content}</div>'


def label(answer: dict) -> str:
    """The scores of a text, best first; of a model with one output its value."""
    scores = sorted(answer["scores"].items(), key=lambda item: -item[1])
    if len(scores) == 1:
        return f'<p class="lead">{escape(answer["label"])}: {answer["score"]:.4g}</p>'
    return f'<p class="lead">{escape(answer["label"])} ({percent(answer["score"])})</p>{bars(scores)}'


def highlighted(answer: dict, context: str) -> str:
    """The answer, its confidence, and where it stands in the passage."""
    if not answer["answer"]:
        lead = f'<p class="lead">The passage gives no answer ({percent(answer["score"])})</p>'
        return lead + f'<div class="passage" tabindex="0">{escape(context)}</div>' + others(answer)
    start, end = answer["start"], answer["end"]
    before, found, after = (escape(part) for part in (context[:start], context[start:end], context[end:]))
    return (
        f'<p class="lead">{escape(answer["answer"])} ({percent(answer["score"])})</p>'
        f'<div class="passage" tabindex="0">{before}<mark>{found}</mark>{after}</div>{others(answer)}'
    )


def others(answer: dict) -> str:
    if not answer["alternatives"]:
        return ""
    return "<p>Other answers</p>" + bars(
        (each["answer"] or "no answer", each["score"]) for each in answer["alternatives"]
    )


def entities(answer: dict) -> str:
    rows = [(f"{each['text']}: {each['label']}", each["score"]) for each in answer["entities"]]
    return bars(rows) if rows else '<p class="lead">no entities</p>'


def fills(answer: dict) -> str:
    return "".join(bars((each["token"], each["score"]) for each in mask) for mask in answer["masks"])


# head → what is shown of an answer to a text and its pair
VIEWS = {
    "SequenceClassification": lambda answer, text, pair: label(answer),
    "QuestionAnswering": lambda answer, text, pair: highlighted(answer | {"alternatives": []}, pair or ""),
    "TokenClassification": lambda answer, text, pair: entities(answer),
    "MaskedLM": lambda answer, text, pair: fills(answer),
    "CausalLM": lambda answer, text, pair: f"<pre>{escape(text)}<mark>{escape(answer['text'])}</mark></pre>",
}
