"""The site: it builds in strict mode, every link and anchor in it leads somewhere, nothing is fetched from elsewhere."""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml


ROOT = Path(__file__).resolve().parents[1]
# pages without an entry of their own: other pages list them
LISTED_ELSEWHERE = {"models"}
FETCHED = {"link": "href", "script": "src", "img": "src", "source": "src", "iframe": "src"}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    pytest.importorskip("material", reason="ginets[docs] is not installed")
    pytest.importorskip("mkdocstrings", reason="ginets[docs] is not installed")
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        from make_site import build_site
    finally:
        sys.path.remove(str(ROOT / "docs"))
    return build_site(tmp_path_factory.mktemp("docs") / "site")


class Page(HTMLParser):
    """What a page refers to, what it has the browser fetch, and the anchors it offers."""

    def __init__(self, path: Path):
        super().__init__()
        self.links, self.fetched, self.anchors = [], [], {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag in FETCHED and given.get(FETCHED[tag]) and given.get("rel") != "canonical":
            self.fetched.append(given[FETCHED[tag]])


def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}


def test_links_and_anchors(site):
    found = pages(site)
    assert len(found) > 60
    dead = []
    for path, page in found.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists() or (target in found and unquote(parts.fragment) not in found[target].anchors):
                dead.append(f"{path.relative_to(site)}: {link}")
    assert not dead


def test_nothing_is_fetched_from_elsewhere(site):
    for path, page in pages(site).items():
        for source in page.fetched:
            assert not urlsplit(source).netloc and not source.startswith("//"), f"{path.relative_to(site)}: {source}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_reference(site):
    """A docstring, its arguments with their types, and what it raises are on the page of the function."""
    text = (site / "docs" / "api" / "hub" / "index.html").read_text(encoding="utf-8")
    plain = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text))
    for words in ("ginets.hub.publish.publish", "as_lora", "write an adapter as plain LoRA", "Raises:"):
        assert words in plain
    for page in (ROOT / "docs" / "api").glob("*.md"):
        named = re.findall(r"^::: (\S+)", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
        ids = Page(site / "docs" / "api" / page.stem / "index.html").anchors if named else set()
        assert set(named) <= ids, page.name


def entries(nav) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [entry for part in (nav.values() if isinstance(nav, dict) else nav) for entry in entries(part)]


def test_navigation():
    """Every entry is a file, and every page has an entry, except those that another page lists."""
    nav = entries(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    assert len(nav) == len(set(nav))
    assert [entry for entry in nav if not (ROOT / entry).is_file()] == []
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")}
    left_out = there - set(nav)
    assert {page for page in left_out if page.rpartition("/")[0] not in LISTED_ELSEWHERE} == set()
