"""A published folder, checked as its users will meet it: in fresh processes with and without ginets."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from . import probe
from .flatten import auto_map, code_files, family_of
from .load import ADAPTER_CONFIG, ADAPTER_WEIGHTS, BASE, find_model, key_mapping, read_object
from .published_card import read_card


CHECKSUMS = "checksums.sha256"
UNSAFE = (".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth")
LEFTOVERS = ("trainer_state.json", "checkpoint-*", "optimizer*", "scheduler*", "rng_state*", "events.out*", "runs")
# not in the list of checksums: people edit the card, the Hub writes the other
FREE = (CHECKSUMS, "README.md", ".gitattributes")
DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64"}
SECTIONS = ("## How to load", "## Intended use and limits", "## Licence", "## Citation")
METADATA = ("license", "library_name", "pipeline_tag", "tags")
PLACEHOLDER = "[More Information Needed]"  # of the Hub's and PEFT's forms
# a folder of a machine, also behind `base_model:adapter:`; no address
FOLDER = re.compile(r"(?:^|:)(?:/(?!/)|~|\.{1,2}/|[A-Za-z]:[\\/](?!/))")
TOLERANCE = 1e-5


@dataclass
class Report:
    """What was found at `path`: sentences about what is right and about what is wrong."""

    path: str
    right: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def add(self, right: str, wrong: list[str]) -> bool:
        """Notes `wrong`, or if that is empty `right`; returns whether it is."""
        self.wrong += wrong
        if not wrong and right:
            self.right.append(right)
        return not wrong


def verify(path: str, trust_remote_code: bool = False, revision: str | None = None) -> Report:
    """Check files, code, weights, checksums and card at `path`, then load it with and without ginets and compare.

    Code in the folder runs if it is, byte for byte, what this version of ginets writes for the family; any other only
    if the caller says so.

    Args:
        path: a folder that `publish` wrote, or the name of its repository on the Hub.
        trust_remote_code: run code in it that is not ours, having read it.
        revision: of the repository.

    Raises:
        ValueError: there is nothing at `path`.
    """
    folder = fetch(path, revision)
    report, files = Report(path), files_in(folder)
    described = ADAPTER_CONFIG if ADAPTER_CONFIG in files else "config.json"
    config = read_json(folder / described)
    report.add(f"{len(files)} files, nothing left over from training, no pickle", check_files(files))
    report.add("", [f"{described} is no JSON object with fields"] if described in files and not config else [])
    known = report.add("the code is what ginets writes for this family", check_code(folder, files, config))
    report.add("checksums agree", check_checksums(folder, files))
    readable = report.add(describe_weights(folder, files), check_weights(folder, files, config))
    report.add("the card says what it should", check_card(folder))
    if not (readable and config):
        report.wrong.append("not loaded: see above")
    elif config.get("auto_map") and family_of(config.get("model_type", "")) is None:
        report.wrong.append(f"not loaded: {config.get('model_type')!r} is no model of transformers or ginets")
    elif not (known or trust_remote_code):
        report.wrong.append("not loaded: its code is not the code of ginets; read it, then pass --trust-remote-code")
    else:
        check_loading(report, folder, files, config)
    return report


def fetch(path: str, revision: str | None) -> Path:
    if Path(path).is_dir():
        return Path(path)
    if path.startswith(("/", ".", "~")):
        raise ValueError(f"there is no folder {path!r}.")
    try:
        return Path(snapshot_download(path, revision=revision))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{path!r} is no folder and no repository that can be fetched ({reason}).") from error


def files_in(folder: Path) -> list[str]:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return [name for name in names if not name.startswith((".cache/", ".git/"))]


def read_json(path: Path) -> dict:
    """What a file says; nothing where there is none, or no JSON object in it."""
    try:
        return read_object(path)
    except (OSError, ValueError):
        return {}


def check_files(files: list[str]) -> list[str]:
    adapter = ADAPTER_CONFIG in files
    needed = (ADAPTER_CONFIG, ADAPTER_WEIGHTS) if adapter else ("config.json", "tokenizer_config.json")
    wrong = [f"{name} is missing" for name in (*needed, "README.md", CHECKSUMS) if name not in files]
    if not any(name.endswith(".safetensors") for name in files):
        wrong.append("there are no weights in a .safetensors file")
    for name in files:
        if Path(name).suffix.lower() in UNSAFE:
            wrong.append(f"{name} may hold a pickle, which can run code; only safetensors belong here")
        elif any(part.match(pattern) for part in (Path(name), *Path(name).parents) for pattern in LEFTOVERS):
            wrong.append(f"{name} is left over from training")
    return wrong


def check_code(folder: Path, files: list[str], config: dict) -> list[str]:
    """Against what `flatten` writes: Python files, where `auto_map` points, and none for the tokenizer."""
    family = family_of(config.get("model_type", ""))
    wanted, classes = (code_files(family), auto_map(family)) if family else ({}, {})
    found = {name for name in files if name.endswith((".py", ".pyc", ".so"))}
    wrong = [f"{name} is missing: the model needs it without ginets" for name in wanted.keys() - found]
    for name in sorted(found):
        if name not in wanted:
            wrong.append(f"{name} is code that ginets does not write for this model")
        elif (folder / name).read_bytes() != wanted[name].encode():
            wrong.append(f"{name} is not what this version of ginets writes; publish again")
    if config.get("auto_map", {}) != classes:
        wrong.append("config.json: auto_map does not name the classes of this family, each in its file")
    if "auto_map" in read_json(folder / "tokenizer_config.json"):
        wrong.append("tokenizer_config.json: auto_map asks for code of its own")
    return wrong


def check_checksums(folder: Path, files: list[str]) -> list[str]:
    if CHECKSUMS not in files:
        return []
    listed = read_checksums(folder / CHECKSUMS)
    wrong = [f"{name} is missing, {CHECKSUMS} lists it" for name in listed.keys() - set(files)]
    wrong += [
        f"{name} is not in {CHECKSUMS}: it came after publishing" for name in files if name not in {*listed, *FREE}
    ]
    changed = [name for name in files if name in listed and sha256(folder / name) != listed[name]]
    return wrong + [f"{name} was changed after publishing: its SHA-256 is another" for name in changed]


def read_checksums(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensors_in(folder: Path, files: list[str]) -> dict[str, tuple[str, list[int]]]:
    """Name → type and shape, from the headers alone."""
    found = {}
    for name in files:
        if name.endswith(".safetensors"):
            with safe_open(folder / name, "pt") as tensors:
                for key in tensors.keys():  # noqa: SIM118
                    part = tensors.get_slice(key)
                    found[key] = (part.get_dtype(), part.get_shape())
    return found


def describe_weights(folder: Path, files: list[str]) -> str:
    try:
        tensors = tensors_in(folder, files)
    except (OSError, SafetensorError):
        return ""
    size = sum((folder / name).stat().st_size for name in files if name.endswith(".safetensors"))
    types = ", ".join(sorted({dtype for dtype, _ in tensors.values()}))
    return f"{len(tensors)} tensors, {size:,} bytes, {types}"


def check_weights(folder: Path, files: list[str], config: dict) -> list[str]:
    try:
        tensors = tensors_in(folder, files)
    except (OSError, SafetensorError) as error:
        return [f"the weights cannot be read: {error}"]
    wrong = []
    if (dtype := DTYPES.get(config.get("dtype"))) is not None:
        others = sorted(name for name, (kind, _) in tensors.items() if kind in DTYPES.values() and kind != dtype)
        if others:
            wrong.append(f"config.json says {config['dtype']}; {len(others)} tensors are not, e.g. {others[0]}")
    if index := read_json(folder / "model.safetensors.index.json"):
        lost = index.get("weight_map", {}).keys() ^ tensors.keys()
        wrong += [f"{name} is in the index or in a shard, not in both" for name in sorted(lost)[:3]]
    return wrong


def check_card(folder: Path) -> list[str]:
    if not (folder / "README.md").is_file():
        return []
    try:
        card = read_card(folder / "README.md")
    except ValueError as error:
        return [str(error)]
    data = card.data.to_dict()
    wrong = [f"README.md: the metadata have no {name}" for name in METADATA if not data.get(name)]
    wrong += [f"README.md: {PLACEHOLDER} stands in it"] if PLACEHOLDER in card.text else []
    named = [each for name in ("base_model", "tags") for each in several(data.get(name))]
    wrong += [f"README.md: the metadata name a folder, {each!r}" for each in named if FOLDER.search(str(each))]
    return wrong + [f"README.md: there is no section {name[3:]!r}" for name in SECTIONS if name not in card.text]


def several(value: object) -> list:
    return value if isinstance(value, list) else [] if value is None else [value]


def check_loading(report: Report, folder: Path, files: list[str], config: dict) -> None:
    """Two fresh processes: what loads there, and whether outputs and tokens agree."""
    try:
        source = find_model(str(folder))
        job = {"path": str(folder), "auto": source.model_class.__name__, "trust": False}
    except ValueError as error:
        report.wrong.append(f"ginets cannot load it: {' '.join(str(error).split())}")
        return
    job["tokenizer"] = "tokenizer_config.json" in files
    needs_ginets = False
    if source.adapter:
        base, saved = source.base, folder / BASE
        job |= {"base": base[0], "revision": base[1]["revision"]}
        job["key_mapping"] = key_mapping(source.model_class, source.config)
        job["config"] = str(saved) if (saved / "config.json").is_file() else None
        needs_ginets = config["peft_type"].startswith("GINETS_") or family_of(source.config) is not None
    with tempfile.TemporaryDirectory() as scratch:
        (ours,) = ask_probe([job | {"output": f"{scratch}/ours"}])
        (bare,) = ask_probe([job | {"output": f"{scratch}/bare", "trust": not source.adapter}], without_ginets=True)
        if "error" in ours:
            report.wrong.append(f"with ginets: {first_line(ours['error'])}")
        else:
            report.right.append(f"with ginets it loads as {ours['class']}, {ours['parameters']:,} parameters")
        if needs_ginets and "error" in bare:
            report.right.append(f"without ginets it is refused: {first_line(bare['error'])}")
        elif needs_ginets:
            report.wrong.append("without ginets it loads, although that cannot be right: the method is not there")
        elif "error" in bare:
            report.wrong.append(f"without ginets: {first_line(bare['error'])}")
        elif "error" not in ours:
            report.add(
                "without ginets it loads and gives the same outputs",
                compare(ours, bare, load_file(f"{scratch}/ours"), load_file(f"{scratch}/bare")),
            )


def compare(ours: dict, bare: dict, mine: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> list[str]:
    wrong = [
        f"{what} differ: {ours[key]} with ginets, {bare[key]} without"
        for what, key in (("classes", "class"), ("types", "dtype"), ("tokens", "tokens"))
        if ours[key] != bare[key]
    ]
    if mine.keys() != theirs.keys():
        return [*wrong, f"outputs are {', '.join(mine)} with ginets, {', '.join(theirs)} without"]
    for name, tensor in mine.items():
        if not tensor.isfinite().all():
            wrong.append(f"{name} is not finite")
        elif tensor.shape != theirs[name].shape or (apart := (tensor - theirs[name]).abs().max().item()) > TOLERANCE:
            gap = "in shape" if tensor.shape != theirs[name].shape else f"by up to {apart:.2g}"
            wrong.append(f"{name} with and without ginets differ {gap}")
    return wrong


def first_line(message: str) -> str:
    return message.strip().splitlines()[0]


def ask_probe(jobs: list[dict], without_ginets: bool = False) -> list[dict]:
    """What `probe.py` reports on `jobs`, in a fresh interpreter with an empty cache of remote code."""
    root = str(Path(__file__).resolve().parents[2])
    with tempfile.TemporaryDirectory() as modules:
        paths = [root] * (not without_ginets) + [os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"HF_MODULES_CACHE": modules, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        run = subprocess.run(
            [sys.executable, "-P", probe.__file__],
            input=json.dumps({"without_ginets": without_ginets, "jobs": jobs}),
            env=environment,
            capture_output=True,
            text=True,
        )
    try:
        return json.loads(run.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise ValueError(
            f"the process that loads the model ended with code {run.returncode}: {run.stderr[-500:]}"
        ) from error
