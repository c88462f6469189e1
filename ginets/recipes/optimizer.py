"""Own learning rates for the adapter, the head, and gates or inhibited branches."""

from torch.optim import Optimizer

from .adapted import ADAPTER, HEAD, MECHANISM, parts_of


def split_groups(optimizer: Optimizer, model, rates: dict[str, float | None]) -> None:
    """Split the groups of a new optimizer by part of the model, and give each part its learning rate.

    The groups differ in weight decay, as the Trainer decided: that stays. A part without a rate, and the rest of the
    body, keeps the rate of the group.

    Args:
        rates: part (`ADAPTER`, `HEAD`, `MECHANISM`) → learning rate.
    """
    parts = parts_of(model)
    groups = []
    for group in optimizer.param_groups:
        for part in (ADAPTER, HEAD, MECHANISM, None):
            members = [
                p for p in group["params"] if (parts[id(p)] if rates.get(parts[id(p)]) is not None else None) == part
            ]
            if members:
                groups.append({**group, "params": members, "lr": group["lr"] if part is None else rates[part]})
    optimizer.param_groups[:] = groups
