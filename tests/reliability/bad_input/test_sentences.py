"""Wrong sentences, models of transformers, and arms for them.

Three dots stand for anything.
"""

import pytest

NEEDS = ("sentences", "models")

DATA = "compare --seeds 1 --out new --task sentences --task-arg model=models/good --task-arg data="
DATA_ROWS = {
    "sentences/empty": (
        "sentences/empty/train.txt is not usable. Cause: it has no lines. Cure: give "
        "another folder."
    ),
    "sentences/blank": (
        "sentences/blank/train.txt is not usable. Cause: it has no lines. Cure: give "
        "another folder."
    ),
    "sentences/no-labels": (
        "sentences/no-labels/train.txt is not usable. Cause: line 1 has no label and text "
        "with a space between them. Cure: correct the line."
    ),
    "sentences/some": (
        "sentences/some/train.txt is not usable. Cause: line 2 has no label and text with "
        "a space between them. Cure: correct the line."
    ),
    "sentences/new-label": (
        "the label 'neutral' is not known. Cause: training has neg, pos alone. Cure: "
        "correct the test's labels."
    ),
    "sentences/one-label": (
        "the training sentences of sentences/one-label are not usable. Cause: all have the "
        "label 'pos'. Cure: give sentences of two labels or more."
    ),
    "sentences/latin": (
        "cannot read sentences/latin/train.txt. Cause: 'utf-8' codec can't decode... Cure: "
        "give a folder with train.txt and test.txt, or hf:NAME."
    ),
    "sentences/wide": (
        "cannot read sentences/wide/train.txt. Cause: 'utf-8' codec can't decode... Cure: "
        "give a folder with train.txt and test.txt, or hf:NAME."
    ),
    "sentences/csv": (
        "sentences/csv/train.txt is not usable. Cause: line 1 has no label and text with a "
        "space between them. Cure: correct the line."
    ),
    "sentences/zeros": (
        "sentences/zeros/train.txt is not usable. Cause: line 1 has no label and text with "
        "a space between them. Cure: correct the line."
    ),
    "sentences/png": (
        "cannot read sentences/png/train.txt. Cause: 'utf-8' codec can't decode... Cure: "
        "give a folder with train.txt and test.txt, or hf:NAME."
    ),
    "sentences/no-test": (
        "cannot read sentences/no-test/test.txt. Cause: [Errno 2] No such file or "
        "directory: 'sentences/no-test/test.txt'. Cure: give a folder with train.txt and "
        "test.txt, or hf:NAME."
    ),
    "sentences/nowhere": (
        "cannot read sentences/nowhere/train.txt. Cause: [Errno 2] No such file or "
        "directory: 'sentences/nowhere/train.txt'. Cure: give a folder with train.txt and "
        "test.txt, or hf:NAME."
    ),
    "hf:sentences/nowhere": (
        "hf:sentences/nowhere cannot be read. Cause: ... Cure: check the name and the "
        "network, or give a folder."
    ),
}
MODEL = (
    "compare --seeds 1 --out new --task sentences --task-arg data=sentences/good "
    "--task-arg batch_size=4 --arm lora=2 --task-arg model=models/"
)
MODEL_ROWS = {
    "empty": (
        "model=models/empty cannot be loaded. Cause: ... Cure: give a folder of "
        "transformers, or a name with a network."
    ),
    "no-config": (
        "model=models/no-config cannot be loaded. Cause: ... Cure: give a folder of "
        "transformers, or a name with a network."
    ),
    "config-words": (
        "model=models/config-words cannot be loaded. Cause: ... Cure: give a folder of "
        "transformers, or a name with a network."
    ),
    "config-list": (
        "model=models/config-list cannot be loaded. Cause: ... Cure: give a folder of "
        "transformers, or a name with a network."
    ),
    "config-kind": (
        "model=models/config-kind cannot be loaded. Cause: ... Cure: give a folder of "
        "transformers, or a name with a network."
    ),
    "config-deep": (
        "model=models/config-deep cannot be loaded. Cause: ... Cure: give a folder of "
        "transformers, or a name with a network."
    ),
    "config-size": (
        "model=models/config-size cannot be loaded. Cause: ... Cure: give a folder of "
        "transformers, or a name with a network."
    ),
    "config-heads": (
        "model=models/config-heads cannot be loaded. Cause: ... Cure: give a folder of "
        "transformers, or a name with a network."
    ),
    "no-weights": (
        "model=models/no-weights cannot be loaded. Cause: ... Cure: give a folder of "
        "transformers, or a name with a network."
    ),
    "weights-words": (
        "model=models/weights-words cannot be loaded. Cause: ... Cure: give a folder of "
        "transformers, or a name with a network."
    ),
    "weights-cut": (
        "model=models/weights-cut cannot be loaded. Cause: ... Cure: give a folder of "
        "transformers, or a name with a network."
    ),
    "evil": (
        "model=models/evil cannot be loaded. Cause: ... Cure: give a folder of "
        "transformers, or a name with a network."
    ),
    "tokenizer-words": (
        "model=models/tokenizer-words cannot be loaded. Cause: ... Cure: give a folder of "
        "transformers, or a name with a network."
    ),
    "nowhere": (
        "model=models/nowhere cannot be loaded. Cause: ... Cure: give a folder of "
        "transformers, or a name with a network."
    ),
    "no-tokenizer": (
        "model=models/no-tokenizer is not usable. Cause: its tokenizer knows no words. "
        "Cure: give the tokenizer's files, too."
    ),
}
SENTENCES = "compare --seeds 1 --out new --task sentences "
SENTENCES_ROWS = {
    "--task-arg epochs=1": (
        "--task sentences cannot be made. Cause: missing a required argument: 'model'. "
        "Cure: correct --task-arg KEY=VALUE."
    ),
    "--task-arg model=models/good": (
        "--task sentences cannot be made. Cause: missing a required argument: 'data'. "
        "Cure: correct --task-arg KEY=VALUE."
    ),
    "--task-arg model=3 --task-arg data=sentences/good": (
        "model=3 is not usable. Cause: a folder or a name is needed. Cure: give another."
    ),
    "--task-arg model=[a] --task-arg data=sentences/good": (
        "model=['a'] is not usable. Cause: a folder or a name is needed. Cure: give another."
    ),
}
SETTING = (
    "compare --seeds 1 --out new --task sentences --task-arg model=models/good "
    "--task-arg data=sentences/good "
)
SETTING_ROWS = {
    "--task-arg lr=0": (
        "lr=0 is not usable. Cause: it is a number above 0, up to 1e30. Cure: give another."
    ),
    "--task-arg lr=.nan": (
        "lr=nan is not usable. Cause: it is a number above 0, up to 1e30. Cure: give another."
    ),
    "--task-arg lr=fast": (
        "lr='fast' is not usable. Cause: it is a number above 0, up to 1e30. Cure: give another."
    ),
    "--task-arg batch_size=0": (
        "batch_size=0 is not usable. Cause: it is a whole number from 1 to 1,000,000. "
        "Cure: give another."
    ),
    "--task-arg batch_size=1e30": (
        "batch_size=1e+30 is not usable. Cause: it is a whole number from 1 to 1,000,000. "
        "Cure: give another."
    ),
    "--task-arg longest=1": (
        "longest=1 is not usable. Cause: it is a whole number from 2 to 1,000,000. Cure: "
        "give another."
    ),
    "--task-arg longest=99999999999999999999": (
        "longest=99999999999999999999 is not usable. Cause: it is a whole number from 2 to "
        "1,000,000. Cure: give another."
    ),
    "--task-arg warmup=1": "warmup=1 is not usable. Cause: it is in [0, 1). Cure: give another.",
    "--task-arg weight_decay=-1": (
        "weight_decay=-1 is not usable. Cause: it is a number from 0 on. Cure: give another."
    ),
    "--task-arg weight_decay=.inf": (
        "weight_decay=inf is not usable. Cause: it is a number from 0 on. Cure: give another."
    ),
    "--task-arg precision=fp16": (
        "precision='fp16' is not usable. Cause: it is fp32 or bf16. Cure: give another."
    ),
    "--task-arg limit_train=0": (
        "limit_train=0 is not usable. Cause: it is a whole number from 1 on. Cure: give another."
    ),
    "--task-arg limit_test=1.5": (
        "limit_test=1.5 is not usable. Cause: it is a whole number from 1 on. Cure: give another."
    ),
    "--task-arg device=cuda": (
        "--device cuda is not usable. Cause: torch sees no GPU. Cure: use --device cpu."
    ),
    "--task-arg device=tpu": (
        "device='tpu' is not usable. Cause: it is one of auto, cpu, cuda. Cure: give another."
    ),
    "--task-arg colour=red": (
        "--task sentences cannot be made. Cause: got an unexpected keyword argument "
        "'colour'. Cure: correct --task-arg KEY=VALUE."
    ),
}
ARM = (
    "compare --seeds 1 --out new --task sentences --task-arg model=models/good "
    "--task-arg data=sentences/good --task-arg batch_size=2 --arm "
)
ARM_ROWS = {
    "lora=-1": "lora=-1 is not usable. Cause: a rank from 0 on is needed. Cure: give one.",
    "lora=2,targets=nothing": (
        "targets='nothing' is not usable. Cause: names are needed. Cure: give targets=[one, other]."
    ),
    "lora=2,targets=[nothing]": (
        "targets=nothing is not usable. Cause: No modules... Cure: name modules of the model."
    ),
    "freeze=[nothing]": (
        "freeze='nothing' matches no parameter. Cause: no name is like it. Cure: see "
        "model.named_parameters()."
    ),
    "optimizer=lion": (
        "optimizer='lion' is unknown. Cause: it is one of ('adamw', 'sgd'). Cure: give one."
    ),
    "strategy=nothing": (
        "--strategy 'nothing' is not usable. Cause: there is no such strategy. Cure: give "
        "one of uniform, truncate, branch, blocks, control."
    ),
    "drop_rate=2": (
        "--drop-rate 2 is not usable. Cause: it is the chance to be dropped. Cure: give a "
        "number in [0, 1), 0 for plain training."
    ),
    "batch_scale=2": (
        "batch_scale is not usable with sentences. Cause: their batches are made by "
        "length. Cure: leave it out."
    ),
    "colour=red": (
        "an arm sets 'colour'. Cause: an arm of sentences has freeze, lora, optimizer, "
        "targets and LayerDropBack's flags. Cure: leave it out."
    ),
    "freeze=3": "freeze=3 is not usable. Cause: names are needed. Cure: give freeze=[one, other].",
    "strategy=blocks,active_blocks=99": (
        "--active-blocks 99 leaves no block to rest: there are 3. Cause: a block counts "
        "where it trains, is reached by the loss, and is not kept. Cure: give fewer active "
        "ones, or train without LayerDropBack."
    ),
}


@pytest.mark.parametrize("row", DATA_ROWS)
def test_data(row, refused):
    refused(DATA + row, DATA_ROWS[row])


@pytest.mark.parametrize("row", MODEL_ROWS)
def test_model(row, refused):
    refused(MODEL + row, MODEL_ROWS[row])


@pytest.mark.parametrize("row", SENTENCES_ROWS)
def test_sentences(row, refused):
    refused(SENTENCES + row, SENTENCES_ROWS[row])


@pytest.mark.parametrize("row", SETTING_ROWS)
def test_setting(row, refused):
    refused(SETTING + row, SETTING_ROWS[row])


@pytest.mark.parametrize("row", ARM_ROWS)
def test_arm(row, refused):
    refused(ARM + row, ARM_ROWS[row])
