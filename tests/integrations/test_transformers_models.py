"""Encoder-decoders, whose one embedding is in three places, and trainers built on Trainer."""

import pytest
import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    T5Config,
    T5ForConditionalGeneration,
    TrainerCallback,
)

from by_hand import seed_all
from language import WORDS, llama
from layerdropback import Branch, Truncate, Uniform
from layerdropback.integrations.transformers import LayerDropBackCallback
from trainer_runs import QUIET, samples

pytestmark = [pytest.mark.filterwarnings(text) for text in QUIET]


def t5():
    config = T5Config(
        vocab_size=WORDS,
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=3,
        num_heads=2,
        dropout_rate=0.0,
        decoder_start_token_id=0,
    )
    return T5ForConditionalGeneration(config)


def bart():
    sizes = {
        f"{half}_{what}": n
        for half in ("encoder", "decoder")
        for what, n in (("layers", 3), ("attention_heads", 2), ("ffn_dim", 32))
    }
    config = BartConfig(
        vocab_size=WORDS,
        d_model=16,
        max_position_embeddings=32,
        dropout=0.0,
        bos_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
        forced_eos_token_id=1,
        decoder_start_token_id=0,
        **sizes,
    )
    return BartForConditionalGeneration(config)


class SavedBytes(TrainerCallback):
    """What each step's forward pass keeps for its backward pass."""

    def __init__(self):
        self.steps, self._hooks = [], None

    def on_step_begin(self, *_, **__):
        self.steps.append(0)
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._count, lambda tensor: tensor)
        self._hooks.__enter__()

    def on_pre_optimizer_step(self, *_, **__):
        self._hooks.__exit__()

    def _count(self, tensor):
        self.steps[-1] += tensor.nbytes
        return tensor


@pytest.mark.in_turn("strategy")
@pytest.mark.parametrize("make", [t5, bart])
@pytest.mark.parametrize("strategy", [Truncate(0.4), Branch(0.5), Uniform(0.5)])
def test_encoder_decoders(tmp_path, make, strategy):
    seed_all(0)
    model, saved = make(), SavedBytes()
    callback = LayerDropBackCallback(strategy, verify=True)
    arguments = Seq2SeqTrainingArguments(
        output_dir=str(tmp_path),
        num_train_epochs=1,
        per_device_train_batch_size=2,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    Seq2SeqTrainer(
        model=model, args=arguments, train_dataset=samples("llama"), callbacks=[saved, callback]
    ).train()
    stats = callback.ldb.stats()
    assert stats["drop_steps"] == 10 + strategy.foresees
    assert stats["share_dropped"] > 0.1
    full, *dropping = saved.steps
    assert max(dropping) <= full
    if isinstance(strategy, Truncate):
        # Both halves' uses of the embedding are cut off: backward stops at the cut.
        assert max(dropping) < 0.75 * full
        early = callback.ldb.state_dict()["early"]
        ((name, users),) = early.items()
        assert name.endswith("shared.weight")
        halves = {user.split(".")[-2] for user in users} if len(users) > 1 else set()
        assert halves in ({"encoder", "decoder"}, set()), "or one module that both halves call"


def test_fine_tuning_with_trl(tmp_path):
    datasets, trl = pytest.importorskip("datasets"), pytest.importorskip("trl")
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>": 0, "<eos>": 1} | {f"w{number}": number for number in range(2, WORDS)}
    plain = Tokenizer(models.WordLevel(words, unk_token="<eos>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="<pad>", eos_token="<eos>", unk_token="<eos>"
    )
    data = datasets.Dataset.from_list([{"text": f"w{i} w{i + 1} w{i + 2}"} for i in range(2, 26)])
    seed_all(0)
    callback = LayerDropBackCallback(Truncate(0.4), verify=True)
    arguments = trl.SFTConfig(
        output_dir=str(tmp_path),
        num_train_epochs=2,
        per_device_train_batch_size=2,
        max_length=8,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
    )
    trl.SFTTrainer(
        model=llama(),
        args=arguments,
        train_dataset=data,
        processing_class=tokenizer,
        callbacks=[callback],
    ).train()
    stats = callback.ldb.stats()
    assert stats["drop_steps"] == stats["step"] == 24
    assert stats["share_dropped"] > 0.2
