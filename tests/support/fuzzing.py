"""Bytes and values of any kind, drawn from a seed, for everything that reads files."""

import json
import sys
import warnings
from collections import Counter

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import fuzzed
from layerdropback.errors import AttachError, LayerDropBackError

# What a reader must never come to: these are told by Python itself.
_FORBIDDEN = {"pickle.find_class", "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn"}


class Watch:
    """Notes what a file makes its reader execute."""

    def __init__(self):
        self.seen, self.armed = [], False
        sys.addaudithook(self._note)

    def _note(self, event, arguments):
        if self.armed and event in _FORBIDDEN:
            self.seen.append((event, arguments))


WATCH = Watch()
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([10**400, -1, 2**63, "", "plain", [], {}]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


def edited(whole):
    """A good file's bytes with some changes."""

    @st.composite
    def draw_edited(draw):
        content = bytearray(draw(st.sampled_from(whole)))
        for _ in range(draw(st.integers(1, 4))):
            place = draw(st.integers(0, len(content)))
            kind = draw(st.sampled_from(["flip", "cut", "put", "drop", "twice", "word"]))
            if kind == "flip" and place < len(content):
                content[place] ^= 1 << draw(st.integers(0, 7))
            elif kind == "cut":
                del content[place:]
            elif kind == "put":
                content[place:place] = draw(st.binary(max_size=6))
            elif kind == "drop":
                del content[place : place + draw(st.integers(1, 40))]
            elif kind == "twice":
                content[place:place] = content[place : place + draw(st.integers(1, 40))]
            else:
                content[place:place] = draw(st.sampled_from(fuzzed.WORDS))
        return bytes(content)

    return draw_edited()


def changed(values):
    """Good values with others in a place or two."""

    @st.composite
    def draw_changed(draw):
        root = {"": json.loads(json.dumps(values))}
        for _ in range(draw(st.integers(1, 2))):
            holder, key = root, ""
            while isinstance(holder[key], dict | list) and holder[key] and draw(st.integers(0, 3)):
                holder = holder[key]
                keys = list(holder) if isinstance(holder, dict) else range(len(holder))
                key = draw(st.sampled_from(keys))
            if holder is not root and isinstance(holder, dict) and draw(st.integers(0, 3)) == 0:
                del holder[key]
            else:
                holder[key] = draw(_JSON)
        return root[""]

    return draw_changed()


def inputs_of(target):
    """What a target is given: bytes, or values where it has some."""
    found = st.binary(max_size=200) | edited(target.whole)
    return found if target.values is None else found | changed(target.values)


def execute(target, content, count):
    """Give a target one input; anything but an object or the library's own error is raised."""
    count["executions"] += 1
    told = ". Cause: "
    WATCH.seen.clear()
    WATCH.armed = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            target.read(content)
        count["taken"] += 1
    except LayerDropBackError as error:
        count["refused"] += 1
        told = error.problems[0] if isinstance(error, AttachError) else str(error)
    finally:
        WATCH.armed = False
    assert ". Cause: " in told, f"the error names no cause: {told}"
    assert "\n" not in told or not target.one_line, f"the error has several lines: {told}"
    assert not WATCH.seen, f"executed: {WATCH.seen}"


def fuzz(target, examples, number):
    """So many inputs for one target, drawn from a seed: counts of what was executed."""
    count = Counter()

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(inputs_of(target))
    def once(content):
        execute(target, content, count)

    once()
    return count
