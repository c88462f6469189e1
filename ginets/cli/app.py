"""The table of verbs. Each is a module with `main`, or with an `APP` of its own verbs, and `EXAMPLES`."""

from importlib import import_module

from .command import Verb, add_verb, new_app


SECTIONS = {
    "Train": ("glue", "squad", "train", "sweep", "run", "recipes"),
    "Evaluate": ("eval", "check-leak", "heatmap", "relevance", "plot", "bench"),
    "Use": ("generate", "chat", "serve", "ui"),
    "Pass on": ("publish", "verify", "fold", "to-lora", "convert"),
    "Look up": ("list", "env"),
}
HIDDEN = ("models",)
TEXT = """Inhibition-style adaptation of Transformers.

`ginets VERB --help` explains a verb. Exit codes: 0 done, 1 not done or a negative finding, 2 wrong usage or input.
`--debug` at a verb shows the traceback of an error."""
EXAMPLES = """
ginets glue --model_name_or_path bert-base-uncased --task_name mrpc --gi_query_side --do_train --output_dir runs/mrpc
ginets publish runs/mrpc
ginets serve runs/mrpc
"""


def build():
    """The command with all verbs."""
    app = new_app(TEXT, EXAMPLES, completion=True)
    for section, names in {**SECTIONS, None: HIDDEN}.items():
        for name in names:
            module = import_module(f".{name.replace('-', '_')}", __package__)
            if hasattr(module, "APP"):
                app.add_typer(module.APP, name=name, rich_help_panel=section)
            else:
                kind = getattr(module, "KIND", Verb)
                add_verb(app, name, module.main, module.EXAMPLES, kind, section, hidden=section is None)
    return app


APP = build()
