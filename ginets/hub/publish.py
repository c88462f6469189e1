"""From a run's folder to a folder for its users, and to the Hub."""

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from huggingface_hub import HfApi, ModelCard
from transformers import PreTrainedConfig, PreTrainedModel

from ..models.flags import is_flag
from .flatten import auto_map, code_files, family_of
from .load import ADAPTER_CONFIG, ADAPTER_WEIGHTS, BASE, ModelSource, find_model, key_mapping, read_weights
from .published_card import PICTURE, Published, published_card, read_card
from .verify import CHECKSUMS, check_checksums, files_in, read_checksums, sha256


OUR_ADAPTERS = "GINETS_"
FORMS = {
    "fold": "The adapter was folded into a native model; the outputs are the same.",
    "as_lora": "The adapter was written as plain LoRA; the outputs are the same.",
}


def publish(
    run: str,
    folder: str | Path,
    name: str | None = None,
    as_lora: bool = False,
    fold: bool = False,
    onnx: bool = False,
    base_model: str | None = None,
    license: str | None = None,
) -> list[str]:
    """Write what users need of `run` into a new folder: weights, tokenizer, code, card, checksums. Nothing is sent.

    A model of ours gets its code, so that `AutoModelFor….from_pretrained(folder, trust_remote_code=True)` loads it
    without ginets. A stock model is written as it is, an adapter as a PEFT adapter.

    A folder that holds just that already is taken for done, so that it can be looked at first and sent later, or sent
    again.

    Args:
        run: folder (or name on the Hub) of a trained model or adapter.
        folder: new, empty, or written by the same call before.
        name: under which the card says it is loaded; default: the name of `folder`.
        as_lora: write an adapter as plain LoRA; only where that is exact.
        fold: write InA on Llama as a native model.
        onnx: also write `onnx/model.onnx`, checked in onnxruntime.
        base_model: name of the base model on the Hub, if the run started from a folder.
        license: of the base model; default: what its card says.

    Returns:
        The files, by their path in `folder`.

    Raises:
        ValueError: `run` cannot be published so, or the folder holds something else; the message says why. No folder
            is made then, and none is changed.
    """
    folder = Path(folder)
    check_target(folder)
    source = find_model(run)
    check_wishes(source, as_lora, fold, onnx)
    base = base_of(source, base_model, complete=fold)
    card = read_card(found) if (found := source.file("README.md")) else None
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        draft = Path(scratch, "draft")
        draft.mkdir()
        if source.adapter and not fold:
            facts = write_adapter(source, draft, base, as_lora)
        else:
            facts = write_model(source, draft, fold, onnx)
            facts.base = base
        facts.name, facts.license = name or folder.resolve().name, license
        write_card(source, draft, published_card(facts, card))
        write_checksums(draft)
        if (folder / CHECKSUMS).exists():
            unnamed = published_card(replace(facts, name=folder.resolve().name), card)
            check_same(draft, folder, str(unnamed))
            shutil.copyfile(draft / "README.md", folder / "README.md")
        else:
            if folder.exists():  # and empty
                folder.rmdir()
            draft.rename(folder)
    return files_in(folder)


def push(folder: str | Path, repo: str, private: bool = False, revision: str | None = None) -> str:
    """Send a published folder to the Hub as one commit, all or nothing; returns the address of the repository.

    Files that are there and not in the folder stay; `verify` names those that do not belong.

    Raises:
        ValueError: `private`, and the repository is there and public.
        OSError: not logged in, or the Hub refuses.
    """
    api = HfApi()
    api.create_repo(repo, private=private, exist_ok=True)
    if private and not api.repo_info(repo).private:
        raise ValueError(
            f"{repo!r} is there and public, nothing was sent; make it private on the Hub, or name another."
        )
    if revision is not None:
        api.create_branch(repo, branch=revision, exist_ok=True)
    api.upload_folder(
        repo_id=repo,
        folder_path=str(folder),
        revision=revision,
        commit_message="Published with ginets",
    )
    return f"https://huggingface.co/{repo}"


def check_login() -> str:
    """The name of the user who is logged in to the Hub.

    Raises:
        OSError: nobody is, or the token is not valid.
    """
    return HfApi().whoami()["name"]


def check_target(folder: Path) -> None:
    """Refuse what is neither new nor empty nor published, before the work."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / CHECKSUMS).is_file()):
        raise ValueError(f"{folder} is there and not empty; give a new folder.")
    if folder.is_dir() and (wrong := check_checksums(folder, files_in(folder))):
        raise ValueError(f"{folder} is there, and {wrong[0]}; give a new folder.")


def check_same(draft: Path, folder: Path, unnamed: str) -> None:
    """Refuse a published folder that holds something else than a draft of it.

    Args:
        unnamed: the card before the model had a name on the Hub.
    """
    wanted, found = (read_checksums(each / CHECKSUMS) for each in (draft, folder))
    if others := sorted(name for name in wanted | found if wanted.get(name) != found.get(name)):
        raise ValueError(f"{folder} is there and was published from something else: {others[0]}; give a new folder.")
    card = folder / "README.md"
    known = ((draft / card.name).read_text(encoding="utf-8"), unnamed)
    if card.is_file() and card.read_text(encoding="utf-8") not in known:
        raise ValueError(
            f"{card} is not the card that would be written now: it was edited, or written for another name or licence; "
            f"delete it to have it written anew, or send the folder as it is: hf upload USER/NAME {folder} ."
        )


def check_wishes(source: ModelSource, as_lora: bool, fold: bool, onnx: bool) -> None:
    if as_lora and fold:
        raise ValueError("as_lora and fold are both given; an adapter is published as the one or the other.")
    wish = "as_lora" if as_lora else "fold" if fold else None
    if wish and not source.adapter:
        raise ValueError(f"{wish} is for adapters; {source.path!r} is a complete model.")
    if wish and not source.adapter["peft_type"].startswith(OUR_ADAPTERS):
        raise ValueError(f"{wish} is for adapters of ginets; {source.path!r} is a {source.adapter['peft_type']}.")
    if onnx and source.adapter:
        raise ValueError("onnx is for complete encoders; this is an adapter.")


def base_of(source: ModelSource, given: str | None, complete: bool) -> str | None:
    """The base model that users will find; for a complete model it may be unknown."""
    if given or not source.adapter:
        return given
    base = source.adapter["base_model_name_or_path"]
    if not (Path(base).exists() or base.startswith(("/", ".", "~"))):
        return base
    if complete:
        return None
    raise ValueError(
        f"the adapter's base model is {base!r}, a folder of this machine; say with base_model (--base-model) which model "
        "on the Hub that is, or where its users have it."
    )


def write_model(source: ModelSource, folder: Path, fold: bool, onnx: bool) -> Published:
    if fold:
        from ..tuners.fold import fold as fold_adapter

        model = fold_adapter(source.model("auto"))
    else:
        model = load_whole(source)
    model.save_pretrained(folder, max_shard_size="5GB")
    source.tokenizer().save_pretrained(folder)
    add_code(model, folder)
    if onnx:
        from .onnx import export_onnx

        export_onnx(model.float(), folder / "onnx" / "model.onnx")
    family = family_of(model.config)
    return Published(
        name="",
        auto=source.model_class.__name__,
        own=family is not None,
        form=FORMS["fold"] if fold else "",
        flags=flags_of(model.config),
        methods=(family.config.model_type.rpartition("_")[2],) if family else (),
    )


def flags_of(config: PreTrainedConfig) -> dict[str, object]:
    return {key: value for key, value in config.to_dict().items() if is_flag(key)}


def load_whole(source: ModelSource) -> PreTrainedModel:
    """The model of a checkpoint that has all of its tensors, in their type."""
    try:
        model, found = read_weights(source.model_class, source.path, source.config, dtype="auto", **source.hub_options)
    except OSError as error:
        raise ValueError(f"no weights at {source.path!r} ({str(error).strip().splitlines()[0]}).") from error
    if missing := sorted(found["missing_keys"]):
        raise ValueError(
            f"{source.path!r} has no trained {missing[0]} ({len(missing)} tensors of {type(model).__name__} are missing)."
        )
    return model.eval()


def add_code(model: PreTrainedModel, folder: Path) -> None:
    """The code of our families, and where `config.json` points to; none for stock models."""
    family = family_of(model.config)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for private in ("auto_map", "_name_or_path"):
        config.pop(private, None)
    if family is not None:
        config["auto_map"] = auto_map(family)
        for name, text in code_files(family).items():
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
    write_json(folder / "config.json", config)


def write_adapter(source: ModelSource, folder: Path, base: str, as_lora: bool) -> Published:
    if as_lora:
        from ..tuners.to_lora import to_lora

        to_lora(source.model("auto"), folder)
    else:
        for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
            shutil.copyfile(source.file(name), folder / name)
    config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    write_json(folder / ADAPTER_CONFIG, config | {"base_model_name_or_path": base})
    if saved := source.file(f"{BASE}/config.json"):
        content = json.loads(Path(saved).read_text(encoding="utf-8"))
        (folder / BASE).mkdir()
        write_json(
            folder / BASE / "config.json", {k: v for k, v in content.items() if k not in ("auto_map", "_name_or_path")}
        )
    if source.file("tokenizer_config.json"):
        source.tokenizer().save_pretrained(folder)
    ours = config["peft_type"].startswith(OUR_ADAPTERS)
    family = family_of(source.config)
    gated = (family.config.model_type.rpartition("_")[2],) if family else ()
    return Published(
        name="",
        auto=source.model_class.__name__,
        base=base,
        adapter=config["peft_type"],
        base_config=bool(saved),
        key_mapping=key_mapping(source.model_class, source.config),
        needs_ginets=ours or family is not None,
        form=FORMS["as_lora"] if as_lora else "",
        flags=flags_of(source.config),
        methods=(source.adapter["peft_type"].removeprefix(OUR_ADAPTERS).lower(), *gated),
    )


def write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_card(source: ModelSource, folder: Path, card: ModelCard) -> None:
    """With the pictures of the run that it shows."""
    for picture in PICTURE.findall(card.text):
        if there := source.file(picture):
            shutil.copyfile(there, folder / picture)
    card.save(folder / "README.md")


def write_checksums(folder: Path) -> None:
    """In the form of `sha256sum`, for all files but the card, which people edit."""
    lines = [f"{sha256(folder / name)}  {name}\n" for name in files_in(folder) if name != "README.md"]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")
