"""Which checkpoint a run goes on from."""

import pytest

from ginets.recipes.arguments import ArgumentsError, RecipeTrainingArguments
from ginets.recipes.resume import check_kind, find_checkpoint


@pytest.fixture
def folder(tmp_path):
    """Checkpoints of steps 5, 10 and 15; the run was killed while it wrote the last one."""
    for step in (5, 10, 15):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if step < 15:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(
                f'{{"global_step": {step}, "epoch": 1}}'
            )
            (tmp_path / f"checkpoint-{step}" / "scheduler.pt").touch()
    return tmp_path


def found(folder, wanted):
    return find_checkpoint(RecipeTrainingArguments(str(folder), resume_from_checkpoint=wanted, use_cpu=True), folder)


def test_auto_takes_the_last_complete_checkpoint(folder):
    assert found(folder, "auto") == str(folder / "checkpoint-10")


def test_auto_starts_from_the_beginning_where_none_is_complete(folder):
    for step in (5, 10):
        (folder / f"checkpoint-{step}" / "trainer_state.json").unlink()
    assert found(folder, "auto") is None


def test_an_incomplete_checkpoint_that_was_named_is_refused(folder):
    with pytest.raises(ArgumentsError, match="checkpoint-15', which is no checkpoint folder; `auto` finds the last"):
        found(folder, str(folder / "checkpoint-15"))


def test_a_checkpoint_without_its_optimizer_is_refused(folder):
    """`--save_only_model`: the run would go on with fresh moments and another rate, without a word."""
    (folder / "checkpoint-10" / "scheduler.pt").unlink()
    for wanted in ("auto", str(folder / "checkpoint-10")):
        with pytest.raises(ArgumentsError, match="checkpoint-10 has no state of optimizer and schedule"):
            found(folder, wanted)
    assert found(folder, str(folder / "checkpoint-5"))


def test_a_damaged_checkpoint_of_a_finished_run(folder):
    (folder / "all_results.json").write_text("{}")
    (folder / "checkpoint-10" / "trainer_state.json").write_text("{")
    with pytest.raises(ArgumentsError, match=r"checkpoint-10/trainer_state\.json is not valid JSON"):
        found(folder, "auto")


@pytest.mark.parametrize(("file", "adapter", "says"), [
    ("config.json", "lora", "holds a complete model, and this run trains an adapter; name another folder"),
    ("adapter_config.json", "none", "holds an adapter, and this run trains a complete model; name another folder"),
])  # fmt: skip
def test_an_adapter_and_a_complete_model_do_not_share_a_folder(file, adapter, says, tmp_path):
    check_kind(tmp_path / "new", adapter)
    (tmp_path / file).write_text("{}")
    with pytest.raises(ArgumentsError, match=says):
        check_kind(tmp_path, adapter)
    check_kind(tmp_path, "ina" if adapter == "none" else "none")
