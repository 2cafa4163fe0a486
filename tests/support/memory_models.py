"""Small models of each kind, whose memory is predicted and counted."""

import warnings

import timm
import torch
import transformers as hf
from torch import nn

from layerdropback import Blocks, Truncate
from layerdropback.lab.memory.adapting import adapt

KINDS = ("gpt2", "llama", "bert", "vit", "resnet", "convnext")
ARMS = ("full", "truncate", "blocks", "lora")

_SMALL = {"num_hidden_layers": 3, "num_attention_heads": 4, "hidden_size": 64}
_BERT = _SMALL | {"intermediate_size": 128}


def tokens(rows=3, length=24):
    numbers = torch.randint(0, 97, (rows, length))
    return {"input_ids": numbers, "labels": numbers}


def images(rows=3, side=32):
    return torch.randn(rows, 3, side, side)


def gpt2():
    config = hf.GPT2Config(n_layer=3, n_embd=64, n_head=4, vocab_size=97, use_cache=False)
    return hf.GPT2LMHeadModel(config)


def llama():
    sizes = _SMALL | {"intermediate_size": 160, "num_key_value_heads": 2, "vocab_size": 97}
    return hf.LlamaForCausalLM(hf.LlamaConfig(**sizes, use_cache=False))


def bert():
    return hf.BertForSequenceClassification(hf.BertConfig(vocab_size=97, **_BERT))


def vit():
    return hf.ViTForImageClassification(hf.ViTConfig(image_size=32, patch_size=8, **_BERT))


def resnet():
    sizes = {"layers": (1, 1, 1, 1), "channels": (16, 32, 48, 64), "stem_width": 16}
    return timm.create_model("resnet18", num_classes=10, **sizes)


def convnext():
    sizes = {"depths": (1, 1, 2, 1), "dims": (16, 24, 32, 48)}
    return timm.create_model("convnext_atto", num_classes=10, **sizes)


def bert_batch():
    return {"input_ids": torch.randint(0, 97, (3, 24)), "labels": torch.tensor([0, 1, 0])}


def vit_batch():
    return {"pixel_values": images(), "labels": torch.tensor([0, 1, 0])}


BATCHES = {"gpt2": tokens, "llama": tokens, "bert": bert_batch, "vit": vit_batch}


def make_batch(kind):
    return BATCHES.get(kind, images)()


STRATEGIES = {
    "truncate": Truncate(0.5),
    "blocks": Blocks(2, train=(), state="release"),
    "lisa": Blocks(2, train=("embedding", "head", "norm"), state="offload"),
}


def make_model(kind, arm="full", checkpointing=False):
    """A model in one arm; what drops in it is the matter of `STRATEGIES`."""
    model = globals()[kind]()
    if arm == "lora":
        model = adapt(model, rank=4)
    if checkpointing:
        checkpoint(model.base_model.model if arm == "lora" else model)
    return model


def checkpoint(model: nn.Module):
    if hasattr(model, "set_grad_checkpointing"):
        model.set_grad_checkpointing()
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = model.gradient_checkpointing_enable
        getattr(model, "activation_checkpointing_enable", old)({"use_reentrant": False})
