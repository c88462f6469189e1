"""How figures are printed: for people, or as JSON for programs."""

import json
from collections.abc import Mapping


def print_figures(figures: Mapping[str, float], as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures, indent=2))
    else:
        width = max(map(len, figures))
        print("\n".join(f"{name:{width}}  {value!r}" for name, value in figures.items()))
