"""`python -m ginets.run`: a script sees what it sees under `python`, and its models get their gates."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer


RUNNER = ("-m", "ginets.run")

SIBLING = """
WORDS = ("good", "fine", "bad", "poor")
ROWS = [(f"a {word} {noun}", int(word in WORDS[:2])) for word in WORDS for noun in ("film", "book", "song", "meal")]
"""

# in the manner of the example scripts of transformers: parser, Auto classes, Trainer, a sibling module
TRAIN = """
from dataclasses import dataclass, field

import torch
from siblings import ROWS

from transformers import (
    AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, HfArgumentParser, Trainer, TrainingArguments, set_seed
)


@dataclass
class ModelArguments:
    model_name_or_path: str = field(metadata={"help": "Folder of the model."})
    expected_processes: int = field(default=1)


class Rows(torch.utils.data.Dataset):  # spawned workers unpickle it as `__main__.Rows`
    def __init__(self, tokenizer):
        self.items = [tokenizer(text) | {"labels": label} for text, label in ROWS]

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return dict(self.items[index])


def main():
    model_arguments, arguments = HfArgumentParser((ModelArguments, TrainingArguments)).parse_args_into_dataclasses()
    assert arguments.world_size == model_arguments.expected_processes
    set_seed(arguments.seed)
    name = model_arguments.model_name_or_path
    config = AutoConfig.from_pretrained(name, num_labels=2)
    tokenizer = AutoTokenizer.from_pretrained(name)
    model = AutoModelForSequenceClassification.from_pretrained(name, config=config)
    rows = Rows(tokenizer)
    trainer = Trainer(model=model, args=arguments, train_dataset=rows, eval_dataset=rows, processing_class=tokenizer)
    if arguments.do_train:
        trainer.train()
        trainer.save_model()
    if arguments.do_eval:
        trainer.save_metrics("eval", trainer.evaluate())


if __name__ == "__main__":
    main()
"""

PROBE = """
import json
import sys

from siblings import WORDS


class Thing:
    pass


seen = {
    "argv": sys.argv,
    "path": sys.path[0],
    "file": __file__,
    "name": __name__,
    "module": sys.modules["__main__"].__dict__ is globals(),
    "class": Thing.__module__,
    "doc": __doc__,
    "names": sorted(name for name in globals() if not name.startswith("__")),
}
print(json.dumps(seen))
exec(sys.argv[1])
"""

SPAWN = """
import json
import multiprocessing
import sys


def report(queue, method):
    from transformers import AutoConfig

    queue.put([type(AutoConfig.for_model("bert_gi")).__name__, method, __name__])


if __name__ == "__main__":
    for method in sys.argv[1:]:
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        process = context.Process(target=report, args=(queue, method))
        process.start()
        print(json.dumps(queue.get(timeout=120)))
        process.join()
"""


def python(*arguments, cwd: Path) -> subprocess.CompletedProcess:
    """Runs `python` on `arguments` in `cwd`, on one thread and without the Hub."""
    packages = str(Path(__file__).parents[1])  # also where the package is not installed
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, (packages, os.environ.get("PYTHONPATH")))),
    }
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with `scripts/` and `edited/`: a tiny stock BERT whose config.json has gate flags."""
    folder = tmp_path_factory.mktemp("run")
    scripts, edited = folder / "scripts", folder / "edited"
    scripts.mkdir()
    for name, text in (("siblings", SIBLING), ("train", TRAIN), ("probe", PROBE), ("spawn", SPAWN)):
        (scripts / f"{name}.py").write_text(text)
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "a",
        "good",
        "fine",
        "bad",
        "poor",
        "film",
        "book",
        "song",
        "meal",
    ]
    BertTokenizer(vocab={word: index for index, word in enumerate(words)}).save_pretrained(edited)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    rates = {"initializer_range": 0.1, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    stock = BertConfig(vocab_size=len(words), **sizes, **rates)
    torch.manual_seed(0)  # the fixture of the module comes before the one that seeds each test
    BertForSequenceClassification(stock).save_pretrained(edited)
    config = json.loads((edited / "config.json").read_text())
    flags = {"gi_query_side": True, "gi_key_side": True, "inhibition_level": 0.3, "gi_layer_num": 1}
    (edited / "config.json").write_text(json.dumps(config | flags))
    return folder


def train(folder: Path, output: str, *launcher, model: str = "edited", options: tuple = ("--do_train",)) -> dict:
    """Runs scripts/train.py; returns its evaluation figures."""
    fixed = ("--do_eval", "--use_cpu", "--report_to", "none", "--save_strategy", "no")
    steps = ("--learning_rate", "0.01", "--lr_scheduler_type", "constant", "--num_train_epochs", "10")
    run = python(
        *launcher,
        *("scripts/train.py", "--model_name_or_path", model, "--output_dir", output, *fixed, *steps, *options),
        cwd=folder,
    )
    assert run.returncode == 0, run.stderr
    return json.loads((folder / output / "eval_results.json").read_text())


def check_gated(trained: Path):
    """The saved model is of our type, and its gates (closed at first: select is zero) have been trained."""
    assert json.loads((trained / "config.json").read_text())["model_type"] == "bert_gi"
    weights = load_file(trained / "model.safetensors")
    gates = {name: weight for name, weight in weights.items() if "select_" in name and name.endswith("weight")}
    layer = "bert.encoder.layer.1.attention.self"
    assert gates.keys() == {f"{layer}.select_q.weight", f"{layer}.select_k.weight"}
    assert all(weight.abs().max() > 0 for weight in gates.values())


def test_trains_saves_reloads_and_evaluates_a_gated_model(folder):
    figures = train(folder, "trained", *RUNNER)
    check_gated(folder / "trained")
    assert figures["eval_loss"] < 0.35  # a coin has log 2 = 0.69
    # the second call reads its rows in a spawned process, which must find the classes of the script
    workers = ("--dataloader_num_workers", "1", "--dataloader_multiprocessing_context", "spawn")
    again = train(folder, "reloaded", *RUNNER, model="trained", options=workers)
    assert again["eval_loss"] == pytest.approx(figures["eval_loss"], abs=1e-6)


@pytest.mark.parametrize(
    ("launcher", "processes"),
    [
        (("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"), 2),
        (("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"), 1),
    ],
    ids=["torchrun", "accelerate"],
)
def test_launchers_take_the_module_in_place_of_the_script(folder, launcher, processes):
    options = ("--do_train", "--expected_processes", processes, *(("--ddp_backend", "gloo") if processes > 1 else ()))
    train(folder, f"launched-{processes}", *launcher, *RUNNER, options=options)
    check_gated(folder / f"launched-{processes}")


@pytest.mark.parametrize(
    ("end", "code"),
    [("sys.exit(7)", 7), ("sys.exit('message')", 1), ("raise OSError('boom')", 1)],
)
def test_a_script_sees_and_returns_what_it_does_under_python(folder, end, code):
    arguments = ("scripts/probe.py", end, "--help", "-m", "two words")
    plain, run = (python(*prefix, *arguments, cwd=folder) for prefix in ((), RUNNER))
    assert run.returncode == plain.returncode == code
    assert json.loads(run.stdout) == json.loads(plain.stdout)
    assert run.stderr.splitlines()[-1:] == plain.stderr.splitlines()[-1:]


def test_a_symbolic_link_is_followed_as_python_does(folder):
    (folder / "link.py").symlink_to(folder / "scripts" / "probe.py")
    plain, run = (python(*prefix, "link.py", "pass", cwd=folder) for prefix in ((), RUNNER))
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == json.loads(plain.stdout)


def test_processes_that_the_script_spawns_know_the_families(folder):
    run = python(*RUNNER, "scripts/spawn.py", "spawn", "forkserver", cwd=folder)
    expected = [["BertGIConfig", method, "__mp_main__"] for method in ("spawn", "forkserver")]
    assert [json.loads(line) for line in run.stdout.splitlines()] == expected, run.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((), "SCRIPT is missing"), (("absent.py",), "'absent.py'"), (("scripts", "--help"), "'scripts'")],
)
def test_a_missing_script_is_one_line_and_exit_code_2(folder, arguments, message):
    run = python(*RUNNER, *arguments, cwd=folder)
    assert (run.returncode, run.stdout, len(run.stderr.splitlines())) == (2, "", 1)
    assert message in run.stderr and "usage: python -m ginets.run SCRIPT" in run.stderr


def test_help_is_of_the_runner_before_the_script(folder):
    run = python(*RUNNER, "--help", cwd=folder)
    assert run.returncode == 0
    assert run.stdout.startswith("usage: python -m ginets.run SCRIPT")
