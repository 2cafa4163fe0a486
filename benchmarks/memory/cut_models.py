"""The small models of `cut_holds`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import timm
import torch
import transformers as hf
from torch import Tensor, nn

MODELS = ("gpt2", "llama", "bert", "vit-hf", "vit-timm", "resnet18")
WAYS = ("plain", "input grads", "checkpointing", "both")
BLOCKS, SMALL = 6, {"num_hidden_layers": 6, "num_attention_heads": 4, "hidden_size": 64}
SMALL_BERT = SMALL | {"intermediate_size": 128, "hidden_dropout_prob": 0.0}


@dataclass
class Subject:
    """A model, its blocks, and its loss on one batch."""

    model: nn.Module
    blocks: list[nn.Module]
    loss: Callable[[], Tensor]


def subject(kind: str, way: str) -> Subject:
    """A small model that has not been trained, in one of `WAYS`."""
    torch.manual_seed(0)
    tokens, labels = torch.randint(0, 97, (4, 32)), torch.tensor([0, 1, 0, 1])
    if kind == "gpt2":
        drops = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
        config = hf.GPT2Config(n_layer=BLOCKS, n_embd=64, n_head=4, vocab_size=97, **drops)
        model, given = hf.GPT2LMHeadModel(config), {"input_ids": tokens, "labels": tokens}
        blocks = model.transformer.h
    elif kind == "llama":
        sizes = SMALL | {"intermediate_size": 128, "num_key_value_heads": 2, "vocab_size": 97}
        model = hf.LlamaForCausalLM(hf.LlamaConfig(**sizes))
        given, blocks = {"input_ids": tokens, "labels": tokens}, model.model.layers
    elif kind == "bert":
        config = hf.BertConfig(vocab_size=97, attention_probs_dropout_prob=0.0, **SMALL_BERT)
        model = hf.BertForSequenceClassification(config)
        given, blocks = {"input_ids": tokens, "labels": labels}, model.bert.encoder.layer
    elif kind == "vit-hf":
        config = hf.ViTConfig(image_size=32, patch_size=8, **SMALL_BERT)
        model = hf.ViTForImageClassification(config)
        given = {"pixel_values": torch.randn(4, 3, 32, 32), "labels": labels}
        blocks = next(m for m in model.modules() if isinstance(m, nn.ModuleList))
    else:
        return _of_timm(kind, way, labels)
    if way in ("checkpointing", "both"):
        # Transformers 5 has another name for it.
        old = model.gradient_checkpointing_enable
        getattr(model, "activation_checkpointing_enable", old)({"use_reentrant": False})
    # Where nothing was enabled transformers before 5 fails.
    if way == "checkpointing" and hasattr(model, "_require_grads_hook"):
        model.disable_input_require_grads()
    if way in ("input grads", "both"):
        model.enable_input_require_grads()
    model.train()
    model.config.use_cache = False
    return Subject(model, list(blocks), lambda: model(**given).loss)


def _of_timm(kind: str, way: str, labels: Tensor) -> Subject:
    if kind == "vit-timm":
        name, sizes = "vit_tiny_patch16_224", {"img_size": 32, "patch_size": 8}
    else:
        name, sizes = "resnet18", {}
    model = timm.create_model(name, num_classes=10, **sizes).train()
    images = torch.randn(4, 3, 32, 32)
    if way in ("checkpointing", "both"):
        model.set_grad_checkpointing()
    if way in ("input grads", "both"):
        first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
        first.register_forward_hook(_require)
    blocks = list(model.blocks) if kind == "vit-timm" else _resnet_blocks(model)
    loss = nn.functional.cross_entropy
    return Subject(model, blocks, lambda: loss(model(images), labels))


def _resnet_blocks(model: nn.Module) -> list[nn.Module]:
    stages = (getattr(model, f"layer{i}") for i in range(1, 5))
    return [block for stage in stages for block in stage]


def _require(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    return output if output.requires_grad else output.requires_grad_()
