"""A program of its own, run by `verify` in fresh processes: loads models as a user would and saves their outputs.

It imports nothing of ginets itself. On standard input it reads JSON: `without_ginets`, and `jobs`, each with `path`,
`auto` (name of the Auto class), `output` (a safetensors file to write), `trust` (the repository's own code may run) and,
for a PEFT adapter, `base`, `revision`, `config` (the folder with the config of its base) and `key_mapping`. It prints a line of JSON:
for each job what was loaded, or the `error`.
"""

import importlib
import importlib.abc
import json
import sys


class NoGinets(importlib.abc.MetaPathFinder):
    """As in an environment where ginets was never installed."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] == "ginets":
            raise ModuleNotFoundError("No module named 'ginets'", name="ginets")


def load(job: dict):
    """The model of a job, in evaluation mode, and its tokenizer (None if it has none)."""
    import transformers

    auto = getattr(transformers, job["auto"])
    if job.get("base") is None:
        model = auto.from_pretrained(job["path"], trust_remote_code=job["trust"], use_safetensors=True)
    else:
        import peft

        source = job.get("config") or job["base"]
        config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False)
        options = {"trust_remote_code": False, "use_safetensors": True, "revision": job.get("revision") or "main"}
        model = auto.from_pretrained(job["base"], config=config, key_mapping=job.get("key_mapping"), **options)
        model = peft.PeftModel.from_pretrained(model, job["path"])
    tokenizer = None
    if job.get("tokenizer", True):
        tokenizer = transformers.AutoTokenizer.from_pretrained(job["path"], trust_remote_code=job["trust"])
    return model.eval(), tokenizer


def example(config, choices: bool) -> dict:
    """Token ids and mask of two texts (one, where nothing pads), the second with padding at its end; always the same."""
    import torch

    pad, length = config.pad_token_id, min(12, getattr(config, "max_position_embeddings", 12) - 4)
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(min(5, config.vocab_size - 1), config.vocab_size, (2, length), generator=draw)
    mask = torch.ones_like(ids)
    if pad is None:
        ids, mask = ids[:1], mask[:1]
    else:
        ids[ids == pad] = (pad + 1) % config.vocab_size
        ids[1, -3:], mask[1, -3:] = pad, 0
    inputs = {"input_ids": ids, "attention_mask": mask}
    return {name: value[:, None].repeat(1, 2, 1) for name, value in inputs.items()} if choices else inputs


def run(job: dict) -> dict:
    import torch
    from safetensors.torch import save_file

    model, tokenizer = load(job)
    base = model.get_base_model() if job.get("base") else model
    with torch.no_grad():
        outputs = model(**example(base.config, type(base).__name__.endswith("MultipleChoice")), return_dict=True)
    tensors = {name: value.float().contiguous() for name, value in outputs.items() if torch.is_tensor(value)}
    save_file(tensors, job["output"])
    return {
        "class": type(base).__name__,
        "module": type(base).__module__,
        "dtype": str(base.dtype).removeprefix("torch."),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "tokens": tokenizer("The cat sat on the mat.")["input_ids"] if tokenizer else None,
    }


def main() -> None:
    task = json.load(sys.stdin)
    if task["without_ginets"]:
        sys.meta_path.insert(0, NoGinets())
    else:
        importlib.import_module("ginets")
    results = []
    for job in task["jobs"]:
        try:
            results.append(run(job))
        except Exception as error:  # whatever keeps a user from loading it is the finding
            results.append({"error": f"{type(error).__name__}: {error}"})
    print("\n" + json.dumps(results))


if __name__ == "__main__":
    main()
