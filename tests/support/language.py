"""Small language models of transformers, and one with LoRA, as entries of a zoo of their own."""

import warnings

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from zoo import CLASSES, VOCABULARY, Entry, token_loss

# Three blocks: below the first pair of LoRA no gradient flows around a branch, and the last branch
# has the last layer.
SMALL = {"vocab_size": VOCABULARY, "hidden_size": 16, "num_attention_heads": 2}
SMALL |= {"num_hidden_layers": 3, "intermediate_size": 32, "max_position_embeddings": 8}


def bert() -> nn.Module:
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = BertConfig(**SMALL, **no_dropout, num_labels=CLASSES)
    return BertForSequenceClassification(config)


def gpt2() -> nn.Module:
    """Its head is its embedding."""
    no_dropout = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}
    sizes = {"vocab_size": VOCABULARY, "n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 8}
    special = {"bos_token_id": 0, "eos_token_id": 0}
    return GPT2LMHeadModel(GPT2Config(**sizes, **no_dropout, **special))


def llama() -> nn.Module:
    return LlamaForCausalLM(LlamaConfig(**SMALL, num_key_value_heads=2))


def lora() -> nn.Module:
    """With pairs of which none begins at zero, so that both get a gradient in the first step."""
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    with warnings.catch_warnings():  # of transformers 5, for what this release of peft asks it
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated")
        return get_peft_model(llama(), config)


def tokens() -> torch.Tensor:
    return torch.randint(VOCABULARY, (4, 7))


def causal(build, head) -> Entry:
    settings = {"select": lambda output: output.logits, "loss": token_loss, "target": tokens}
    return Entry(build, tokens, head, **settings)


LANGUAGE: dict[str, Entry] = {
    "bert": Entry(bert, tokens, "classifier", select=lambda output: output.logits),
    "gpt2": causal(gpt2, "transformer.wte+lm_head"),
    "llama": causal(llama, "lm_head"),
    "lora": causal(lora, ""),
}
