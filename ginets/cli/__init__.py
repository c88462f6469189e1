"""The `ginets` command: `ginets VERB [ARGUMENT ...]`, one module per verb, imported when it is called."""

import sys
from importlib import import_module


VERBS = {
    "models": "list the zoo: ginets models [PATTERN]",
    "run": "run an unmodified script with the families registered: ginets run SCRIPT [ARGUMENT ...]",
    "glue": "fine-tune on GLUE or your own files, the arguments of run_glue.py",
    "squad": "fine-tune on SQuAD or your own files, the arguments of run_squad.py",
    "train": "fine-tune a language model: ginets train nlg|instruct|math [ARGUMENT ...]",
    "sweep": "run a grid of trainings, finished cells are kept: ginets sweep SWEEP.yaml [name=value ...]",
    "fold": "Llama + InA adapter to a native model: ginets fold BASE ADAPTER FOLDER",
    "to-lora": "an adapter to plain LoRA, where that is exact: ginets to-lora BASE ADAPTER FOLDER",
    "publish": "a trained model or adapter as a folder for its users, and to the Hub: ginets publish RUN",
    "verify": "check a published model, with and without ginets: ginets verify FOLDER|REPO",
    "convert": "an InA adapter of the original code to ours: ginets convert SRC DST",
    "generate": "what a language model writes for a task: ginets generate MODEL --task TASK --data FILE --output FILE",
    "chat": "talk to a language model: ginets chat MODEL",
    "serve": "models over HTTP, language models in the form of OpenAI's API: ginets serve MODEL [MODEL ...]",
    "eval": "score a file of predictions: ginets eval squad|nlg|math … DATA PREDICTIONS",
    "check-leak": "questions that two files share: ginets check-leak TRAIN TEST",
    "heatmap": "draw the attention of variants of a model on a text: ginets heatmap VARIANT ... --text TEXT",
    "relevance": "attention on relevant and irrelevant words: ginets relevance VARIANT [VARIANT ...] --data FILE",
    "plot": "learning curves and more, from the files of runs: ginets plot RUN [RUN ...]",
    "env": "versions and hardware, for bug reports",
}


def main(argv: list[str] | None = None) -> int | None:
    """Calls the verb; exit code 2 for one that does not exist."""
    verb, *arguments = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if verb in ("-h", "--help"):
        width = max(map(len, VERBS))
        print("usage: ginets VERB [ARGUMENT ...]\n")
        print("\n".join(f"  {name:{width}}  {text}" for name, text in VERBS.items()))
        return 0
    if verb not in VERBS:
        print(f"ginets: error: no verb {verb!r}; choose from {', '.join(VERBS)}", file=sys.stderr)
        return 2
    return import_module(f"{__name__}.{verb.replace('-', '_')}").main(arguments)
