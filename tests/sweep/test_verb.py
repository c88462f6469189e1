"""`ginets sweep`: what it prints and returns, and a whole sweep of real trainings."""

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from ginets.cli import main
from tests.recipes.glue_fixtures import make_model, make_sst2

from .sweeps import FINISH, pretend, write


ROOT = Path(__file__).parents[2]


def test_run_list_and_table(tmp_path, monkeypatch, capsys):
    file = str(write(tmp_path))
    pretend(monkeypatch, "if label == 'ina-0.02-seed2': raise SystemExit(3)" + FINISH)
    assert main(["sweep", file, "--workers", "2"]) == 1
    out = capsys.readouterr().out
    assert "0 of 8 cells are there; 8 to do." in out and "failed: ina-0.02-seed2  exit code 3" in out
    assert "lora    0.001          2      0.15 ± 0.071" in out
    folder = tmp_path / "out"
    assert (folder / "table.txt").read_text() in out and "ina,0.02,eval_f1,1,0.1," in (
        folder / "table.csv"
    ).read_text()
    assert main(["sweep", file, "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[-1] for line in lines[:-1]] == ["done"] * 7 + ["missing"]
    assert lines[-1] == "7 of 8 cells are there."
    assert main(["sweep", file, "--table", "eval_runtime"]) == 0
    assert "ina     0.02           1      1" in capsys.readouterr().out
    assert main(["sweep", file, "--list", "--json"]) == 0
    cells = json.loads(capsys.readouterr().out)
    assert [f"{cell['key']}  {cell['label']}  {cell['state']}" for cell in cells] == lines[:-1]
    assert main(["sweep", file, "--table", "f1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[-1] == {
        "variant": {"method": "ina", "learning_rate": "0.02"}, "metric": "eval_f1", "values": [0.1], "mean": 0.1,
        "sd": None, "differences": [0.0],
    }  # fmt: skip
    with pytest.raises(SystemExit) as stopped:
        main(["sweep", file, "--table", "loss"])
    assert stopped.value.code == 2
    assert "no finished cell has a figure 'loss'; allowed: eval_f1, eval_runtime" in capsys.readouterr().err
    pretend(monkeypatch, FINISH)
    assert main(["sweep", file, "--json"]) == 0
    out, err = capsys.readouterr()
    assert "7 of 8 cells are there; 1 to do." in err and "[1/1] done: ina-0.02-seed2" in err
    assert json.loads(out)[-2]["values"] == [0.1, 0.2]


def test_misspelt_metric_is_known_from_the_first_run(tmp_path, monkeypatch, capsys):
    """Said while the others still run, and before any is begun where some are there; none is lost by it."""
    file = str(write(tmp_path, metrics=["f1", "acuracy"]))
    message = "no finished cell has a figure 'acuracy'; allowed: eval_f1, eval_runtime"
    pretend(monkeypatch, "if label == 'lora-0.001-seed1': raise SystemExit(3)" + FINISH)
    with pytest.raises(SystemExit) as stopped:
        main(["sweep", file])
    out, err = capsys.readouterr()
    warned = [place for place, line in enumerate(out.splitlines()) if "warning: `metrics`: " + message in line]
    assert warned == [3] and "[1/8] failed" in out and "[8/8] done" in out  # after the first run that has figures
    assert stopped.value.code == 2 and message in err
    pretend(monkeypatch, FINISH)
    with pytest.raises(SystemExit) as stopped:
        main(["sweep", file])
    out, err = capsys.readouterr()
    assert stopped.value.code == 2 and message in err and "to do" not in out
    assert len(list((tmp_path / "out" / "cells").glob("*.json"))) == 7
    file = str(write(tmp_path, metrics=["f1"]))
    assert main(["sweep", file]) == 0
    out = capsys.readouterr().out
    assert "7 of 8 cells are there; 1 to do." in out and "warning" not in out and "0.15 ± 0.071" in out


def test_dry_run_writes_nothing(tmp_path, capsys):
    file = write(tmp_path, places={"token": "secret", "glue_dir": "my data"})
    assert main(["sweep", str(file), "--dry-run", "task_name=rte"]) == 0
    commands = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert len(commands) == 8 and commands[0][:4] == ["python", "-m", "ginets.cli", "glue"]
    for name, value in (("--glue_dir", "my data"), ("--token", "***"), ("--task_name", "rte"), ("--seed", "1")):
        assert commands[0][commands[0].index(name) + 1] == value
    assert not (tmp_path / "out").exists()


def test_bad_input_is_one_line(tmp_path, capsys):
    file = str(write(tmp_path))
    for words, message in (
        ([str(tmp_path / "no.yaml")], "there is no such file"),
        ([file, "--workers", "0"], "--workers is 0; allowed: at least 1"),
        ([file, "--retries", "-1"], "--retries is -1; allowed: at least 0"),
        ([file, "learning_rte=3"], "lora-0.001-seed2: unknown arguments: --learning_rte 3 (--help lists all)"),
        ([file, "--cell", "abc"], "--cell is 'abc'"),
        ([file, "--dry-run", "--json"], "--json does not go with --dry-run"),
        ([file, "--ray", "local"], "--ray is 'local'; allowed: the address of a running cluster"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(["sweep", *words])
        assert stopped.value.code == 2
        error = capsys.readouterr().err
        assert message in error and error.startswith("ginets sweep: error: ") and error.count("\n") == 1
    assert not any((tmp_path / "out").glob("cells/*.json"))


@pytest.fixture
def trainings(tmp_path) -> Path:
    """A sweep of one real, small training."""
    make_model(tmp_path / "model")
    make_sst2(tmp_path / "glue", rows=32)
    return write(
        tmp_path,
        places={"model_name_or_path": str(tmp_path / "model"), "glue_dir": str(tmp_path / "glue")},
        arguments={"task_name": "sst2", "do_train": True, "do_eval": True, "max_steps": 2, "use_cpu": True},
        grid={"method": {"ina": {"adapter": "ina", "r": 2, "target_modules": ["query"]}}},
        seeds=[1],
    )


def test_slurm_task_trains(trainings, tmp_path, capsys):
    """The script is what SLURM reads, and a task of it does its cell."""
    script = tmp_path / "job.sh"
    assert main(["sweep", str(trainings), "--slurm", str(script)]) == 0
    assert "1 tasks; submit it with: sbatch" in capsys.readouterr().out
    environment = os.environ | {"SLURM_ARRAY_TASK_ID": "0", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(["bash", str(script)], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr + run.stdout
    (file,) = (tmp_path / "out" / "cells").glob("*.json")
    text = file.read_text()
    assert '"eval_accuracy"' in text and '"eval_loss"' in text and '"adapter": "ina"' in text
    assert (tmp_path / "out" / "runs" / file.stem / "adapter_model.safetensors").is_file()
    assert main(["sweep", str(trainings), "--slurm", str(script)]) == 0
    assert "no script was written" in capsys.readouterr().out
