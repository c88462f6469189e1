"""MTLoRA: configuration."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from ..lowrank.config import LowRankConfig, option


STRUCTURES = ("SHIM", "ICFM", "CTCM", "DTSM")
INITS = ("identity", "original", "multimodal")
# T is a product in these: where its factors are zero, every gradient is zero, too
PRODUCTS = ("ICFM", "CTCM")


@dataclass
class MTLoraConfig(LowRankConfig):
    """`y = W x + (α/r) · B·T·A · dropout(x)` with an r × r matrix T: `C`, `C·Cᵀ`, `C·D` or `C + D`.

    Source: MTLoRA, Neural Networks 199:108642. By default T is the identity at the start, so that training begins
    exactly as LoRA's. In DTSM the gradients of C and D are always equal: it is SHIM with twice the step on T.

    Raises:
        ValueError: a field is out of range; the message names the field, its value and what is allowed.
    """

    method: ClassVar[str] = "mtlora"

    lora_alpha: float = option(16, "α: the branch is scaled by α/r.")
    lora_dropout: float = option(0.0, "Dropout on the input of the branch.")
    structure: Literal["SHIM", "ICFM", "CTCM", "DTSM"] = option(
        "SHIM", "What T is made of: SHIM: C; ICFM: C·Cᵀ; CTCM: C·D; DTSM: C + D."
    )
    init: Literal["identity", "original", "multimodal"] = option(
        "identity",
        "How training starts. `identity`: T = I and the rest as in LoRA. `original`: T random as in the authors' text "
        "code, A random, B zero. `multimodal`: A and B normal with deviation 0.02, C = D = 0 (SHIM and DTSM only).",
    )
    fused_modules: dict[str, list[bool]] | None = option(
        None,
        "Modules that hold several projections one after another: name or pattern → which of them are adapted, "
        "e.g. `c_attn`: [true, false, true] for the query and value of GPT-2. Each gets an A, a B and a T of its "
        "own. Default: by model type, all adapted; {}: none is fused.",
    )
    mix_slices: bool = option(
        False, "In a fused module, one T of size (g·r × g·r) across its g adapted slices, as in the authors' code."
    )

    def __post_init__(self):
        super().__post_init__()
        self.check("structure", self.structure in STRUCTURES, ", ".join(STRUCTURES))
        self.check("init", self.init in INITS, ", ".join(INITS))
        if self.init == "multimodal" and self.structure in PRODUCTS:
            factors = "C·Cᵀ" if self.structure == "ICFM" else "C·D"
            self.refuse(
                "init",
                f"identity, original: with structure {self.structure} it starts at C = D = 0, where T = {factors} and "
                "all gradients are zero, so that nothing would ever train",
            )
        self.check(
            "fused_modules",
            self.fused_modules is None or is_slices_by_name(self.fused_modules),
            "by name, lists of at least two truth values, not all of them false",
        )
        self.check("mix_slices", isinstance(self.mix_slices, bool), "true, false")


def is_slices_by_name(value) -> bool:
    return isinstance(value, dict) and all(
        isinstance(slices, list) and len(slices) > 1 and all(isinstance(on, bool) for on in slices) and any(slices)
        for slices in value.values()
    )
