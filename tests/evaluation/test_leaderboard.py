"""The published figures and their page say the same, and ours are never among theirs."""

import re
from pathlib import Path

import pytest

from openaffect.errors import UsageError
from openaffect.evaluation.leaderboard import leaderboard_page, read_leaderboard
from openaffect.evaluation.metrics import FIGURES

DOCS = Path(__file__).parents[2] / "docs"
HEADER = "benchmark,setting,system,metric,value,source,evidence,note,whose"


def rows_of(page: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]


def test_page_and_data_agree():
    figures = read_leaderboard(DOCS / "leaderboard.csv")
    page = (DOCS / "leaderboard.md").read_text("utf-8")
    assert page == leaderboard_page(figures)
    cells = [re.fullmatch(r"\d+\.\d\d", c) for line in page.splitlines() for c in line.split(" | ")]
    assert sum(cell is not None for cell in cells) == len(figures)


def test_the_published_matrix_gives_the_published_figures():
    """Emotion-LLaMA on MER2023: the one row that can be computed again from its matrix."""
    import numpy as np

    matrix = np.zeros((6, 7), np.int64)
    matrix[:, :6] = [
        [179, 1, 2, 1, 0, 0],
        [2, 152, 7, 4, 3, 1],
        [10, 10, 134, 6, 2, 4],
        [2, 2, 1, 250, 0, 2],
        [1, 0, 3, 1, 6, 3],
        [4, 1, 3, 2, 1, 34],
    ]
    rows = {
        row.metric: row.value
        for row in read_leaderboard(DOCS / "leaderboard.csv")
        if row.evidence == "recomputed"
    }
    assert rows["F1"] == pytest.approx(100 * float(FIGURES["weighted_f1"](matrix)), abs=0.006)
    assert rows["macro F1"] == pytest.approx(100 * float(FIGURES["macro_f1"](matrix)), abs=0.06)


def test_checked_rows_are_whole_clips_of_the_first_fold():
    clips = 489 + 379 + 534 + 435 + 294 + 29 + 181
    checked = [
        row
        for row in read_leaderboard(DOCS / "leaderboard.csv")
        if row.evidence == "recalled, checked" and row.metric == "WAR"
    ]
    assert len(checked) == 7
    for row in checked:
        right = round(row.value / 100 * clips)
        # A clip is 0.043 points; the paper cuts the second digit off rather than rounding it.
        assert abs(100 * right / clips - row.value) < 0.01


def test_ours_stand_apart(tmp_path):
    path = tmp_path / "l.csv"
    theirs = "DFEW,,A,UAR,50,a paper,collected,,published"
    mine = "DFEW,,B,UAR,60,openaffect eval dfew --data DIR,measured,,ours"
    path.write_text("\n".join([HEADER, theirs, mine]))
    page = leaderboard_page(read_leaderboard(path))
    published, ours = page.split("**ours, ")
    assert "| B |" not in published and "| A |" not in ours and "| B | 60.00 |" in ours


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("DFEW,,A,UAR,many,a paper,collected,,published", "many"),
        ("DFEW,,A,UAR,50,a paper,rumour,,published", "rumour"),
        ("DFEW,,A,UAR,50,a paper,measured,,published", "measured"),
        ("DFEW,,A,UAR,50,a paper,measured,,ours", "no `openaffect eval`"),
        ("DFEW,,A,UAR,50,a paper,collected,,mine", "'mine'"),
        ("DFEW,,A,UAR,50", "line 2"),
    ],
)
def test_rows_that_are_no_figures(tmp_path, line, told):
    path = tmp_path / "l.csv"
    path.write_text(f"{HEADER}\n{line}\n")
    with pytest.raises(UsageError, match=told):
        read_leaderboard(path)
