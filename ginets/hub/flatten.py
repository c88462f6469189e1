"""A family as files that need no ginets: its modelling and configuration modules, and what they import of ours.

transformers copies and loads a repository's own code only where it is imported as `from .module import name`, from the
same folder. So every module of ours that a family needs becomes one file beside the others, and nothing in it changes
but where its imports point.
"""

import ast
import re
from pathlib import Path

from transformers import PreTrainedConfig

from ..extras import versions
from ..models.auto import FAMILIES, Family, auto_classes


PACKAGE = __package__.partition(".")[0]
ROOT = Path(__file__).resolve().parents[1]
IMPORT = re.compile(r"from\s+\.+[\w.]*\s+import\b")
HEADER = """# Copyright (c) 2026 The ginets authors. SPDX-License-Identifier: MIT
# Written by ginets {version} from {source}; change it there.
"""


def family_of(config: PreTrainedConfig | str | None) -> Family | None:
    """The family of a config or of what a file says is its `model_type`; None for models that are not ours."""
    model_type = config.model_type if isinstance(config, PreTrainedConfig) else config
    return next((family for family in FAMILIES if family.config.model_type == model_type), None)


def code_files(family: Family) -> dict[str, str]:
    """File name → content of everything that `family` needs beside torch and transformers.

    Raises:
        ValueError: a module imports in a way that the loader of transformers cannot follow.
    """
    waiting, files, sources = [family.config.__module__, family.modeling.__name__], {}, {}
    while waiting:
        module = waiting.pop(0)
        name = f"{module.rpartition('.')[2]}.py"
        if sources.setdefault(name, module) != module:
            raise ValueError(f"{sources[name]} and {module} would both be published as {name}; rename one.")
        if name not in files:
            files[name], needed = flatten(module)
            waiting += needed
    return dict(sorted(files.items()))


def flatten(module: str) -> tuple[str, list[str]]:
    """The source of a module of ours with its imports in one folder, and the modules of ours that it imports."""
    path = ROOT.joinpath(*module.split(".")[1:]).with_suffix(".py")
    text = path.read_text(encoding="utf-8")
    lines, needed = text.splitlines(keepends=True), []
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        if isinstance(node, ast.ImportFrom) and node.level and node.module:
            target = ".".join([*module.split(".")[: -node.level], node.module])
            if not ROOT.joinpath(*target.split(".")[1:]).with_suffix(".py").is_file():
                raise ValueError(f"{path.name}, line {node.lineno}: {target} is no single file.")
            needed.append(target)
            here = f"from .{target.rpartition('.')[2]} import"
            lines[node.lineno - 1] = IMPORT.sub(here, lines[node.lineno - 1], count=1)
        elif (isinstance(node, ast.ImportFrom) and node.level) or any(name.split(".")[0] == PACKAGE for name in names):
            raise ValueError(f"{path.name}, line {node.lineno}: write `from .module import name`.")
    source = f"{PACKAGE}/{path.relative_to(ROOT).as_posix()}"
    return HEADER.format(version=versions()[PACKAGE], source=source) + "".join(lines), needed


def auto_map(family: Family) -> dict[str, str]:
    """Auto class → `file.Class`, for the config and every head of the family: `auto_map` of a `config.json`."""
    model_type = family.config.model_type
    code = {"AutoConfig": f"{family.config.__module__.rpartition('.')[2]}.{family.config.__name__}"}
    modeling = family.modeling.__name__.rpartition(".")[2]
    for auto_class in auto_classes():
        if name := auto_class._model_mapping._model_mapping.get(model_type):
            code[auto_class.__name__] = f"{modeling}.{name}"
    return code
