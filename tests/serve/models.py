"""Tiny models with opinions, one for each head that is served, with their tokenizers, as folders."""

from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertTokenizer

from ginets import InAConfig, models
from ginets.serve.limits import Limits
from ginets.serve.opening import open_model
from tests.generation.models import save
from tests.recipes.glue_fixtures import BAD, FILLER, GOOD
from tests.tiny import randomise


WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *GOOD, *BAD, *FILLER]
TEXTS = ["good film", "a bad book it was very poor", "great", "was it fine a film a film", "awful very very bad"]
SHAPE = {
    "vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 32, "max_position_embeddings": 32, "initializer_range": 0.4, "pad_token_id": 0,
    "gi_query_side": True, "gi_key_side": True,
}  # fmt: skip
NAMES = {
    "SequenceClassification": ("bad", "good", "neither"),
    "TokenClassification": ("O", "B-PER", "I-PER", "B-LOC"),
}
TEMPLATE = (
    "{% for message in messages %}{{ message.role[0] }} {{ message.content }} <end> {% endfor %}"
    "{% if add_generation_prompt %}a {% endif %}"
)


def make_encoder(folder: Path, head: str, seed: int = 3, **config) -> str:
    """A gated BERT."""
    torch.manual_seed(seed)
    labels = NAMES.get(head, ())
    names = {"id2label": dict(enumerate(labels)), "label2id": {n: i for i, n in enumerate(labels)}} if labels else {}
    model = getattr(models, f"BertGIFor{head}")(models.BertGIConfig(**SHAPE | names | config))
    randomise(model).save_pretrained(folder)
    BertTokenizer(vocab={word: at for at, word in enumerate(WORDS)}).save_pretrained(folder)
    return str(folder)


def make_writer(folder: Path, name: str = "gpt2", chat: bool = True) -> str:
    save(folder, name, **({"n_positions": 256} if name == "gpt2" else {"max_position_embeddings": 256}))
    if chat:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.chat_template = TEMPLATE
        tokenizer.save_pretrained(folder)
    return str(folder)


def make_adapter(folder: Path, base: str, method: str, seed: int) -> str:
    """An adapter for classification that says something, its head included."""
    kinds = {"lora": (LoraConfig, {"init_lora_weights": False}), "ina": (InAConfig, {"init_weights": False})}
    kind, options = kinds[method]
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(base)
    model = get_peft_model(model, kind(task_type="SEQ_CLS", target_modules=["query", "value"], **options))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "modules_to_save" in name:
                parameter.normal_()
    model.save_pretrained(folder)
    return str(folder)


def alone(base: str, adapter: str | None, text: str) -> torch.Tensor:
    """Logits of one text by stock transformers and PEFT."""
    model = AutoModelForSequenceClassification.from_pretrained(base)
    model = PeftModel.from_pretrained(model, adapter) if adapter else model
    with torch.no_grad():
        return model.eval()(**AutoTokenizer.from_pretrained(base)(text, return_tensors="pt")).logits[0]


def served(name: str, path: str, limits: Limits | None = None, **adapters: str):
    return open_model(name, path, adapters, limits or Limits())
