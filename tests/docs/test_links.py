"""Links in README and docs lead somewhere, and links to source lines lead to the line of the name they show."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?://)(?P<target>[^)#\s]+)(?:#(?P<anchor>[^)]*))?\)")


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def code_links() -> ModuleType:
    return script("code_links")


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    return script("reference")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_linked_files_exist(page: Path) -> None:
    for match in LINK.finditer(page.read_text(encoding="utf-8")):
        assert (page.parent / match["target"]).exists(), match["target"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_linked_headings_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    anchors = [(match["target"], match["anchor"]) for match in LINK.finditer(text) if match["anchor"]]
    anchors += [(page.name, anchor) for anchor in re.findall(r"\]\(#([^)]+)\)", text)]
    for target, anchor in anchors:
        if target.endswith(".md"):
            linked = (page.parent / target).read_text(encoding="utf-8")
            headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", linked, flags=re.S), re.M)
            words = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
            assert anchor in {re.sub(r"[\s-]+", "-", heading) for heading in words}, f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_source_lines_are_right(page: Path, code_links: ModuleType) -> None:
    _, wrong, missing = code_links.corrected(page)
    assert not missing, "\n".join(missing)
    assert not wrong, "\n".join([*wrong, "`make format` corrects them"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_source_is_checked(page: Path, code_links: ModuleType) -> None:
    text = page.read_text(encoding="utf-8")
    lines = [match["target"] for match in LINK.finditer(text) if match["anchor"] and match["target"].endswith(".py")]
    assert len(lines) == len(code_links.LINK.findall(text))


def test_navigation_names_every_page() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"[\w/-]+\.md", str(yaml.safe_load(text)["nav"])))
    assert named == {str(page.relative_to(ROOT / "docs")) for page in PAGES[1:]}


def test_reference_names_every_module(reference: ModuleType) -> None:
    pages = {page.name: page.read_text(encoding="utf-8") for page in reference.PAGES.glob("*.md")}
    assert pages == reference.pages(), "`make format` writes the pages"
