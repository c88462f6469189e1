"""The page: its tabs, those that the models can serve first in line to be shown."""

import gradio as gr

from . import ask, chat, classify, compare, training
from .runs import Runs
from .source import Source


TITLE = "ginets"


def build(source: Source, runs: Runs) -> gr.Blocks:
    """The tabs in their order. All are there; one whose head is missing says what to load."""
    tabs = {
        "Classify": lambda: classify.tab(source),
        "Ask": lambda: ask.tab(source),
        "Chat": lambda: chat.tab(source),
        "Compare": lambda: compare.tab(source),
        "Training": lambda: training.tab(runs),
    }
    by_head = {classify.HEAD: "Classify", ask.HEAD: "Ask", chat.HEAD: "Chat"}
    first = next((tab for head, tab in by_head.items() if source.named(head)), "Compare")
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        gr.Markdown(f"# {TITLE}\n{', '.join(f'`{name}`' for name in source.heads)}")
        with gr.Tabs(selected=first):
            for name, fill in tabs.items():
                with gr.Tab(name, id=name):
                    fill()
    return page


def theme() -> gr.Theme:
    """Fonts of the reader's machine: nothing is fetched."""
    names = {"font": ("system-ui", "sans-serif"), "font_mono": ("ui-monospace", "monospace")}
    fonts = {name: [gr.themes.Font(each) for each in fonts] for name, fonts in names.items()}
    return gr.themes.Default(primary_hue=gr.themes.colors.blue, **fonts)
