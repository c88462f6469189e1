"""The unmodified `run_qa.py` of transformers with gated models, and the same figures from `run_squad`.

`GINETS_STOCK_QA` names the folder with `run_qa.py`, `trainer_qa.py` and `utils_qa.py`, which are not part of this
repository. The metric is the one that `docs/squad.md` shows.
"""

import json
import os
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from safetensors.torch import load_file

from ginets.data.squad import answer_lists, read_rows
from ginets.recipes.squad import main
from tests.recipes.squad_fixtures import make_model, make_squad
from tests.test_run import RUNNER, python


COLUMNS = ("id", "title", "context", "question")
FLAGS = {"gi_query_side": True, "gi_key_side": True, "inhibition_level": 0.3, "gi_layer_num": 1}


@pytest.fixture(scope="module")
def script() -> Path:
    folder = os.environ.get("GINETS_STOCK_QA")
    if not folder or not Path(folder, "run_qa.py").is_file():
        pytest.skip("GINETS_STOCK_QA names no folder with the stock run_qa.py")
    if find_spec("evaluate") is None:
        pytest.skip("the package evaluate, which the stock script needs, is not installed")
    return Path(folder, "run_qa.py").absolute()


@pytest.fixture
def folder(tmp_path) -> Path:
    """A working directory with the metric of the documentation."""
    page = (Path(__file__).parents[1] / "docs/squad.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?class Squad.*?)```", page, re.DOTALL)
    (tmp_path / "squad").mkdir()
    (tmp_path / "squad/squad.py").write_text(code)
    return tmp_path


def flat(source: Path, target: Path, limit: int | None = None) -> Path:
    """Official JSON → the form that the stock script reads."""
    rows = [
        {name: row[name] for name in COLUMNS} | {"answers": answer_lists(row["answers"], "")}
        for row in read_rows(source)[:limit]
    ]
    target.write_text(json.dumps({"data": rows}))
    return target


def edit(model: Path) -> Path:
    """Gate flags for the stock config of a folder."""
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | FLAGS))
    return model


def stock(script: Path, folder: Path, model: str, output: str, *options: str) -> dict[str, float]:
    """Run the script in `folder`; its evaluation figures."""
    fixed = ("--use_cpu", "--report_to", "none", "--save_strategy", "no", "--cache_dir", "cache")
    words = ("--model_name_or_path", model, "--do_eval", "--validation_file", "dev.json", "--output_dir", output)
    run = python(*RUNNER, script, *words, *fixed, *options, cwd=folder)
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads((folder / output / "eval_results.json").read_text())


def check(script: Path, folder: Path, model: str, training: tuple[str, ...], windows: tuple[str, ...]) -> dict:
    """Train and evaluate with the stock script; evaluate what it saved once more, with it and with ours."""
    train = ("--do_train", "--train_file", "train.json", "--lr_scheduler_type", "constant")
    figures = stock(script, folder, model, "trained", *train, *training, *windows)
    again = stock(script, folder, "trained", "again", *windows)
    trained, ours = folder / "trained", folder / "ours"
    figures_ours = main(
        ["--model_name_or_path", str(trained), "--do_eval", "--validation_file", str(folder / "official.json"),
         "--output_dir", str(ours), "--use_cpu", *windows]
    )  # fmt: skip
    answers = json.loads((trained / "eval_predictions.json").read_text())
    assert json.loads((ours / "predictions.json").read_text()) == answers
    for name in ("eval_exact_match", "eval_f1"):
        assert figures[name] == again[name] == pytest.approx(figures_ours[name], abs=1e-9)
    assert json.loads((trained / "config.json").read_text())["model_type"] == "bert_gi"
    gates = [value for name, value in load_file(trained / "model.safetensors").items() if "select_" in name]
    assert gates and any(value.abs().max() > 0 for value in gates)  # closed at first: select is zero
    return figures


def test_trains_and_evaluates_a_gated_model(script, folder):
    edit(make_model(folder / "edited"))
    flat(make_squad(folder / "all.json", questions=240, unanswerable=0), folder / "train.json")
    flat(make_squad(folder / "official.json", questions=60, unanswerable=0), folder / "dev.json")
    training = ("--num_train_epochs", "6", "--learning_rate", "0.01", "--per_device_train_batch_size", "16")
    figures = check(script, folder, "edited", training, ("--max_seq_length", "24", "--doc_stride", "8"))
    assert figures["eval_exact_match"] > 60  # guessing one of three metals would be 33 at the best


def test_on_real_data(script, folder, data_dir, minilm):
    edit(Path(shutil.copytree(minilm, folder / "edited")))
    flat(data_dir / "squad/v1.1/train.json", folder / "train.json", 48)
    rows = json.loads(flat(data_dir / "squad/v1.1/dev.json", folder / "dev.json", 24).read_text())["data"]
    (folder / "official.json").write_text(json.dumps(rows))  # the first questions only
    training = ("--num_train_epochs", "1", "--learning_rate", "1e-3", "--per_device_train_batch_size", "8")
    check(script, folder, "edited", training, ("--max_seq_length", "160", "--doc_stride", "48"))
