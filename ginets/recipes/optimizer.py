"""Own learning rates for the adapter and for the head."""

from torch.optim import Optimizer

from .adapted import ADAPTER, HEAD, part_of


def split_groups(optimizer: Optimizer, model, rates: dict[str, float | None]) -> None:
    """Split the groups of a new optimizer by part of the model, and give each part its learning rate.

    The groups differ in weight decay, as the Trainer decided: that stays. A part without a rate, and everything that
    is neither adapter nor head, keeps the rate of the group.

    Args:
        rates: part (`ADAPTER`, `HEAD`) → learning rate.
    """
    parts = {id(parameter): part_of(name, model) for name, parameter in model.named_parameters()}
    groups = []
    for group in optimizer.param_groups:
        for part in (ADAPTER, HEAD, None):
            members = [
                p for p in group["params"] if (parts[id(p)] if rates.get(parts[id(p)]) is not None else None) == part
            ]
            if members:
                groups.append({**group, "params": members, "lr": group["lr"] if part is None else rates[part]})
    optimizer.param_groups[:] = groups
