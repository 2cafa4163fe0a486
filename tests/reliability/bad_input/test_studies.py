"""Wrong tasks of one's own, and wrong flags beside them.

Three dots stand for anything.
"""

import pytest

NEEDS = ("studies", "settings", "runs", "records")

TASK = "compare --seeds 1 --out new --task "
TASK_ROWS = {
    "wrong_studies:fails": (
        "--task wrong_studies:fails cannot be made. Cause: ValueError: the data is not "
        "there (wrong_studies.py, line 6). Cure: correct the function, or its --task-arg."
    ),
    "wrong_studies:exits": (
        "--task wrong_studies:exits cannot be made. Cause: SystemExit: 3 "
        "(wrong_studies.py, line 9). Cure: correct the function, or its --task-arg."
    ),
    "wrong_studies:none": (
        "--task wrong_studies:none cannot be used. Cause: it returns NoneType. Cure: "
        "return a layerdropback.lab.Task and a mapping of names to its ways."
    ),
    "wrong_studies:no_ways": (
        "--task wrong_studies:no_ways cannot be used. Cause: it returns Lines and "
        "NoneType. Cure: return a layerdropback.lab.Task and a mapping of names to its "
        "ways."
    ),
    "wrong_studies:list_of_ways": (
        "--task wrong_studies:list_of_ways cannot be used. Cause: it returns Lines and "
        "list. Cure: return a layerdropback.lab.Task and a mapping of names to its ways."
    ),
    "wrong_studies:one_way": (
        "nothing can be compared. Cause: there is one arm. Cure: give two: plain training "
        "first, then a method."
    ),
    "wrong_studies:no_task": (
        "--task wrong_studies:no_task cannot be used. Cause: it returns int and dict. "
        "Cure: return a layerdropback.lab.Task and a mapping of names to its ways."
    ),
    "wrong_studies:the_class": (
        "--task wrong_studies:the_class cannot be used. Cause: it returns ABCMeta and "
        "dict. Cure: return a layerdropback.lab.Task and a mapping of names to its ways."
    ),
    "wrong_studies:with_argument": (
        "--task wrong_studies:with_argument cannot be made. Cause: missing a required "
        "argument: 'share'. Cure: correct --task-arg KEY=VALUE."
    ),
    "wrong_studies:drops_first": (
        "the first arm, 'half', drops layers. Cause: it is the plain training that all "
        "others are compared with. Cure: put plain training first."
    ),
    "wrong_studies:no_name": (
        "the task NoName has name=None. Cause: a text is needed. Cure: set it."
    ),
    "wrong_studies:no_epochs": (
        "the task NoEpochs has epochs=0. Cause: a number above 0 is needed. Cure: set it."
    ),
    "wrong_studies:nan_epochs": (
        "the task NanEpochs has epochs=nan. Cause: a number above 0 is needed. Cure: set it."
    ),
    "wrong_studies:no_test": (
        "the task NoTest has test=0. Cause: a whole number from 1 on is needed. Cure: set it."
    ),
    "wrong_studies:starts_nothing": (
        "start() of the task lines returned NoneType. Cause: the lab drives a "
        "layerdropback.lab.Run. Cure: return an object of a subclass of it."
    ),
    "wrong_studies:value": (
        "--task wrong_studies:value cannot be used. Cause: wrong_studies has no function "
        "'value'. Cure: name one that returns a task and its ways."
    ),
    "wrong_studies:missing": (
        "--task wrong_studies:missing cannot be used. Cause: wrong_studies has no function "
        "'missing'. Cure: name one that returns a task and its ways."
    ),
    "wrong_studies": (
        "--task wrong_studies is unknown. Cause: it is sentences, or MODULE:FUNCTION of "
        "your own. Cure: give one of these."
    ),
    "wrong_studies:": (
        "--task wrong_studies: is unknown. Cause: it is sentences, or MODULE:FUNCTION of "
        "your own. Cure: give one of these."
    ),
    ":study": (
        "--task :study is unknown. Cause: it is sentences, or MODULE:FUNCTION of your own. "
        "Cure: give one of these."
    ),
    "wrong_syntax:study": (
        "--task wrong_syntax:study cannot be used. Cause: importing wrong_syntax fails: "
        "SyntaxError: invalid syntax (wrong_syntax.py, line 1) (wrong_syntax.py, line 1). "
        "Cure: correct the module."
    ),
    "wrong_import:study": (
        "--task wrong_import:study cannot be used. Cause: No module named "
        "'no_such_package'. Cure: name a module that Python finds from this folder."
    ),
    "wrong_value:study": (
        "--task wrong_value:study cannot be used. Cause: importing wrong_value fails: "
        "ValueError: at import (wrong_value.py, line 1). Cure: correct the module."
    ),
    "wrong_exit:study": (
        "--task wrong_exit:study cannot be used. Cause: importing wrong_exit fails: "
        "SystemExit: 0 (wrong_exit.py, line 2). Cure: correct the module."
    ),
    "no_such_module:study": (
        "--task no_such_module:study cannot be used. Cause: No module named "
        "'no_such_module'. Cure: name a module that Python finds from this folder."
    ),
    ".relative:study": (
        "--task .relative:study cannot be used. Cause: importing .relative fails: "
        "TypeError: the 'package' argument is required to perform a relative import for "
        "'.relative' (__init__.py, line 121). Cure: correct the module."
    ),
    "json:loads": (
        "--task json:loads cannot be made. Cause: missing a required argument: 's'. Cure: "
        "correct --task-arg KEY=VALUE."
    ),
    "os:getcwd": (
        "--task os:getcwd cannot be used. Cause: it returns str. Cure: return a "
        "layerdropback.lab.Task and a mapping of names to its ways."
    ),
    "''": (
        "--task is unknown. Cause: it is sentences, or MODULE:FUNCTION of your own. Cure: "
        "give one of these."
    ),
    "sentence": (
        "--task sentence is unknown. Cause: it is sentences, or MODULE:FUNCTION of your "
        "own. Cure: give one of these."
    ),
    "images": (
        "--task images is unknown. Cause: it is sentences, or MODULE:FUNCTION of your own. "
        "Cure: give one of these."
    ),
}
STUDY = "compare --seeds 1 --out new --task wrong_studies:"
STUDY_ROWS = {
    "good --task-arg share": (
        "--task-arg 'share' is not usable. Cause: it is KEY=VALUE,... or "
        "NAME:KEY=VALUE,..., with settings as keys. Cure: see ldb train --help."
    ),
    "good --task-arg share=2": (
        "--drop-rate 2 is not usable. Cause: it is the share that is skipped. Cure: give a "
        "number in [0, 1), 0 for plain training."
    ),
    "good --task-arg shar=0.2": (
        "--task wrong_studies:good cannot be made. Cause: got an unexpected keyword "
        "argument 'shar'. Cure: correct --task-arg KEY=VALUE."
    ),
    "good --task-arg share=0.2 --task-arg share=0.3": (
        "--task-arg 'share=0.3' is not usable. Cause: share is given twice. Cure: give it once."
    ),
    "good --task-arg share=0.2,share=0.3": (
        "--task-arg 'share=0.2,share=0.3' is not usable. Cause: share is given twice. "
        "Cure: give it once."
    ),
    "good --task-arg share=2001-13-45": (
        "--task-arg 'share=2001-13-45' is not usable. Cause: '2001-13-45' is no value. "
        "Cure: give another."
    ),
    "good --task-arg 'share=!!int x'": (
        "--task-arg 'share=!!int x' is not usable. Cause: '!!int x' is no value. Cure: "
        "give another."
    ),
    "good --task-arg 'share=[1'": (
        "--task-arg 'share=[1' is not usable. Cause: '[1' is no value. Cure: give another."
    ),
    "good --task-arg =1": (
        "--task-arg '=1' is not usable. Cause: it is KEY=VALUE,... or NAME:KEY=VALUE,..., "
        "with settings as keys. Cure: see ldb train --help."
    ),
    "good --arm lr=0": (
        "--arm 'lr=0' sets lr to 0. Cause: a number above 0, up to 1e+30, is needed. Cure: "
        "give one."
    ),
    "good --arm lr=.nan": (
        "--arm 'lr=.nan' sets lr to nan. Cause: a number above 0, up to 1e+30, is needed. "
        "Cure: give one."
    ),
    "good --arm lr=.inf": (
        "--arm 'lr=.inf' sets lr to inf. Cause: a number above 0, up to 1e+30, is needed. "
        "Cure: give one."
    ),
    "good --arm epochs=1e30": (
        "--arm 'epochs=1e30' sets epochs to 1e+30. Cause: a number above 0, up to "
        "2.14748e+09, is needed. Cure: give one."
    ),
    "good --arm epochs=-1": (
        "--arm 'epochs=-1' sets epochs to -1. Cause: a number above 0, up to 2.14748e+09, "
        "is needed. Cure: give one."
    ),
    "good --arm x=1": (
        "--arm is not usable with the task lines. Cause: it has no way(). Cure: give its "
        "arms in Python."
    ),
    "good --arm half:lr=0.1": (
        "two arms are called 'half'. Cause: the tables would not tell them apart. Cure: "
        "give another NAME: before one's settings."
    ),
    "good --arm =": (
        "--arm '=' is not usable. Cause: it is KEY=VALUE,... or NAME:KEY=VALUE,..., with "
        "settings as keys. Cure: see ldb train --help."
    ),
    "good --arm lr=1,lr=2": (
        "--arm 'lr=1,lr=2' is not usable. Cause: lr is given twice. Cure: give it once."
    ),
    "good --seeds 0": (
        "--seeds 0 is not usable. Cause: a whole number from 1 to 1000 is needed. Cure: give one."
    ),
    "good --seeds -3": (
        "--seeds -3 is not usable. Cause: a whole number from 1 to 1000 is needed. Cure: give one."
    ),
    "good --seeds 100000000000": (
        "--seeds 100000000000 is not usable. Cause: a whole number from 1 to 1000 is "
        "needed. Cure: give one."
    ),
    "good --seed -1": (
        "--seed -1 is not usable. Cause: it keys the masks. Cure: give an integer in [0, 2**64)."
    ),
    "good --seed 99999999999999999999999": (
        "--seed 99999999999999999999999 is not usable. Cause: it keys the masks. Cure: "
        "give an integer in [0, 2**64)."
    ),
    "good --threads 0": (
        "--threads 0 is not usable. Cause: a whole number from 1 to 1024 is needed. Cure: give one."
    ),
    "good --threads 99999999": (
        "--threads 99999999 is not usable. Cause: a whole number from 1 to 1024 is needed. "
        "Cure: give one."
    ),
    "good --margin nan": (
        "--margin nan is not usable. Cause: points in (0, 100] are needed. Cure: give one."
    ),
    "good --margin 0": (
        "--margin 0 is not usable. Cause: points in (0, 100] are needed. Cure: give one."
    ),
    "good --target 101": (
        "--target 101.0 is not usable. Cause: a percentage in (0, 100] is needed. Cure: give one."
    ),
    "good --lr-grid 1,2": (
        "--lr-grid 1,2 is not usable. Cause: three learning rates above 0, or more, are "
        "needed. Cure: give one."
    ),
    "good --lr-grid 3,2,1": (
        "--lr-grid 3,2,1 is not usable. Cause: they are to rise. Cure: give one."
    ),
    "good --lr-grid a,b,c": (
        "--lr-grid a,b,c is not usable. Cause: numbers with commas between them are "
        "needed. Cure: give some."
    ),
    "good --lr-grid ''": (
        "--lr-grid is not usable. Cause: numbers with commas between them are needed. "
        "Cure: give some."
    ),
    "good --tune-seeds 0 --lr-grid 0.1,0.2,0.3": (
        "--tune-seeds 0 is not usable. Cause: a whole number from 1 to 1000 is needed. "
        "Cure: give one."
    ),
    "good --model resnet18": (
        "--model is not usable with --task. Cause: it is a setting of ldb train's images. "
        "Cure: give the task its own, by --task-arg KEY=VALUE or --arm."
    ),
    "good --config settings/typo.yaml": (
        "--config is not usable with --task. Cause: it is a setting of ldb train's images. "
        "Cure: give the task its own, by --task-arg KEY=VALUE or --arm."
    ),
    "good --resume --overwrite": (
        "--resume and --overwrite exclude each other. Cause: one keeps what is there. "
        "Cure: give one of them."
    ),
    "good --out runs/done": (
        "--out runs/done is not empty. Cause: something would be lost. Cure: give another "
        "folder, or --resume, or --overwrite."
    ),
    "good --resume --out runs/done": (
        "--out runs/done holds no comparison. Cause: a run of ldb train is in it. Cure: "
        "give another folder."
    ),
    "starts_nothing --overwrite --out a-comparison": (
        "start() of the task lines returned NoneType. Cause: the lab drives a "
        "layerdropback.lab.Run. Cure: return an object of a subclass of it."
    ),
    "drops_first --overwrite --out a-comparison": (
        "the first arm, 'half', drops layers. Cause: it is the plain training that all "
        "others are compared with. Cure: put plain training first."
    ),
    "no_test --overwrite --out a-comparison": (
        "the task NoTest has test=0. Cause: a whole number from 1 on is needed. Cure: set it."
    ),
    "good --resume --out a-comparison --margin 2": (
        "a-comparison/comparison.json is of another run (margin is 2.0 here and 0.5 "
        "there). Cause: one record cannot hold both. Cure: leave the flags out that "
        "differ, or give another --out."
    ),
    "good --out a-comparison": (
        "--out a-comparison is not empty. Cause: something would be lost. Cure: give "
        "another folder, or --resume, or --overwrite."
    ),
}


@pytest.mark.parametrize("row", TASK_ROWS)
def test_task(row, refused):
    refused(TASK + row, TASK_ROWS[row])


@pytest.mark.parametrize("row", STUDY_ROWS)
def test_study(row, refused):
    refused(STUDY + row, STUDY_ROWS[row])
