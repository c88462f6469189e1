"""Builds the site: `python docs/make_site.py [FOLDER]`, by default into `build/site`.

Pages lie in `docs/`, beside the models and recipes they describe, and at the root, and they refer to each other by path.
So the site is built from a folder that is laid out as the repository, and every link holds on both.
"""

import logging
import shutil
import sys
from pathlib import Path

from mkdocs.commands.build import build
from mkdocs.config import load_config


ROOT = Path(__file__).resolve().parents[1]
PARTS = ("docs", "models", "recipes", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "CITATION.cff")


def copy_pages(folder: Path) -> Path:
    """Fill `folder` with the parts of the repository that are on the site; what was in it goes. Returns it.

    Copies, because Zensical does not follow links.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in PARTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    return folder


def build_site(site: Path) -> Path:
    """Build into `site`, from copies in `<site>-pages`. Returns it.

    Raises:
        mkdocs.exceptions.Abort: a link, an anchor or an entry of the navigation leads nowhere; the log says which.
    """
    pages = copy_pages(site.with_name(f"{site.name}-pages"))
    config = load_config(str(ROOT / "mkdocs.yml"), docs_dir=str(pages), site_dir=str(site))
    config.plugins.on_startup(command="build", dirty=False)
    try:
        build(config)
    finally:
        config.plugins.on_shutdown()
    return site


if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s %(message)s")
    print(build_site(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "site").resolve()) / "index.html")
