"""Builds the site: `python docs/make_site.py [FOLDER]`, by default into `build/site`.

Pages lie in `docs/`, beside the models and recipes they describe, and at the root, and they refer to each other by path.
So the site is built from a folder of links that is laid out as the repository, and every link holds on both.
"""

import logging
import sys
from pathlib import Path

from mkdocs.commands.build import build
from mkdocs.config import load_config


ROOT = Path(__file__).resolve().parents[1]
PARTS = ("docs", "models", "recipes", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "CITATION.cff")


def link_pages(folder: Path) -> Path:
    """Fill `folder` with links to the parts of the repository that are on the site."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PARTS:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(ROOT / name)
    return folder


def build_site(site: Path) -> Path:
    """Build into `site`; what is not in order (a link, an anchor, an entry of the navigation) ends it.

    Raises:
        mkdocs.exceptions.Abort: the log says what is not in order.
    """
    pages = link_pages(site.with_name(f"{site.name}-pages"))
    config = load_config(str(ROOT / "mkdocs.yml"), docs_dir=str(pages), site_dir=str(site))
    config.plugins.on_startup(command="build", dirty=False)
    build(config)
    config.plugins.on_shutdown()
    return site


if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s %(message)s")
    print(build_site(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "site").resolve()) / "index.html")
