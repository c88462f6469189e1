"""The package as a whole: light and quiet import, layering, the zoo wherever it is installed, packaging."""

import ast
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[1]
# what may import what: a folder imports those to its right (and itself)
LAYERS = [
    "cli",
    "bench",
    "sweep",
    "ui",
    "serve",
    "recipes",
    "generation",
    ("data", "metrics", "viz", "hub"),
    "tuners",
    "models",
    "ops",
]


def python(code: str, *arguments, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, **options
    )


def test_import_is_quiet_and_light():
    heavy = ["torch", "transformers", "peft", "matplotlib", "datasets", "sklearn", "scipy.stats", "torchvision", "trl"]
    run = python(f"import sys, ginets; print([name for name in {heavy} if name in sys.modules])")
    assert run.stdout.strip() == "[]" and run.stderr == ""


def test_import_reaches_no_network():
    code = (
        "import socket; socket.socket.connect = lambda *a: (_ for _ in ()).throw(SystemExit('network')); import ginets"
    )
    assert python(code).returncode == 0


def test_imports_point_down():
    level = {name: i for i, layer in enumerate(LAYERS) for name in ([layer] if isinstance(layer, str) else layer)}
    wrong = []
    for path in (ROOT / "ginets").rglob("*.py"):
        folder = path.relative_to(ROOT / "ginets").parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for target in imported(node, path):
                parts = target.split(".")
                if len(parts) > 1 and folder in level and parts[1] in level and level[parts[1]] < level[folder]:
                    wrong.append(f"{path.relative_to(ROOT)} imports {target}")
    assert not wrong


def imported(node: ast.AST, path: Path) -> list[str]:
    """Absolute names of the ginets modules that an import statement brings."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.level:
        package = path.relative_to(ROOT).parent.parts
        base = ".".join(package[: len(package) - node.level + 1])
        names = [f"{base}.{node.module}" if node.module else f"{base}.{alias.name}" for alias in node.names]
    else:
        names = [node.module] if isinstance(node, ast.ImportFrom) else []
    return [name for name in names if name.startswith("ginets")]


def test_modelling_files_can_be_published_alone():
    """They import torch, transformers and flat modules of ours only."""
    allowed = {"torch", "transformers", "huggingface_hub", "math"}
    flat = {"attention", "flags", "gated", "inhibited", "pretrained", "ops.disentangled_bias", "ops.dispatch"}
    for path in (ROOT / "ginets" / "models").glob("*/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed, path
            elif isinstance(node, ast.ImportFrom) and not node.level:
                assert node.module.split(".")[0] in allowed, path
            elif isinstance(node, ast.ImportFrom) and node.level > 1:
                assert node.module in flat, path


LIST = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
import ginets
from ginets.recipes.recipe_files import list_recipes, recipe_path
print(ginets.__file__, len(ginets.list_models()), ginets.model_path("bert-tiny-gi"))
print(len(list_recipes()), recipe_path("aflora/mrpc"))
"""


def check_zoo(where: Path):
    run = python(LIST, cwd=where, env={"PYTHONPATH": str(where), "PATH": "/usr/bin:/bin", "HOME": str(where)})
    assert run.returncode == 0, run.stderr
    file, models, model, recipes, recipe = run.stdout.split()
    assert all(Path(path).is_relative_to(where) for path in (file, model, recipe))
    assert int(models) == len(list((ROOT / "models").glob("*/config.json")))
    assert int(recipes) == len(list((ROOT / "recipes").glob("glue/*/*.yaml")))


def test_zoo_in_a_plain_checkout(tmp_path):
    for folder in ("ginets", "models", "recipes"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    check_zoo(tmp_path)


def test_zoo_and_type_marker_in_the_wheel(tmp_path):
    pytest.importorskip("setuptools", minversion="77")
    source = tmp_path / "source"
    keep = shutil.ignore_patterns("__pycache__", ".git", ".venv", "build", "*.egg-info", "runs")
    shutil.copytree(ROOT, source, ignore=keep)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, source]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    assert (tmp_path / "site" / "ginets" / "py.typed").exists()
    assert not (tmp_path / "site" / "tests").exists()
    check_zoo(tmp_path / "site")


def test_zoo_in_this_installation():
    """Editable or not: the package that the tests run with finds its zoo."""
    import ginets
    from ginets.recipes.recipe_files import recipe_path

    assert Path(ginets.model_path("bert-tiny-gi"), "config.json").is_file()
    assert recipe_path("aflora/mrpc").is_file()


@pytest.mark.parametrize("arguments,code,text", [
    (["models", "llama*"], 0, "llama-2-7b-ina"),
    (["models", "nothing*"], 1, ""),
    (["env"], 0, "transformers"),
    (["--help"], 0, "Usage: ginets"),
    ([], 0, "Usage: ginets"),
    (["models", "--help"], 0, "Shell-style"),
    (["env", "surplus"], 2, "surplus"),
    (["nonsense"], 2, "No such command"),
    (["run"], 2, "SCRIPT is missing"),
    (["glue", "--help"], 0, "--gi_query_side"),
])  # fmt: skip
def test_command_line(arguments, code, text):
    run = subprocess.run([sys.executable, "-m", "ginets.cli", *arguments], capture_output=True, text=True)
    assert run.returncode == code and text in run.stdout + run.stderr
