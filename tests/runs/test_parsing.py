import pytest

from layerdropback.runs.parsing import of_json, of_yaml


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("!!bool maybe", "a value is not of the type that its tag"),
        ("!!int ''", "a value is not of the type that its tag"),
        ("!!float ''", "a value is not of the type that its tag"),
        ("!!timestamp soon", "a value is not of the type that its tag"),
        ("2001-13-45", "month must be in 1..12"),
        ("a: !!map 3", "expected a mapping node"),
        ("[" * 3000, "it is nested too deeply"),
        ("a: 1\na: 2", "a is set twice"),
        ("a: {b: 1, b: 2}", "b is set twice"),
        ("!!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("[1", "expected ',' or ']'"),
        ("9" * 5000, "Exceeds the limit"),
    ],
)
def test_what_is_no_yaml_is_a_value_error_of_one_line(text, message):
    with pytest.raises(ValueError, match=message) as error:
        of_yaml(text)
    assert "\n" not in str(error.value)


def test_yaml_of_plain_values():
    assert of_yaml("a: [1, 2.5, b, null, true]") == {"a": [1, 2.5, "b", None, True]}
    assert of_yaml("") is None


@pytest.mark.parametrize("text", ["", "{", "[" * 99_999, "[1,]", "9" * 5000])
def test_what_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError):  # noqa: PT011 - of several kinds
        of_json(text)


def test_numbers_that_are_none_are_refused_where_asked():
    assert of_json("[Infinity]") == [float("inf")]
    for word in ("NaN", "Infinity", "-Infinity"):
        with pytest.raises(ValueError, match=f"it has {word} where a number is needed"):
            of_json(f"[{word}]", finite=True)
    assert of_json('{"a": [1]}', finite=True) == {"a": [1]}
