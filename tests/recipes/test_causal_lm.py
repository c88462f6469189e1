"""The causal recipe on a tiny data-to-text set: it learns, its figures are right, and every switch does what it says."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    EvalPrediction,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    TrainerCallback,
)
from transformers.integrations import INTEGRATION_TO_CALLBACK

import ginets
from ginets.data.segments import IGNORED, Segment, encode
from ginets.recipes.arguments import GateArguments, ModelArguments, RecipeTrainingArguments
from ginets.recipes.causal_data import CausalDataArguments, CausalTask, CompletionLoss, perplexity
from ginets.recipes.causal_lm import FIGURES, run
from ginets.recipes.heads import CAUSAL_LM, load_config
from ginets.recipes.model import load_model
from ginets.recipes.nlg_task import segments
from ginets.recipes.train import COMMANDS
from ginets.recipes.trainer import settle_metric
from tests.tiny_language import LETTERS, LLAMA, MODELS, SHARED, make_tokenizer


main = COMMANDS["nlg"].main


def rows(count: int, start: int = 0) -> list[tuple[str, str]]:
    """Facts and a text that repeats one of them: "a b", "b b a"."""
    pairs = [(a, b) for a in LETTERS for b in LETTERS if a != b]
    return [(f"{a} {b}", f"{b} {b} {a}") for a, b in pairs[start::7][:count]]


def write(path, pairs):
    path.write_text("mr,ref\n" + "".join(f"{facts},{text}\n" for facts, text in pairs))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nlg")
    for name, (model_class, config) in MODELS.items():
        torch.manual_seed(0)
        stock = model_class if name != "llama_ina" else MODELS["llama"][0]
        stock._from_config(config if name != "llama_ina" else MODELS["llama"][1]).save_pretrained(folder / name)
        make_tokenizer(begin=name == "llama").save_pretrained(folder / name)
    wide = LlamaConfig(**LLAMA | {"hidden_size": 64, "intermediate_size": 128}, **SHARED, max_position_embeddings=64)
    LlamaForCausalLM(wide).save_pretrained(
        folder / "wide"
    )  # sizes that kernels of 4 bits take; its frozen output layer says more, too
    make_tokenizer().save_pretrained(folder / "wide")
    write(folder / "train.csv", rows(30))
    write(folder / "dev.csv", rows(12, start=3))
    return folder


def words(place, output, *more, model="gpt2", epochs=2):
    return [
        "--model_name_or_path", str(place / model), "--task_name", "e2e", "--train_file", str(place / "train.csv"),
        "--validation_file", str(place / "dev.csv"), "--output_dir", str(output), "--do_train", "--do_eval",
        "--num_train_epochs", str(epochs), "--learning_rate", "1e-2", "--per_device_train_batch_size", "5",
        "--use_cpu", "--disable_tqdm", "True", *map(str, more),
    ]  # fmt: skip


def by_hand(folder, pairs) -> float:
    """Perplexity of the answers, token by token through the saved model."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    total = count = 0
    for row in encode([segments(*pair) for pair in pairs], tokenizer, 64):
        ids = torch.tensor([row["input_ids"]])
        with torch.no_grad():
            logs = model(input_ids=ids).logits[0].log_softmax(-1)
        for at, label in enumerate(row["labels"]):
            if label != IGNORED:
                total -= logs[at - 1, label].item()
                count += 1
    return math.exp(total / count)


@pytest.fixture(scope="module")
def finished(place, tmp_path_factory):
    output = tmp_path_factory.mktemp("run") / "out"
    return output, main(words(place, output, epochs=30))


def test_it_learns_and_perplexity_is_exact(finished, place):
    output, figures = finished
    assert figures["eval_perplexity"] < 4 < by_hand(place / "gpt2", rows(12, start=3))
    assert figures["eval_perplexity"] == pytest.approx(by_hand(output, rows(12, start=3)), rel=1e-5)
    assert figures["eval_tokens"] == 12 * 4  # three letters and the end
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    assert figures["eval_perplexity"] == min(e["eval_perplexity"] for e in history if "eval_perplexity" in e)
    assert "pipeline_tag: text-generation" in (output / "README.md").read_text()


def test_resuming_equals_an_uninterrupted_run(place, tmp_path):
    whole = main(words(place, tmp_path / "whole", epochs=3))
    first = min((tmp_path / "whole").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    again = main(words(place, tmp_path / "again", "--resume_from_checkpoint", first, epochs=3))
    assert again["eval_perplexity"] == whole["eval_perplexity"]
    expected, got = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "again"))
    assert all(torch.equal(expected[name], got[name]) for name in expected)


def test_end_token_is_learnt_where_it_also_pads(place, tmp_path):
    """A Llama without a padding token: an embedding gives no gradient to the row that it is told to pad with."""
    config = LlamaConfig(**LLAMA, **SHARED | {"pad_token_id": None}, max_position_embeddings=64)
    LlamaForCausalLM(config).save_pretrained(place / "bare")
    tokenizer = make_tokenizer()
    tokenizer.pad_token = None
    tokenizer.save_pretrained(place / "bare")
    main(words(place, tmp_path / "out", model="bare", epochs=1))
    before, after = (load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
                     for folder in (place / "bare", tmp_path / "out"))  # fmt: skip
    assert not torch.equal(before[config.eos_token_id], after[config.eos_token_id])


def test_packing_trains_on_the_same_rows_and_other_lengths(place, tmp_path):
    figures = main(words(place, tmp_path / "packed", "--packing", "--max_seq_length", "30", epochs=60))
    assert figures["train_samples"] == 8  # 30 rows of 7 tokens, four in each block of 30
    assert figures["eval_perplexity"] < 6


def test_a_packed_step_has_the_loss_of_its_rows(place, tmp_path):
    """As the recipe runs it: neither a mask nor a cache of the `Trainer`'s lets the rows of a block read each other."""
    model = AutoModelForCausalLM.from_pretrained(place / "llama")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.3)
    model.save_pretrained(tmp_path / "loud")  # attention that matters
    make_tokenizer(begin=True).save_pretrained(tmp_path / "loud")
    losses = []
    once = ["--per_device_train_batch_size", 30, "--max_steps", 1, "--eval_strategy", "no", "--save_strategy", "no"]
    for more in ([], ["--packing", "--max_seq_length", 32]):
        losses.append(main(words(place, tmp_path / "out", *once, *more, model=tmp_path / "loud"))["train_loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_packing_is_refused_where_rows_would_read_each_other(place, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(words(place, tmp_path / "out", "--packing", model="bloom"))
    assert "--packing is not for bloom models" in capsys.readouterr().err


def test_label_smoothing_is_the_published_formula():
    """(1 − ε)·nll + ε·mean(−log p) over the labelled tokens, in value and gradient; none in evaluation."""
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 7, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[IGNORED, 3, 1, IGNORED, 2], [IGNORED, IGNORED, 6, 0, IGNORED]])
    outputs = type("Outputs", (), {"logits": logits})

    def naive(epsilon):
        terms = []
        for row in range(2):
            for at in range(1, 5):
                if labels[row, at] != IGNORED:
                    logs = logits[row, at - 1].float().log_softmax(-1)
                    terms.append(-(1 - epsilon) * logs[labels[row, at]] - epsilon * logs.mean())
        return sum(terms)

    for count in (None, 5, torch.tensor(9)):
        loss = CompletionLoss(0.1)(outputs, labels, count)
        expected = naive(0.1) / (5 if count is None else int(count))
        torch.testing.assert_close(loss, expected)
        torch.testing.assert_close(*(torch.autograd.grad(each, logits)[0] for each in (loss, expected)))
    with torch.no_grad():
        torch.testing.assert_close(CompletionLoss(0.1)(outputs, labels), naive(0.0) / 5)


def test_accumulated_batches_are_like_one_of_their_size(place, tmp_path):
    """Batches of rows with different numbers of tokens: every token counts the same."""
    write(tmp_path / "train.csv", [(f, t + " " + t if i % 3 else t) for i, (f, t) in enumerate(rows(30))])
    losses = {}
    for size, steps in ((6, 1), (2, 3)):
        output = tmp_path / f"batch{size}"
        more = ["--train_file", tmp_path / "train.csv", "--per_device_train_batch_size", size, "--gradient_accumulation_steps",
                steps, "--train_sampling_strategy", "sequential", "--logging_strategy", "steps", "--logging_steps", 1,
                "--max_steps", 5, "--max_grad_norm", 0, "--save_strategy", "no", "--eval_strategy", "no"]  # fmt: skip
        main(words(place, output, *more, model="llama"))
        history = json.loads((output / "trainer_state.json").read_text())["log_history"]
        losses[size] = [entry["loss"] for entry in history if "loss" in entry]
    assert len(losses[6]) == 5 and losses[2] == pytest.approx(losses[6], abs=2e-4)


def test_llama_ina_trains_its_branches_alone_from_exactly_the_stock_model(place, tmp_path):
    flags = ["--ina_rank", "4", "--ina_target_modules", "q_proj", "v_proj"]
    figures = main(words(place, tmp_path / "out", *flags, model="llama", epochs=10))
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert type(model) is ginets.LlamaInAForCausalLM
    stock = load_file(place / "llama" / "model.safetensors")
    for name, tensor in model.state_dict().items():
        assert ("_ina." in name) != (name in stock and torch.equal(tensor, stock[name])), name
    branches = 2 * 2 * 4 * (16 + 16)  # layers, projections, rank, sizes
    assert figures["trainable_parameters"] == branches
    assert figures["eval_perplexity"] < by_hand(place / "llama", rows(12, start=3))
    whole = main(words(place, tmp_path / "whole", *flags, "--train_base", model="llama", epochs=1))
    assert whole["trainable_parameters"] > 10 * branches


@pytest.mark.parametrize("model", ["gpt2", "llama", "bloom"])
def test_default_targets_of_every_architecture(place, tmp_path, model):
    pytest.importorskip("peft")
    main(words(place, tmp_path / "out", "--adapter", "ina", "--r", "2", model=model, epochs=1))
    content = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    expected = {"gpt2": ["c_attn"], "llama": ["q_proj", "v_proj"], "bloom": ["query_key_value"]}[model]
    assert sorted(content["target_modules"]) == expected and content["task_type"] == "CAUSAL_LM"
    assert (tmp_path / "out" / "base" / "config.json").exists()


def test_adalora_trains_with_its_orthogonality_once_per_step(place, tmp_path):
    """The first loss grows with its weight, in one batch as in two parts."""
    pytest.importorskip("peft")
    first = {}
    for weight, size, steps in ((0, 6, 1), (4, 6, 1), (4, 3, 2)):
        output = tmp_path / f"{weight}-{size}"
        more = ["--adapter", "adalora", "--init_r", 4, "--target_r", 2, "--orth_reg_weight", weight, "--max_steps", 3,
                "--per_device_train_batch_size", size, "--gradient_accumulation_steps", steps, "--logging_strategy",
                "steps", "--logging_steps", 1, "--save_strategy", "no", "--eval_strategy", "no"]  # fmt: skip
        main(words(place, output, *more, "--train_sampling_strategy", "sequential", model="llama"))
        history = json.loads((output / "trainer_state.json").read_text())["log_history"]
        first[weight, size] = next(entry["loss"] for entry in history if "loss" in entry)
    # A and B are drawn with deviation 0.02: their products are nearly 0, the norm of I - 0 is that of I
    assert first[4, 6] - first[0, 6] == pytest.approx(4 * 4**0.5, rel=0.02)
    assert first[4, 3] == pytest.approx(first[4, 6], rel=1e-4)


@pytest.mark.parametrize("adapter", ["lora", "mtlora", "aflora"])
def test_checkpointing_and_bf16(place, tmp_path, adapter):
    pytest.importorskip("peft")
    more = ["--adapter", adapter, "--r", "4", "--activation_checkpointing", "--bf16", "--learning_rate", "5e-2"]
    figures = main(words(place, tmp_path / "out", *more, model="wide", epochs=12))
    assert figures["eval_perplexity"] < 0.9 * by_hand(place / "wide", rows(12, start=3))


@pytest.mark.parametrize(("quantization", "kind"), [("nf4", "Linear4bit"), ("int8", "Linear8bitLt"), (None, "Linear")])
def test_weights_of_the_base_are_of_4_or_8_bits(place, quantization, kind):
    pytest.importorskip("bitsandbytes")
    arguments = ModelArguments(model_name_or_path=str(place / "wide"), quantization=quantization)
    model, _ = load_model(arguments, load_config(arguments, GateArguments()), CAUSAL_LM)
    assert type(model.model.layers[0].self_attn.q_proj).__name__ == kind
    assert type(model.lm_head) is torch.nn.Linear


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
@pytest.mark.parametrize("adapter", ["lora", "ina"])
def test_quantized_base(place, tmp_path, quantization, adapter):
    """The adapter on it learns, and nothing else is saved."""
    pytest.importorskip("bitsandbytes")
    more = ["--quantization", quantization, "--adapter", adapter, "--r", "4", "--learning_rate", "5e-2"]
    figures = main(words(place, tmp_path / "out", *more, model="wide", epochs=12))
    assert figures["eval_perplexity"] < 0.9 * by_hand(place / "wide", rows(12, start=3))
    assert all("lora_" in name or "ina_" in name for name in load_file(tmp_path / "out" / "adapter_model.safetensors"))


BAD = {
    "no task": (["--task_name"], "argument --task_name/--task-name: expected one argument"),
    "quantized without adapter": (["--quantization", "nf4"], "--quantization keeps the base frozen; it needs --adapter"),
    "prediction": (["--do_predict"], "--do_predict is not for language models"),
    "too many held out": (["--validation_file=", "--validation_rows", "30"], "--validation_rows is"),
    "length zero": (["--max_seq_length", "0"], "--max_seq_length is 0; allowed: at least 1"),
    "too short": (["--max_seq_length", "3"], "no row has a token to learn among its first 3"),
    "files and Hub": (["--dataset_name", "me/e2e"], "both --train_file and --dataset_name are given; choose one source"),
    "unknown metric": (["--metric_for_best_model", "bleu"], "'bleu'; here it can be perplexity, loss"),
    "no such file": (["--train_file", "gone.csv"], "gone.csv"),
    "unknown argument": (["--doc_stride", "3"], "unknown arguments: --doc_stride 3"),
    "unknown tracker": (["--report_to", "notebook"], "--report_to is 'notebook'; allowed: none, all, "),
    "tracker that is not there": (["--report_to", "dagshub"], "--report_to is 'dagshub', and its package is not installed"),
    "rate of a head": (["--classifier_lr", "1e-3"], "--classifier_lr is for models with a head for a task"),
    "base beside an adapter": (["--adapter", "lora", "--train_base"], "--train_base is for runs without --adapter"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name, place, tmp_path, capsys):
    more, says = BAD[name]
    with pytest.raises(SystemExit) as caught:
        main(words(place, tmp_path / "out", *more))
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ginets train nlg: ")]
    assert caught.value.code == 2 and len(error) == 1 and says in error[0]


@pytest.mark.parametrize(("config", "says"), [
    (BertConfig(vocab_size=20), "this bert model is an encoder: its tokens see the answer"),
    (T5Config(vocab_size=20), "t5 models have no head for text-generation"),
])  # fmt: skip
@pytest.mark.parametrize("more", [[], ["--adapter", "lora"]])
def test_models_that_do_not_write_are_refused_before_weights_are_read(config, says, more, place, tmp_path, capsys):
    config.save_pretrained(tmp_path / "model")
    make_tokenizer().save_pretrained(tmp_path / "model")
    with pytest.raises(SystemExit) as caught:
        main(words(place, tmp_path / "out", *more, model=tmp_path / "model"))
    assert caught.value.code == 2 and says in capsys.readouterr().err


def test_figures_go_to_a_tracker(place, tmp_path, monkeypatch):
    """Those of `--report_to`: a stand-in for one of them sees losses and the figures of the evaluation."""
    seen = []

    class Tracker(TrainerCallback):
        def on_log(self, args, state, control, logs, **more):
            seen.append(logs)

    monkeypatch.setitem(INTEGRATION_TO_CALLBACK, "flyte", Tracker)
    main(words(place, tmp_path / "silent", epochs=1))
    assert not seen
    main(words(place, tmp_path / "out", "--report_to", "flyte", epochs=1))
    assert any("loss" in logs for logs in seen) and any("eval_perplexity" in logs for logs in seen)


def test_a_tokenizer_without_an_end_token_is_refused(place, tmp_path, capsys):
    for name, special, says in (
        ("padded", {"pad_token": "<pad>"}, "the tokenizer has no end token"),
        ("bare", {}, "has neither a padding nor an end token"),
    ):
        core = make_tokenizer().backend_tokenizer
        PreTrainedTokenizerFast(tokenizer_object=core, **special).save_pretrained(tmp_path / name)
        with pytest.raises(SystemExit):
            main(words(place, tmp_path / "out", "--tokenizer_name", tmp_path / name))
        assert says in capsys.readouterr().err


@pytest.mark.parametrize("metric", ["task", "perplexity", "eval_perplexity", "loss"])
def test_less_perplexity_is_better_whoever_names_it(metric):
    arguments = RecipeTrainingArguments("x", metric_for_best_model=metric, use_cpu=True)
    settle_metric(arguments, FIGURES)
    assert arguments.greater_is_better is False
    settle_metric(arguments := RecipeTrainingArguments("x", use_cpu=True), ["f1"])
    assert arguments.greater_is_better is True


def test_a_perplexity_without_a_number_is_infinite():
    figures = perplexity(EvalPrediction(np.array([[2.0, 1.0], [4000.0, 2.0]]), None))
    assert figures == {"loss": 4002 / 3, "perplexity": math.inf, "tokens": 3.0}
    assert perplexity(EvalPrediction(np.array([[2.0, 1.0]]), None))["perplexity"] == pytest.approx(math.exp(2))


def test_trl_trains_our_adapters_and_models(place, tmp_path):
    trl = pytest.importorskip("trl")
    pytest.importorskip("peft")
    from datasets import Dataset

    data = Dataset.from_list([{"prompt": f, "completion": f" {t}"} for f, t in rows(20)])
    for model, adapter in (("llama", ginets.InAConfig(r=2, task_type="CAUSAL_LM")), ("llama_ina", None)):
        config = trl.SFTConfig(output_dir=str(tmp_path), max_steps=2, use_cpu=True, bf16=False, report_to=[],
                               save_strategy="no", per_device_train_batch_size=4)  # fmt: skip
        flags = {"ina_rank": 2, "ina_target_modules": ["q_proj"]} if adapter is None else {}
        loaded = AutoModelForCausalLM.from_pretrained(place / model, **flags)
        tokenizer = AutoTokenizer.from_pretrained(place / model)
        trainer = trl.SFTTrainer(
            loaded, args=config, train_dataset=data, processing_class=tokenizer, peft_config=adapter
        )
        before = {name: p.detach().clone() for name, p in trainer.model.named_parameters() if p.requires_grad}
        trainer.train()
        after = dict(trainer.model.named_parameters())
        assert before and any(not torch.equal(value, after[name]) for name, value in before.items())


def test_a_task_of_ones_own(place, tmp_path):
    """With the shared arguments alone, rows made in Python."""

    def load(data_args, splits, tokenizer, **hub_options):
        return {split: [(Segment("a b c", trained=True, end=True),)] * 4 for split in splits}

    training_args = RecipeTrainingArguments(
        output_dir=str(tmp_path), do_train=True, do_eval=True, num_train_epochs=1, use_cpu=True, disable_tqdm=True
    )
    task = CausalTask("letters", CausalDataArguments, load)
    figures = run(task, ModelArguments(model_name_or_path=str(place / "gpt2")), CausalDataArguments(), training_args)
    assert figures["eval_samples"] == 4 and "letters" in (tmp_path / "README.md").read_text()
