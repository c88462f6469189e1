"""A tokenizer of single letters, and tiny untrained language models over it."""

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from ginets import LlamaInAConfig, LlamaInAForCausalLM


SPECIAL = ("<pad>", "<begin>", "<end>", "<unknown>")
LETTERS = tuple("abcdefghijklmnop")
SIZE = len(SPECIAL) + len(LETTERS)
LLAMA = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
SHARED = {"vocab_size": SIZE, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
# name → model class, config
MODELS = {
    "gpt2": (GPT2LMHeadModel, GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=64, **SHARED)),
    "llama": (LlamaForCausalLM, LlamaConfig(**LLAMA, **SHARED, max_position_embeddings=64)),
    "bloom": (BloomForCausalLM, BloomConfig(hidden_size=16, n_layer=2, n_head=2, **SHARED)),
    "llama_ina": (
        LlamaInAForCausalLM,
        LlamaInAConfig(**LLAMA, **SHARED, max_position_embeddings=64, ina_rank=4, ina_target_modules=["q_proj", "v_proj"]),
    ),
}  # fmt: skip


def make_tokenizer(begin: bool = False) -> PreTrainedTokenizerFast:
    """Letters, split at blanks. `begin`: it puts its begin token in front."""
    vocab = {word: i for i, word in enumerate((*SPECIAL, *LETTERS))}
    core = Tokenizer(models.WordLevel(vocab, unk_token="<unknown>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    if begin:
        core.post_processor = processors.TemplateProcessing(single="<begin> $A", special_tokens=[("<begin>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<begin>", eos_token="<end>", unk_token="<unknown>"
    )
