"""Makes the site of this repository's own files, so that links read the same in a code host and on the site.

The first page is README.md. Any other file outside `docs/` that a page links to (`../leaderboards/NAME/README.md`)
joins the site under its own path. There, what lies in `docs/` stands one folder higher, so such links are rewritten.
"""

import logging
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

log = logging.getLogger("mkdocs.hooks.site")
ROOT = Path(__file__).parent.parent
LINK = re.compile(r"(?<=\]\()(?!\w+:|/|#)([^)\s#]+)")
ANOTHER_HOST = r"""\b(?:src|href)=["'](?:https?:)?//[^"']*"""
LOADED = re.compile(
    rf"<(?:script|img|iframe|source)\b[^>]*{ANOTHER_HOST}|<link\b(?=[^>]*stylesheet)[^>]*{ANOTHER_HOST}"
)
LOST_LIST = re.compile(r"<p>(?:(?!</p>).)*?\n(?:[-*]|\d+\.) .*", re.S)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add README.md and, page by page, each file outside `docs/` that is linked."""
    files.append(File.generated(config, "index.md", abs_src_path=str(ROOT / "README.md")))
    to_read = list(files.documentation_pages())
    while to_read:
        page = to_read.pop()
        for link in LINK.findall(page.content_string):
            target = _target(page, link)
            if (ROOT / target).is_file() and files.get_file_from_path(_on_site(target)) is None:
                added = File.generated(config, target, abs_src_path=str(ROOT / target))
                added.inclusion = InclusionLevel.NOT_IN_NAV
                files.append(added)
                to_read += [added] if added.is_documentation_page() else []
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Links between files of the repository as links between pages of the site."""
    folder = posixpath.dirname(page.file.src_uri) or "."
    return LINK.sub(lambda link: posixpath.relpath(_on_site(_target(page.file, link[1])), folder), markdown)


def on_post_page(output: str, page: Page, **_: object) -> str:
    """Warn, and so fail under `--strict`, of what is loaded from another host and of lists that are read as text."""
    for tag in LOADED.findall(output):
        log.warning("%s loads something from another host: %s", page.file.src_uri, tag)
    for text in LOST_LIST.findall(output):
        log.warning("%s has a list without a blank line before it: %s", page.file.src_uri, text[:80])
    return output


def _target(page: File, link: str) -> str:
    """Path in the repository of what a page links to."""
    source = Path(page.abs_src_path or "").resolve().relative_to(ROOT.resolve()).as_posix()
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _on_site(path: str) -> str:
    """Path on the site of a file of the repository."""
    return "index.md" if path == "README.md" else path.removeprefix("docs/")
