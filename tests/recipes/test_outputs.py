"""Files of a classification run: submissions as the GLUE server takes them, the command of the card."""

import numpy as np
import pytest
from datasets import Dataset

from ginets.data.glue import Examples, find_task
from ginets.recipes.glue_outputs import write_submission
from ginets.recipes.outputs import command_line


ROWS = Dataset.from_dict({"idx": [2, 0, 1]})  # sorted by length, not in the order of the source


@pytest.mark.parametrize(
    ("task", "labels", "expected"),
    [
        ("rte", ("not_entailment", "entailment"), ["entailment", "entailment", "not_entailment"]),
        ("rte", ("entailment", "not_entailment"), ["not_entailment", "not_entailment", "entailment"]),
        ("mrpc", ("equivalent", "not_equivalent"), ["0", "0", "1"]),
    ],
)
def test_submission_spells_the_classes_in_the_order_of_the_head(task, labels, expected, tmp_path):
    examples = Examples({}, (), labels, find_task(task))
    path = write_submission(tmp_path, "test", examples, ROWS, np.array([0, 1, 1]))
    assert path.name == f"{examples.task.folder}.tsv"
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    assert lines == [["index", "prediction"], *([str(i), name] for i, name in enumerate(expected))]


def test_scores_of_a_submission_stay_on_the_scale(tmp_path):
    examples = Examples({}, (), (), find_task("stsb"))
    path = write_submission(tmp_path, "test", examples, ROWS, np.array([5.2, -0.3, 2.5]))
    assert path.read_text() == "index\tprediction\n0\t0.000\n1\t2.500\n2\t5.000\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--token", "secret", "--seed", "7"], "--seed 7"),
        (["--seed", "7", "--hub_token", "secret"], "--seed 7"),
        (["--hub-token=secret", "--token=secret", "--do_train"], "--do_train"),
        (["args.json", "--glue_dir", "{here}/glue", "--cache_dir={here}/none yet"], "args.json --glue_dir glue '--cache_dir=none yet'"),
        (["--recipe", "ina/rte", "glue_dir={here}/glue", "token=secret", "seed=7"], "--recipe ina/rte glue_dir=glue seed=7"),
        (["--dataset_name", "nyu-mll/glue", "--text", "a b"], "--dataset_name nyu-mll/glue --text 'a b'"),
    ],
)  # fmt: skip
def test_command_for_the_card_has_no_tokens_and_no_places(words, expected, tmp_path):
    (tmp_path / "glue").mkdir()
    assert command_line("ginets glue", [word.format(here=tmp_path) for word in words]) == f"ginets glue {expected}"
