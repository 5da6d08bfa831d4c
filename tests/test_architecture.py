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
            room = inner.partition(".")[0]
            if top == "openaffect" and ((PACKAGE / room).is_dir() or room == "errors"):
                rooms.add(room)
    return rooms


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
