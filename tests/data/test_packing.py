"""Packing: every row once, no row reads another, and loss and gradients are those of the rows one by one."""

from itertools import pairwise

import pytest
import torch
from datasets import Dataset

from ginets.data.packing import CausalCollator, keeps_rows_apart, pack
from ginets.data.segments import IGNORED
from ginets.recipes.causal_data import CompletionLoss
from tests.tiny_language import MODELS, SIZE, SPECIAL


def make_rows(lengths: list[int], seed: int = 0) -> Dataset:
    generator = torch.Generator().manual_seed(seed)
    ids = [torch.randint(len(SPECIAL), SIZE, (n,), generator=generator).tolist() for n in lengths]
    labels = [[IGNORED, *row[1:]] for row in ids]
    return Dataset.from_dict({"input_ids": ids, "labels": labels, "length": lengths})


def make(name: str, **options):
    model_class, config = MODELS[name]
    torch.manual_seed(1)
    model = model_class._from_config(config, **options)
    with torch.no_grad():  # attention that matters, and a branch that is not silent
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


def test_every_row_is_in_one_block_and_blocks_are_full():
    rows = make_rows([9, 3, 5, 8, 2, 1, 7, 5])
    blocks = pack(rows, 10)
    assert blocks["length"][:] == [10, 10, 10, 10]  # 40 tokens: no block has room left
    found = []
    for block in blocks:
        starts = [i for i, position in enumerate(block["position_ids"]) if position == 0] + [block["length"]]
        for low, high in pairwise(starts):
            assert block["position_ids"][low:high] == list(range(high - low))
            assert block["labels"][low:high] == [IGNORED, *block["input_ids"][low + 1 : high]]
            found.append(block["input_ids"][low:high])
    assert sorted(found) == sorted(rows["input_ids"][:])


@pytest.mark.parametrize("backend", ["eager", "sdpa"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "llama_ina"])
def test_a_packed_neighbour_changes_nothing_and_losses_are_those_of_single_rows(name, backend):
    model, loss = make(name, attn_implementation=backend).eval(), CompletionLoss()
    rows = make_rows([6, 4, 5, 3])
    batch = CausalCollator(0)([*pack(rows, 11)])
    assert "attention_mask" not in batch and batch["input_ids"].shape == (2, 11)
    assert batch["position_ids"][1].tolist() == [*range(4), *range(3), *range(4)]  # padding is one more row
    labels = batch.pop("labels")
    outputs = model(**batch, use_cache=False)
    packed = loss(outputs, labels)
    packed.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    singles = [CausalCollator(0)([row]) for row in rows]
    sums = [loss(model(input_ids=one["input_ids"]), one["labels"], 1) for one in singles]
    single = sum(sums) / sum(length - 1 for length in rows["length"])
    single.backward()
    torch.testing.assert_close(packed, single, rtol=1e-5, atol=1e-6)
    for name, p in model.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(gradients[name], p.grad, rtol=1e-4, atol=1e-5)

    starts = (batch["position_ids"][0] == 0).nonzero().flatten().tolist()
    changed = batch["input_ids"].clone()
    changed[0, : starts[1]] = changed[0, : starts[1]].flip(0)
    with torch.no_grad():
        again = model(**batch | {"input_ids": changed}, use_cache=False).logits
    assert not torch.allclose(again[0, : starts[1]], outputs.logits[0, : starts[1]])
    assert torch.equal(again[0, starts[1] :], outputs.logits[0, starts[1] :])


def test_a_mask_of_ones_lets_rows_read_each_other():
    """Why packed batches have no mask: the model is silent about it."""
    model = make("llama").eval()
    batch = CausalCollator(0)([*pack(make_rows([6, 5]), 11)])
    del batch["labels"]
    with torch.no_grad():
        apart = model(**batch, use_cache=False).logits
        mask = torch.ones_like(batch["input_ids"])
        mixed = model(**batch, attention_mask=mask, use_cache=False).logits
    assert not torch.allclose(apart[0, 6:], mixed[0, 6:], atol=1e-3)


@pytest.mark.parametrize(("name", "apart"), [("gpt2", True), ("llama", True), ("llama_ina", True), ("bloom", False)])
def test_which_architectures_can_pack(name, apart):
    model = make(name).train()
    assert keeps_rows_apart(model) is apart
    assert model.training


def test_collator_pads_on_the_right():
    batch = CausalCollator(0, pad_to_multiple_of=4)([*make_rows([3, 5])])
    assert batch["attention_mask"].tolist() == [[1] * 3 + [0] * 5, [1] * 5 + [0] * 3]
    assert batch["input_ids"][0, 3:].tolist() == [0] * 5 and batch["labels"][0, 3:].tolist() == [IGNORED] * 5
