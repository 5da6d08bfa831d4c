"""Ablations, the one table and kept features of `openaffect eval`, with tiny random models."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_checkpoint import save_tiny

from openaffect.cli.evaluate_run import CONDITIONS
from openaffect.corpora.manifest import CORE_LABELS, Row, write_manifest
from openaffect.evaluation.ablation import MODALITY_SETS
from openaffect.inference.analyzer import Analyzer
from openaffect.inference.answers import Conversation

EXAMPLE = Path(__file__).parents[2] / "examples" / "surprise-and-joy.mp4"


@pytest.fixture
def corpus(tmp_path) -> Path:
    """One clip as a synthetic corpus."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    shutil.copy(EXAMPLE, folder / "a.mp4")
    row = Row("a", "synthetic", "test", "a.mp4", "s1", "en", None, "happy", ("happy",))
    write_manifest([row], folder / "manifest.jsonl")
    return folder


@pytest.fixture(autouse=True)
def given_words(monkeypatch):
    """Words without the recogniser, which is real and slow."""

    def words(self, inputs, options, voice_reason):
        return None, "Wow!" if "words" in options.streams else None, None

    monkeypatch.setattr(Analyzer, "_words", words)


@pytest.fixture
def readings(monkeypatch) -> list[Path]:
    """The clips whose media were opened."""
    opened: list[Path] = []
    read = Analyzer.read

    def counted(self, path, options):
        opened.append(path)
        return read(self, path, options)

    monkeypatch.setattr(Analyzer, "read", counted)
    return opened


def test_a_second_question_reads_no_media_until_features_are_purged(
    run_here, own_home, corpus, model, readings
):
    arguments = ["eval", "synthetic", "--data", str(corpus), "--model", str(model), "--json"]
    kept = own_home / "features" / "evaluation"
    answers = []
    for more in (["--no-cache"], [], []):
        code, printed, told = run_here([*arguments, *more])
        assert code == 0, told
        found = json.loads(printed)
        answers.append((found["recalls"], found["reliability"], found["parts"]))
        assert kept.exists() == (more == [])
    assert answers[0] == answers[1] == answers[2] and len(readings) == 2
    # Another label set, and streams left out, are other questions about the same features.
    code, printed, _ = run_here([*arguments, "--modalities", "V+A"])
    assert code == 0 and len(readings) == 2
    code, out, _ = run_here(["models", "purge", "--features", "--yes"])
    assert code == 0 and "deleted" in out and not kept.exists()
    code, _, _ = run_here(arguments)
    assert code == 0 and len(readings) == 3


@pytest.mark.parametrize("ablate", [["--ablate"], ["--ablate", "modalities"]])
def test_modalities_left_out(run_here, own_home, corpus, model, readings, ablate):
    out = corpus.parent / "out"
    arguments = ["eval", "synthetic", *ablate, "--data", str(corpus), "--model", str(model)]
    code, printed, told = run_here([*arguments, "--out", str(out)])
    assert code == 0, told
    rows = [line.split(" | ")[0].removeprefix("| ") for line in printed.splitlines()[4:]]
    assert rows == list(MODALITY_SETS) and len(readings) == 1
    figures = json.loads((out / "synthetic-modalities.json").read_text())
    assert set(MODALITY_SETS) < set(figures) and figures["provenance"]["split"] == "test"
    head, *latex = (out / "synthetic-modalities.tex").read_text().splitlines()
    assert head == "% modalities & UAR & WAR & macro F1 & weighted F1, in percent"
    for line in latex:
        name, uar, war, _, _ = line.removesuffix(r" \\").split(" & ")
        told = figures[name]
        assert (uar, war) == (f"{100 * told['uar']:.2f}", f"{100 * told['war']:.2f}")
    assert len(latex) == sum(figures[name]["answered"] > 0 for name in MODALITY_SETS)


def test_fusions_share_what_the_towers_say(run_here, own_home, corpus, model, readings, tmp_path):
    """`model` is a video_concat; the towers of both have the same random weights."""
    other = save_tiny(tmp_path / "other", fusion="frame_concat")
    arguments = ["eval", "synthetic", "--data", str(corpus), "--ablate", "fusion"]
    models = ["--model", str(model), "--model", str(other), "--out", str(tmp_path / "out")]
    code, printed, told = run_here([*arguments, *models])
    assert code == 0, told
    lines = printed.splitlines()
    assert lines[4].startswith("| video_concat | 1 of 1 |") and lines[4].endswith("| |")
    assert lines[5].startswith("| frame_concat | 1 of 1 |") and ", p " in lines[5]
    assert len(readings) == 1
    figures = json.loads((tmp_path / "out" / "synthetic-fusion.json").read_text())
    assert figures["frame_concat"]["model"] == str(other)
    latex = (tmp_path / "out" / "synthetic-fusion.tex").read_text().splitlines()
    assert latex[1].startswith(r"video\_concat & ") and len(latex) == 3
    assert figures["frame_concat"]["against_first"]["p_value"] == pytest.approx(1)
    # Answers in one layout are never taken for those in the other.
    kept = ["eval", "synthetic", "--data", str(corpus), "--out", str(tmp_path / "kept"), "--model"]
    code, _, told = run_here([*kept, str(model)])
    assert code == 0, told
    code, _, told = run_here([*kept, str(other)])
    assert code == 2 and "other configuration" in told
    moved = shutil.copytree(model, tmp_path / "moved")
    code, _, told = run_here([*kept, str(moved)])
    assert code == 0, told
    for wrong, expected in (
        (models[:2], "second --model"),
        ([*models[:2], *models[:2]], "same fusion, video_concat"),
        ([*models, "--fold", "all"], "one fold"),
    ):
        code, _, told = run_here([*arguments, *wrong])
        assert code == 2 and expected in told


def test_one_table_of_models_and_test_sets(run_here, own_home, corpus, model, readings, tmp_path):
    clips = tmp_path / "clips"
    clips.mkdir()
    shutil.copy(EXAMPLE, clips / "b.mp4")
    (clips / "clips.csv").write_text("clip,perceived,subtitle_en\nb.mp4,surprise|joy,\n")
    other = save_tiny(tmp_path / "other", fusion="frame_concat")
    out = tmp_path / "out"
    arguments = ["eval", "table", "--model", str(model), "--model", str(other), "--out", str(out)]
    arguments += ["--data", f"synthetic={corpus}", "--data", f"clips={clips}"]
    code, printed, told = run_here([*arguments, "--limit", "1"])
    assert code == 0, told
    assert f"| synthetic | {model.name} | 1 | 1 |" in printed
    assert "| synthetic | other | 1 | 1 |" in printed and "| clips | other | 1 |" in printed
    assert "| limit | 1 clips of each test set |" in printed
    assert (out / "table.md").read_text() == printed
    labels, words = (out / "table.tex").read_text().split("\n\n")
    assert labels.startswith("% test set & system & UAR") and len(labels.splitlines()) == 3
    assert words.startswith("% test set & system & precision") and "clips & other & " in words
    figures = json.loads((out / "table.json").read_text())
    systems = figures["systems"]
    assert systems["other"]["model"] == str(other)
    # Equal tensors in another layout are another system, and the table shows that they are.
    assert systems["other"]["parts"] == systems[model.name]["parts"]
    shown = {line.split(" | ")[1] for line in printed.splitlines() if "configuration " in line}
    assert len(shown) == 2
    folds = figures["closed"]["synthetic"]["other"]["folds"]
    assert folds["1"]["labels"] == list(CORE_LABELS)
    sources = figures["provenance"]["test_sets"]
    assert len(sources["synthetic"]["folds"]["1"]["sha256"]) == 64
    assert set(figures["open_words"]) == {model.name, "other"}
    # What is answered is not asked again, with the features gone as well.
    shutil.rmtree(own_home / "features")
    opened = len(readings)
    code, again, _ = run_here([*arguments, "--limit", "1"])
    assert code == 0 and again == printed and len(readings) == opened
    trained = ["--trained-on", str(corpus / "manifest.jsonl")]
    code, again, _ = run_here([*arguments, "--limit", "1", *trained])
    assert code == 0 and again.startswith("synthetic: No test clip is among 0 training rows")
    # Clips that viewers described are looked for as well: the example lies in both folders.
    row = Row("mine", "mine", "train", "a.mp4", None, None, None, "happy", ("happy",))
    write_manifest([row], corpus / "train.jsonl")
    trained = ["--trained-on", str(corpus / "train.jsonl")]
    code, again, _ = run_here([*arguments, "--limit", "1", *trained])
    assert code == 0 and "clips: **Leak: 1 of 1 test clips are among 1 training rows" in again
    leaks = json.loads((out / "table.json").read_text())["leaks"]
    assert leaks["clips"]["same_content"] == ["clips-b"]


def test_a_table_of_what_is_not_there(run_here, tmp_path):
    base = ["eval", "table", "--out", str(tmp_path / "out")]
    for more, expected in (
        (["--data", "emodb"], "it is NAME=DIR"),
        (["--data", f"nothing={tmp_path}"], "one of emodb, ravdess"),
        (["--data", f"clips={tmp_path}"], "no clips.csv"),
        (["--data", f"emodb={tmp_path}", "--data", f"emodb={tmp_path}"], "twice"),
        (["--data", f"emodb={tmp_path}", "--model", "a/x", "--model", "b/x"], "same name"),
    ):
        code, out, told = run_here([*base, *more])
        assert code == 2 and out == "" and expected in told and told.count("\n") == 1


def test_reasons_are_read_from_kept_features_and_kept_themselves(
    run_here, own_home, corpus, model, readings, monkeypatch
):
    (corpus / "clips.csv").write_text("clip,perceived,subtitle_en\na.mp4,surprise|joy,\n")
    row = Row("a", "synthetic", "test", "a.mp4", "s1", "en", None, "happy", ("happy",))
    row = replace(row, face_label="happy", voice_label="sad")
    write_manifest([row], corpus / "manifest.jsonl")
    for name, opened in (("conflicts", 1), ("clips", 0), ("claims", len(CONDITIONS) - 1)):
        out = corpus.parent / name
        arguments = ["eval", name, "--data", str(corpus), "--model", str(model)]
        readings.clear()
        first, *told = run_here([*arguments, "--out", str(out)])
        assert len(readings) == opened, told  # the whole clip's features are there from the first
        assert run_here(arguments) == (first, *told) and len(readings) == opened
        with monkeypatch.context() as silent:
            silent.setattr(Conversation, "reason", lambda self: pytest.fail("asked again"))
            assert run_here([*arguments, "--out", str(out)]) == (first, *told)
        assert len(readings) == opened


def test_files_that_cannot_be_read_are_told_and_counted(run_here, own_home, corpus, model):
    broken = corpus.parent / "broken"
    broken.mkdir()
    (broken / "x.mp4").write_bytes(b"no video")
    (broken / "clips.csv").write_text("clip,perceived\nx.mp4,joy\n")
    out = corpus.parent / "out"
    arguments = ["--model", str(model), "--out", str(out), "--json"]
    code, printed, told = run_here(["eval", "claims", "--data", str(broken), *arguments])
    assert code == 1 and not printed and "none of the 1 files" in told
    assert told.count("left out") == 1 and "x.mp4" in told
    shutil.copy(EXAMPLE, broken / "a.mp4")
    code, printed, told = run_here(["eval", "claims", "--data", str(broken), *arguments])
    found = json.loads(printed)
    assert list(found["unreadable"]) == ["x.mp4"] and "x.mp4" in told
    assert {row["clip"] for row in found["results"]} == {"a.mp4"}
    assert "1 files gave no result and are left out" in (out / "claims.md").read_text()
    code, printed, _ = run_here(["eval", "clips", "--data", str(broken), *arguments])
    (failed,) = json.loads(printed)["clips"]
    assert code == 0 and failed["clip"] == "x.mp4" and "x.mp4" in failed["error"]


def test_a_file_whose_name_is_no_utf_8(run_here, own_home, corpus, model):
    folder, out = corpus.parent / "named", corpus.parent / "out"
    folder.mkdir()
    shutil.copy(EXAMPLE, os.fsdecode(os.fsencode(folder) + b"/caf\xe9.mp4"))
    arguments = ["--data", str(folder), "--model", str(model), "--out", str(out)]
    first, *told = run_here(["eval", "claims", *arguments])
    assert first == 0, told
    assert (out / "claims.md").is_file()
    assert run_here(["eval", "claims", *arguments]) == (0, *told)
    code, printed, told = run_here(["eval", "claims", *arguments, "--json"])
    assert code == 0, told
    assert {row["clip"] for row in json.loads(printed)["results"]} == {"caf?.mp4"}


def test_the_table_says_which_clips_gave_no_words(run_here, own_home, corpus, model):
    broken = corpus.parent / "broken"
    broken.mkdir()
    (broken / "x.mp4").write_bytes(b"no video")
    (broken / "clips.csv").write_text("clip,perceived\nx.mp4,joy\n")
    arguments = ["eval", "table", "--out", str(corpus.parent / "out"), "--model", str(model)]
    code, _, told = run_here([*arguments, "--data", f"clips={broken}"])
    assert code == 0, told
    assert "no words of clips-x, counted as unanswered:" in told and "x.mp4" in told
