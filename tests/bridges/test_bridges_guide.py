"""Rules of the guide to the bridges."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_GUIDE = (_ROOT / "docs" / "bridges.md").read_text(encoding="utf-8")


def _imported(code: str) -> Iterator[tuple[str, str]]:
    """Module and name of everything that the code imports from modules."""
    for node in ast.walk(ast.parse(code.replace(", ...)", ")"))):
        if isinstance(node, ast.ImportFrom):
            yield from ((str(node.module), alias.name) for alias in node.names)


def test_what_the_guide_imports_is_there() -> None:
    """Every example is Python, and what it takes from a bridge is defined there."""
    blocks = re.findall(r"```python\n(.*?)```", _GUIDE, re.DOTALL)
    assert len(blocks) == 4
    for module, name in (found for code in blocks for found in _imported(code)):
        if module.startswith("toolkit."):
            source = (_ROOT / Path(*module.split("."))).with_suffix(".py").read_text("utf-8")
            assert re.search(rf"^(class|def) {name}\b", source, re.MULTILINE), (module, name)


def test_every_bridge_is_in_the_guide() -> None:
    """By its module's name."""
    found = {path.stem for path in (_ROOT / "toolkit" / "bridges").glob("*.py")}
    for name in found - {"__init__", "attachment", "values"}:
        assert f"toolkit.bridges.{name}" in _GUIDE
