"""Text from files into plain values: it has them, or it is a `ValueError`, whatever it holds."""

import json
from functools import cache
from typing import Any, NoReturn


def of_yaml(text: str) -> Any:
    """A YAML text's value, made of plain types; a name that comes twice is refused.

    Raises:
        ValueError: it is no YAML; the text says why, in one line.

    Example:
        >>> of_yaml("[1, two]")
        [1, 'two']
    """
    import yaml  # late: to import it takes longer than to read most flags

    try:
        return yaml.load(text, _loader())
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(" ".join(str(error).split()).rstrip(".")) from None
    except Exception:  # what makes values of tags such as !!bool looks at nothing
        raise ValueError("a value is not of the type that its tag (!!) says") from None


def of_json(text: str, finite: bool = False) -> Any:
    """A JSON text's value.

    Args:
        text: as it stands in a file.
        finite: refuse NaN and infinities, which JSON does not have and Python's writer may.

    Raises:
        ValueError: it is no JSON; the text says why, in one line.

    Example:
        >>> of_json("[1]")
        [1]
    """
    try:
        return json.loads(text, parse_constant=_refuse if finite else None)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


_TOO_DEEP = "it is nested too deeply"


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"it has {constant} where a number is needed")


@cache
def _loader() -> Any:
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """YAML that refuses a name that comes twice, of which the last would win in silence."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            if isinstance(node, yaml.MappingNode):
                names = [key.value for key, _ in node.value]
                for name in names:
                    if names.count(name) > 1:
                        raise yaml.YAMLError(f"{name} is set twice")
            found: dict[Any, Any] = super().construct_mapping(node, deep)
            return found

    return Loader
