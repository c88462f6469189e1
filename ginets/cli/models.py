"""`ginets models [PATTERN]`: names and folders of the zoo."""

from ..models.zoo import list_models, model_path


def main(arguments: list[str]) -> int:
    names = list_models(*arguments[:1])
    width = max(map(len, names), default=0)
    for name in names:
        print(f"{name:{width}}  {model_path(name)}")
    return 0 if names else 1
