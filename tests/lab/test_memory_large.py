"""Models of 3 and 8 billion parameters: what somebody else measured, and what blocks promise."""

import pytest

from benchmarks.memory import memory_public_table as table
from benchmarks.memory.memory_public_card import GIB


def peak(name, arm, setup):
    found, _ = table.predicted(name, arm, setup)
    return found.peak


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning")
@pytest.mark.parametrize(("name", "arm", "measured"), [row for row in table.PUBLIC if row[2]])
def test_a_public_table_is_predicted_within_a_hundredth(name, arm, measured):
    predicted = peak(name, arm, table.PUBLIC_SETUP) / GIB
    assert predicted == pytest.approx(measured, rel=0.01)


@pytest.mark.slow
def test_what_did_not_fit_is_predicted_not_to():
    assert peak("8B", "full", table.PUBLIC_SETUP) > 80e9


@pytest.mark.slow
def test_blocks_take_little_more_than_lora_and_far_less_than_kept_states_and_full():
    peaks = {arm: peak("8B", arm, table.AT_8B_SETUP) for arm in table.AT_8B}
    assert peaks["blocks"] <= 1.10 * peaks["LoRA"]
    assert peaks["blocks"] <= 0.45 * peaks["blocks, all states kept"]
    assert peaks["blocks"] <= 0.32 * peaks["full"]
    assert peaks["LISA"] <= 0.5 * peaks["LISA, all states kept"]
