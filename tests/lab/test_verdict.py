"""What is said of arms whose truth is known."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerdropback.lab.front import Measured, at_time, spanned
from layerdropback.lab.verdict import judge

MARGIN = 0.5
COMPARISONS = 1000


def drawn(rng, seeds, accuracy, seconds, shared, noise=0.3):
    """Runs of one arm: a part of the noise is the seed's, and the same for all arms."""
    return Measured(
        list(accuracy + shared + rng.normal(0, noise, seeds)),
        list(seconds * np.exp(rng.normal(0, 0.003, seeds))),
    )


def simulate(seeds, arms, comparisons=COMPARISONS, seed=0):
    """Comparisons of arms with known means.

    Args:
        seeds: of each comparison.
        arms: for each its accuracy, seconds, and the accuracy of plain training of the same time;
            plain training has 90 % and 10 s.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(comparisons):
        shared = rng.normal(0, 0.4, seeds)
        plain = drawn(rng, seeds, 90.0, 10.0, shared)
        made = {
            name: (
                drawn(rng, seeds, accuracy, seconds, shared),
                None if short is None else drawn(rng, seeds, short, seconds, shared),
            )
            for name, (accuracy, seconds, short) in arms.items()
        }
        found.append(judge(plain, made, margin=MARGIN))
    return found


def share(verdicts, test):
    return np.mean([any(test(verdict) for verdict in found.values()) for found in verdicts])


SEEDS = [3, pytest.param(5, marks=pytest.mark.slow), 20]


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("seconds", [10.0, 8.0])
def test_equal_arms_are_seldom_called_a_gain(seeds, seconds):
    """Equal to plain training, and to plain training of the same time."""
    found = simulate(seeds, {"ldb": (90.0, seconds, 90.0)})
    assert share(found, lambda verdict: verdict.gain) <= 0.05


@pytest.mark.parametrize("seeds", [3, 10])
@pytest.mark.slow
def test_neither_are_several_equal_arms_together(seeds):
    arms = {f"arm {number}": (90.0, 8.0, 90.0) for number in range(4)}
    assert share(simulate(seeds, arms), lambda verdict: verdict.gain) <= 0.05


@pytest.mark.parametrize("seeds", [3, 10])
def test_fewer_steps_of_plain_training_are_no_gain(seeds):
    """An arm that only trains less, and loses what that costs."""
    found = simulate(seeds, {"half": (89.8, 5.0, 89.8)})
    assert share(found, lambda verdict: verdict.gain) <= 0.05


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("with_equal", [True, False])
def test_a_true_loss_of_twice_the_margin_is_seldom_called_equal(seeds, with_equal):
    found = simulate(seeds, {"ldb": (90.0 - 2 * MARGIN, 8.0, 89.0 if with_equal else None)})
    equal = share(found, lambda verdict: "at equal accuracy" in verdict.text)
    assert equal <= 0.05
    assert share(found, lambda verdict: verdict.kind == "faster at equal accuracy") <= 0.05


@pytest.mark.slow
def test_at_the_margin_the_error_rate_is_the_stated_one():
    """On the edge of its null hypothesis a test errs as often as it says: one-sided 2.5 %."""
    found = simulate(5, {"ldb": (90.0 - MARGIN, 8.0, None)}, comparisons=4000)
    rate = share(found, lambda verdict: "at equal accuracy" in verdict.text)
    assert 0.015 <= rate <= 0.035


@pytest.mark.parametrize(
    ("arm", "kind"),
    [
        ((90.5, 8.0, 88.5), "better at equal time"),
        ((90.1, 8.0, None), "faster at equal accuracy"),
        ((88.0, 8.0, 89.5), "no gain"),
        ((90.0, 13.0, 90.4), "no gain"),
        ((90.0, 10.0, 90.0), "no gain"),
    ],
    ids=["better", "faster", "worse", "slower", "same"],
)
def test_with_enough_seeds_the_verdict_is_right(arm, kind):
    kinds = Counter(found["arm"].kind for found in simulate(20, {"arm": arm}))
    assert kinds[kind] >= 0.9 * COMPARISONS, kinds


def test_a_faster_arm_that_is_as_good_as_less_plain_training_is_told_so():
    plain = Measured([90.0, 90.2, 89.9, 90.1], [10.0] * 4)
    arm = Measured([90.1, 90.2, 89.9, 90.0], [8.0] * 4)
    verdict = judge(plain, {"ldb": (arm, arm)})["ldb"]
    assert verdict.kind == "no gain"
    assert not verdict.gain
    assert "0.80 of plain training's time at equal accuracy (+0.00 points" in verdict.text
    assert "+0.00 points [+0.00, +0.00], n = 4 against plain training of the same time" in (
        verdict.text
    )


def test_times_that_were_to_be_equal_and_are_not_withhold_the_verdict():
    plain = Measured([90.0, 90.2, 89.9], [10.0] * 3)
    arm = Measured([91.0, 91.2, 91.0], [8.0] * 3)
    short = Measured([89.0, 89.2, 89.0], [7.8] * 3)
    verdict = judge(plain, {"ldb": (arm, short)})["ldb"]
    assert (verdict.kind, verdict.gain) == ("withheld", False)
    assert "plain training that was to take the same time took 0.975 of it" in verdict.text
    for seconds in (7.9, 8.1, 9.0):  # equal, or more: then it holds all the more
        short = Measured(short.accuracy, [seconds] * 3)
        assert judge(plain, {"ldb": (arm, short)})["ldb"].gain


def test_where_times_came_out_uneven_plain_trainings_front_is_read():
    """Plain training gains 2 points for each doubling of its time, and so does the arm."""
    gains = [2 * np.log2(0.8), 2 * np.log2(0.7)]
    plain = Measured([90.0, 90.2, 89.9], [10.0] * 3)
    short = Measured([value + gains[1] for value in plain.accuracy], [7.0] * 3)
    arm = Measured([value + gains[0] for value in plain.accuracy], [8.0] * 3)
    front = [plain, short]
    assert judge(plain, {"ldb": (arm, short)})["ldb"].kind == "withheld"
    verdict = judge(plain, {"ldb": (arm, short)}, front)["ldb"]
    assert verdict.kind == "no gain"
    assert verdict.against_equal.accuracy.mean == pytest.approx(0)
    assert verdict.text.endswith(
        "n = 3 against plain training of the same time, read off its front (what was to take that "
        "time took 0.875 of it)"
    )
    better = Measured([value + 0.6 for value in arm.accuracy], arm.seconds)
    verdict = judge(plain, {"ldb": (better, short)}, front)["ldb"]
    assert verdict.gain
    assert verdict.against_equal.accuracy.mean == pytest.approx(0.6)
    assert verdict.against_equal.time.mean == pytest.approx(1)


def test_what_took_less_than_all_plain_runs_is_not_read_off_their_front():
    plain = Measured([90.0, 90.2, 89.9], [10.0] * 3)
    arm = Measured([88.0, 88.2, 87.9], [7.5] * 3)
    short = Measured([89.0, 89.2, 89.0], [8.0] * 3)
    assert judge(plain, {"ldb": (arm, short)}, [plain, short])["ldb"].kind == "withheld"
    shorter = Measured([88.5, 88.7, 88.4], [7.0] * 3)
    found = judge(plain, {"ldb": (arm, short)}, [plain, short, shorter])["ldb"]
    assert found.kind == "no gain"


def test_equal_times_are_held_against_the_run_that_was_planned():
    plain = Measured([90.0, 90.2, 89.9], [10.0] * 3)
    arm = Measured([91.0, 91.2, 91.0], [8.0] * 3)
    short = Measured([89.0, 89.2, 89.0], [7.9] * 3)
    assert judge(plain, {"ldb": (arm, short)}, [plain, short]) == judge(
        plain, {"ldb": (arm, short)}
    )


@given(
    st.lists(st.tuples(st.floats(1, 100), st.floats(0, 100)), min_size=2, max_size=5),
    st.floats(0, 1),
)
def test_a_front_goes_through_its_runs_and_lies_above_straight_lines_where_it_rises(runs, share):
    front = [Measured([accuracy], [seconds]) for seconds, accuracy in runs]
    times = sorted({seconds for seconds, _ in runs})
    if len(times) < len(runs):
        return
    for seconds, accuracy in runs:
        assert at_time(front, seconds) == [pytest.approx(accuracy, abs=1e-6)]
    (low, first), (high, second) = sorted(runs)[:2]
    seconds = low + share * (high - low)
    assert spanned(front, low)
    assert not spanned(front, times[-1] * 1.01)
    (found,) = at_time(front, seconds)
    straight = first + (seconds - low) / (high - low) * (second - first)  # as it was rounded
    assert found >= straight - 1e-6 if second >= first else found <= straight + 1e-6


@pytest.mark.parametrize(
    ("seconds", "kind"), [(7.0, "no gain"), (7.9, "no gain"), (8.1, "no gain"), (8.3, "withheld")]
)
def test_no_gain_over_less_plain_training_is_no_gain_over_more(seconds, kind):
    plain = Measured([90.0, 90.2, 89.9], [10.0] * 3)
    arm = Measured([88.0, 88.2, 87.9], [8.0] * 3)
    short = Measured([89.0, 89.2, 89.0], [seconds] * 3)
    assert judge(plain, {"ldb": (arm, short)})["ldb"].kind == kind


def test_what_is_worse_and_slower_needs_no_equal_time():
    plain = Measured([90.0, 90.2, 89.9], [10.0, 10.0, 10.1])
    arm = Measured([88.0, 88.1, 88.0], [14.0, 14.0, 14.1])
    longer = Measured([90.5, 90.2, 90.6], [11.0, 11.1, 11.0])
    verdict = judge(plain, {"ldb": (arm, longer)})["ldb"]
    assert verdict.kind == "no gain"
    assert "it takes no less time than plain training" in verdict.text


def test_one_seed_is_not_enough_and_it_is_said():
    verdict = judge(
        Measured([90.0], [10.0]), {"ldb": (Measured([95.0], [5.0]), Measured([80.0], [5.0]))}
    )["ldb"]
    assert (verdict.kind, verdict.gain, verdict.seeds_needed) == ("not enough seeds", False, None)
    assert verdict.text.startswith("not enough seeds: three or more are needed; ")


def test_the_number_of_seeds_that_would_do_is_about_right():
    """With that many, most comparisons that were open are decided."""
    rng = np.random.default_rng(1)
    open_, decided = [], 0
    for found in simulate(4, {"ldb": (90.0, 8.0, 89.9)}, comparisons=200):
        if found["ldb"].kind == "not enough seeds":
            open_.append(found["ldb"].seeds_needed)
    assert len(open_) > 20
    needed = int(np.median(open_))
    assert 4 < needed < 60
    for found in simulate(needed, {"ldb": (90.0, 8.0, 89.9)}, 200, int(rng.integers(1000))):
        decided += found["ldb"].kind != "not enough seeds"
    assert decided > 150
