"""Packaging. Tool settings live in pyproject.toml, tested versions in constraints.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup


ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+?)"', (ROOT / "ginets" / "__init__.py").read_text(encoding="utf-8"))[1]

EXTRAS = {
    "adapters": ["peft>=0.21,<0.22"],
    "quant": ["peft>=0.21,<0.22", "bitsandbytes>=0.50"],
    "train": ["datasets>=5.2", "scikit-learn>=1.5", "scipy>=1.13", "pyyaml>=6", "matplotlib>=3.9"],
    "nlg": ["sacrebleu>=2.4", "pycocoevalcap>=1.2,<2"],
    "viz": ["matplotlib>=3.9"],
    "onnx": ["onnx>=1.18", "onnxscript>=0.5", "onnxruntime>=1.22"],
    "ray": ["ray>=2.40"],
    "serve": ["fastapi>=0.132", "uvicorn>=0.40", "prometheus-client>=0.21", "jinja2>=3.1", "datasets>=5.2"],
    "ui": [
        "gradio>=6.31,<7",
        "httpx>=0.28",
        "fastapi>=0.132",
        "uvicorn>=0.40",
        "prometheus-client>=0.21",
        "jinja2>=3.1",
        "datasets>=5.2",
        "pyyaml>=6",
        "scikit-learn>=1.5",
        "scipy>=1.13",
        "matplotlib>=3.10",
    ],
    "docs": ["mkdocs-material>=9.7", "mkdocstrings-python>=2"],
    "dev": [
        "pytest-xdist>=3.6",
        "httpx>=0.28",
        "openai>=3",
        "playwright>=1.65",
        "hypothesis>=6.100",
        "setuptools>=77",
        "ruff==0.17.5",
        "transformers-mlinter==0.1.5",
    ],
}

setup(
    name="ginets",
    version=VERSION,
    description="Inhibition-style adaptation of Transformers: gated inhibition (GI) and inhibited low-rank branches (InA)",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    # data: models/<name>/config.json is installed as ginets.zoo, recipes/<benchmark>/<method>/<task>.yaml as ginets.cookbook
    packages=[*find_packages(include=["ginets", "ginets.*"]), "ginets.zoo", "ginets.cookbook"],
    package_dir={"ginets.zoo": "models", "ginets.cookbook": "recipes"},
    package_data={
        "ginets": ["py.typed", "viz/*.html"],
        "ginets.zoo": ["*/config.json", "*/README.md", "README.md"],
        "ginets.cookbook": ["*/*/*.yaml", "*/*.yaml", "README.md"],
    },
    install_requires=[
        "torch>=2.9",
        "transformers>=5.23,<5.24",
        "tokenizers>=0.22",
        "safetensors>=0.5",
        "accelerate>=1.10",
        "huggingface-hub>=2.0",
        "psutil>=5.9",
        "typer>=0.29",  # which transformers needs as well
        "pytest>=8",
    ],
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": ["ginets = ginets.cli:main"],
        "vllm.general_plugins": ["ginets = ginets.models.vllm_plugin:register"],
    },
)
