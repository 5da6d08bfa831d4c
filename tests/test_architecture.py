"""The one-way flow between the rooms of the house, and what importing costs."""

import ast
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import openaffect

PACKAGE = Path(openaffect.__file__).parent
FLOW = ("errors", "media", "models", "prompts", "inference")
"""Each room may import those before it."""
MAY_IMPORT = {
    **{room: set(FLOW[:index]) for index, room in enumerate(FLOW)},
    "results": {"errors"},
    "inference": {*FLOW[:4], "results"},
    "corpora": {"errors", "media", "models", "prompts"},
    "training": {*FLOW, "results", "corpora"},
    "evaluation": {*FLOW, "results", "corpora"},
    "annotation": {*FLOW, "results", "corpora"},
    "serving": {*FLOW, "results"},
    "cli": {*FLOW, "results", "corpora", "training", "evaluation", "annotation", "serving"},
}
TOP_LEVEL = {
    "analyze": "inference",
    "load_analyzer": "inference",
    "Analysis": "results",
    "DEFAULT_MODEL": None,
    "__version__": None,
}
"""Names of the package itself: the room that each leads to, None for a plain value."""
DISPATCHERS = {"annotation/formats/__init__.py", "cli/__init__.py", "models/convert/__init__.py"}
"""Modules that import others of their own room by name."""
HEAVY = ("torch", "transformers", "av", "mediapipe", "numpy", "pydantic", "scipy", "peft", "PIL")


def rooms_imported(path: Path) -> set[str]:
    """The rooms that a module imports anywhere in it, from its syntax tree."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names]
        for name in names:
            top, _, inner = name.partition(".")
            first = inner.partition(".")[0]
            if top != "openaffect":
                continue
            if first and ((PACKAGE / first).is_dir() or first == "errors"):
                rooms.add(first)
                continue
            assert first in TOP_LEVEL, f"{path}: {name} leads to a room that nobody knows"
            room = TOP_LEVEL[first]
            rooms |= set() if room is None else {room}
    return rooms


def imports_by_name(path: Path) -> bool:
    """Whether a module imports others by names that its syntax tree does not tell."""
    told = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Name):
            told.add(node.id)
        elif isinstance(node, ast.Attribute):
            told.add(node.attr)
        elif isinstance(node, ast.ImportFrom):  # under whatever name it is used then
            told |= {alias.name for alias in node.names}
    return bool(told & {"import_module", "__import__"})


def modules() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent != PACKAGE]


def test_every_room_has_its_place_in_the_flow() -> None:
    rooms = {path.relative_to(PACKAGE).parts[0] for path in modules()}
    assert rooms <= set(MAY_IMPORT)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_imports_from_above(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0]
    above = rooms_imported(path) - MAY_IMPORT[room] - {room}
    assert not above, f"{room} must not import {', '.join(sorted(above))}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_dispatchers_import_by_name(path: Path) -> None:
    assert imports_by_name(path) == (path.relative_to(PACKAGE).as_posix() in DISPATCHERS)


def test_every_public_name_has_its_room() -> None:
    assert set(openaffect.__all__) <= set(TOP_LEVEL)


def test_the_page_of_the_house_tells_the_same_flow() -> None:
    page = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text("utf-8")
    assert f"`{' < '.join(FLOW)}`" in page
    under = [room for room in FLOW if room not in ("errors", "inference")]
    assert MAY_IMPORT["serving"] == {*FLOW, "results"}
    assert "`serving` stands on `inference`, `results` and what is under them" in page
    assert MAY_IMPORT["corpora"] == {"errors", *under}
    assert f"`corpora` stands on {under[0]}, {under[1]} and {under[2]}" in page


def test_names_of_the_package_itself_lead_to_rooms(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("from openaffect import DEFAULT_MODEL, Analysis, analyze\n")
    assert rooms_imported(module) == {"results", "inference"}
    for hidden in ("import openaffect\n", "from openaffect import *\n"):
        module.write_text(hidden)
        with pytest.raises(AssertionError, match="nobody knows"):
            rooms_imported(module)


@pytest.mark.parametrize(
    "hidden",
    [
        "import importlib\nimportlib.import_module('openaffect.cli')\n",
        "from importlib import import_module as load\nload('openaffect.cli')\n",
        "__import__('openaffect.cli')\n",
    ],
)
def test_an_import_by_name_is_seen(tmp_path: Path, hidden: str) -> None:
    module = tmp_path / "module.py"
    module.write_text(hidden)
    assert imports_by_name(module)


def test_the_parser_of_imports_sees_them(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "def f():\n    from openaffect import media\n    import openaffect.cli.clips\n"
    )
    assert rooms_imported(module) == {"media", "cli"}


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=True, timeout=60
    )


@pytest.mark.parametrize(
    "command",
    [
        "import openaffect",
        "import openaffect.cli; openaffect.cli.build_app()",
    ],
)
def test_nothing_heavy_is_imported_early(command: str) -> None:
    code = f"import sys; {command}; print(*sorted(sys.modules))"
    loaded = {name.partition(".")[0] for name in python("-c", code).stdout.split()}
    assert not loaded & set(HEAVY)


def user_seconds(*arguments: str) -> float:
    """Processor seconds of a Python process: unlike wall time, little changed by neighbours."""
    before = os.times()
    python(*arguments)
    after = os.times()
    return (after.children_user + after.children_system) - (
        before.children_user + before.children_system
    )


def beyond_bare_python(*arguments: str, runs: int = 5) -> float:
    """Median seconds that a Python process takes longer than one that does nothing."""
    bare = statistics.median(user_seconds("-c", "") for _ in range(runs))
    return statistics.median(user_seconds(*arguments) for _ in range(runs)) - bare


def test_importing_the_package_is_cheap() -> None:
    assert beyond_bare_python("-c", "import openaffect") < 0.2


def test_help_comes_at_once() -> None:
    command = (
        "import sys; sys.argv = ['openaffect', '--help']; import openaffect.cli as c; c.main()"
    )
    assert beyond_bare_python("-c", command) < 0.5


def test_the_public_names_are_there() -> None:
    from openaffect.results.analysis import Analysis

    assert openaffect.Analysis is Analysis
    with pytest.raises(AttributeError, match="no attribute 'analyse'"):
        _ = openaffect.analyse
