"""Wrong settings files: each row is one of `spoiled.settings.SETTINGS`, and what is said of it.

Three dots stand for anything.
"""

import pytest

NEEDS = ("settings",)

SETTINGS = "train --config settings/"
SETTINGS_ROWS = {
    "typo.yaml": (
        "settings/typo.yaml sets 'epoch'. Cause: no such setting exists. Cure: did you mean epochs."
    ),
    "typo.toml": (
        "settings/typo.toml sets 'epochz'. Cause: no such setting exists. Cure: did you "
        "mean epochs."
    ),
    "typo.json": (
        "settings/typo.json sets 'drop_rat'. Cause: no such setting exists. Cure: did you "
        "mean drop_rate."
    ),
    "far.yaml": (
        "settings/far.yaml sets 'zzz'. Cause: no such setting exists. Cure: see ldb train --help."
    ),
    "twice.yaml": "settings/twice.yaml is no YAML. Cause: lr is set twice. Cure: mend the file.",
    "twice-dashed.yaml": (
        "settings/twice-dashed.yaml sets 'drop_rate' twice. Cause: only one can hold. "
        "Cure: remove one of them."
    ),
    "twice.toml": "settings/twice.toml is no TOML. Cause: ... Cure: mend the file.",
    "list.yaml": (
        "settings/list.yaml holds no settings. Cause: lines such as `epochs: 10` are "
        "needed. Cure: mend the file."
    ),
    "word.yaml": (
        "settings/word.yaml holds no settings. Cause: lines such as `epochs: 10` are "
        "needed. Cure: mend the file."
    ),
    "number.yaml": (
        "settings/number.yaml holds no settings. Cause: lines such as `epochs: 10` are "
        "needed. Cure: mend the file."
    ),
    "tab.yaml": (
        "settings/tab.yaml is no YAML. Cause: while scanning for the next token found "
        "character '\\t' that cannot start any token... Cure: mend the file."
    ),
    "open.yaml": (
        "settings/open.yaml is no YAML. Cause: while parsing a flow sequence... Cure: mend "
        "the file."
    ),
    "quote.yaml": (
        "settings/quote.yaml is no YAML. Cause: while scanning a quoted scalar... Cure: "
        "mend the file."
    ),
    "anchor.yaml": (
        "settings/anchor.yaml is no YAML. Cause: found undefined alias 'nowhere'... Cure: "
        "mend the file."
    ),
    "colon.yaml": (
        "settings/colon.yaml is no YAML. Cause: mapping values are not allowed here... "
        "Cure: mend the file."
    ),
    "object.yaml": (
        "settings/object.yaml is no YAML. Cause: could not determine a constructor for the "
        "tag 'tag:yaml.org,2002:python/object/apply:os.system'... Cure: mend the file."
    ),
    "bool.yaml": (
        "settings/bool.yaml is no YAML. Cause: a value is not of the type that its tag "
        "(!!) says. Cure: mend the file."
    ),
    "int.yaml": (
        "settings/int.yaml is no YAML. Cause: a value is not of the type that its tag (!!) "
        "says. Cure: mend the file."
    ),
    "float.yaml": (
        "settings/float.yaml is no YAML. Cause: a value is not of the type that its tag "
        "(!!) says. Cure: mend the file."
    ),
    "date.yaml": (
        "settings/date.yaml is no YAML. Cause: a value is not of the type that its tag "
        "(!!) says. Cure: mend the file."
    ),
    "date2.yaml": (
        "settings/date2.yaml is no YAML. Cause: month must be in 1..12. Cure: mend the file."
    ),
    "map.yaml": (
        "settings/map.yaml is no YAML. Cause: expected a mapping node, but found scalar... "
        "Cure: mend the file."
    ),
    "deep.toml": "settings/deep.toml is no TOML. Cause: ... Cure: mend the file.",
    "digits.yaml": (
        "settings/digits.yaml is no YAML. Cause: Exceeds the limit... Cure: mend the file."
    ),
    "digits.toml": "settings/digits.toml is no TOML. Cause: ... Cure: mend the file.",
    "nan.yaml": "--epochs nan is not usable. Cause: a number above 0 is needed. Cure: give one.",
    "inf.yaml": (
        "--epochs inf is not usable. Cause: a number up to 2,147,483,648 is needed. Cure: give one."
    ),
    "inf.toml": "--lr inf is not usable. Cause: a number up to 1e+30 is needed. Cure: give one.",
    "half.yaml": (
        "settings/half.yaml sets batch_size to 1.5. Cause: a whole number is needed. Cure: "
        "mend the file."
    ),
    "words.yaml": (
        "settings/words.yaml sets batch_size to 'many'. Cause: a whole number is needed. "
        "Cure: mend the file."
    ),
    "none.yaml": (
        "settings/none.yaml sets epochs to None. Cause: a number is needed. Cure: mend the file."
    ),
    "true.yaml": (
        "settings/true.yaml sets epochs to True. Cause: a number is needed. Cure: mend the file."
    ),
    "maps.yaml": (
        "settings/maps.yaml sets lr to {'a': 1}. Cause: a number is needed. Cure: mend the file."
    ),
    "lists.yaml": (
        "settings/lists.yaml sets lr to [0.1, 0.2]. Cause: a number is needed. Cure: mend the file."
    ),
    "list-model.yaml": (
        "settings/list-model.yaml sets model to ['resnet18']. Cause: a word is needed. "
        "Cure: mend the file."
    ),
    "bool-model.yaml": (
        "settings/bool-model.yaml sets model to True. Cause: a word is needed. Cure: mend the file."
    ),
    "number-model.yaml": (
        "settings/number-model.yaml sets model to 18. Cause: a word is needed. Cure: mend the file."
    ),
    "word-bool.yaml": (
        "settings/word-bool.yaml sets pretrained to 'maybe'. Cause: true or false is "
        "needed. Cure: mend the file."
    ),
    "number-bool.yaml": (
        "settings/number-bool.yaml sets pretrained to 1. Cause: true or false is needed. "
        "Cure: mend the file."
    ),
    "keep-number.yaml": (
        "settings/keep-number.yaml sets keep to 5. Cause: a list of words is needed. Cure: "
        "mend the file."
    ),
    "keep-null.yaml": (
        "settings/keep-null.yaml sets keep to [None]. Cause: a list of words is needed. "
        "Cure: mend the file."
    ),
    "milestones.yaml": (
        "settings/milestones.yaml sets milestones to ['a']. Cause: a list of numbers is "
        "needed. Cure: mend the file."
    ),
    "binary.yaml": (
        "settings/binary.yaml sets model to b'hello'. Cause: a word is needed. Cure: mend the file."
    ),
    "date-lr.yaml": (
        "settings/date-lr.yaml sets lr to datetime.date(2001, 1, 1). Cause: a number is "
        "needed. Cure: mend the file."
    ),
    "out.yaml": (
        "settings/out.yaml sets 'out'. Cause: a run's place is no setting. Cure: give "
        "--out on the command line."
    ),
    "resume.yaml": (
        "settings/resume.yaml sets 'resume'. Cause: a run's place is no setting. Cure: "
        "give --resume on the command line."
    ),
    "recipe.yaml": (
        "--recipe 'nothing' is unknown. Cause: no such recipe exists. Cure: give one of "
        "paper-scratch, paper-finetune, finetune, modern."
    ),
    "recipe-list.yaml": (
        "settings/recipe-list.yaml sets recipe to ['modern']. Cause: a word is needed. "
        "Cure: mend the file."
    ),
    "recipe-number.yaml": (
        "settings/recipe-number.yaml sets recipe to 3. Cause: a word is needed. Cure: mend "
        "the file."
    ),
    "table.toml": (
        "settings/table.toml sets 'train'. Cause: no such setting exists. Cure: did you "
        "mean train_part."
    ),
    "value.toml": "settings/value.toml is no TOML. Cause: ... Cure: mend the file.",
    "none.toml": "settings/none.toml is no TOML. Cause: ... Cure: mend the file.",
    "open.json": (
        "settings/open.json is no YAML. Cause: while parsing a flow mapping... Cure: mend the file."
    ),
    "string.json": (
        "settings/string.json holds no settings. Cause: lines such as `epochs: 10` are "
        "needed. Cure: mend the file."
    ),
    "null-key.yaml": (
        "settings/null-key.yaml sets 'None'. Cause: no such setting exists. Cure: see ldb "
        "train --help."
    ),
    "list-key.yaml": (
        "settings/list-key.yaml is no YAML. Cause: while constructing a mapping... Cure: "
        "mend the file."
    ),
    "merge.yaml": (
        "settings/merge.yaml is no YAML. Cause: while constructing a mapping... Cure: mend "
        "the file."
    ),
    "control.yaml": (
        "settings/control.yaml is no YAML. Cause: unacceptable character #x0007: special "
        "characters are not allowed... Cure: mend the file."
    ),
    "nul-init.yaml": (
        "cannot read ...a\\x00b. Cause: No such file or directory: ...a\\x00b. Cure: give "
        "another file."
    ),
    "nul-data.yaml": "no folder a\\x00b. Cause: --data folder:DIR names it. Cure: give another.",
    "nul-dir.yaml": (
        "no cifar10 in a\\x00b. Cause: there is no a\\x00b/cifar-10-batches-py. Cure: give "
        "--download, or --data-dir with the folder that has it."
    ),
    "surrogate.yaml": (
        "--model \\ud800 is unknown. Cause: timm has no model of that name. Cure: see "
        "timm.list_models()."
    ),
    "strategy.yaml": (
        "--strategy 'truncated' is not usable. Cause: there is no such strategy. Cure: "
        "give one of uniform, truncate, branch, blocks, control."
    ),
    "conflict.yaml": (
        "--drop-rate is not usable with --strategy control. Cause: it belongs to uniform, "
        "truncate and branch. Cure: leave it out, or give another --strategy."
    ),
    "depth.yaml": (
        "--depth is not usable with --strategy uniform. Cause: it belongs to truncate. "
        "Cure: leave it out, or give another --strategy."
    ),
    "rate.yaml": (
        "--drop-rate 1.0 is not usable. Cause: it is the chance to be dropped. Cure: give "
        "a number in [0, 1), 0 for plain training."
    ),
    "precision.yaml": (
        "--precision fp8 is not usable. Cause: it is one of fp32, bf16, fp16. Cure: give one."
    ),
    "negative.yaml": (
        "--seed -3 is not usable. Cause: it keys the masks. Cure: give an integer in [0, 2**64)."
    ),
    "two.yaml": (
        "settings/two.yaml is no YAML. Cause: expected a single document in the stream... "
        "Cure: mend the file."
    ),
    "latin.yaml": (
        "cannot read settings/latin.yaml. Cause: 'utf-8' codec can't decode... Cure: give "
        "another file."
    ),
    "wide.yaml": (
        "cannot read settings/wide.yaml. Cause: 'utf-8' codec can't decode... Cure: give "
        "another file."
    ),
    "zeros.yaml": (
        "settings/zeros.yaml is no YAML. Cause: unacceptable character #x0000: special "
        "characters are not allowed... Cure: mend the file."
    ),
    "packed.yaml": (
        "cannot read settings/packed.yaml. Cause: 'utf-8' codec can't decode... Cure: give "
        "another file."
    ),
    "a-folder.yaml": (
        "cannot read settings/a-folder.yaml. Cause: Is a directory. Cure: give another file."
    ),
    "nowhere.yaml": (
        "cannot read settings/nowhere.yaml. Cause: No such file or directory. Cure: give "
        "another file."
    ),
}
SLOW_SETTINGS_ROWS = {
    "deep.yaml": (
        "settings/deep.yaml is no YAML. Cause: it is nested too deeply. Cure: mend the file."
    ),
}


@pytest.mark.parametrize("row", SETTINGS_ROWS)
def test_settings(row, refused):
    refused(SETTINGS + row, SETTINGS_ROWS[row])


@pytest.mark.slow
@pytest.mark.parametrize("row", SLOW_SETTINGS_ROWS)
def test_slow_settings(row, refused):
    refused(SETTINGS + row, SLOW_SETTINGS_ROWS[row])
