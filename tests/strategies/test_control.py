"""The control that drops nothing."""

import numpy as np
import pytest

from facts_of import facts_of
from layerdropback import Control
from layerdropback.strategies.odds import Masks


def test_it_has_drop_epochs_in_which_nothing_drops():
    assert Control().drops
    assert not Control().drops_layers
    odds = Control().odds(facts_of(3), 0.5)
    assert odds.mean_rate == 0
    assert odds.chances.tolist() == [0.0] * 3
    assert not Masks(0).draw(odds, 7).any()
    assert Control().switches(facts_of(3), np.zeros(3, dtype=bool)) == ()
    assert Control().saved(facts_of(3), np.zeros(3, dtype=bool)) == 0


def test_it_has_no_rate():
    with pytest.raises(TypeError):
        Control(rate=0.5)
    assert Control().rate_text == "nothing dropped"
