"""Cells as processes: what is kept, done again, given up, and left to others."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from ginets.cli import main
from ginets.recipes.arguments import ArgumentsError
from ginets.sweep import cell as cell_module
from ginets.sweep.cell import BUSY, DONE, FAILED, STOPPED, Settings, origin, run_cell
from ginets.sweep.grid import Cell
from ginets.sweep.locks import STALE, Lock
from ginets.sweep.process import execute, memory
from ginets.sweep.workers import run_here, stoppable, visible_gpus

from .sweeps import FINISH, make, pretend, write


SETTINGS = Settings(threads=3)
ROOT = Path(__file__).parents[2]
# counts its attempts in a file; `attempt` is the number of this one
COUNT = """
import os, signal
with open(f"{common}/{label}.attempts", "a") as file:
    file.write("x")
attempt = os.path.getsize(f"{common}/{label}.attempts")
"""


def attempts(store, cell) -> int:
    file = store.folder / f"{cell.label}.attempts"
    return len(file.read_text()) if file.exists() else 0


def do(cells, store, settings=SETTINGS, workers=1, stop=None) -> dict:
    """State of each cell."""
    outcomes = run_here(cells, store, settings, workers, stop or threading.Event(), lambda outcome: None)
    return {outcome.cell.label: outcome.state for outcome in outcomes}


def test_a_cell_is_one_file(tmp_path, monkeypatch):
    sweep, store = make(tmp_path)
    pretend(monkeypatch, "import time; time.sleep(0.3)\n" + FINISH)  # long enough for its memory to be seen
    cell = sweep.cells[0]
    assert run_cell(cell, store, SETTINGS).state == DONE
    assert [file.name for file in (store.folder / "cells").iterdir()] == [f"{cell.name}.json"]
    record = store.record(cell)
    assert record["figures"] == {"eval_f1": 0.1, "eval_runtime": 1.0, "threads": "3"}
    assert record["variant"] == {"method": "lora", "learning_rate": "0.001"} and record["seed"] == 1
    assert record["arguments"] == cell.arguments and record["attempts"] == 1
    assert 0 < record["seconds"] < 60 and 1 < record["peak_memory_mib"] < 200
    assert {"torch", "transformers", "python"} <= record["versions"].keys()
    assert record["hardware"]["threads"] == 3 and record["hardware"]["cpu"]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    assert (record["git_commit"] or "").rstrip("+") == head
    assert not any((store.folder / "locks").glob("[!.]*"))


def test_what_somebody_else_has_finished_meanwhile_stays(tmp_path, monkeypatch):
    """Such as after a lock that went stale on another machine: a record is never written over."""
    sweep, store = make(tmp_path)
    pretend(monkeypatch, FINISH)
    cell, theirs, read = sweep.cells[0], {"figures": {"eval_f1": 0.9}}, cell_module.read_figures
    monkeypatch.setattr(cell_module, "read_figures", lambda file: store.save(cell, theirs) or read(file))
    assert run_cell(cell, store, SETTINGS).state == DONE
    assert store.record(cell) == theirs


@pytest.mark.parametrize(
    ("places", "arguments", "named"),
    [
        ({}, {}, True),
        ({"use_cpu": "false"}, {}, True),
        ({"use_cpu": True}, {}, False),
        ({}, {"use_cpu": "True"}, False),
    ],
)
def test_a_gpu_is_named_where_it_computes(monkeypatch, places, arguments, named):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "A GPU")
    made_by = origin(Cell("glue", {}, 1, arguments, places), SETTINGS)
    assert made_by["hardware"].get("gpu") == ("A GPU" if named else None)


@pytest.mark.parametrize(("script", "least"), [("pass", 1), ("import time; own = b'x' * 2**26; time.sleep(0.5)", 64)])
def test_memory_is_of_the_process_alone(tmp_path, script, least):
    """Until `exec` it has our size, which the system counts as its peak; `pass` is over in less than `GLANCE`."""
    ours = b"x" * 300 * 2**20
    ended = execute([sys.executable, "-c", script], tmp_path / "log", {}, threading.Event(), lambda pid: None)
    assert ended.code == 0 and least <= ended.peak_memory_mib < 200 < len(ours) / 2**20


def test_a_reading_below_a_mib_is_one(monkeypatch):
    """As just after `exec`; 0 would mean that there is none."""
    monkeypatch.setattr(Path, "read_text", lambda path, **_: "Name:\tpython\nVmHWM:\t     900 kB\n")
    assert memory(1) == 1


def test_only_what_is_missing_is_computed(tmp_path, monkeypatch):
    sweep, store = make(tmp_path)
    pretend(monkeypatch, COUNT + FINISH)
    store.folder.mkdir()
    assert set(do(sweep.cells[:3], store, workers=2).values()) == {DONE}
    assert set(do(sweep.cells, store, workers=2).values()) == {DONE}
    assert [attempts(store, cell) for cell in sweep.cells] == [1] * 8
    renamed, _ = make(tmp_path, grid={"way": {"new": {"adapter": "lora", "r": 4}}, "learning_rate": [1e-3]})
    assert store.record_file(renamed.cells[0]) == store.record_file(sweep.cells[0])
    changed, _ = make(tmp_path, arguments={"model_name_or_path": "other"})
    assert not any(map(store.record_file, changed.cells))


def test_killed_is_done_again_and_failed_is_not(tmp_path, monkeypatch):
    sweep, store = make(tmp_path, grid={"r": [1, 2, 3]}, seeds=[1])
    killed_once, killed_always, failing = sweep.cells
    code = f"""
if label == {killed_once.label!r} and attempt == 1 or label == {killed_always.label!r}:
    os.makedirs(folder)  # fails if the folder of the first attempt is still there
    os.kill(os.getpid(), signal.SIGKILL)
if label == {failing.label!r}:
    raise ValueError("nothing to eat")
"""
    pretend(monkeypatch, COUNT + code + FINISH)
    store.folder.mkdir()
    said = []
    outcomes = run_here(sweep.cells, store, SETTINGS, 1, threading.Event(), said.append)
    assert outcomes == said
    texts = {outcome.cell.label: (outcome.state, outcome.text) for outcome in outcomes}
    assert texts[killed_once.label][0] == DONE and store.record(killed_once)["attempts"] == 2
    state, text = texts[killed_always.label]
    assert state == FAILED and "killed by signal 9" in text and attempts(store, killed_always) == 3
    state, text = texts[failing.label]
    assert state == FAILED and "exit code 1; ValueError: nothing to eat" in text and attempts(store, failing) == 1
    assert "Traceback" in store.log(failing).read_text() and not store.log(killed_once).exists()
    assert store.record(failing) is None


def test_success_without_figures_is_failure(tmp_path, monkeypatch):
    sweep, store = make(tmp_path)
    pretend(monkeypatch, "")
    outcome = run_cell(sweep.cells[0], store, SETTINGS)
    assert outcome.state == FAILED and "it left no all_results.json; it printed nothing" in outcome.text


def test_runs_are_kept_or_not(tmp_path, monkeypatch):
    sweep, store = make(tmp_path)
    weights = 'open(folder + "/model.safetensors", "wb").write(bytes(2**20))'
    pretend(monkeypatch, FINISH + weights)
    kept, cleared = sweep.cells[:2]
    run_cell(kept, store, Settings())
    run_cell(cleared, store, Settings(keep_runs=False))
    assert store.run_folder(kept).is_dir() and not store.run_folder(cleared).exists()
    assert store.record(kept)["saved_mib"] == store.record(cleared)["saved_mib"] == 1.0


def test_resumed_cells_keep_their_folder(tmp_path, monkeypatch):
    sweep, store = make(tmp_path, arguments={"resume_from_checkpoint": "auto"})
    pretend(monkeypatch, FINISH)
    cell = sweep.cells[0]
    store.run_folder(cell).mkdir(parents=True)
    (store.run_folder(cell) / "checkpoint-3").touch()
    run_cell(cell, store, SETTINGS)
    assert (store.run_folder(cell) / "checkpoint-3").exists()


def test_damaged_record_is_named(tmp_path):
    sweep, store = make(tmp_path)
    store.write(f"cells/{sweep.cells[0].name}.json", '{"key": ')
    with pytest.raises(ArgumentsError, match=r"no valid JSON; delete it"):
        store.record(sweep.cells[0])


# ------------------------------------------------------------------ several sweeps


def test_two_at_once_do_nothing_twice(tmp_path, monkeypatch):
    sweep, store = make(tmp_path)
    pretend(monkeypatch, COUNT + "import time; time.sleep(0.2)" + FINISH)
    store.folder.mkdir()
    states = []
    others = [threading.Thread(target=lambda: states.append(do(sweep.cells, store, workers=2))) for _ in range(2)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert [attempts(store, cell) for cell in sweep.cells] == [1] * 8
    assert set(states[0].values()) | set(states[1].values()) <= {DONE, BUSY}
    assert BUSY in {*states[0].values(), *states[1].values()}


def test_locks_of_the_dead_are_void(tmp_path, monkeypatch):
    sweep, store = make(tmp_path)
    pretend(monkeypatch, FINISH)
    living, dead, reused, far, silent = sweep.cells[:5]
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    here = socket.gethostname()

    def hold(cell, host, pid, born, age=0.0):
        content = {"host": host, "sweep": {"pid": pid, "born": born}, "cell": None, "owner": ""}
        file = store.inside(f"locks/{cell.key}")
        file.write_text(json.dumps(content))
        os.utime(file, (time.time() - age,) * 2)

    me = psutil.Process()
    hold(living, here, me.pid, me.create_time(), age=10 * STALE)  # it needs no sign of life: its process is there
    hold(dead, here, gone.pid, time.time())
    hold(reused, here, me.pid, me.create_time() - 1000)
    hold(far, "far", gone.pid, 0.0, age=STALE / 2)
    hold(silent, "far", gone.pid, 0.0, age=STALE * 2)
    states = do(sweep.cells[:5], store)
    assert [states[cell.label] for cell in sweep.cells[:5]] == [BUSY, DONE, DONE, BUSY, DONE]
    assert str(store.lock(far).holder()) == f"process {gone.pid} on far"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"host": "x", "sweep": 3, "cell": null}'])
def test_a_damaged_lock_is_void(tmp_path, monkeypatch, content):
    sweep, store = make(tmp_path)
    pretend(monkeypatch, FINISH)
    store.inside(f"locks/{sweep.cells[0].key}").write_text(content)
    assert run_cell(sweep.cells[0], store, SETTINGS).state == DONE


def test_damaged_figures_are_a_failure_of_the_cell_alone(tmp_path, monkeypatch):
    sweep, store = make(tmp_path)
    damage = 'open(folder + "/all_results.json", "w").write("{" if seed == 1 else "[1]")'
    pretend(monkeypatch, FINISH + damage)
    outcomes = run_here(sweep.cells[:2], store, SETTINGS, 1, threading.Event(), lambda outcome: None)
    assert [outcome.state for outcome in outcomes] == [FAILED, FAILED]
    assert all("all_results.json is no valid JSON object" in outcome.text for outcome in outcomes)
    assert not any(map(store.record_file, sweep.cells))


def test_process_that_outlived_its_sweep_is_ended(tmp_path, monkeypatch):
    sweep, store = make(tmp_path)
    cell = sweep.cells[0]
    orphan = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    lock = Lock(store.inside(f"locks/{cell.key}"))
    lock.sign_of_life(orphan.pid)
    content = json.loads(lock.file.read_text())
    assert content["cell"]["pid"] == orphan.pid
    content["sweep"]["born"] -= 1000  # the sweep is gone
    lock.file.write_text(json.dumps(content))
    pretend(monkeypatch, FINISH)
    assert run_cell(cell, store, SETTINGS).state == DONE
    assert orphan.wait(timeout=10) == -signal.SIGKILL


# ------------------------------------------------------------------ stopping


def test_who_ignores_the_end_of_the_terminal_goes_on():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.is_set()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopped_keeps_what_is_finished(tmp_path, monkeypatch, capsys, number):
    """The first cell finishes, the second waits and is ended with its own child; a rerun does it."""
    code = """
import subprocess, sys, time
if seed == 2 and attempt == 1:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    with open(common + "/pids", "w") as file:
        file.write(f"{os.getpid()} {child.pid}")
    time.sleep(60)
"""
    file = write(tmp_path, grid=None)
    _, store = make(tmp_path, grid=None)
    store.folder.mkdir()
    pretend(monkeypatch, COUNT + code + FINISH)

    def send():
        while not (store.folder / "pids").exists():
            time.sleep(0.05)
        time.sleep(0.2)
        os.kill(os.getpid(), number)

    threading.Thread(target=send).start()
    start = time.monotonic()
    assert main(["sweep", str(file)]) == 128 + number and time.monotonic() - start < 45
    out = capsys.readouterr().out
    assert "done: seed1" in out and "stopped: seed2" in out
    for pid in map(int, (store.folder / "pids").read_text().split()):
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert len(list((store.folder / "cells").glob("*.json"))) == 1
    assert main(["sweep", str(file)]) == 0
    assert "1 of 2 cells are there; 1 to do." in capsys.readouterr().out


def test_after_a_stop_nothing_is_begun(tmp_path, monkeypatch):
    sweep, store = make(tmp_path)
    pretend(monkeypatch, FINISH)
    stop = threading.Event()
    stop.set()
    assert set(do(sweep.cells, store, stop=stop).values()) == {STOPPED}


def test_each_worker_has_its_gpu(tmp_path, monkeypatch):
    sweep, store = make(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert visible_gpus() == ["4", "6"]
    seen = 'open(folder + "/all_results.json", "w").write(json.dumps({"gpu": os.environ["CUDA_VISIBLE_DEVICES"]}))'
    pretend(monkeypatch, "import time; time.sleep(0.1)" + FINISH + seen)
    do(sweep.cells, store, workers=2)
    assert {store.record(cell)["figures"]["gpu"] for cell in sweep.cells} == {"4", "6"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []


def test_commit_is_that_of_the_begin(tmp_path, monkeypatch):
    """The checkout may change while a cell is computed."""
    commits = iter(["before", "after"])
    monkeypatch.setattr(cell_module, "git_commit", lambda: next(commits))
    sweep, store = make(tmp_path)
    pretend(monkeypatch, COUNT + "if attempt < 2: os.kill(os.getpid(), signal.SIGKILL)\n" + FINISH)
    assert run_cell(sweep.cells[0], store, SETTINGS).state == DONE
    record = store.record(sweep.cells[0])
    assert (record["git_commit"], record["attempts"]) == ("before", 2)


def test_repository_without_a_commit(monkeypatch):
    said = {"ls-files": "cell.py", "rev-parse": None, "status": "A cell.py"}
    monkeypatch.setattr(cell_module, "git", lambda command, *_: said[command])
    assert cell_module.git_commit() is None


def test_another_ginets_in_the_working_folder_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert cell_module.same_package() == []
    (tmp_path / "ginets").mkdir()
    (tmp_path / "ginets/__init__.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # where this one lies, installed or not
    command = [sys.executable, *cell_module.same_package(), "-c", "import ginets; print(ginets.__file__)"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert Path(run.stdout.strip()) == ROOT / "ginets/__init__.py"


def test_a_sign_of_life_that_cannot_be_written_is_left_out(tmp_path):
    """The disk is full for a moment, or the folder is gone."""
    Lock(tmp_path / "no/folder/key").sign_of_life(os.getpid())


def test_a_record_that_cannot_be_written_fails_its_own_cell_alone(tmp_path, monkeypatch):
    sweep, store = make(tmp_path)
    pretend(monkeypatch, FINISH)
    write_record, bad = store.save, sweep.cells[1]

    def save(cell, record):
        if cell is bad:
            raise OSError(28, "No space left on device")
        write_record(cell, record)

    monkeypatch.setattr(store, "save", save)
    states = do(sweep.cells, store, workers=2)
    assert states == {cell.label: FAILED if cell is bad else DONE for cell in sweep.cells}
