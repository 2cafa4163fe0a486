"""Small language models of transformers, and one with LoRA."""

import warnings

import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

WORDS, LABELS = 41, 5

# Three blocks: below the first pair of LoRA no gradient flows around a branch, and the last branch
# has the last layer.
_SMALL = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 3}
_SMALL |= {"intermediate_size": 32, "max_position_embeddings": 16}


def bert(dropout: float = 0.0, words: int = WORDS, labels: int = LABELS) -> nn.Module:
    chances = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    config = BertConfig(vocab_size=words, num_labels=labels, **_SMALL, **chances)
    return BertForSequenceClassification(config)


def gpt2(dropout: float = 0.0) -> nn.Module:
    """Its head is its embedding."""
    chances = {"embd_pdrop": dropout, "attn_pdrop": dropout, "resid_pdrop": dropout}
    sizes = {"vocab_size": WORDS, "n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 16}
    return GPT2LMHeadModel(GPT2Config(**sizes, **chances, bos_token_id=0, eos_token_id=0))


def llama() -> nn.Module:
    return LlamaForCausalLM(LlamaConfig(vocab_size=WORDS, num_key_value_heads=2, **_SMALL))


def lora(**changes: object) -> nn.Module:
    """The Llama with pairs on two of its projections."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], **changes)
    with warnings.catch_warnings():  # of transformers 5, for what this release of peft asks it
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated")
        return get_peft_model(llama(), config)


def tokens() -> torch.Tensor:
    return torch.randint(WORDS, (4, 7))
