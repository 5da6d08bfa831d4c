"""What a corpus is built from: a table's columns that nothing is read from are told."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from openaffect.annotation.intake import COLUMNS, unread_columns
from openaffect.cli import build_app


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("clip,emotion", "clips.csv: column 'emotion' is not read (read are clip, id, "),
        ("clip,emotion", "); did you mean label?"),
        ("clip,label,emotion", ", perceived)"),  # label is there, and not meant
        ("clip,subtitel,lang,x", "columns 'subtitel', 'lang', 'x' are not read"),
        ("clip,subtitel,lang,x", "did you mean subtitle, language?"),
    ],
)
def test_columns_that_are_not_read_are_told(tmp_path: Path, header: str, told: str) -> None:
    (tmp_path / "clips.csv").write_text(f"{header}\na.wav\n")
    for source in (tmp_path, tmp_path / "clips.csv"):
        line = unread_columns(source)
        assert line is not None and told in line and "\n" not in line
    assert line.endswith(told) or told.startswith(("clips", "columns"))
    out = str(tmp_path / "out")
    done = CliRunner().invoke(build_app(), ["data", "build", "merr", str(tmp_path), out])
    assert line in done.stderr.splitlines()  # before the missing clip is told


def test_a_table_of_known_columns_or_none_at_all_is_no_news(tmp_path: Path) -> None:
    assert unread_columns(tmp_path / "nowhere") is None and unread_columns(tmp_path) is None
    for content in (",".join(COLUMNS).encode(), b"", b"\xff\xfe", b"clip,,\n"):
        (tmp_path / "clips.csv").write_bytes(content)
        assert unread_columns(tmp_path) is None
