"""SoRA: training the gates with a `Trainer`."""

from torch.utils.hooks import RemovableHandle
from transformers import TrainerCallback

from .gates import train_gates
from .model import SoraModel


class SoraCallback(TrainerCallback):
    """Trains the gates of SoRA with a `Trainer`, and removes the ranks that ended at zero: `callbacks=[SoraCallback()]`.

    Checkpoints written during the training keep all ranks, so that it can be resumed to the last bit: a gate that is
    zero may come back. What is saved after the training has the small tensors.

    Args:
        prune: remove the zero ranks at the end of the training, after the best checkpoint has been loaded.
    """

    def __init__(self, prune: bool = True):
        self.prune = prune
        self.handle: RemovableHandle | None = None

    def on_train_begin(self, args, state, control, model=None, optimizer=None, **kwargs):
        self.handle = train_gates(model, optimizer)

    def on_train_end(self, args, state, control, model=None, **kwargs):
        self.handle.remove()
        tuners = [module for module in model.modules() if isinstance(module, SoraModel)] if self.prune else []
        for tuner in tuners:
            for adapter in tuner.active_adapters:
                tuner.prune(adapter)
