"""What every method does alike: saving, loading in another process with `import ginets` alone, defaults, trainers."""

import json
import os
import subprocess
import sys

import accelerate
import peft
import pytest
import torch
from peft import AutoPeftModelForCausalLM, AutoPeftModelForSequenceClassification, PeftModel, get_peft_model
from peft.utils.peft_types import PeftType
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM, Trainer, TrainingArguments

from ginets import LlamaInAConfig
from tests import tiny
from tests.tuners.methods import (
    CASES,
    FORMS,
    KINDS,
    METHODS,
    STOCK,
    adapted,
    adapter_weights,
    base_model,
    branches,
    every_method,
    head,
    inputs,
    logits,
)


pytestmark = pytest.mark.filterwarnings("ignore:MTLoRA's structure DTSM")

TYPES = {"ina": "GINETS_INA", "mtlora": "GINETS_MTLORA", "aflora": "GINETS_AFLORA", "sora": "GINETS_SORA"}
AUTO = {"linear": "SequenceClassification", "conv1d": "CausalLM", "embedding": "CausalLM"}


# ---------------------------------------------------------------------- another process


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A folder per form and kind of layer: the adapter; beside them the bases, the inputs and the outputs."""
    root = tmp_path_factory.mktemp("adapters")
    threads, outputs = torch.get_num_threads(), {}
    torch.set_num_threads(1)
    for family, _ in KINDS.values():
        base_model(family).save_pretrained(root / family)
    for form, kind in CASES:
        model = adapted(form, kind)
        model.peft_config["default"].base_model_name_or_path = str(root / KINDS[kind][0])
        model.save_pretrained(root / f"{form}-{kind}")
        outputs[f"{form}-{kind}"] = logits(model)
    torch.set_num_threads(threads)
    save_file(outputs, root / "outputs.safetensors")
    save_file(tiny.inputs(3), root / "inputs.safetensors")
    (root / "auto.json").write_text(json.dumps({name: AUTO[name.split("-")[1]] for name in outputs}))
    return root


# loads every folder and compares, bit by bit
COMPARE = """
import json, sys, torch
from pathlib import Path
from safetensors.torch import load_file
torch.set_num_threads(1)
root = Path(sys.argv[1])
inputs, outputs = load_file(root / "inputs.safetensors"), load_file(root / "outputs.safetensors")
names = json.loads((root / "auto.json").read_text())
for name in sys.argv[2:] or names:
    auto = names[name]
    model = getattr(peft, "AutoPeftModelFor" + auto).from_pretrained(root / name).eval()
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, outputs[name]), name
    print("compared", name)
"""
GINETS_FIRST = "import sys, ginets; assert 'peft' not in sys.modules; import peft" + COMPARE
# without ginets: PEFT's own error names it
PEFT_FIRST = (
    """
import json, sys, peft
from pathlib import Path
for name in json.loads((Path(sys.argv[1]) / "auto.json").read_text()):
    try:
        peft.PeftConfig.from_pretrained(Path(sys.argv[1]) / name)
        raise SystemExit("loaded without ginets")
    except KeyError as error:
        print(error)
import ginets
"""
    + COMPARE
)


def run(code: str, *arguments) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_loads_bit_by_bit_with_ginets_imported_first(stored):
    assert run(GINETS_FIRST, stored).count("compared") == len(CASES)


def test_loads_bit_by_bit_with_peft_imported_first(stored):
    names = [f"{method}-linear" for method in METHODS]
    printed = run(PEFT_FIRST, stored, *names)
    assert printed.count("compared") == len(names)
    assert set(printed.replace("'", " ").split()) >= set(TYPES.values())


# ---------------------------------------------------------------------- what is stored


@pytest.mark.parametrize("form,kind", CASES)
def test_files(form, kind, stored):
    """safetensors alone, under names that no reader of LoRA takes for its own, and a config that is read back equal."""
    folder, method = stored / f"{form}-{kind}", form.split("_")[0]
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors", ".md"}
    names = list(load_file(folder / "adapter_model.safetensors"))
    assert not any("lora_" in name for name in names)
    prefix = peft.mapping.PEFT_TYPE_TO_PREFIX_MAPPING[TYPES[method]]
    assert sum(f".{prefix}A" in name for name in names) == len(branches(adapted(form, kind)))
    written = json.loads((folder / "adapter_config.json").read_text())
    assert written["peft_type"] == TYPES[method]
    config = peft.PeftConfig.from_pretrained(folder)
    assert type(config) is FORMS[form][0] and config.peft_type is PeftType[TYPES[method]]
    assert config.to_dict() == adapted(form, kind).peft_config["default"].to_dict() | {
        "base_model_name_or_path": str(stored / KINDS[kind][0]),
        "inference_mode": True,
    }


@every_method
def test_classes_for_a_task(method, stored):
    model = AutoPeftModelForSequenceClassification.from_pretrained(stored / f"{method}-linear")
    assert type(model).__name__ == "PeftModelForSequenceClassification"
    model = AutoPeftModelForCausalLM.from_pretrained(stored / f"{method}-conv1d", is_trainable=True)
    assert all(weight.requires_grad for weight in adapter_weights(model).values())
    assert not any(w.requires_grad for w in model.get_base_model().lm_head.parameters())


@every_method
def test_a_second_adapter_from_a_folder(method, stored):
    model = adapted(method, seed=5)
    model.load_adapter(stored / f"{method}-linear", "stored")
    model.set_adapter("stored")
    again = PeftModel.from_pretrained(base_model("bert"), stored / f"{method}-linear").eval()
    assert torch.equal(logits(model), logits(again))


def test_methods_side_by_side(stored):
    """Adapters of several methods are loaded into several models of one process; PEFT's LoRA among them is untouched."""
    config = peft.LoraConfig(target_modules=["query"], init_lora_weights=False, task_type="SEQ_CLS")
    torch.manual_seed(0)
    lora = get_peft_model(base_model("bert"), config).eval()
    assert not branches(lora)
    outputs = [logits(lora)]
    for method in METHODS:
        outputs.append(logits(PeftModel.from_pretrained(base_model("bert"), stored / f"{method}-linear").eval()))
    assert all(not torch.allclose(a, b) for i, a in enumerate(outputs) for b in outputs[:i])


# ---------------------------------------------------------------------- default targets


EXPECTED = {
    "bert": {"query", "key", "value"},
    "roberta": {"query", "key", "value"},
    "deberta_v2": {"query_proj", "key_proj", "value_proj"},
    "gpt2": {"c_attn"},
    "llama": {"q_proj", "v_proj"},
    "bloom": {"query_key_value"},
    "t5": {"q", "v"},
}


@every_method
@pytest.mark.parametrize("family", STOCK)
def test_default_targets(method, family):
    """At least the attention's; a method may adapt more where its published runs did."""
    model = get_peft_model(base_model(family), METHODS[method](task_type=head(family)[1]))
    assert {name.rsplit(".", 1)[-1] for name in branches(model)} >= EXPECTED[family]


@every_method
@pytest.mark.parametrize("model_type", tiny.BY_TYPE)
def test_default_targets_of_our_models(method, model_type):
    """The same modules as in the stock model, and never a part of the inhibition itself."""
    stock = get_peft_model(AutoModel.from_config(tiny.stock_config(model_type)), METHODS[method]())
    flags = {} if model_type == "llama_ina" else tiny.BOTH
    gated = get_peft_model(AutoModel.from_config(tiny.config(model_type, **flags)), METHODS[method]())
    assert branches(gated).keys() == branches(stock).keys()


@pytest.mark.parametrize("model_type", tiny.BY_TYPE)
@pytest.mark.parametrize("config", [
    lambda: peft.LoraConfig(),
    lambda: peft.AdaLoraConfig(total_step=10),
    lambda: peft.VeraConfig(r=4),
    lambda: peft.IA3Config(),
], ids=["lora", "adalora", "vera", "ia3"])  # fmt: skip
def test_default_targets_of_pefts_methods_in_our_models(config, model_type):
    def targets(model_config) -> set[str]:
        return get_peft_model(AutoModel.from_config(model_config), config()).targeted_module_names

    stock, ours = tiny.stock_config(model_type), tiny.config(model_type)
    try:
        expected = targets(stock)
    except ValueError:  # PEFT has none for this family
        with pytest.raises(ValueError, match="target_modules"):
            targets(ours)
    else:
        assert targets(ours) == expected


def test_native_inhibition_and_an_adapter():
    """An adapter beside the projections of a Llama that has InA of its own."""
    config = LlamaInAConfig(**tiny.config("llama_ina").to_dict() | {"architectures": None})
    torch.manual_seed(0)
    base = tiny.randomise(AutoModel.from_config(config)).eval()
    with torch.no_grad():
        expected = base(**tiny.inputs()).last_hidden_state
        model = get_peft_model(base, METHODS["ina"](init_weights=False)).eval()
        assert not torch.allclose(model(**tiny.inputs()).last_hidden_state, expected)
        with model.disable_adapter():
            assert torch.equal(model(**tiny.inputs()).last_hidden_state, expected)


# ---------------------------------------------------------------------- trainers


class Rows(torch.utils.data.Dataset):
    def __init__(self, model):
        given = inputs(model, batch=4)
        self.rows = [{k: v[i] for k, v in given.items()} | {"labels": i % 2} for i in range(4)]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


@every_method
def test_trainer(method, tmp_path):
    """A step changes the adapter and nothing else; what the checkpoint holds gives the same outputs."""
    model = adapted(method)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    options = {"max_steps": 2, "learning_rate": 0.05, "per_device_train_batch_size": 2, "use_cpu": True}
    Trainer(model, TrainingArguments(tmp_path, report_to=[], **options), train_dataset=Rows(model)).train()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) != parameter.requires_grad, name
    again = PeftModel.from_pretrained(base_model("bert"), tmp_path / "checkpoint-2")
    assert torch.equal(logits(again.eval()), logits(model.eval()))


@every_method
def test_sft_trainer(method, tmp_path):
    trl, datasets = pytest.importorskip("trl"), pytest.importorskip("datasets")
    tokenizer = word_tokenizer()
    model = base_model("llama")
    data = datasets.Dataset.from_list([{"text": "ab ba ab ab ba"}, {"text": "ba ba ab"}])
    options = {"max_steps": 1, "per_device_train_batch_size": 2, "report_to": [], "use_cpu": True, "bf16": False}
    trainer = trl.SFTTrainer(
        model,
        args=trl.SFTConfig(str(tmp_path), **options),
        train_dataset=data,
        processing_class=tokenizer,
        peft_config=METHODS[method](r=2, task_type="CAUSAL_LM"),
    )
    before = {name: weight.detach().clone() for name, weight in adapter_weights(trainer.model).items()}
    trainer.train()
    after = adapter_weights(trainer.model)
    assert before.keys() == after.keys() and any(not torch.equal(after[name], before[name]) for name in before)
    assert (tmp_path / "checkpoint-1" / "adapter_model.safetensors").exists()


def word_tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<pad>": 0, "<s>": 1, "</s>": 2, "ab": 3, "ba": 4}, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>")


# ---------------------------------------------------------------------- where weights are elsewhere


@pytest.mark.parametrize("offload", ["cpu", "disk"])
@pytest.mark.parametrize("form,kind", CASES)
def test_offloaded_weights(form, kind, offload, tmp_path):
    """accelerate fetches a weight when its module is called; what is read past the call would be nothing at all."""
    model = adapted(form, kind)
    expected = logits(model)
    more = {"offload_dir": str(tmp_path)} if offload == "disk" else {}
    getattr(accelerate, f"{offload}_offload")(model, execution_device=torch.device("cpu"), **more)
    assert all(tensor.is_meta for tensor in adapter_weights(model).values())
    assert torch.equal(logits(model), expected)


def test_an_adapter_of_a_model_that_is_partly_on_disk(tmp_path, monkeypatch):
    """By the ordinary way: the base by a map of devices, then the adapter. The others' tensors PEFT does not write there."""
    monkeypatch.chdir(tmp_path)  # PEFT takes the path of what it writes for one from here
    base_model("llama").save_pretrained(tmp_path / "base")
    config = FORMS["ina"][0](r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_weights=False)
    whole = get_peft_model(AutoModelForCausalLM.from_pretrained(tmp_path / "base"), config).eval()
    whole.save_pretrained(tmp_path / "adapter")
    places = {"model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.norm": "cpu", "model.rotary_emb": "cpu", "lm_head": "cpu"}  # fmt: skip
    places |= {f"model.layers.{at}": "disk" for at in range(1, whole.config.num_hidden_layers)}
    options = {"device_map": places, "offload_folder": str(tmp_path / "disk")}
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base", **options)
    disk = {"offload_dir": str(tmp_path / "disk"), "max_memory": {"cpu": 30_000}}
    model = PeftModel.from_pretrained(base, tmp_path / "adapter", **disk).eval()
    assert any(tensor.is_meta for tensor in adapter_weights(model).values())
    assert torch.equal(logits(model), logits(whole))
