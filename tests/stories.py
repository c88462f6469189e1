"""Converter for the llama2.c format of the tiny pretrained Llama that some tests use; also a command, see below."""

import struct
from pathlib import Path

import numpy
import torch
from transformers import LlamaConfig, LlamaForCausalLM


def load_stories(folder: Path) -> LlamaForCausalLM:
    """`stories260K.bin` as a `LlamaForCausalLM`: header of seven integers, float32 tensors, one kind at a time."""
    raw = (folder / "stories260K.bin").read_bytes()
    dim, ffn, layers, heads, kv_heads, vocabulary, length = struct.unpack("<7i", raw[:28])
    values = numpy.frombuffer(raw, dtype="<f4", offset=28)
    config = LlamaConfig(
        hidden_size=dim,
        intermediate_size=ffn,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        vocab_size=vocabulary,
        max_position_embeddings=length,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
    )
    position = 0

    def take(*shape):
        nonlocal position
        size = int(numpy.prod(shape))
        block = torch.from_numpy(values[position : position + size].copy()).view(*shape)
        position += size
        return block

    def rotate_halves(weight, count):
        """From pairs (0, 1), (2, 3), … to halves (j, j + head_size / 2), the order transformers rotates in."""
        return weight.view(count, -1, 2, dim).transpose(1, 2).reshape(-1, dim)

    kv_dim = dim // heads * kv_heads
    state = {"model.embed_tokens.weight": take(vocabulary, dim)}
    kinds = {
        "input_layernorm": (dim,),
        "self_attn.q_proj": (dim, dim),
        "self_attn.k_proj": (kv_dim, dim),
        "self_attn.v_proj": (kv_dim, dim),
        "self_attn.o_proj": (dim, dim),
        "post_attention_layernorm": (dim,),
        "mlp.gate_proj": (ffn, dim),
        "mlp.down_proj": (dim, ffn),
        "mlp.up_proj": (ffn, dim),
    }
    for kind, shape in kinds.items():
        for layer, weight in enumerate(take(layers, *shape)):
            if kind.endswith(("q_proj", "k_proj")):
                weight = rotate_halves(weight, heads if kind.endswith("q_proj") else kv_heads)
            state[f"model.layers.{layer}.{kind}.weight"] = weight
    state["model.norm.weight"] = take(dim)
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model = LlamaForCausalLM(config).eval()
    model.load_state_dict(state)
    return model


def decode(folder: Path, ids: list[int]) -> str:
    """Token ids (without the leading BOS) as text, by `tok512.bin`."""
    raw, position, pieces = (folder / "tok512.bin").read_bytes(), 4, []
    while position < len(raw):
        _, size = struct.unpack_from("<fi", raw, position)
        pieces.append(raw[position + 8 : position + 8 + size])
        position += 8 + size
    text = b""
    for index, token in enumerate(ids):
        piece = pieces[token]
        if 3 <= token <= 258:
            piece = bytes([token - 3])
        text += piece.removeprefix(b" ") if index == 0 else piece
    return text.decode()


if __name__ == "__main__":
    import sys

    from tests.real_tokenizers import llama

    source, target = map(Path, sys.argv[1:])
    load_stories(source).save_pretrained(target)
    llama(source, add_bos_token=True).save_pretrained(target)
