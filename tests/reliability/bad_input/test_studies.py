"""Wrong tasks of one's own.

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
    "wrong_studies:unnamed": (
        "an arm is called 1. Cause: tables name arms by texts. Cure: give it a name."
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
        "SyntaxError: invalid syntax (wrong_syntax.py, line 1). Cure: correct the module."
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
        "--task .relative:study is unknown. Cause: it is sentences, or MODULE:FUNCTION of "
        "your own. Cure: give one of these."
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


@pytest.mark.parametrize("row", TASK_ROWS)
def test_task(row, refused):
    refused(TASK + row, TASK_ROWS[row])
