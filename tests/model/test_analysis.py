"""Whether a model is called only to be looked at."""

import pytest

from layerdropback.model.analysis import is_running, running


def test_an_analysis_runs_while_it_is_entered_however_it_ends():
    assert not is_running()
    with running():
        with pytest.raises(KeyError), running():
            raise KeyError
        assert is_running()
    assert not is_running()
