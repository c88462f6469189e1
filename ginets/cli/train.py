"""`ginets train TASK`: fine-tune a language model."""

from .command import Training, add_verb, new_app


EXAMPLES = """
ginets train nlg --recipe mtlora/e2e-dtsm --model_name_or_path openai-community/gpt2-medium --output_dir runs/e2e
ginets train math --help
"""
TASKS = {
    "nlg": (
        "Fine-tune on data-to-text: E2E, WebNLG, DART or your own files.",
        "ginets train nlg --model_name_or_path my-gpt2 --task_name e2e --train_file E2E/train.csv \\\n"
        "    --adapter lora --do_train --output_dir runs/e2e",
    ),
    "instruct": (
        "Fine-tune on instructions or dialogues.",
        "ginets train instruct --model_name_or_path my-llama --train_file alpaca.json --adapter ina \\\n"
        "    --do_train --output_dir runs/alpaca",
    ),
    "math": (
        "Fine-tune on word problems.",
        "ginets train math --model_name_or_path my-llama --train_file math_7k.json --adapter aflora \\\n"
        "    --do_train --output_dir runs/math",
    ),
}


def trainer(task: str, text: str):
    """The verb of a task."""

    def main(words: list[str]) -> None:
        from ..recipes.train import COMMANDS

        COMMANDS[task].main(words)

    main.__doc__ = f"{text}\n\nTakes transformers' training arguments, and those of adapters, data and recipes."
    return main


APP = new_app("Fine-tune a language model.", EXAMPLES)
for _task, (_text, _example) in TASKS.items():
    add_verb(APP, _task, trainer(_task, _text), _example, Training, program="ginets train")
