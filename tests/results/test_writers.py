"""Each form is read back by a parser that is not ours."""

import csv
import dataclasses
import errno
import io
import os
import re
import stat
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import html5lib
import pytest
import textgrid
import webvtt
from analysis_examples import analyses, bare_analysis, full_analysis
from hypothesis import HealthCheck, given, settings
from pympi.Elan import Eaf

from openaffect.errors import OpenAffectError, UsageError
from openaffect.results.analysis import Analysis, Change
from openaffect.results.writers import WRITERS, RenderOptions, write_atomically, writer_of
from openaffect.results.writers.comma_separated import COLUMNS, rows
from openaffect.results.writers.plain_text import clean
from openaffect.results.writers.spans import Span, tiers, without_overlap
from openaffect.results.writers.subtitles import clock

relaxed = settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
HERE = RenderOptions(Path("out"))
VTT_TIME = r"\d{2,}:[0-5]\d:[0-5]\d\.\d{3}"
VTT_CUE = re.compile(rf"\d+\n({VTT_TIME}) --> ({VTT_TIME})\n(?:(?!.*-->).+\n?)+")
SRT_CUE = re.compile(r"\d+\n\d\d+:\d\d:\d\d,\d{3} --> \d\d+:\d\d:\d\d,\d{3}\n(?:(?!.*-->).+\n?)+")


def render(name: str, analysis: Analysis, options: RenderOptions = HERE) -> str:
    return writer_of(name).render(analysis, options)


def test_an_unknown_form_is_named_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"'docx'.*json, csv, vtt, srt, eaf, textgrid, html"):
        writer_of("docx")


@relaxed
@given(analyses())
def test_json_reads_back(analysis: Analysis) -> None:
    assert Analysis.from_json(render("json", analysis)) == analysis


@relaxed
@given(analyses())
def test_csv_is_tidy_and_runs_no_formula(analysis: Analysis) -> None:
    table = list(csv.reader(io.StringIO(render("csv", analysis), newline="")))
    assert tuple(table[0]) == COLUMNS
    observations = list(rows(analysis))
    assert len(table) - 1 == len(observations)
    for cells, (start, end, kind, _, name, value, _) in zip(table[1:], observations, strict=True):
        row = dict(zip(COLUMNS, cells, strict=True))
        assert (float(row["start"]), float(row["end"]), row["kind"]) == (start, end, kind)
        assert row["value"] == "" if value is None else float(row["value"]) == value
        for cell in (row["clip"], row["name"], row["text"]):
            assert not re.match(r"[=+\-@\t\r]", cell)
        assert row["name"].removeprefix("'") == name.removeprefix("'")


def test_csv_has_a_row_for_every_finding() -> None:
    analysis = full_analysis()
    table = list(csv.DictReader(io.StringIO(render("csv", analysis))))
    emotions = {row["name"]: float(row["value"]) for row in table if row["kind"] == "emotion"}
    assert emotions == {emotion.label: emotion.probability for emotion in analysis.emotions}
    clues = [(row["name"], row["text"]) for row in table if row["kind"] == "clue"]
    assert clues == [(kind, clue) for kind, told in analysis.clues.items() for clue in told]
    courses = [row for row in table if row["kind"] == "face_signal"]
    assert len(courses) == sum(len(sample.values) for sample in analysis.signals.face)


@relaxed
@given(analyses())
def test_vtt_and_srt_keep_their_grammar(analysis: Analysis) -> None:
    head, note, *cues = render("vtt", analysis).rstrip("\n").split("\n\n")
    assert head == "WEBVTT"
    assert re.fullmatch(r"NOTE (?!.*-->).+", note)
    assert len(cues) == max(len(analysis.segments), 1)
    for cue in cues:
        assert (times := VTT_CUE.fullmatch(cue))
        assert times[1] < times[2]
        assert "<" not in cue.split("\n", 2)[2]
    blocks = render("srt", analysis).rstrip("\n").split("\n\n")
    assert len(blocks) == len(cues)
    assert all(SRT_CUE.fullmatch(block) for block in blocks)


def test_webvtt_reads_the_cues(tmp_path: Path) -> None:
    for name, read in (("vtt", webvtt.read), ("srt", webvtt.from_srt)):
        path = tmp_path / f"a.{name}"
        write_atomically(path, render(name, full_analysis()))
        first, second = read(str(path))
        assert (first.start, first.end) == ("00:00:00.000", "00:00:02.000")
        assert first.text.split("\n") == ["joy 62% · delighted", "A smile."]
        assert second.start == "00:00:02.000"


def test_clock() -> None:
    assert clock(0, ".") == "00:00:00.000"
    assert clock(3661.5, ",") == "01:01:01,500"
    assert clock(59.9996, ".") == "00:01:00.000"
    assert clock(360000, ".") == "100:00:00.000"


@relaxed
@given(analyses())
def test_eaf_is_wellformed_with_one_slot_pair_per_annotation(analysis: Analysis) -> None:
    root = ElementTree.fromstring(render("eaf", analysis).encode())
    slots = {
        slot.get("TIME_SLOT_ID"): int(slot.get("TIME_VALUE", "")) for slot in root.iter("TIME_SLOT")
    }
    expected = tiers(analysis)
    assert [tier.get("TIER_ID") for tier in root.iter("TIER")] == list(expected)
    for tier in root.iter("TIER"):
        reached = 0
        values = []
        for annotation in tier.iter("ALIGNABLE_ANNOTATION"):
            start = slots[annotation.get("TIME_SLOT_REF1")]
            end = slots[annotation.get("TIME_SLOT_REF2")]
            assert reached <= start < end
            reached = end
            values.append(annotation.findtext("ANNOTATION_VALUE"))
        assert values == [span.text for span in expected[tier.get("TIER_ID", "")]]


def test_pympi_reads_the_tiers(tmp_path: Path) -> None:
    path = tmp_path / "a.eaf"
    write_atomically(path, render("eaf", full_analysis("clips/a b.mp4"), RenderOptions(tmp_path)))
    document = Eaf(str(path))
    assert document.get_annotation_data_for_tier("emotion") == [
        (0, 2000, "joy 62% · delighted"),
        (2000, 4000, "joy 62% · calm"),
    ]
    assert document.get_annotation_data_for_tier("words") == [
        (500, 1700, "Das ist ja"),
        (1900, 3000, "unglaublich!"),
    ]
    media = document.get_linked_files()[0]
    assert media["MIME_TYPE"] == "video/mp4"
    linked = tmp_path / unquote(media["RELATIVE_MEDIA_URL"])
    assert linked.resolve() == Path("clips/a b.mp4").resolve()


def test_a_change_is_long_enough_to_be_seen_and_ends_with_the_clip() -> None:
    changes = (Change(1.0, "joy", "calm"), Change(3.5, "calm", "joy"))
    analysis = dataclasses.replace(full_analysis(), changes=changes)
    assert tiers(analysis)["changes"] == [
        Span(1.0, 2.0, "joy → calm"),
        Span(3.5, 4.0, "calm → joy"),
    ]


@relaxed
@given(analysis=analyses())
def test_textgrid_reads_back_without_gaps(
    analysis: Analysis, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.TextGrid"
    write_atomically(path, render("textgrid", analysis))
    expected = tiers(analysis)
    if not expected:
        assert path.read_text().endswith("tiers? <absent>\n")
        return
    grid = textgrid.TextGrid.fromFile(str(path))
    assert [tier.name for tier in grid.tiers] == list(expected)
    for tier in grid.tiers:
        assert tier.intervals[0].minTime == 0
        assert tier.intervals[-1].maxTime == pytest.approx(grid.maxTime)
        for before, after in zip(tier.intervals, tier.intervals[1:], strict=False):
            assert before.maxTime == after.minTime
        spoken = [interval for interval in tier.intervals if interval.mark]
        assert [i.mark for i in spoken] == [span.text for span in expected[tier.name]]


@relaxed
@given(analyses())
def test_html_is_one_page_in_which_nothing_from_outside_runs(analysis: Analysis) -> None:
    page = html5lib.parse(render("html", analysis), namespaceHTMLElements=False)
    scripts = list(page.iter("script"))
    assert len(scripts) == 1
    assert scripts[0].get("src") is None
    assert "seek" in (scripts[0].text or "")
    for element in page.iter():
        if isinstance(element.tag, str):
            assert not any(name.startswith("on") for name in element.keys())  # noqa: SIM118
            assert element.tag not in {"link", "iframe", "object", "embed", "base", "form"}
            source = element.get("src") or element.get("href") or "./"
            assert re.match(r"\.{0,2}/|\.\.?$", source)
    texts = "".join(page.itertext())
    for warning in analysis.warnings:
        assert clean(warning) in texts
    for emotion in analysis.emotions[:1]:
        assert clean(emotion.label) in texts
    assert analysis.notice in texts


def test_html_policy_names_the_very_script_and_style() -> None:
    import base64
    import hashlib

    page = html5lib.parse(render("html", full_analysis()), namespaceHTMLElements=False)
    policy = next(
        meta.get("content") for meta in page.iter("meta") if meta.get("http-equiv") is not None
    )
    for tag in ("script", "style"):
        text = next(page.iter(tag)).text or ""
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert not any("style" in element.keys() for element in page.iter())  # noqa: SIM118


def test_html_draws_the_courses_and_seeks() -> None:
    page = html5lib.parse(render("html", full_analysis()), namespaceHTMLElements=False)
    slider = next(div for div in page.iter("div") if div.get("role") == "slider")
    assert slider.get("tabindex") == "0"
    assert (slider.get("data-start"), slider.get("data-end")) == ("0.0", "4.0")
    lanes = ["".join(span.itertext()) for span in slider.iter("span")]
    assert [lane[:12] for lane in lanes[:5]] == [
        "emotion",
        "words",
        "mouth smile0",
        "yaw0 to 19 °",
        "voice pitch2",
    ]
    buttons = [float(button.get("data-seek", "")) for button in page.iter("button")]
    assert buttons == [0.0, 2.0, 0.5, 1.9]


def test_html_refers_to_the_clip_or_holds_it(tmp_path: Path) -> None:
    clip = tmp_path / "in put" / "a.mp4"
    clip.parent.mkdir()
    clip.write_bytes(b"\x00\x01clip")
    analysis = full_analysis(str(clip))
    folder = tmp_path / "out"
    referred = render("html", analysis, RenderOptions(folder))
    assert 'src="../in%20put/a.mp4"' in referred
    assert "base64," not in referred
    embedded = render("html", analysis, RenderOptions(folder, embed=True))
    assert 'src="data:video/mp4;base64,AAFjbGlw"' in embedded
    clip.unlink()
    with pytest.raises(OpenAffectError, match=r"cannot embed .*a\.mp4: No such file"):
        render("html", analysis, RenderOptions(folder, embed=True))


@pytest.mark.parametrize("form", ["html", "eaf"])
def test_a_name_that_is_not_utf8_is_referred_to_by_its_bytes(tmp_path: Path, form: str) -> None:
    analysis = full_analysis(str(tmp_path / os.fsdecode(b"caf\xe9.mp4")))
    assert '"./caf%E9.mp4"' in render(form, analysis, RenderOptions(tmp_path))


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (4, [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4]),
        (5400, [0, 1800, 3600, 5400]),
        (21_600, [0, 3600, 7200, 10_800, 14_400, 18_000, 21_600]),
    ],
)
def test_the_time_axis_has_ticks_whatever_the_length(length: float, expected: list[float]) -> None:
    whole = full_analysis()
    long = dataclasses.replace(whole, clip=dataclasses.replace(whole.clip, end=float(length)))
    page = html5lib.parse(render("html", long), namespaceHTMLElements=False)
    axis = next(div for div in page.iter("div") if div.get("class") == "lane axis")
    told = "".join(axis.itertext()).split(" s")[:-1]
    assert [float(second) for second in told] == expected


def test_the_barest_analysis_can_be_written_in_every_form() -> None:
    for path in ("voice.wav", "still.png", "noending"):
        for writer in WRITERS.values():
            assert writer.render(bare_analysis(path), HERE).endswith("\n")


def test_spans_are_cut_joined_and_kept_in_order() -> None:
    spans = [Span(2, 3, "c"), Span(0, 2.5, "a"), Span(1, 1, "b"), Span(1, 1, "b2"), Span(5, 6, "")]
    assert without_overlap(spans) == [
        Span(0.0, 1.0, "a"),
        Span(1.0, 1.001, "b / b2"),
        Span(2.0, 3.0, "c"),
    ]


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_full_disk_leaves_what_the_file_held(tmp_path: Path, monkeypatch, fails: str) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, "first")

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, fails, full)
    with pytest.raises(OpenAffectError, match=r"cannot write .*a\.json: No space left on device"):
        write_atomically(path, "second")
    assert path.read_text() == "first" and [*tmp_path.iterdir()] == [path]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    write_atomically(path, "first")
    assert path.read_text() == "first"
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    with pytest.raises(TypeError):
        write_atomically(path, b"bytes")  # type: ignore[arg-type]
    assert path.read_text() == "first"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.json"]


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    blocking = tmp_path / "file"
    blocking.write_text("in the way")
    with pytest.raises(OpenAffectError, match=r"^cannot write .*a\.json: "):
        write_atomically(blocking / "a.json", "text")
