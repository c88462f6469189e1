"""A file of texts for a list of prompts: planned, written by workers, resumable."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .batches import BATCH_TOKENS, plan
from .decoding import Decoding
from .fingerprint import digest, fingerprints
from .journal import Journal
from .prompts import Prompt
from .workers import Batch, Workers
from .writer import load_writer


def generate_file(
    model: str,
    prompts: Sequence[Prompt],
    decoding: Decoding,
    output: str | os.PathLike,
    *,
    dtype: str = "float32",
    workers: int = 1,
    batch_size: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
    overwrite: bool = False,
    predictions: str | os.PathLike | None = None,
    quiet: bool = False,
) -> dict[str, str]:
    """Write `output`, JSON lines with `id`, `prompt` and `text` in the order of the prompts; id → text.

    A run that was killed goes on when the same call is made again: what was finished stays and is not redone.

    Args:
        model: folder or Hub name of a model or an adapter, which stays live.
        workers: processes that share the work on a CPU.
        batch_size, batch_tokens: `batches.plan` says what they limit.
        overwrite: replace an output that is there, and a part that was begun with other settings.
        predictions: a file for the texts alone, one per line.
        quiet: no progress bar.

    Raises:
        DataError: `output` is there, or was begun with other settings.
        ValueError: an argument is out of range, or the model cannot be loaded.
    """
    batches = plan([len(each.ids) for each in prompts], decoding.max_new_tokens, decoding.num_beams, batch_size, batch_tokens)  # fmt: skip
    settings = {"model": str(model), **fingerprints(str(model)), "dtype": dtype, "prompts": digest(prompts)}
    settings |= asdict(decoding)
    if decoding.sample:  # draws depend on what is in a batch
        settings |= {"batch_size": batch_size, "batch_tokens": batch_tokens}
    load = partial(load_writer, model, decoding, dtype)
    with Workers(load, workers) as write, Journal(output, settings, overwrite) as journal:
        if predictions:  # hours later it would be too late to find that it cannot be written
            Path(predictions).parent.mkdir(parents=True, exist_ok=True)
            open(predictions, "ab").close()
        left = [
            Batch(number, [prompts[at].ids for at in batch], batch_seed(decoding.seed, number))
            for number, batch in enumerate(batches)
            if any(prompts[at].id not in journal.done for at in batch)
        ]
        with tqdm(total=len(prompts), initial=len(journal.done), unit="text", mininterval=1, disable=quiet) as bar:
            for number, texts in write(left):
                names = [prompts[at].id for at in batches[number]]
                journal.add(dict(zip(names, texts, strict=True)))
                bar.update(len(journal.done) - bar.n)
        if predictions:
            lines = [" ".join(journal.done[prompt.id].split()) + "\n" for prompt in prompts]
            Path(predictions).write_text("".join(lines), encoding="utf-8")
        journal.finish(prompts)  # the last: from here on it is done
    return journal.done


def batch_seed(seed: int, number: int) -> int:
    """Of a batch's own, so that its draws do not depend on which process writes it, and after what."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
