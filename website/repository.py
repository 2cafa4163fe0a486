"""Which files of the repository the docs link to, and where the site has them.

A path is the repository's (`docs/method.md`), an address is the site's (`method.md`).
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

DOCS, PREFIX = "docs", "repository"
ALWAYS = ("CHANGELOG.md",)

_LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]+)?\)")


def address_of(path: str) -> str:
    """The site's name of a file.

    Example:
        >>> address_of("docs/method.md"), address_of("examples/ddp.py")
        ('method.md', 'repository/examples/ddp.py.md')
    """
    folder, _, rest = path.partition("/")
    if folder == DOCS:
        return rest
    return f"{PREFIX}/{path if path.endswith('.md') else f'{path}.md'}"


def path_of(address: str) -> str:
    """The file of one of the site's names.

    Example:
        >>> path_of("method.md"), path_of("repository/examples/ddp.py.md")
        ('docs/method.md', 'examples/ddp.py')
    """
    folder, _, rest = address.partition("/")
    if folder != PREFIX:
        return f"{DOCS}/{address}"
    return rest.removesuffix(".md") if rest.endswith((".py.md", ".yaml.md")) else rest


def targets(markdown: str, path: str) -> Iterator[str]:
    """The files that a page links to.

    Example:
        >>> list(targets("[a](method.md#when), [b](../examples/ddp.py)", "docs/index.md"))
        ['docs/method.md', 'examples/ddp.py']
    """
    for target, _ in _LINK.findall(markdown):
        yield posixpath.normpath(posixpath.join(posixpath.dirname(path), target))


def linked(root: Path) -> set[str]:
    """All files outside of docs/ that its pages lead to, also by way of one another."""
    found: set[str] = set()
    waiting = [f"{DOCS}/{page.name}" for page in (root / DOCS).glob("*.md")] + list(ALWAYS)
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        if not path.startswith(f"{DOCS}/"):
            found.add(path)
        if path.endswith(".md"):
            new = targets((root / path).read_text("utf-8"), path)
            waiting += [one for one in new if not one.startswith(f"{DOCS}/")]
    return found


def shown(root: Path, path: str) -> str:
    """A file as a page: text as it is, code in a box."""
    text = (root / path).read_text("utf-8")
    if path.endswith(".md"):
        return text
    language = {".py": "python", ".yaml": "yaml"}[posixpath.splitext(path)[1]]
    return f"# {posixpath.basename(path)}\n\n`{path}`\n\n````{language}\n{text}````\n"


def relink(markdown: str, address: str) -> str:
    """Turn a page's links between files into links between the site's pages.

    Example:
        >>> relink("[a](../examples/ddp.py), [b](method.md#when)", "index.md")
        '[a](repository/examples/ddp.py.md), [b](method.md#when)'
    """
    path = path_of(address)

    def new(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link[1]))
        if path.startswith(f"{DOCS}/") and target.startswith(f"{DOCS}/"):
            return link[0]
        where = posixpath.relpath(address_of(target), posixpath.dirname(address) or ".")
        return f"]({where}{link[2] or ''})"

    return _LINK.sub(new, markdown)
