"""AFLoRA in data parallel training: two processes on a CPU, connected by gloo."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ginets.tuners.aflora.callback import check_arguments

from .test_aflora_training import controller_of, difference, log_of, trainer


ROOT = Path(__file__).parents[2]


def worker(folder: str) -> None:
    """One of two processes: a training, and the same resumed from its middle."""
    runs = {}
    for name, resume in (("whole", None), ("resumed", f"{folder}/whole/checkpoint-12")):
        run = trainer(f"{folder}/{name}", steps=24, save_strategy="steps", save_steps=12, ddp_backend="gloo")
        assert run.args.world_size == 2
        run.train(resume_from_checkpoint=resume)
        runs[name] = {
            "frozen": [(*matrix, step) for matrix, step in controller_of(run).frozen().items()],
            "tensors": {key: tensor for key, tensor in run.model.state_dict().items() if ".aflr_" in key},
        }
    torch.save(runs, f"{folder}/rank{run.args.process_index}.pt")


def test_two_processes_freeze_the_same(tmp_path):
    """Every rank the same matrix at the same step, with the Trainer's defaults; resumed, too."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = f"from tests.tuners.test_aflora_processes import worker; worker({str(tmp_path)!r})"
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for rank in (0, 1)
    ]
    errors = [process.communicate(timeout=900)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors[0][-3000:]
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    frozen = first["whole"]["frozen"]
    assert len(frozen) == 24 and len({step for *_, step in frozen}) > 6
    for other in (first["resumed"], second["whole"], second["resumed"]):
        assert other["frozen"] == frozen
        assert difference(first["whole"]["tensors"], other["tensors"]) == 0.0
    assert len(log_of(tmp_path / "whole")) == 25


@pytest.mark.parametrize("option", [{"ddp_find_unused_parameters": False}, {"ddp_static_graph": True}])
def test_several_processes_have_to_look_for_unused_parameters(option):
    defaults = {"deepspeed": None, "ddp_find_unused_parameters": None, "ddp_static_graph": None}
    check_arguments(SimpleNamespace(**defaults, world_size=2))
    check_arguments(SimpleNamespace(**defaults | option, world_size=1))
    with pytest.raises(ValueError, match="leave ddp_find_unused_parameters and ddp_static_graph at their defaults"):
        check_arguments(SimpleNamespace(**defaults | option, world_size=2))
