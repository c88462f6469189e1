"""What tests read out of Markdown pages: blocks, commands, links, anchors."""

import re
import shlex
from collections.abc import Iterator


FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^ *```", flags=re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"(?:(?<=\n\n) {4}\S.*\n(?: {4}.*\n)*)")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def section(text: str, title: str) -> str:
    """What stands under `## title`, up to the next heading of that level."""
    return re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, flags=re.DOTALL | re.MULTILINE)[1]


def blocks(text: str, *languages: str) -> list[str]:
    """The fenced blocks in these languages, without the indentation of a list they may stand in."""
    found = (match.groups() for match in FENCED.finditer(text))
    return [re.sub(rf"^{indent}", "", code, flags=re.MULTILINE) for indent, name, code in found if name in languages]


def commands(*texts: str) -> list[list[str]]:
    """The words of each command, as a shell splits them; comments and empty lines are left out."""
    lines = "\n".join(texts).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def shell_commands(text: str, fenced_only: bool = False) -> list[list[str]]:
    """Commands of all blocks for a shell, fenced or indented; those of a script (`#!`) aside."""
    fenced = [block for block in blocks(text, "", "bash") if not block.startswith("#!")]
    indented = [re.sub(r"^ {4}", "", block, flags=re.MULTILINE) for block in INDENTED.findall(FENCED.sub("", text))]
    indented = [] if fenced_only else indented
    return commands(*(block for block in [*fenced, *indented] if block.split()[0] in PROGRAMS))


PROGRAMS = ("accelerate", "curl", "ginets", "make", "pip", "python", "sha256sum", "torchrun", "vllm")


def links(text: str) -> Iterator[tuple[str, str]]:
    """Path and anchor of each link that is not to another host."""
    for target in LINK.findall(FENCED.sub("", text)):
        if not target.startswith(("http:", "https:")):
            path, _, anchor = target.partition("#")
            yield path, anchor


def anchors(text: str) -> set[str]:
    """The anchors of the headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
