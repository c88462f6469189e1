"""`ginets models [PATTERN]`: names and folders of the zoo."""

import argparse

from ..models.zoo import list_models, model_path


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("ginets models", description="List the zoo: name and folder of each model.")
    parser.add_argument("pattern", nargs="?", default="*", help="shell-style, e.g. 'deberta*'")
    names = list_models(parser.parse_args(arguments).pattern)
    width = max(map(len, names), default=0)
    for name in names:
        print(f"{name:{width}}  {model_path(name)}")
    return 0 if names else 1
