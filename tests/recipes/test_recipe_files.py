"""Recipes: every shipped one parses, belongs to its place and states its source; names and overriding."""

import re

import pytest

from ginets.recipes.glue import parse_all
from ginets.recipes.recipe_files import ArgumentsError, cookbook, expand, list_recipes, recipe_path


EIGHT = ("cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb")
SHIPPED = {
    "aflora": EIGHT, "elora": EIGHT, "adalora": EIGHT, "mtlora": EIGHT, "ina": (*EIGHT, "wnli"), "gimlp": (*EIGHT, "wnli"),
    "lora": ("mnli",), "full": ("mnli",), "sora": ("stsb",),
}  # fmt: skip
ADAPTER = {"elora": "vera", "gimlp": "none", "full": "none"}


def test_what_is_shipped():
    assert list_recipes() == sorted(f"{method}/{task}" for method, tasks in SHIPPED.items() for task in tasks)


@pytest.mark.parametrize("name", list_recipes())
def test_recipe(name):
    """It parses into arguments that its adapter's config takes, runs what its name says, and cites a source."""
    method, task = name.split("/")
    model_args, adapter_args, gate_args, data_args, training_args = parse_all(expand(["--recipe", name, "--use_cpu"]))
    assert data_args.task_name == task and training_args.output_dir == f"runs/glue/{name}"
    assert adapter_args.adapter == ADAPTER.get(method, method)
    assert training_args.do_train and training_args.do_eval and model_args.model_name_or_path
    assert bool(gate_args.given) == (method == "gimlp")
    text = recipe_path(name).read_text(encoding="utf-8")
    effective = training_args.per_device_train_batch_size * training_args.gradient_accumulation_steps
    assert int(re.search(r"# effective batch (\d+)", text)[1]) == effective
    assert re.search(r"https://github.com/[\w/-]+[\s#]+at [0-9a-f]{7}\b", text.split("\n\n")[0])
    assert ("GPU count unknown" in text) == (method == "gimlp")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # of the published runs: rate, rate of the head, epochs, effective batch, seed, rank, length
        ("aflora/cola", (1e-2, 4e-2, 20, 64, 42, 4, 256)),
        ("aflora/mrpc", (1e-2, 8e-2, 20, 64, 42, 4, 256)),
        ("aflora/stsb", (2e-2, 2e-2, 20, 64, 42, 4, 256)),
        ("aflora/qnli", (1e-3, 4e-3, 10, 256, 42, 4, 256)),
        ("elora/rte", (1e-2, 4e-2, 20, 64, 42, 1024, 256)),
        ("mtlora/cola", (4e-4, None, 80, 64, 27, 8, 512)),
        ("mtlora/qqp", (5e-4, None, 25, 32, 0, 8, 512)),
        ("mtlora/rte", (5e-4, None, 80, 32, 0, 8, 512)),
        ("mtlora/sst2", (5e-4, None, 60, 32, 69, 8, 512)),
        ("ina/mrpc", (5e-5, None, 10, 8, 42, 4, 128)),
        ("ina/stsb", (5e-5, None, 10, 8, 42, 8, 128)),
        ("gimlp/rte", (5e-5, None, 10, 32, 42, None, 128)),
    ],
)
def test_published_values(name, expected):
    _, adapter, _, data, training = parse_all(expand(["--recipe", name]))
    batch = training.per_device_train_batch_size * training.gradient_accumulation_steps
    assert expected == (
        training.learning_rate, adapter.classifier_lr, training.num_train_epochs, batch, training.seed,
        adapter.fields.get("r"), data.max_seq_length,
    )  # fmt: skip


def test_later_words_override_the_recipe():
    words = expand(
        ["--seed", "1", "--recipe", "aflora/mrpc", "seed=7", "target_modules=[query_proj, value_proj]", "r=8",
         "--max_steps", "10", "classifier_lr=null", "exclude_modules=^a=b$"]
    )  # fmt: skip
    _, adapter, _, _, training = parse_all(words)
    assert training.seed == 1  # an option beats `name=value`, wherever it stands
    assert (training.max_steps, adapter.classifier_lr) == (10, None)
    assert adapter.fields["r"] == 8 and adapter.fields["target_modules"] == ["query_proj", "value_proj"]
    assert adapter.fields["exclude_modules"] == "^a=b$"
    assert adapter.fields["freeze_from_start"] == ["square"]


def test_another_method_on_the_terms_of_a_recipe():
    """The line that `lora/mnli` gives for a LoRA beside the recipe of another method."""
    line = re.search(r"run_glue.py (--recipe .*?)\.\n", recipe_path("lora/mnli").read_text().replace("\n# ", " "))[1]
    _, adapter, _, _, training = parse_all(expand(line.split()))
    assert adapter.adapter == "lora" and adapter.init_adapter is None
    assert adapter.fields == {
        "r": 8, "lora_alpha": 16, "target_modules": ["query", "value", "intermediate.dense", "output.dense"],
        "exclude_modules": ["attention.output.dense"],
    }  # fmt: skip
    assert training.learning_rate == 4e-4


def test_a_recipe_named_in_a_file_of_arguments(tmp_path):
    (tmp_path / "mine.yaml").write_text("recipe: ina/rte\nseed: 3\n")
    _, adapter, _, data, training = parse_all(expand([str(tmp_path / "mine.yaml"), "--recipe=ina/cola"]))
    assert (data.task_name, training.seed, adapter.adapter) == ("cola", 3, "ina")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--recipe", "aflora/mrcp"], "--recipe is 'aflora/mrcp'; did you mean aflora/mrpc"),
        (["--recipe", "x"], "adalora/cola, adalora/mnli"),
        (["--recipe"], "--recipe needs a value"),
        (["--recipe", "--seed", "1"], "--recipe needs a value"),
    ],
)
def test_unknown_names_list_the_known_ones(words, says):
    with pytest.raises(ArgumentsError, match=says):
        expand(words)


def test_the_folder_of_recipes_has_a_page():
    page = (cookbook() / "README.md").read_text()
    assert all(f"`{method}`" in page for method in SHIPPED)
