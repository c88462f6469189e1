"""Adapters and the native family under `fully_shard` and FSDP1, two processes on a CPU: as one process with all rows."""

import os
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from peft import get_peft_model
from peft.utils.other import fsdp_auto_wrap_policy
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.tensor import DTensor

from ginets import AFLoraConfig, InAConfig, LlamaInAForCausalLM, MTLoraConfig, freeze_base
from ginets.tuners.aflora import FreezeController
from ginets.tuners.aflora.callback import check_arguments
from tests.tiny_language import MODELS, SIZE
from tests.two_processes import run_in_two_processes


STEPS, ROWS, LENGTH = 12, 4, 10
MIDDLE = 3  # after this step some matrices are frozen and some train
# float32 sums in another order; measured: 7.2e-7 and 5.5e-7
LOSS_TOLERANCE, WEIGHT_TOLERANCE, SCORE_TOLERANCE = 1e-5, 1e-5, 1e-7
COMMON = {"r": 3, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}  # 3 rows on 2 processes: uneven
FREEZING = {"freeze_start": 0.1, "freeze_end": 0.7, "freeze_window": 2}
CASES = {
    "ina": InAConfig(**COMMON, inhibition_level=0.3),
    "aflora": AFLoraConfig(**COMMON, **FREEZING),
    "aflora_original": AFLoraConfig(**COMMON, **FREEZING, freeze_rule="original"),
    "llama_ina": None,
}
FLAT = {"ina": CASES["ina"], "mtlora": MTLoraConfig(**COMMON)}


def make(case: str):
    """The model, and its layers, which are sharded one by one."""
    torch.manual_seed(0)
    if case == "llama_ina":
        model = LlamaInAForCausalLM(MODELS["llama_ina"][1])
        freeze_base(model)
        return model, model.model.layers
    model_class, config = MODELS["llama"]
    model = get_peft_model(model_class(config), CASES[case])
    return model, model.base_model.model.model.layers


def train(case: str, rank: int, processes: int) -> dict:
    """Losses, final weights that trained, what was frozen when; each process takes its share of the rows."""
    model, layers = make(case)
    if processes > 1:
        for layer in layers:
            fully_shard(layer)
        fully_shard(model)
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    assert all(isinstance(weight, DTensor) for weight in trained.values()) == (processes > 1)
    optimizer = torch.optim.AdamW(trained.values(), lr=2e-2)
    controller = FreezeController(model, STEPS) if case.startswith("aflora") else None
    rows = torch.randint(4, SIZE, (STEPS, ROWS, LENGTH), generator=torch.Generator().manual_seed(1))
    losses, scores = [], {}
    for step, batch in enumerate(rows):
        mine = batch[rank::processes]
        loss = model(input_ids=mine, labels=mine).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained.values(), 0.5)
        optimizer.step()
        if controller:
            controller.step(step, optimizer)
            if step == MIDDLE:
                scores = state_of(controller)
        optimizer.zero_grad()
        losses.append(average(loss.detach()))
    return {
        "losses": losses,
        "weights": {name: full(weight.detach()) for name, weight in trained.items()},
        "frozen": [(*key, step) for key, step in controller.frozen().items()] if controller else [],
        "scores": scores,
    }


def train_flat(name: str, rank: int, processes: int) -> list[float]:
    """Losses under FSDP1, by the rule of PEFT for what is wrapped."""
    torch.manual_seed(0)
    model_class, config = MODELS["llama"]
    model = get_peft_model(model_class(config), FLAT[name])
    if processes > 1:
        os.environ["FSDP_TRANSFORMER_CLS_TO_WRAP"] = "LlamaDecoderLayer"
        options = {"device_id": torch.device("cpu"), "use_orig_params": True}
        model = FullyShardedDataParallel(model, auto_wrap_policy=fsdp_auto_wrap_policy(model), **options)
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=2e-2)
    losses = []
    for batch in torch.randint(4, SIZE, (STEPS, ROWS, LENGTH), generator=torch.Generator().manual_seed(1)):
        mine = batch[rank::processes]
        loss = model(input_ids=mine, labels=mine).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(average(loss.detach()))
    return losses


def state_of(controller: FreezeController) -> dict[str, torch.Tensor]:
    """What a checkpoint gets: whole in every process, because only one of them writes it."""
    return {
        f"{matrix.module}.{matrix.name}.{field}": tensor.clone()
        for matrix in controller.pool
        for field, tensor in matrix.state.tensors().items()
    }


def full(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor.clone()


def average(loss: torch.Tensor) -> float:
    if dist.is_initialized():
        dist.all_reduce(loss)
        loss /= dist.get_world_size()
    return float(loss)


def worker(folder: str) -> None:
    """One of two processes."""
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    found = {case: train(case, rank, 2) for case in CASES}
    torch.save(found | {"flat": {name: train_flat(name, rank, 2) for name in FLAT}}, f"{folder}/rank{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def sharded(tmp_path_factory) -> list[dict]:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("sharded")
    run_in_two_processes(f"from {__name__} import worker\nworker({str(folder)!r})", folder)
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("case", CASES)
def test_sharded_is_one_process(sharded, case):
    one, (first, second) = train(case, 0, 1), (ranks[case] for ranks in sharded)
    assert one["losses"][0] - min(one["losses"]) > 1e-3 and len(one["weights"]) >= 8
    for two in (first, second):
        assert two["losses"] == pytest.approx(one["losses"], abs=LOSS_TOLERANCE, rel=0)
        assert two["frozen"] == one["frozen"]
        for part, tolerance in (("weights", WEIGHT_TOLERANCE), ("scores", SCORE_TOLERANCE)):
            assert two[part].keys() == one[part].keys()
            for name, tensor in one[part].items():
                torch.testing.assert_close(two[part][name], tensor, atol=tolerance, rtol=1e-4, msg=name)


@pytest.mark.parametrize("name", ["ina", "mtlora"])
def test_flat_parameters_are_one_process(sharded, name):
    """FSDP1 gathers the weights of a module when that is called."""
    losses = train_flat(name, 0, 1)
    assert losses[0] - min(losses) > 1e-3
    for ranks in sharded:
        assert ranks["flat"][name] == pytest.approx(losses, abs=LOSS_TOLERANCE, rel=0)


@pytest.mark.parametrize("case", ["aflora", "aflora_original"])
def test_freezing_happens_in_mid_run(case):
    """Otherwise the comparison above would say nothing of it."""
    run = train(case, 0, 1)
    steps = [step for *_, step in run["frozen"]]
    assert len(steps) == 8 and len(set(steps)) > 2 and max(steps) < STEPS
    states = {name.rpartition(".")[2] for name in run["scores"]}
    assert states == {"window", "mean", "spread", "seen", "frozen_at"}
    assert any(tensor.any() for name, tensor in run["scores"].items() if name.endswith("spread"))


class Flat(FullyShardedDataParallel):
    """FSDP1, without what it needs to be made."""

    def __init__(self):
        nn.Module.__init__(self)


def test_fsdp1_is_refused():
    """Its flat parameters hold many matrices."""
    model = nn.Sequential(nn.Linear(2, 2), Flat())
    args = {"deepspeed": None, "deepspeed_plugin": None, "world_size": 1}
    check_arguments(SimpleNamespace(**args), model[0])
    with pytest.raises(ValueError, match=r"FSDP1 puts many in one.*fsdp_version: 2"):
        check_arguments(SimpleNamespace(**args), model)
