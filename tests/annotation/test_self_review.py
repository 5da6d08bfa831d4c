"""Self review: what texts claim, what speaks against a sample, and what follows."""

import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from openaffect.annotation.action_units import DEAD
from openaffect.annotation.claims import claims, named_labels
from openaffect.annotation.describers.endpoint import EndpointDescriber
from openaffect.annotation.desk import Desk, DeskSettings
from openaffect.annotation.funnel import CUTS, funnel, funnel_table
from openaffect.annotation.readings import SAID, face_values, reading_tables
from openaffect.annotation.rows import write_corpus
from openaffect.annotation.sample import Annotation, Reason, Review, Sample, read_samples
from openaffect.annotation.selection import SelectionSettings, left_out, select
from openaffect.annotation.self_review import (
    Thresholds,
    against,
    consistency,
    decided,
    judge_question,
    judge_score,
    rejections,
    reviewed,
    rule_weights,
    scores,
    stream_readings,
    text_findings,
)
from openaffect.annotation.steps.self_review import Readings, SelfReview
from openaffect.annotation.tables import unit_phrases
from openaffect.cli import build_app
from openaffect.errors import ConfigError
from openaffect.media.face_signals import FACE_SIGNAL_SIZE
from openaffect.media.voice import VOICE_STATISTICS

HAPPY = {"happy": 0.9, "neutral": 0.06, "sad": 0.02, "angry": 0.02}
ANGRY = {"angry": 0.85, "neutral": 0.1, "happy": 0.02, "sad": 0.03}
SMILE = "The person's expression and actions include a toothy smile, cheek raiser."
SCOWL = "The person's expression and actions include brow lowerer, lid tightener, tight lips."


def sample(label: str | None = "happy", text: str | None = SMILE, **signals) -> Sample:
    made = () if text is None else (Annotation("caption", text, "rules"),)
    measured = signals or {"readings": {"face": HAPPY, "voice": HAPPY}}
    return Sample(
        id="1",
        clip="1.mp4",
        sha256="ab" * 32,
        source="made",
        label=label,
        annotations=made,
        signals=measured,
        status="built",
    )


def score(of: Sample, check: str) -> float:
    return scores(reviewed(of))[check]


def test_a_contradicted_label_scores_low_and_says_why() -> None:
    right, wrong = score(sample("happy"), "label"), score(sample("angry"), "label")
    assert right > 0.8 and wrong < 0.2
    (reason,) = rejections(reviewed(sample("angry", None)), Thresholds())
    assert reason.rule == "self_review_label"
    assert "label angry" in reason.text and "perceived as happy (0.90)" in reason.text


def test_a_contradicted_text_scores_low_and_says_why() -> None:
    assert score(sample(text=SMILE), "text") > 0.8
    assert score(sample(text=SCOWL), "text") < 0.5
    (reason,) = rejections(reviewed(sample(text=SCOWL)), Thresholds())
    assert reason.rule == "self_review_text" and "“brow lowerer”" in reason.text
    named = sample(text="The person seems furious and shouts.")
    assert score(named, "text") < 0.5
    assert (
        score(sample("angry", "The person seems furious.", readings={"face": ANGRY}), "text") > 0.8
    )


def test_quoted_words_are_no_claims() -> None:
    quoting = replace(sample(text=f"{SMILE} Saying: I was so sad."), subtitle="I was so sad.")
    assert not [f for f in text_findings(quoting) if f.name == "label_differs"]
    question = judge_question(quoting)
    assert question is not None and question.count("so sad") == 1


def test_a_text_about_the_voice_is_held_against_its_figures() -> None:
    loud = {"level_mean": -15.0, "pitch_median": 12.0}
    quiet = {"level_mean": -50.0, "pitch_median": 12.0}
    text = "The person's tone is a loud voice."
    fits, not_fits = (
        text_findings(sample(text=text, prosody=prosody, readings={"face": HAPPY}))
        for prosody in (loud, quiet)
    )
    assert [f.value for f in fits if f.name == "voice_denied"] == [0.0]
    assert next(f.value for f in not_fits if f.name == "voice_denied") > 1


def test_what_is_not_there_counts_neither_for_nor_against() -> None:
    nothing = sample(readings={})
    assert "label" not in scores(reviewed(nothing))
    assert rejections(reviewed(nothing), Thresholds(1, 1, 1)) == ()
    assert score(sample("angry", None, readings={"voice": ANGRY}), "label") > 0.8
    assert "label" not in scores(reviewed(sample("worried")))  # has no counterpart here


def test_readings_of_two_sources_are_joined() -> None:
    both = sample(readings={"face": HAPPY}, perceived={"face": ANGRY, "words": HAPPY})
    found = stream_readings(both)
    assert sum(found["face"].values()) == pytest.approx(1)
    assert HAPPY["happy"] > found["face"]["happy"] > ANGRY["happy"]
    assert found["words"] == HAPPY


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a broad smile", {("AU12", 1)}),
        ("She does not smile", {("AU12", -1)}),
        ("without any smile, the brows are drawn down", {("AU12", -1), ("AU4", 1)}),
        ("a still, relaxed face", {("still", 1)}),
        ("speaks in a soft, quiet voice", {("level_mean", -1)}),
        ("The weather is fine", set()),
    ],
)
def test_claims_of_a_text(text, found) -> None:
    assert {(claim.name, claim.side) for claim in claims(text)} == found


def test_every_phrase_of_a_carried_unit_claims_something() -> None:
    """But for AU25 and AU27, which speech moves, and a phrase of two units that says one."""
    for unit, phrases in unit_phrases().items():
        if unit not in (*DEAD, "AU25", "AU27"):
            for phrase in phrases:
                names = {claim.name for claim in claims(f"include {phrase}.")}
                shared = {"smile": "AU12"}.get(phrase)
                assert unit in names or shared in names, (unit, phrase)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("perceived as happy", ("happy",)),
        ("full of joy, not sad", ("happy",)),
        ("neither angry nor afraid", ()),
        ("anger mixed with disgust", ("angry", "disgusted")),
        ("a warm, even light", ()),
    ],
)
def test_labels_that_a_text_names(text, labels) -> None:
    assert named_labels(text) == labels


@given(st.text(max_size=300))
def test_any_text_can_be_read(text) -> None:
    claims(text)
    named_labels(text)
    found = reviewed(sample(text=text or None))
    assert all(0 <= value <= 1 for value in scores(found).values())
    assert Sample.from_json(found.to_json()) == found or max(text, default="") >= "\ud800"


@given(st.dictionaries(st.sampled_from(list(HAPPY)), st.floats(0, 1), min_size=1))
def test_odds_against_a_label_are_none_for_the_best(reading) -> None:
    best = max(reading, key=lambda label: reading[label])
    assert against(reading, best) == 0
    assert all(0 <= against(reading, label) <= 5 for label in (*reading, "unknown"))


def test_the_weights_speak_against_a_sample_only() -> None:
    for check, weights in rule_weights().items():
        assert weights["bias"] > 0, check
        assert all(weight <= 0 for rule, weight in weights.items() if rule != "bias")
    assert consistency((), rule_weights()["label"]) is None


def test_tables_of_users_are_read_and_checked(tmp_path) -> None:
    table = tmp_path / "rules.csv"
    table.write_text("check,rule,weight\nlabel,bias,0\nlabel,face,-9\n")
    assert scores(reviewed(sample("angry"), table))["label"] < 1e-6
    other = tmp_path / "other.csv"
    other.write_text("check,rule,weight\nlabel,nose,-9\n")
    with pytest.raises(ConfigError, match="line 2: no rule 'nose'"):
        rule_weights(other)
    table = tmp_path / "readings.csv"
    table.write_text("stream,measure,centre,spread,happy,sad\nface,jawOpen,0,0,1,1\n")
    with pytest.raises(ConfigError, match="spread must be over 0"):
        reading_tables(table)


def test_a_face_that_is_told_of_is_read_by_its_units() -> None:
    table = reading_tables()[SAID]
    none = dict.fromkeys(table.measures, 0.0)
    smiling, scowling = {**none, "AU12": 1.0, "AU6": 1.0}, {**none, "AU4": 1.0, "AU7": 1.0}
    assert max(table.read(smiling).items(), key=lambda i: i[1])[0] == "happy"
    assert max(table.read(scowling).items(), key=lambda i: i[1])[0] == "angry"
    assert sum(table.read(none).values()) == pytest.approx(1)


def test_decisions_keep_what_people_and_other_rules_said() -> None:
    wrong = reviewed(sample("angry"))
    assert decided(wrong, Thresholds()).status == "rejected"
    assert decided(decided(wrong, Thresholds()), Thresholds(0, 0, 0)).status == "built"
    copied = replace(wrong, status="rejected", reasons=(Reason("duplicate", "of 2"),))
    found = decided(copied, Thresholds(0, 0, 0))
    assert found.status == "rejected" and [r.rule for r in found.reasons] == ["duplicate"]
    accepted = replace(wrong, status="accepted", reviews=(Review("ada", "accept"),))
    assert decided(accepted, Thresholds()) == accepted


def test_a_build_leaves_out_what_contradicts_itself(tmp_path) -> None:
    good, bad = reviewed(sample()), replace(reviewed(sample("angry")), id="2", sha256="cd" * 32)
    found = select([good, bad], SelectionSettings(), tmp_path)
    assert set(found) == {"2"} and found["2"][0].rule.startswith("self_review_")
    loose = SelectionSettings(thresholds=Thresholds(0, 0, 0))
    assert select([good, bad], loose, tmp_path) == {}


def test_lower_thresholds_let_no_copy_leak_or_surplus_return(tmp_path) -> None:
    def contradicted(name: str, content: str) -> Sample:
        clip = tmp_path / f"{name}.mp4"
        clip.write_bytes(content.encode())
        return replace(reviewed(sample("angry")), id=name, clip=clip.name, sha256=content)

    good = replace(reviewed(sample()), id="z", clip="z.mp4", sha256="same")
    rest = replace(reviewed(sample("angry")), signals={}, id="k", clip="k.mp4", sha256="k")
    bad = [
        contradicted(name, content)
        for name, content in (("a-copy", "same"), ("b-bench", "b"), ("c-more", "c"), ("free", "f"))
    ]
    (tmp_path / "bench.txt").write_text("b-bench\n")
    for each in (good, rest):
        (tmp_path / each.clip).touch()
    settings = SelectionSettings(most=2, against=(tmp_path / "bench.txt",))
    corpus = [*bad, good, rest]
    built = list(left_out(corpus, select(corpus, settings, tmp_path)))
    assert [each.id for each in built if each.status != "rejected"] == ["z", "k"]
    again = [decided(each, Thresholds(0, 0, 0)) for each in built]
    back = [each.id for each in again if each.status != "rejected"]
    assert len(back) == 3 and {"z", "k"} < set(back) and not {"a-copy", "b-bench"} & set(back)


def test_the_judge_is_asked_with_what_was_measured_and_its_number_is_read() -> None:
    question = judge_question(sample())
    assert question is not None and "perceived as happy 0.90" in question and SMILE in question
    assert judge_question(sample(text=None)) is None
    assert judge_score("8") == 0.8
    assert judge_score("Score: 3.5 of 10") == 0.35
    assert judge_score("none at all") is None and judge_score("80") is None
    judged = reviewed(sample(), judged=0.2)
    assert [r.rule for r in rejections(judged, Thresholds())] == ["self_review_judge"]


class _Answering(BaseHTTPRequestHandler):
    """A chat endpoint whose model answers 3 to everything."""

    asked: ClassVar[list[dict]] = []

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        answer = {"choices": [{"message": {"content": "3 of 10"}}]}
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *values: object) -> None:
        pass


def test_a_judge_behind_an_endpoint_is_asked_once_for_the_same(tmp_path) -> None:
    with HTTPServer(("127.0.0.1", 0), _Answering) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_address[1]}/v1"
            desk = Desk(DeskSettings(tmp_path))
            for _ in range(2):
                judge = EndpointDescriber(url, "a-judge", tmp_path / "replies.jsonl")
                step = SelfReview(("caption",), perceived=False, judge=judge)
                found = step.run(sample(), desk)
        finally:
            server.shutdown()
            thread.join(30)
    assert scores(found)["judge"] == 0.3
    (asked,) = _Answering.asked
    assert asked["model"] == "a-judge" and SMILE in asked["messages"][-1]["content"]
    assert "a-judge" in step.stamp


def test_readings_of_a_clip_are_those_of_its_table(tmp_path) -> None:
    desk = Desk(DeskSettings(tmp_path))
    faces = np.random.default_rng(0).normal(0, 0.2, (5, FACE_SIGNAL_SIZE)).astype(np.float32)
    prosody = dict.fromkeys(VOICE_STATISTICS, 1.0)
    seen = sample(faces={"tracks": []}, prosody=prosody)
    desk.clip(seen).__dict__["main_signals"] = faces  # in the place of what a detector finds
    found = Readings().run(seen, desk).signals["readings"]
    expected = reading_tables()["face"].read(face_values(faces))
    assert found["face"] == {k: pytest.approx(v, abs=1e-4) for k, v in expected.items()}
    assert sum(found["voice"].values()) == pytest.approx(1, abs=1e-3)
    assert list(found["face"].values()) == sorted(found["face"].values(), reverse=True)
    hidden = sample(faces={"missing": "no face was found"})
    assert Readings().run(hidden, desk).signals["readings"] == {}


def test_the_funnel_counts_every_clip_once() -> None:
    rejected = replace(
        decided(reviewed(sample("angry")), Thresholds()),
        id="2",
        reasons=(Reason("duplicate", "of 1"), Reason("self_review_label", "low")),
    )
    found = funnel([reviewed(sample()), rejected], {"no consent on record": 3, "nothing": 0})
    assert (found.given, found.kept) == (5, 1)
    assert [(stage.name, stage.out) for stage in found.stages] == [
        ("no consent on record", 3),
        ("self review: label contradicted", 1),
    ]
    assert found.yields("label")[0] == 1 and len(found.yields("label")) == len(CUTS)
    table = funnel_table(found)
    assert "| no consent on record | 3 | 2 | 40% |" in table


def test_the_command_shows_the_funnel_and_changes_only_when_told_to(tmp_path) -> None:
    clips = [sample(), replace(sample("angry"), id="2"), replace(sample(text=SCOWL), id="3")]
    write_corpus(clips, tmp_path)
    before = (tmp_path / "samples.jsonl").read_bytes()
    run = CliRunner().invoke(build_app(), ["data", "self-review", str(tmp_path)])
    assert run.exit_code == 0, run.output
    assert "| self review: text contradicted | 1 |" in run.output
    assert (tmp_path / "samples.jsonl").read_bytes() == before
    run = CliRunner().invoke(build_app(), ["data", "self-review", str(tmp_path), "--apply"])
    assert run.exit_code == 0, run.output
    statuses = [each.status for each in read_samples(tmp_path)]
    assert statuses == ["built", "rejected", "rejected"]
    assert (tmp_path / "funnel.png").read_bytes().startswith(b"\x89PNG")
    every = ["--least-label", "0", "--least-text", "0", "--apply"]
    CliRunner().invoke(build_app(), ["data", "self-review", str(tmp_path), *every])
    assert [each.status for each in read_samples(tmp_path)] == ["built"] * 3
