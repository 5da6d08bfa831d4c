"""A recipe's corpora: what is wrong with one is told before a model is loaded for any of them."""

from pathlib import Path

import pytest

from openaffect.corpora.manifest import Row, write_manifest
from openaffect.errors import ConfigError, UsageError
from openaffect.training.corpora import CorpusRows, corpora_told, read_corpora
from openaffect.training.entries import Entry
from openaffect.training.recipe import Corpus, Recipe
from openaffect.training.stage import run_stage


def rows(train: int, validation: int) -> tuple[Row, ...]:
    splits = ["train"] * train + ["validation"] * validation
    return tuple(
        Row(f"clip-{n}", "test", split, f"{n}.mp4", None, None, None, "happy", ("glad",))
        for n, split in enumerate(splits)
    )


def corpus(folder: Path, train: int = 2, validation: int = 1) -> dict:
    folder.mkdir()
    write_manifest(rows(train, validation), folder / "manifest.jsonl")
    return {"kind": "manifest", "folder": str(folder)}


def recipe(output: Path, **corpora: dict) -> Recipe:
    return Recipe.model_validate(
        {
            "stage": "test",
            "model": "no-model-is-loaded",
            "output": str(output),
            "trains": ["language_model"],
            "corpora": corpora,
            "schedule": {"steps": 1, "learning_rate": 0.1},
        }
    )


def refused(asked: Recipe, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        run_stage(asked, say=lambda line: None)


def test_what_is_wrong_with_any_corpus_is_told_first(tmp_path: Path) -> None:
    good, out = corpus(tmp_path / "good"), tmp_path / "out"
    wrong = {"kind": "manifest", "folder": str(tmp_path / "nowhere")}
    refused(recipe(out, good=good, wrong=wrong), "no manifest at .*nowhere")
    refused(recipe(out, only=corpus(tmp_path / "only", 3, 0)), "any validation row")
    refused(recipe(out, held=corpus(tmp_path / "held", 0, 3)), "any training row")
    out.write_text("a file")
    refused(recipe(out, good=good), "output .*out is not a folder")
    refused(recipe(out / "stage", good=good), "stage: .*out is not a folder")
    refused(recipe(tmp_path / "new" / "run", good=good), "no-model-is-loaded")


def test_sentences_alone_do_not_stand_in_for_clips(tmp_path: Path) -> None:
    sentences, clips = {"kind": "sentences"}, {"kind": "manifest", "folder": None}
    with pytest.raises(ConfigError, match=r"set corpora.a.folder=DIR, or that of b$"):
        read_corpora(recipe(tmp_path, a=clips, words=sentences, b=clips), print)
    said: list[str] = []
    read = read_corpora(
        recipe(tmp_path, words=sentences, a=corpus(tmp_path / "a"), b=clips), said.append
    )
    assert [found.name for found in read] == ["words", "a"]
    assert len(said) == 1 and said[0].startswith("corpus b is left out")


def test_what_a_share_leaves_and_how_often_it_is_drawn_is_told() -> None:
    def given(name: str, used: int, weight: float, **settings: object) -> tuple:
        read = CorpusRows(
            name, Corpus.model_validate({"kind": "manifest"} | settings), rows(10, 3), None
        )
        kept = [row for n, row in enumerate(read.rows) if n < used or row.split != "train"]
        return read, [Entry(row, (), weight) for row in kept]

    told = corpora_told([given("part", 4, 3.0, share=(0.6, 1)), given("all", 10, 0.4)])
    assert told == [
        "corpus part: 4 of 10 training rows (share 0.6 to 1), 3 validation rows, "
        "75 % of the examples",
        "corpus all: 10 training rows, 3 validation rows, 25 % of the examples",
    ]
