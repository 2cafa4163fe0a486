"""A folder of transformers with a very small BERT, and sentences for it."""

import random

WORDS = [
    "a",
    "the",
    "old",
    "new",
    "film",
    "play",
    "is",
    "was",
    "not",
    "very",
    "good",
    "bad",
    "fine",
    "dull",
]


def make_folder(folder):
    """A model and its tokenizer; nothing is downloaded."""
    import transformers
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    transformers.logging.disable_progress_bar()

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"))
    tokenizer.save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 3}
    sizes |= {"intermediate_size": 32, "max_position_embeddings": 32}
    BertForSequenceClassification(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(
        folder
    )
    return folder


def make_sentences(folder, train=64, test=32):
    """Those with "good" or "fine" and without "not" are of the kind pos."""
    folder.mkdir()
    drawn = random.Random(0)
    for name, count in (("train", train), ("test", test)):
        lines = []
        for _ in range(count):
            words = drawn.choices(WORDS, k=drawn.randint(3, 9))
            good = ("good" in words or "fine" in words) and "not" not in words
            lines.append(f"{'pos' if good else 'neg'} {' '.join(words)}")
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder
