"""The manual as a site: the pages of docs/ as they are, the README as the first one, the links checked.

    python tools/manual.py            write site/, and fail where a link leads nowhere

The pages stay what they are in the repository; what the site needs besides is made in a throw-away folder.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
SITE: Final = ROOT / "site"

# Headings are anchored as on the pages of the repository, so that the same links hold in both places.
CONFIGURATION: Final = """
[project]
site_name = "lemon-ext"
docs_dir = "pages"
site_dir = "site"
nav = [{nav}]

[project.theme]
font = false

[project.markdown_extensions.tables]
[project.markdown_extensions.pymdownx.highlight]
[project.markdown_extensions.pymdownx.superfences]
[project.markdown_extensions.toc]
permalink = true
slugify = {{object = "pymdownx.slugs.slugify", kwds = {{case = "lower"}}}}
"""


def pages(readme: str) -> list[str]:
    """Return the pages in the order in which the README lists them."""
    return re.findall(r"\]\((?:docs/)?([\w-]+\.md)\)", readme.partition("\n## More\n")[2])


def main() -> int:
    """Make the site. Returns the exit code."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder, "pages")
        shutil.copytree(ROOT / "docs", there)
        shutil.copy(ROOT / "CHANGELOG.md", there)
        (there / "index.md").write_text(readme.replace("](docs/", "]("), encoding="utf-8")
        nav = ", ".join(f'"{name}"' for name in ("index.md", *pages(readme)))
        Path(folder, "zensical.toml").write_text(CONFIGURATION.format(nav=nav), encoding="utf-8")
        made = subprocess.run([sys.executable, "-m", "zensical", "build", "--strict"], cwd=folder, check=False)
        if made.returncode == 0:
            shutil.rmtree(SITE, ignore_errors=True)
            shutil.copytree(Path(folder, "site"), SITE)
            print(f"{SITE.relative_to(ROOT)}/index.html")
        return made.returncode


if __name__ == "__main__":
    sys.exit(main())
