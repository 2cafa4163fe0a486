"""The Hub where it cannot be reached."""

import datasets
import huggingface_hub
import pytest
from huggingface_hub import constants

from layerdropback.runs import hub
from layerdropback.runs.hub import quick_hub


def switches():
    return constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE


@pytest.fixture(autouse=True)
def _online(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)


class Session:
    """Answers, or does not."""

    asked = 0

    def __init__(self, answers):
        self.answers = answers

    def head(self, address, timeout):
        Session.asked += 1
        assert timeout == hub.PATIENCE
        if not self.answers:
            raise ConnectionError


@pytest.mark.parametrize("answers", [True, False])
def test_what_does_not_answer_is_not_asked_again(answers, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "get_session", lambda: Session(answers))
    with pytest.raises(KeyError), quick_hub():
        assert switches() == (not answers, not answers)
        raise KeyError
    assert switches() == (False, False)


def test_what_is_on_the_disk_or_is_told_to_be_offline_asks_nothing(monkeypatch):
    monkeypatch.setattr(huggingface_hub, "get_session", lambda: Session(True))
    Session.asked = 0
    with quick_hub(asked=False):
        assert switches() == (False, False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with quick_hub():
        assert switches() == (True, True)
    assert Session.asked == 0
