"""From the file of a sweep to its cells."""

import re

import pytest

from ginets.recipes.arguments import ArgumentsError
from ginets.recipes.commands import COMMANDS
from ginets.sweep.cell import command_of
from ginets.sweep.grid import load

from .sweeps import GRID, make, write


def test_every_combination_with_every_seed(tmp_path):
    sweep, _ = make(tmp_path)
    found = [(cell.variant["method"], cell.variant["learning_rate"], cell.seed) for cell in sweep.cells]
    assert found == [(m, r, s) for m in ("lora", "ina") for r in ("0.001", "0.02") for s in (1, 2)]
    first = sweep.cells[0]
    assert first.arguments == GRID["arguments"] | {"adapter": "lora", "r": 4, "learning_rate": 1e-3, "seed": 1}
    assert first.label == "lora-0.001-seed1" and len({cell.key for cell in sweep.cells}) == 8
    words = first.words()
    assert words[words.index("--learning_rate") + 1] == "0.001" and words[words.index("--seed") + 1] == "1"


def test_key_is_of_the_definition(tmp_path):
    """Neither of order, nor of names, nor of where things lie; but of every argument."""
    keys = [cell.key for cell in make(tmp_path)[0].cells]
    turned = dict(reversed(GRID["arguments"].items()))
    renamed = {"way": {"a": {"r": 4, "adapter": "lora"}, "b": {"adapter": "ina", "r": 4}}}
    rates = {"learning_rate": GRID["grid"]["learning_rate"]}
    same = make(tmp_path, arguments=turned, grid=renamed | rates, places={"glue_dir": "/else"}, output_dir="x")[0]
    assert [cell.key for cell in same.cells] == keys
    spelt = make(tmp_path, grid=GRID["grid"] | {"learning_rate": ["1e-3", "0.020"]})[0]  # texts, as YAML reads 1e-3
    assert [cell.key for cell in spelt.cells] == keys
    for changes in (
        {"arguments": GRID["arguments"] | {"task_name": "rte"}},
        {"arguments": GRID["arguments"] | {"glue_dir": "/else"}},
        {"grid": GRID["grid"] | {"learning_rate": [1e-4, 0.2]}},
        {"command": "squad"},
    ):
        assert not set(keys) & {cell.key for cell in make(tmp_path, **changes)[0].cells}


def test_named_values_exclusion_and_overrides(tmp_path):
    grid = {"method": GRID["grid"]["method"], "level": {"none": None, "high": {"inhibition_level": 0.9}}}
    file = write(tmp_path, grid=grid, exclude=[{"method": "lora", "level": "high"}], places={"glue_dir": "a"})
    sweep = load(file, ["glue_dir=b", "learning_rate=5", f"output_dir={tmp_path / 'there'}"])
    assert [tuple(cell.variant.values()) for cell in sweep.cells[::2]] == [
        ("lora", "none"), ("ina", "none"), ("ina", "high"),
    ]  # fmt: skip
    assert sweep.cells[0].places == {"glue_dir": "b"} and sweep.cells[0].arguments["learning_rate"] == "5"
    assert "inhibition_level" not in sweep.cells[0].arguments and sweep.output_dir == tmp_path / "there"


def test_recipe_is_written_out(tmp_path):
    """Its values are part of the definition, those of the sweep go before them."""
    sweep, _ = make(tmp_path, arguments={"recipe": "aflora/mrpc", "max_steps": 5}, grid={"r": [8]}, seeds=[1])
    arguments = sweep.cells[0].arguments
    assert "recipe" not in arguments and arguments["adapter"] == "aflora" and arguments["r"] == 8


def test_without_a_grid_there_are_only_seeds(tmp_path):
    sweep, _ = make(tmp_path, grid=None)
    assert [cell.label for cell in sweep.cells] == ["seed1", "seed2"]


BAD = {
    "unknown field": ({"seed": [1]}, r"'seed' is no field of a sweep; allowed: command, output_dir"),
    "missing": ({"command": None}, r"`command` is missing; it is a text"),
    "command": ({"command": "bake"}, r"`command` is 'bake'; allowed: glue, squad, train nlg"),
    "kind": ({"arguments": [1]}, r"`arguments` is \[1\]; allowed: a mapping"),
    "switch": ({"keep_runs": "maybe"}, r"`keep_runs` is 'maybe'; allowed: true or false"),
    "no seeds": ({"seeds": []}, r"`seeds` is \[\]; allowed: a list with at least one entry"),
    "seeds": ({"seeds": [1, 1.5]}, r"`seeds` is \[1, 1.5\]; allowed: whole numbers, each once"),
    "seeds twice": ({"seeds": [1, 1]}, r"`seeds` is \[1, 1\]; allowed: whole numbers, each once"),
    "axis": ({"grid": {"r": 3}}, r"`grid.r` is 3; allowed: a list of values of the argument r, or a mapping"),
    "axis twice, spelt otherwise": (
        {"grid": {"learning_rate": ["1e-3", 0.001]}},
        r"`grid`: 0.001-seed1 and 1e-3-seed1 are the same run",
    ),
    "axis twice": ({"grid": {"r": [3, 3]}}, r"`grid.r` is \[3, 3\]; allowed: each value once"),
    "variant": ({"grid": {"m": {"a": 3}}}, r"`grid.m.a` is 3; allowed: a mapping of arguments"),
    "own argument": ({"arguments": {"seed": 3}}, r"`arguments` has seed = 3; leave it out: it is given by `seeds`"),
    "own axis": ({"grid": {"output_dir": ["a"]}}, r"`grid.output_dir` has output_dir = 'a'; leave it out"),
    "two axes": ({"grid": {"m": {"a": {"r": 1}}, "r": [2]}}, r"`grid.r.2` sets r, which another axis sets, too"),
    "same cells": ({"grid": {"m": {"a": {"r": 1}, "b": {"r": 1}}}}, r"b-seed1 and a-seed1 are the same run"),
    "exclude axis": ({"exclude": [{"x": 1}]}, r"`exclude` has x = '1'; allowed: the axes method, learning_rate"),
    "exclude value": ({"exclude": [{"method": "x"}]}, r"method = 'x'; allowed: those of method: lora, ina"),
    "exclude all": ({"exclude": [{"method": "lora"}, {"method": "ina"}]}, r"`exclude` leaves no cell"),
    "recipe": ({"arguments": {"recipe": "a/b"}}, r"--recipe is 'a/b'; allowed"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files(tmp_path, case):
    changes, message = BAD[case]
    with pytest.raises(ArgumentsError, match=message):
        make(tmp_path, **changes)


def test_bad_overrides_and_files(tmp_path):
    with pytest.raises(ArgumentsError, match=r"'seven' is no override; allowed: name=value"):
        load(write(tmp_path), ["seven"])
    for word, says in (
        ("learning_rate=0.5", "`grid.learning_rate` gives learning_rate, and would replace it"),
        ("r=8", "`grid.method` gives r, and"),
        ("seeds=[5]", "`seeds` is a list with at least one entry; allowed here: fields that are a text"),
    ):
        with pytest.raises(ArgumentsError, match=re.escape(says)):
            load(write(tmp_path), [word])
    with pytest.raises(ArgumentsError, match="`arguments` and `places` have glue_dir, both"):
        make(tmp_path, arguments={"glue_dir": "A"}, places={"glue_dir": "B"})
    with pytest.raises(ArgumentsError, match="there is no such file"):
        load(tmp_path / "none.yaml")
    (tmp_path / "broken.yaml").write_text("command: [", encoding="utf-8")
    with pytest.raises(ArgumentsError, match="not valid yaml"):
        load(tmp_path / "broken.yaml")


def test_arguments_are_checked_as_the_command_does(tmp_path):
    cell = make(tmp_path)[0].cells[0]
    words = ["--output_dir", str(tmp_path), *cell.words()]
    COMMANDS["glue"].parse_quietly(words)
    for wrong, message in (
        (["--learning_rte", "1"], "learning_rte"),
        (["--learning_rate", "-1"], r"--learning_rate is -1.0; allowed: at least 0"),
        (["--num_train_epochs", "many"], "invalid float value: 'many'"),
    ):
        with pytest.raises(ArgumentsError, match=message):
            COMMANDS["glue"].parse_quietly([*words, *wrong])


def test_the_example(tmp_path):
    """It comes with the package, and the command takes its arguments."""
    sweep = load("mrpc_adapters", [f"output_dir={tmp_path}"])
    assert len(sweep.cells) == 15
    for cell in sweep.cells[::3]:
        COMMANDS[cell.command].parse_quietly(["--output_dir", str(tmp_path), *cell.words()])


def test_a_task_of_language_models(tmp_path):
    """A command of two words, with several files and weights."""
    places = {"model_name_or_path": "m", "train_file": ["a.jsonl", "b c.jsonl"]}
    arguments = {"do_train": True, "weights": [2, 1], "use_cpu": True}
    sweep, store = make(tmp_path, command="train instruct", places=places, arguments=arguments)
    for cell in sweep.cells:
        *start, folder = command_of(cell, store)[:6]
        assert start == ["-m", "ginets.cli", "train", "instruct", "--output_dir"] and cell.name in folder
        _, adapter_args, _, data_args, _ = COMMANDS[sweep.command].parse_quietly(command_of(cell, store)[4:])
        assert data_args.train_file == places["train_file"] and data_args.weights == [2, 1]
        assert adapter_args.adapter == cell.variant["method"]
