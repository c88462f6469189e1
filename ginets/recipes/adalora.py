"""AdaLoRA in a `Trainer` run: what PEFT leaves to the training loop, and the schedule of its ranks."""

import torch
from transformers import TrainerCallback

from .arguments import ArgumentsError, check_range
from .methods import METHODS


# shares of the steps with full and with final ranks; the authors' GLUE runs have 9 to 18 % and 44 to 58 %
WARM_UP, FINAL = 0.15, 0.5
SCORES = ("ipt", "exp_avg_ipt", "exp_avg_unc")
MASK = "rank_mask"


def schedule(fields: dict, steps: int) -> dict:
    """`fields` of an AdaLoRA config with `total_step`, `tinit` and `tfinal` filled in for a run of `steps`.

    Raises:
        ArgumentsError: the schedule has no step between warm-up and final phase, there is no rank to take away, or
            the weight of the orthogonality is below 0.
    """
    check_range("orth_reg_weight", fields.get("orth_reg_weight"), 0)
    total = fields.get("total_step", steps)
    final = fields.get("tfinal", max(0, min(int(FINAL * total), total - 2)))
    warm_up = fields.get("tinit", max(0, min(int(WARM_UP * total), total - final - 1)))
    if total - final < 2 or not 0 <= warm_up < total - final:
        raise ArgumentsError(
            f"--tinit is {warm_up} and --tfinal is {final} in a run of {total} steps; allowed: tinit < steps - tfinal, "
            "and at least two steps before the final phase, in which the ranks are allocated."
        )
    defaults = METHODS["adalora"].config_class
    start, target = (fields.get(name, getattr(defaults, name)) for name in ("init_r", "target_r"))
    if not 1 <= target < start:
        raise ArgumentsError(f"--init_r is {start} and --target_r is {target}; allowed: 1 <= target_r < init_r.")
    return fields | {"total_step": total, "tinit": warm_up, "tfinal": final}


def lacks_term(model, own_loss: bool) -> bool:
    """Whether `model` has AdaLoRA and its loss no orthogonality: PEFT adds it only to a loss that the model computes
    itself, and only in its wrappers for tasks.
    """
    if getattr(model, "peft_type", None) != "ADALORA":
        return False
    return own_loss or model.active_peft_config.task_type is None


def orthogonality(model) -> torch.Tensor | float:
    """`orth_reg_weight` · mean of ‖A·Aᵀ − I‖ and ‖Bᵀ·B − I‖ over all adapted modules, Frobenius norms.

    As PEFT has it. (AdaLoRA, equation 4, squares the norms and sums them.)
    """
    tuner = model.base_model
    adapter = tuner.trainable_adapter_name
    if not (weight := tuner.peft_config[adapter].orth_reg_weight):
        return 0.0
    tensors = list(tuner.model.named_parameters())
    grams = [tensor @ tensor.T for name, tensor in tensors if name.endswith(f"lora_A.{adapter}")]
    grams += [tensor.T @ tensor for name, tensor in tensors if name.endswith(f"lora_B.{adapter}")]
    apart = [torch.linalg.matrix_norm(gram - torch.eye(len(gram)).to(gram)) for gram in grams]
    return weight * torch.stack(apart).mean()


class AdaLoraCallback(TrainerCallback):
    """Allocates ranks after every optimizer step (AdaLoRA, arXiv 2303.10512, algorithm 1), also in resumed runs.

    The importance scores live in the state of the optimizer, beside its moments: the Trainer saves it in every
    checkpoint and gives it back on resuming. The rank pattern is kept out of the config, so that checkpoints hold all
    triplets, those that are masked with singular value 0. PEFT would save shortened tensors, which neither resuming
    nor `load_best_model_at_end` can load into a model of full size.
    """

    def __init__(self):
        self.rank_pattern = None

    def on_train_begin(self, args, state, control, model=None, optimizer=None, **kwargs):
        if not state.global_step:
            return
        tuner, memory = model.base_model, optimizer.state
        allocator = tuner.rankallocator
        masks = {}
        for name, parameter in tuner.model.named_parameters():
            remembered = memory.get(parameter, {})
            for score in SCORES:
                if score in remembered:
                    getattr(allocator, score)[name] = remembered[score]
            if MASK in remembered:
                masks[name] = remembered[MASK].bool().view(-1).tolist()
        self.rank_pattern = masks or None

    def on_optimizer_step(self, args, state, control, model=None, optimizer=None, **kwargs):
        tuner, memory = model.base_model, optimizer.state
        config = tuner.peft_config[tuner.trainable_adapter_name]
        config.rank_pattern = self.rank_pattern
        tuner.update_and_allocate(state.global_step + 1)  # the step that has just been done; gradients are still there
        self.rank_pattern, config.rank_pattern = config.rank_pattern, None
        allocator = tuner.rankallocator
        for name, parameter in tuner.model.named_parameters():
            if parameter not in memory:
                continue
            for score in SCORES:
                scores = getattr(allocator, score)
                if name in scores:
                    memory[parameter][score] = scores[name]
                else:
                    memory[parameter].pop(score, None)  # the final phase has no more use for them
            if self.rank_pattern and name in self.rank_pattern:
                memory[parameter][MASK] = torch.tensor(self.rank_pattern[name]).view_as(parameter)
