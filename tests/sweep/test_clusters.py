"""Sweeps on SLURM, by its script, and on Ray, by a stand-in for the package."""

import inspect
import os
import re
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from ginets.recipes.arguments import ArgumentsError
from ginets.sweep.cell import BUSY, DONE, FAILED, STOPPED, Settings, run_cell
from ginets.sweep.ray import run_in, run_on_ray
from ginets.sweep.slurm import array_job

from .sweeps import FINISH, make, pretend


def script(tmp_path, **options) -> str:
    sweep, store = make(tmp_path)
    words = ["glue_dir=my data", "--threads", "2"]
    return array_job(tmp_path / "sweep.yaml", words, sweep.cells[2:], store.folder / "slurm", options)


def test_slurm_options(tmp_path):
    lines = script(tmp_path, **{"partition": "gpu", "gres": "gpu:1", "ntasks": None}).splitlines()
    assert lines[0] == "#!/bin/bash"
    options = dict(re.fullmatch(r"#SBATCH --([\w-]+)=(.+)", line).groups() for line in lines if "#SBATCH" in line)
    assert options == {
        "job-name": "sweep", "array": "0-5", "partition": "gpu", "gres": "gpu:1",
        "output": str(tmp_path / "out" / "slurm" / "%A_%a.log"),
    }  # fmt: skip


def test_slurm_task_runs_the_cell_of_its_index(tmp_path):
    """bash reads the script; in place of Python it prints its words."""
    text = script(tmp_path).replace(f"exec {sys.executable}", "exec printf '%s\\n'")
    cells = make(tmp_path)[0].cells
    for index in (0, 5):
        run = subprocess.run(
            ["bash"], input=text, env={"SLURM_ARRAY_TASK_ID": str(index)}, capture_output=True, text=True, check=True
        )
        words = run.stdout.splitlines()
        assert words[:4] == ["-m", "ginets.cli", "sweep", str(tmp_path / "sweep.yaml")]
        assert words[4:] == ["glue_dir=my data", "--threads", "2", "--cell", cells[2 + index].key]


class FakeRay:
    """As much of Ray as is used. Tasks run when they are waited for; `losses`: seed → times its worker is lost."""

    class RayError(Exception):
        pass

    def __init__(self, losses: dict[int, int]):
        self.exceptions = SimpleNamespace(RayError=self.RayError)
        self.losses, self.calls, self.made, self.cancelled = dict(losses), [], [], []

    def init(self, **options):
        self.calls.append(("init", options))

    def shutdown(self):
        self.calls.append(("shutdown", {}))

    def remote(self, function):
        assert inspect.isfunction(function)  # Ray takes no other callable

        def with_options(**options):
            self.calls.append(("options", options))
            return SimpleNamespace(remote=lambda *words: self.task(function, words))

        return SimpleNamespace(options=with_options)

    def task(self, function, words):
        self.made.append((function, words))
        return len(self.made) - 1

    def wait(self, references, num_returns, timeout):
        return references[:num_returns], references[num_returns:]

    def get(self, reference):
        function, words = self.made[reference]
        if self.losses.get(words[0].seed, 0) > 0:
            self.losses[words[0].seed] -= 1
            raise self.RayError("the node died\nmore")
        return function(*words)

    def cancel(self, reference):
        self.cancelled.append(reference)


def on_ray(monkeypatch, ray, cells, store, stop=None, **settings) -> list:
    monkeypatch.setitem(sys.modules, "ray", ray)
    settings = Settings(owner="me", **settings)
    said = []
    outcomes = run_on_ray(
        "head:6379", cells, store, settings, {"num_gpus": 0.5}, stop or threading.Event(), said.append
    )
    assert [outcome for outcome in outcomes if outcome.state != STOPPED] == said
    return outcomes


def test_ray_runs_cells_on_the_given_cluster(tmp_path, monkeypatch):
    sweep, store = make(tmp_path)
    pretend(monkeypatch, FINISH)
    ray = FakeRay({})
    outcomes = on_ray(monkeypatch, ray, sweep.cells, store, threads=2)
    assert {outcome.state for outcome in outcomes} == {DONE} and len(outcomes) == 8
    assert all(map(store.record_file, sweep.cells))
    assert ray.calls == [
        ("init", {"address": "head:6379"}),
        ("options", {"num_cpus": 2, "max_retries": 0, "num_gpus": 0.5}),
        ("shutdown", {}),
    ]


def test_relative_paths_are_those_of_the_sweep_s_own_process(tmp_path, monkeypatch):
    """Workers of Ray are in folders of their own."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    sweep, store = make(tmp_path, output_dir="out", grid=None, seeds=[1])
    pretend(monkeypatch, FINISH)

    class FarRay(FakeRay):
        def get(self, reference):
            os.chdir(elsewhere)
            return super().get(reference)

    (outcome,) = on_ray(monkeypatch, FarRay({}), sweep.cells, store)
    assert outcome.state == DONE and (tmp_path / "out" / "cells" / f"{sweep.cells[0].name}.json").is_file()


def test_ray_lost_cells_are_done_again(tmp_path, monkeypatch):
    sweep, store = make(tmp_path, grid=None)
    pretend(monkeypatch, FINISH)
    ray = FakeRay({1: 1, 2: 9})
    states = {outcome.cell.seed: outcome for outcome in on_ray(monkeypatch, ray, sweep.cells, store, retries=2)}
    assert states[1].state == DONE and len(ray.made) == 2 + 3
    assert states[2].state == FAILED and states[2].text == "lost by the cluster: the node died"


def test_ray_lock_of_a_lost_worker_is_void_for_its_sweep(tmp_path):
    sweep, store = make(tmp_path)
    cell = sweep.cells[0]
    with store.lock(cell, "me").taken() as other:
        assert other is None
        assert store.lock(cell, "me").holder() is None
        assert store.lock(cell, "you").holder() is not None
        assert run_cell(cell, store, Settings(owner="you")).state == BUSY


def test_ray_stops(tmp_path, monkeypatch):
    sweep, store = make(tmp_path)
    ray, stop = FakeRay({}), threading.Event()
    stop.set()
    outcomes = on_ray(monkeypatch, ray, sweep.cells, store, stop)
    assert {outcome.state for outcome in outcomes} == {STOPPED} and len(ray.cancelled) == 8


def test_ray_has_what_is_used():
    """The stand-in's interface is that of the package; nothing is started."""
    ray = pytest.importorskip("ray", reason="ray is not installed")
    task = ray.remote(run_in).options(num_cpus=1, max_retries=0, num_gpus=0.5)
    assert callable(task.remote) and issubclass(ray.exceptions.RayError, Exception)
    for function, names in ((ray.init, {"address"}), (ray.wait, {"num_returns", "timeout"})):
        assert names <= inspect.signature(function).parameters.keys()
    assert callable(ray.get) and callable(ray.cancel) and callable(ray.shutdown) and not ray.is_initialized()


@pytest.mark.parametrize("address", ["", "local"])
def test_ray_is_never_started_here(tmp_path, monkeypatch, address):
    sweep, store = make(tmp_path)
    ray = FakeRay({})
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pytest.raises(ArgumentsError, match="allowed: the address of a running cluster"):
        run_on_ray(address, sweep.cells, store, Settings(), {}, threading.Event(), print)
    assert not ray.calls


def test_ray_is_optional(tmp_path, monkeypatch):
    sweep, store = make(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"ginets\[ray\]"):
        run_on_ray("auto", sweep.cells, store, Settings(), {}, threading.Event(), print)
