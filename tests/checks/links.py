"""Link check: every relative link of a Markdown file leads to a file, and to a heading in it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+\s+(.*)$", re.MULTILINE)


def broken_links() -> list[str]:
    """Every link that leads nowhere, as FILE: LINK."""
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return [f"{file.relative_to(ROOT)}: {link}" for file in files for link in _broken(file)]


def _broken(file: Path) -> list[str]:
    links = [first or second for first, second in LINK.findall(FENCE.sub("", file.read_text()))]
    return [link for link in links if "://" not in link and not _leads_somewhere(file, link)]


def _leads_somewhere(file: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = (file.parent / name).resolve() if name else file
    if not target.exists():
        return False
    return not anchor or anchor in {_anchor(text) for text in HEADING.findall(target.read_text())}


def _anchor(heading: str) -> str:
    """The anchor GitHub makes of a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
    return kept.strip().replace(" ", "-")
