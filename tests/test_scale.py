"""What docs/scale.md says: configurations that accelerate takes, and commands whose arguments the recipes take."""

import functools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate import FullyShardedDataParallelPlugin
from accelerate.commands.config import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType
from accelerate.utils.fsdp_utils import fsdp2_prepare_auto_wrap_policy
from accelerate.utils.launch import prepare_multi_gpu_env
from peft import get_peft_model
from peft.utils.other import fsdp_auto_wrap_policy

from ginets import InAConfig, LlamaInAForCausalLM
from ginets.recipes.recipe_files import cookbook, expand
from ginets.recipes.train import COMMANDS
from tests.tiny_language import MODELS, make_tokenizer


ROOT = Path(__file__).resolve().parents[1]
FOLDER = cookbook() / "accelerate"
# configuration → its kind, machines, processes
CONFIGS = {
    "single_gpu_qlora": (DistributedType.NO, 1, 1),
    "ddp_8gpu": (DistributedType.MULTI_GPU, 1, 8),
    "fsdp2_8gpu": (DistributedType.FSDP, 1, 8),
    "fsdp2_2nodes": (DistributedType.FSDP, 2, 16),
}
LINES = re.findall(r"^accelerate launch .*$", (ROOT / "docs" / "scale.md").read_text(encoding="utf-8"), re.MULTILINE)


def test_all_configurations_are_known():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == CONFIGS.keys()


@pytest.mark.parametrize("name", CONFIGS)
def test_configuration_as_the_loader_reads_it(name):
    config = load_config_from_file(str(FOLDER / f"{name}.yaml"))
    assert (config.distributed_type, config.num_machines, config.num_processes) == CONFIGS[name]
    assert config.mixed_precision == "bf16"


def launched(line: str):
    """The arguments of a launch as accelerate completes them from the configuration, with nothing left unknown."""
    args = launch_command_parser().parse_args(shlex.split(line)[2:])
    args.config_file = str(ROOT / args.config_file)
    return _validate_launch_command(args)[0]


@pytest.mark.parametrize("name", [name for name, (kind, *_) in CONFIGS.items() if kind == DistributedType.FSDP])
def test_sharding_reaches_the_processes(name, monkeypatch):
    """Through the launcher into the environment, and from there into the plugin of the processes."""
    path = FOLDER / f"{name}.yaml"
    options = load_config_from_file(str(path)).fsdp_config
    args = launch_command_parser().parse_args(["--config_file", str(path), "--main_process_port", "29555", "x.py"])
    assert all(hasattr(args, option) for option in options)  # others would be passed over in silence
    args, *_ = _validate_launch_command(args)
    for key, value in prepare_multi_gpu_env(args).items():
        if key.startswith("FSDP_"):
            monkeypatch.setenv(key, value)
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2 and plugin.reshard_after_forward is True
    assert not plugin.cpu_ram_efficient_loading and not plugin.activation_checkpointing
    policy = wrapping(plugin, MODELS["llama_ina"][0](MODELS["llama_ina"][1]))
    model = LlamaInAForCausalLM(MODELS["llama_ina"][1])
    assert [name for name, module in model.named_modules() if policy(module)] == ["model.layers.0", "model.layers.1"]


def wrapping(plugin, model):
    plugin.set_auto_wrap_policy(model)
    return fsdp2_prepare_auto_wrap_policy(plugin, model)


def test_wrapping_of_peft_models_is_unknown_under_fsdp2():
    """What the page says of them; once this fails, they are sharded by layer, and the page can say so."""
    model_class, config = MODELS["llama"]
    model = get_peft_model(model_class(config), InAConfig(target_modules=["q_proj"], task_type="CAUSAL_LM"))
    plugin = FullyShardedDataParallelPlugin(fsdp_version=2)
    plugin.auto_wrap_policy = fsdp_auto_wrap_policy(model)
    assert isinstance(plugin.auto_wrap_policy, functools.partial)
    assert fsdp2_prepare_auto_wrap_policy(plugin, model) is None


def test_the_page_has_one_gpu_eight_and_two_nodes():
    used = {Path(launched(line).config_file).stem for line in LINES}
    assert used == {"single_gpu_qlora", "ddp_8gpu", "fsdp2_2nodes"}


@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
def test_commands_of_the_page(line, tmp_path):
    """The launcher starts our command, which takes its arguments."""
    args = launched(line)
    verb, task, *words = args.training_script_args
    assert args.module and args.training_script == "ginets.cli" and verb == "train"
    if not torch.cuda.is_available():
        words = [*words, "--bf16", "false", "--use_cpu"]  # bf16 needs a device that has it
    command = COMMANDS[task]
    model_args, *_, data_args, training_args = command.parse_all(
        [*expand(words, command.recipes), "--output_dir", str(tmp_path)]
    )
    assert data_args.train_file and training_args.do_train and "llama-7b" in model_args.model_name_or_path
    batch = training_args.per_device_train_batch_size * training_args.gradient_accumulation_steps
    assert batch * args.num_processes in (8, 128)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs several GPUs")
@pytest.mark.parametrize("name", ["ddp_8gpu", "fsdp2_8gpu"])
def test_training_on_gpus(name, tmp_path):
    """As many processes as there are GPUs train a tiny LlamaInA."""
    model_class, config = MODELS["llama_ina"]
    model_class(config).save_pretrained(tmp_path / "model")
    make_tokenizer().save_pretrained(tmp_path / "model")
    (tmp_path / "train.csv").write_text("mr,ref\n" + "name[a],b c d e\n" * 64, encoding="utf-8")
    words = ["--config_file", str(FOLDER / f"{name}.yaml"), "--num_processes", str(torch.cuda.device_count())]
    words += ["-m", "ginets.cli", "train", "nlg", "--task_name", "e2e", "--train_file", str(tmp_path / "train.csv")]
    words += ["--model_name_or_path", str(tmp_path / "model"), "--do_train", "--bf16", "--max_steps", "3"]
    words += ["--output_dir", str(tmp_path / "out"), "--report_to", "none"]
    run = subprocess.run([sys.executable, "-m", "accelerate.commands.launch", *words], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    assert (tmp_path / "out" / "model.safetensors").is_file()
