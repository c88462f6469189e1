"""The tab that puts two models, or two inhibition levels of one, side by side: answers, attention, difference."""

import asyncio
from dataclasses import dataclass
from functools import partial
from html import escape

import gradio as gr

from ..viz.comparison import Comparison
from ..viz.comparison import compare as side_by_side
from ..viz.heatmap import draw_layer
from . import pictures, views
from .parts import PRIVATE, examples, kindly, menu, others
from .source import Look, Refused, Source


EXAMPLES = [
    ("The film was not good, it was great.", ""),
    ("What is the colour of my bag?", "I put my red bag in the black bag."),
]
MEAN = "mean of all"


@dataclass(frozen=True)
class Pair:
    """Two looks at one text, as they stay behind the page while layers and heads are chosen.

    Attributes:
        names: of the sides, different.
        heads: of their models.
    """

    names: tuple[str, str]
    heads: tuple[str, str]
    looks: tuple[Look, Look]
    text: str
    pair: str | None

    @property
    def all_heads(self) -> bool:
        return all(look.all_heads for look in self.looks)

    @property
    def layers(self) -> int:
        return min(len(look.attention.weights) for look in self.looks)

    @property
    def head_count(self) -> int:
        return min(look.attention.weights.shape[1] for look in self.looks)


async def look_twice(source: Source, models: tuple, levels: tuple, text: str, pair: str | None) -> Pair:
    """Raises `Refused`: there is nothing to look at, or both sides are the same."""
    if not text.strip():
        raise Refused("Please write a text first.")
    for name in models:
        if source.heads[name] == "QuestionAnswering" and not pair.strip():
            raise Refused(f"{name} answers questions: please write a passage as the second text.")
    chosen = [None if level is None or level == source.level_of(name) else level for name, level in zip(models, levels, strict=True)]  # fmt: skip
    if (models[0], chosen[0]) == (models[1], chosen[1]):
        raise Refused("Both sides are the same; choose two models, or two levels.")
    names = [name if (level := levels[at]) is None else f"{name}, p = {level:g}" for at, name in enumerate(models)]
    looks = [await source.look(name, text, pair or None, level) for name, level in zip(models, chosen, strict=True)]
    heads = tuple(source.heads[name] for name in models)
    return Pair(tuple(names), heads, tuple(looks), text, pair or None)


def shown(pair: Pair, layer: int, head: int | None, mask_special: bool = False) -> str:
    """HTML of both sides and their difference; where tokens or sizes differ, only that they do."""
    attentions = {name: look.attention for name, look in zip(pair.names, pair.looks, strict=True)}
    try:
        both = side_by_side(attentions, [layer], head, mask_special)
        comparisons = dict.fromkeys(pair.names, both)
        largest = pictures.largest(both, layer)
        rest = f"<p>{escape(largest)}</p>{pictures.picture(partial(pictures.draw_difference, both, layer), largest)}"
    except ValueError as error:
        comparisons = {name: side_by_side({name: each}, [layer], head, mask_special) for name, each in attentions.items()}  # fmt: skip
        rest = views.notice(f"No difference is drawn: {error}")
    sides = "".join(side(pair, at, comparisons[name], layer) for at, name in enumerate(pair.names))
    return views.framed(f'<div class="sides">{sides}</div><h3>Difference</h3>{rest}')


def side(pair: Pair, at: int, comparison: Comparison, layer: int) -> str:
    name, answer = pair.names[at], pair.looks[at].answer
    text = f"Attention of {name}, {comparison.layer_text(layer)}, {comparison.heads_text}"
    drawn = pictures.picture(lambda background: draw_layer(comparison, name, layer, background), text)
    said = views.VIEWS[pair.heads[at]](answer, pair.text, pair.pair)
    return f"<section><h3>{escape(name)}</h3>{said}{drawn}</section>"


def head_number(pair: Pair, head: str) -> int | None:
    """Of the menu; where the mean is all that is known it is the only head."""
    return None if head == MEAN or not pair.all_heads else int(head)


def handlers(source: Source) -> tuple:
    @kindly
    @others(3)
    async def look(first, second, level_1, level_2, text, text_pair, mask_special):
        levels = tuple(level if source.level_of(name) is not None else None for name, level in ((first, level_1), (second, level_2)))  # fmt: skip
        pair = await look_twice(source, (first, second), levels, text, text_pair)
        drawn = await asyncio.to_thread(shown, pair, pair.layers, None, mask_special)
        layers = gr.update(choices=[str(n + 1) for n in range(pair.layers)], value=str(pair.layers), interactive=True)
        numbers = [str(n + 1) for n in range(pair.head_count)] if pair.all_heads else []
        return pair, layers, gr.update(choices=[MEAN, *numbers], value=MEAN, interactive=True), drawn

    @kindly
    async def draw(pair: Pair | None, layer: str, head: str, mask_special: bool):
        if pair is None:
            return ""
        return await asyncio.to_thread(shown, pair, int(layer), head_number(pair, head), mask_special)

    return look, draw


def tab(source: Source) -> None:
    names = list(source.heads)
    levelled = [name for name in names if source.level_of(name) is not None]
    if len(names) < 2 and not levelled:
        gr.Markdown(
            "To compare, open the page with two models, or with one that inhibits and so has levels:\n\n"
            "    ginets ui runs/lora runs/ina"
        )
        return
    with gr.Row():
        first, level_1 = choice(source, names, "First", names[0], None)
        other = partner(source, names)
        second, level_2 = choice(source, names, "Second", other, 0.0 if other == names[0] else None)
    text = gr.Textbox(label="Text (or question)", lines=2, max_lines=8)
    pair = gr.Textbox(label="Second text (or passage)", lines=1, max_lines=8)
    examples(EXAMPLES, (text, pair))
    button = gr.Button("Compare", variant="primary")
    with gr.Row():
        layer = gr.Dropdown(["1"], value="1", label="Layer", interactive=False, filterable=False, min_width=120)
        head = gr.Dropdown([MEAN], value=MEAN, label="Head", interactive=False, filterable=False, min_width=120)
    special = gr.Checkbox(label="Leave special tokens out")
    output = gr.HTML(label="Comparison")
    state = gr.State()
    look, draw = handlers(source)
    fields = [first, second, level_1, level_2, text, pair, special]
    gr.on([button.click, pair.submit], look, fields, [state, layer, head, output], **PRIVATE)
    gr.on([layer.input, head.input, special.input], draw, [state, layer, head, special], output, **PRIVATE)


def partner(source: Source, names: list[str]) -> str:
    """What to put beside the first model: one of its kind, or itself at another level, or what there is."""
    like = [name for name in names[1:] if source.heads[name] == source.heads[names[0]]]
    return next(iter(like), names[0] if source.level_of(names[0]) is not None else names[1])


def choice(source: Source, names: list[str], label: str, name: str, level: float | None) -> tuple:
    """Menus of one side: the model and, if it inhibits, its level."""
    with gr.Column(min_width=260):
        model = menu(names, f"{label} model")
        model.value = name
        own = source.level_of(name)
        value = own if level is None else level
        slider = gr.Slider(
            0, 0.95, value=value or 0, step=0.05, label=f"{label} inhibition level", visible=own is not None
        )

    def follow(name: str):
        own = source.level_of(name)
        return gr.update(visible=own is not None, value=own or 0)

    model.input(follow, model, slider, queue=False, **PRIVATE)
    return model, slider
