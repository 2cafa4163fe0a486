"""The site's pages beyond those of docs/, and the links to them.

docs/ is read on a code host, too, where links lead to cards, examples and scripts by their place in
the repository. The site has each of these as a page of its own, and its links lead there. So a
site on a disk has all that it speaks of.
"""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from website.commands import commands_page
from website.repository import address_of, linked, relink, shown

ROOT = Path(__file__).parents[1]

# Cards are found by the tables of the evidence; words are searched in the docs.
NOT_SEARCHED = "---\nsearch:\n  exclude: true\n---\n\n"


def on_files(files: Files, config: Any) -> Files:
    """Add the commands' page, and a page for each file of the repository that a page links to."""
    files.append(File.generated(config, "commands.md", content=commands_page()))
    for path in sorted(linked(ROOT)):
        text = NOT_SEARCHED + shown(ROOT, path)
        files.append(File.generated(config, address_of(path), content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links to the repository's files into links to their pages."""
    return relink(markdown, page.file.src_uri)
