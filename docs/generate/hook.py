"""MkDocs' hook: pages made at each build, and files outside docs/ that pages link to.

The pages of docs/ are read on disk as well as on the site, so their links are those of the checkout
(`../CONTRIBUTING.md`). Whatever they link to outside docs/ gets a place below `checkout/`: Markdown
as a page, source as a page of code, all else as it is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.generate import command_line, config_reference

ROOT = Path(__file__).resolve().parents[2]
GENERATED = {
    "reference/command_line.md": command_line.page,
    "reference/configs.md": config_reference.page,
}
ALWAYS = ("CHANGELOG.md", "CONTRIBUTING.md")
CODE = {".py": "python", ".yaml": "yaml", ".h": "cpp", ".cpp": "cpp", ".c": "c"}
LINK = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)\s]*)?\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and the files that pages link to outside docs/."""
    for uri, page in GENERATED.items():
        files.append(File.generated(config, uri, content=page()))
    pages = [file.src_uri for file in files.documentation_pages() if file.abs_src_path]
    for path in sorted(_linked(["docs/" + uri for uri in pages])):
        file = ROOT / path
        if file.suffix in CODE:
            content: str | bytes = f"# {path}\n\n````{CODE[file.suffix]}\n{file.read_text()}````\n"
        else:
            content = file.read_bytes()
            content = content.decode() if file.suffix == ".md" else content
        files.append(File.generated(config, _uri(path), content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links of the checkout into links of the site."""
    here = page.file.src_uri
    if here in GENERATED:
        return markdown
    path = here.removeprefix("checkout/") if here.startswith("checkout/") else f"docs/{here}"

    def turned(match: re.Match[str]) -> str:
        target = _uri(_resolved(path, match[2]))
        relative = os.path.relpath(target, os.path.dirname(here) or ".")
        return f"{match[1]}{PurePosixPath(relative)}{match[3]}"

    return LINK.sub(turned, markdown)


def _linked(pages: list[str]) -> set[str]:
    """The files outside docs/ that these pages lead to, through one another too."""
    found: set[str] = set(ALWAYS)
    waiting = [*pages, *ALWAYS]
    while waiting:
        for target in _targets(waiting.pop()):
            if not target.startswith("docs/") and target not in found:
                found.add(target)
                waiting += [target] * target.endswith(".md")
    return found


def _targets(page: str) -> Iterator[str]:
    for _, target, _ in LINK.findall((ROOT / page).read_text()):
        path = _resolved(page, target)
        if (ROOT / path).is_file():
            yield path


def _resolved(page: str, target: str) -> str:
    """The path in the checkout of what `page` links to."""
    return os.path.normpath(os.path.join(os.path.dirname(page), target))


def _uri(path: str) -> str:
    """Where a file of the checkout is on the site."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"checkout/{path}{'.md' if Path(path).suffix in CODE else ''}"
