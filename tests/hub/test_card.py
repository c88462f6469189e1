"""Model cards: the figures in the metadata are those of the run, local paths stay out of it."""

from ginets.hub.card import CardFacts, make_card


FACTS = {
    "name": "mine", "base_model": "org/base", "task_type": "text-classification", "dataset": "GLUE mrpc",
    "dataset_id": "nyu-mll/glue", "split": "validation", "metrics": {"accuracy": 0.75, "f1": 0.8125}, "seed": 7,
    "flags": {"gi_query_side": True}, "hyperparameters": {"learning_rate": 2e-05}, "command": "run_glue.py --seed 7",
    "curve": "learning_curve.png",
}  # fmt: skip


def test_metadata_and_body():
    card = make_card(CardFacts(**FACTS))
    results = {r.metric_type: r.metric_value for r in card.data.eval_results}
    assert results == {"accuracy": 0.75, "f1": 0.8125}
    assert card.data.base_model == "org/base" and card.data.datasets == ["nyu-mll/glue"]
    assert card.data.eval_results[0].dataset_split == "validation"
    for part in (
        "| f1 | 0.8125 |",
        "| gi_query_side | True |",
        "seed 7",
        "run_glue.py --seed 7",
        "| torch |",
        "curve.png",
        "Load it after `import ginets`",
    ):
        assert part in card.text


def test_a_bar_is_no_end_of_a_cell():
    card = make_card(CardFacts(**FACTS | {"hyperparameters": {"target_modules": ".*(query|value)"}}))
    assert "| target_modules | .*(query\\|value) |" in card.text


def test_local_base_model_is_named_without_its_path(tmp_path):
    (tmp_path / "base").mkdir()
    card = make_card(CardFacts(**FACTS | {"base_model": str(tmp_path / "base"), "flags": {}}))
    assert card.data.base_model is None
    assert "Fine-tuned from `base`" in card.text and str(tmp_path) not in card.text
    assert "stock architecture" in card.text and "import ginets" not in card.text


def test_adapter(tmp_path):
    """Its config and how to load it; the Hub's library is PEFT, and a local base keeps its path to itself."""
    (tmp_path / "base").mkdir()
    adapter = {"adapter": "ina", "adapter_config": {"r": 4, "target_modules": "key, query"},
               "trainable": {"trainable_parameters": 123, "trainable_parameters_without_head": 23}, "flags": {}}  # fmt: skip
    card = make_card(CardFacts(**FACTS | adapter | {"base_model": str(tmp_path / "base")}))
    data = card.data.to_dict()
    assert data["library_name"] == "peft" and data["tags"] == ["ginets", "ina"]
    for part in (
        "Method: ina.",
        "| target_modules | key, query |",
        "| trainable_parameters_without_head | 23 |",
        'AutoConfig.from_pretrained("mine", subfolder="base")',
        'AutoModelForSequenceClassification.from_pretrained("base", config=config)',
        'PeftModel.from_pretrained(base, "mine")',
    ):
        assert part in card.text
    assert str(tmp_path) not in card.text
