"""Recipes: every shipped one parses, belongs to its place and states its source; names and overriding."""

import re

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from ginets import model_path
from ginets.recipes.adapted import attach, count_trainable, make_config
from ginets.recipes.glue import main, parse_all
from ginets.recipes.heads import CAUSAL_LM, CLASSIFICATION
from ginets.recipes.recipe_files import ArgumentsError, cookbook, expand, list_recipes, recipe_path
from ginets.recipes.squad import main as squad_main
from ginets.recipes.squad import parse_all as parse_squad
from ginets.recipes.train import COMMANDS
from tests.recipes import squad_fixtures
from tests.recipes.glue_fixtures import make_model, make_sst2
from tests.tiny_language import MODELS


EIGHT = ("cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb")
SHIPPED = {
    "aflora": EIGHT, "elora": EIGHT, "adalora": EIGHT, "mtlora": EIGHT, "ina": (*EIGHT, "wnli"), "gimlp": (*EIGHT, "wnli"),
    "lora": ("mnli",), "full": ("mnli",), "sora": ("stsb",),
}  # fmt: skip
SQUAD = {
    "ina": [f"{model}-p{level}" for model in ("bert-large-uncased", "roberta-large") for level in ("0", "0.1", "0.3", "0.9")],
    "gimlp": [f"{model}-v{n}" for model in ("bert-large-cased", "roberta-large", "deberta-v3-large") for n in (1, 2)],
}  # fmt: skip
LANGUAGE = {
    "nlg": {
        "lora": ("e2e", "webnlg", "dart"),
        "mtlora": [
            f"{data}-{form}" for data in ("e2e", "webnlg", "dart") for form in ("shim", "icfm", "ctcm", "dtsm")
        ],
    },
    "math": {"aflora": ["llama-7b"]},
    "instruct": {"ina": ["bloom-7b1-alpaca", "llama-2-7b-squad", "llama-7b-alpaca"]},
}
ADAPTER = {"elora": "vera", "gimlp": "none", "full": "none"}


def test_what_is_shipped():
    for benchmark, shipped in {"glue": SHIPPED, "squad": SQUAD, **LANGUAGE}.items():
        assert list_recipes(benchmark) == sorted(f"{method}/{name}" for method in shipped for name in shipped[method])


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


@pytest.mark.parametrize("name", list_recipes("squad"))
def test_squad_recipe(name):
    """It parses, its name says model and level or version of the data, and it cites a source."""
    method, which = name.split("/")
    model, _, end = which.rpartition("-")
    model_args, adapter_args, gate_args, data_args, training_args = parse_squad(
        expand(["--recipe", name, "--use_cpu"], "squad")
    )
    assert training_args.do_train and training_args.do_eval and training_args.output_dir == f"runs/squad/{name}"
    assert model_args.model_name_or_path.endswith(f"/{model}") and adapter_args.adapter == ADAPTER.get(method, method)
    version_2 = end != "v1"
    assert data_args.version_2_with_negative == version_2
    assert data_args.dataset_name == ("squad_v2" if version_2 else "squad")
    text = recipe_path(name, "squad").read_text(encoding="utf-8")
    assert re.search(r"https://github.com/[\w/-]+[\s#]+at [0-9a-f]{7}\b", text.split("\n\n")[0])
    effective = training_args.per_device_train_batch_size * training_args.gradient_accumulation_steps
    assert int(re.search(r"# effective batch (\d+)", text)[1]) == effective
    if method == "ina":
        assert adapter_args.fields == {
            "r": 8, "ina_alpha": 16, "ina_dropout": 0.1, "inhibition_level": float(end.removeprefix("p")),
            "target_modules": ["query", "key", "value"], "modules_to_save": ["qa_outputs", "LayerNorm"],
        }  # fmt: skip
        assert (training_args.learning_rate, training_args.num_train_epochs, effective) == (4e-5, 11, 16)
        assert (training_args.adam_beta2, training_args.adam_epsilon, training_args.max_grad_norm) == (0.98, 1e-6, 0)
    else:
        assert (gate_args.gi_key_side, gate_args.gi_layer_num) == (True, 24)


@pytest.mark.parametrize("name", [f"{task}/{name}" for task in LANGUAGE for name in list_recipes(task)])
def test_recipe_of_a_language_model(name):
    """It parses into arguments that its adapter's config takes, and cites a source."""
    task, _, recipe = name.partition("/")
    words = expand(["--recipe", recipe, "--use_cpu"], task)
    _, adapter_args, gate_args, data_args, training_args = COMMANDS[task].parse_all(words)
    assert training_args.output_dir == f"runs/{name}" and adapter_args.adapter == recipe.split("/")[0]
    assert make_config(adapter_args, 100, CAUSAL_LM).task_type == "CAUSAL_LM" and not gate_args.given
    text = recipe_path(recipe, task).read_text(encoding="utf-8")
    effective = training_args.per_device_train_batch_size * training_args.gradient_accumulation_steps
    assert int(re.search(r"# effective batch (\d+)", text)[1]) == effective
    assert re.search(r"https://github.com/[\w/-]+[\s#]+at [0-9a-f]{7}\b", text.split("\n\n")[0])
    if task == "nlg":
        assert recipe.split("/")[1].startswith(data_args.task_name)
        fields = adapter_args.fields
        assert (fields["r"], fields["lora_alpha"], training_args.learning_rate) == (4, 32, 2e-4)
        assert recipe.split("/")[1].removeprefix(f"{data_args.task_name}-").upper() in (
            fields.get("structure", data_args.task_name.upper()),
        )


@pytest.mark.parametrize("name", [f"{task}/{name}" for task in LANGUAGE for name in list_recipes(task)])
def test_a_recipe_of_a_language_model_fits_its_architecture(name):
    """On a tiny model of its family: every module that it names is there and gets an adapter."""
    task, _, recipe = name.partition("/")
    model_args, adapter_args, *_ = COMMANDS[task].parse_all(expand(["--recipe", recipe, "--use_cpu"], task))
    family = next(each for each in ("gpt2", "llama", "bloom") if each in model_args.model_name_or_path.lower())
    model_class, config = MODELS[family]
    model = attach(model_class(config), make_config(adapter_args, 100, CAUSAL_LM))
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    for target in adapter_args.fields["target_modules"]:
        places = {name.rpartition(f".{target}.")[0] for name in trained if f".{target}." in name}
        assert len(places) == 2, target  # layers
    assert all(any(f".{target}." in name for target in adapter_args.fields["target_modules"]) for name in trained)


@pytest.mark.parametrize("name", ["ina/bert-large-uncased-p0.3", "gimlp/bert-large-cased-v2"])
def test_a_squad_recipe_runs(name, tmp_path):
    """On a tiny untrained BERT; with InA, the LayerNorms are trained as published."""
    model = squad_fixtures.make_model(tmp_path / "model")
    files = {split: squad_fixtures.make_squad(tmp_path / f"{split}.json", questions=12) for split in ("train", "dev")}
    figures = squad_main(
        ["--recipe", name, f"model_name_or_path={model}", "dataset_name=null", f"train_file={files['train']}",
         f"validation_file={files['dev']}", "max_seq_length=24", "doc_stride=4", "max_steps=3",
         f"output_dir={tmp_path / 'out'}", *(["gi_layer_num=1"] if "gimlp" in name else []), "--use_cpu"]
    )  # fmt: skip
    assert 0 <= figures["eval_f1"] <= 100
    if "ina" in name:
        norms = sum(f"LayerNorm.{part}" in key for part in ("weight", "bias") for key in load_file(
            tmp_path / "out/adapter_model.safetensors"
        ))  # fmt: skip
        assert norms == 6


FAMILY = {"ina": "bert", "mtlora": "roberta"}  # all others: deberta-v2


@pytest.mark.parametrize("method", SHIPPED)
def test_a_recipe_runs(method, tmp_path):
    """On a tiny untrained model of its family: every published field is one that the method takes there."""
    model = make_model(tmp_path / "model", weights=False)
    shape = {"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
             "intermediate_size": 32, "max_position_embeddings": 64, "pad_token_id": 0}  # fmt: skip
    more = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8, "share_att_key": True}
    config = AutoConfig.for_model(FAMILY.get(method, "deberta-v2"), **shape, **({} if method in FAMILY else more))
    AutoModel.from_config(config).save_pretrained(model)
    task = SHIPPED[method][0]
    figures = main(
        ["--recipe", f"{method}/{task}", f"model_name_or_path={model}", f"glue_dir={make_sst2(tmp_path, rows=16)}",
         "task_name=sst2", "metric_for_best_model=accuracy", "max_steps=4", "per_device_train_batch_size=4",
         "gradient_accumulation_steps=1", "tinit=null", "tfinal=null", "deltaT=null", f"output_dir={tmp_path / 'out'}",
         "max_seq_length=32", *(["gi_layer_num=2"] if method == "gimlp" else []), "--use_cpu"]
    )  # fmt: skip
    assert 0 <= figures["eval_accuracy"] <= 1 and figures["adapter"] == ADAPTER.get(method, method)


def test_sizes_are_those_published(tmp_path):
    """Parameters of the adapters on the real shapes, without weights: the papers' counts, head excluded."""
    roberta = AutoConfig.from_pretrained(model_path("roberta-base-gi"))
    deberta = AutoConfig.from_pretrained(model_path("deberta-v3-base-gi"))
    bert = AutoConfig.from_pretrained(model_path("bert-large-cased-gi"))
    for name, config, expected in (
        ("mtlora/mrpc", roberta, 1_035_264),  # q, v, feed-forward at r = 8, and C of 8 x 8 for each
        ("aflora/mrpc", deberta, 451_872),  # at the start: vectors, and A and B of the feed-forward layers
        ("lora/mnli", deberta, 1_327_104),
        ("elora/mrpc", deberta, 156_672),  # vectors
        ("ina/mrpc", bert, 589_824),  # 591,874 with the head of 2,050
    ):
        adapter = parse_all(expand(["--recipe", name]))[1]
        stock = dict.fromkeys(("gi_query_side", "gi_key_side"), False)
        with torch.device("meta"):
            model = AutoModelForSequenceClassification.from_config(type(config).from_dict(config.to_dict() | stock))
            model = attach(model, make_config(adapter, 100, CLASSIFICATION), low_cpu_mem_usage=True)
        assert count_trainable(model)["trainable_parameters_without_head"] == expected, name


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
