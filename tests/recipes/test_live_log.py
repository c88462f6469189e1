"""What a training has logged is in its folder at once, and after a resume every step is there once, as it was learnt."""

import json

import pytest

from ginets.recipes.glue import main
from ginets.recipes.trainer import RecipeTrainer
from ginets.viz.runs import LIVE, Missing, metrics_of, read_history
from tests.recipes.glue_fixtures import make_model, make_sst2


STEPS = 10  # evaluated and saved after 4 and 8, saved at the end


class Broken(Exception):
    """Stands for whatever ends a process."""


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Trains into a folder; broken off before a step, if one is given."""
    place = tmp_path_factory.mktemp("live")
    model, data = make_model(place / "model"), make_sst2(place / "glue", rows=40)
    every = ("--eval_strategy", "steps", "--save_strategy", "steps", "--eval_steps", "4", "--save_steps", "4")

    def train(output, *more, end: int | None = None):
        step = RecipeTrainer.training_step

        def breaking(self, *arguments, **options):
            if self.state.global_step + 1 == end:
                raise Broken
            return step(self, *arguments, **options)

        words = ["--model_name_or_path", model, "--glue_dir", data, "--task_name", "sst2", "--output_dir", output,
                 "--do_train", "--do_eval", "--max_steps", STEPS, "--learning_rate", "1e-2", "--use_cpu",
                 "--disable_tqdm", "True", "--logging_strategy", "steps", "--logging_steps", "1", *every, *more]  # fmt: skip
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RecipeTrainer, "training_step", breaking)
            main(list(map(str, words)))

    return train


def losses(folder) -> dict[int, float]:
    """Step → loss; no step twice."""
    points = [(entry["step"], entry["loss"]) for entry in read_history(folder) if "loss" in entry]
    assert len(points) == len(dict(points))
    return dict(points)


def evaluated(folder) -> list[int]:
    return [entry["step"] for entry in read_history(folder) if "eval_accuracy" in entry]


def test_broken_off_and_resumed(train, tmp_path):
    whole, broken, again = tmp_path / "whole", tmp_path / "broken", ("--resume_from_checkpoint", "auto")
    train(whole)
    wanted = losses(whole)
    assert list(wanted) == list(range(1, STEPS + 1)) and not (whole / LIVE).exists()
    with pytest.raises(Broken):
        train(broken, end=7)
    assert losses(broken) == {step: wanted[step] for step in range(1, 7)} and evaluated(broken) == [4]
    assert metrics_of(broken) == ["accuracy"]
    with pytest.raises(Broken):
        train(broken, *again, end=5)  # its first step
    assert losses(broken) == {step: wanted[step] for step in range(1, 5)} and evaluated(broken) == [4]
    with pytest.raises(Broken):
        train(broken, *again, end=10)
    assert losses(broken) == {step: wanted[step] for step in range(1, 10)} and evaluated(broken) == [4, 8]
    train(broken, *again)
    assert losses(broken) == wanted and not (broken / LIVE).exists()
    assert read_history(broken) == json.loads((broken / "trainer_state.json").read_text())["log_history"]


def test_what_an_earlier_training_left_behind(train, tmp_path):
    train(tmp_path)
    more = ("--resume_from_checkpoint", "auto", "--max_steps", "14")
    with pytest.raises(Broken):
        train(tmp_path, *more, end=12)
    assert list(losses(tmp_path)) == list(range(1, 12))  # `trainer_state.json` beside it has 10
    with pytest.raises(Broken):
        train(tmp_path / "other", end=4)
    with pytest.raises(Broken):  # before any checkpoint
        train(tmp_path / "other", end=1)
    with pytest.raises(Missing, match="nothing was logged"):
        read_history(tmp_path / "other")


def test_a_line_that_is_being_written(tmp_path):
    entries = [{"epoch": 0.5, "loss": 1.0, "step": 1}, {"epoch": 1.0, "eval_f1": 0.5, "step": 2}]
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    for cut in range(len(text)):
        (tmp_path / LIVE).write_text(text[:cut])
        count = text[:cut].count("\n")
        if count:
            assert read_history(tmp_path) == entries[:count]
    (tmp_path / LIVE).write_text("{\n")
    with pytest.raises(ValueError, match=f"{LIVE}: not valid JSON"):
        read_history(tmp_path)
