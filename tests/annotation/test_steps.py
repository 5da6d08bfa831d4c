"""Steps by themselves: rules, peaks, phrases, captions, and what is said when streams differ."""

import dataclasses
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotation_examples import EXAMPLE
from hypothesis import given
from hypothesis import strategies as st

from openaffect.annotation.action_units import action_units_signal, unit_table
from openaffect.annotation.describers import BudgetSpent, Request, describers
from openaffect.annotation.describers.endpoint import Budget, EndpointDescriber
from openaffect.annotation.desk import Desk, DeskSettings
from openaffect.annotation.openface import read_openface
from openaffect.annotation.pipelines import PIPELINES, pipeline
from openaffect.annotation.sample import Annotation, Sample
from openaffect.annotation.steps.described import Caption, OpenLabels, Reasoning, Scene
from openaffect.annotation.steps.faces import (
    Expression,
    Peak,
    display_index,
    peak_index,
    rule_scores,
)
from openaffect.annotation.steps.labels import Expressive, RuleLabel
from openaffect.annotation.steps.step import FROM_THE_START, ordered, run_steps
from openaffect.annotation.tables import emotion_rules, unit_phrases
from openaffect.errors import ConfigError, UsageError
from openaffect.inference import chat_endpoint
from openaffect.inference.chat_endpoint import EndpointError
from openaffect.media.face_measures import face_measures
from openaffect.media.face_signals import FACE_SIGNAL_NAMES, FACE_SIGNAL_SIZE

BARE = Sample(id="a", clip="a.mp4", sha256="", source="test")
STRENGTHS = st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=20)


@given(STRENGTHS)
def test_the_peak_has_the_highest_sum_of_the_units_seen_most(rows: list[list[float]]) -> None:
    strengths = np.array(rows)
    seen = strengths >= 0.5
    index = peak_index(strengths, seen)
    counted = seen.any(0) if seen.any() else np.ones(3, bool)
    total = strengths[:, counted].sum(1)
    assert total[index] >= total.max() - 1e-6


def test_a_plateau_has_its_peak_in_the_middle() -> None:
    strengths = np.array([[0.0], [0.9], [0.9], [0.9], [0.1]])
    assert peak_index(strengths, strengths >= 0.5) == 2
    assert display_index({"AU12": strengths[:, 0].tolist()}) == 2


def test_a_display_is_not_hidden_by_speech_nor_by_saturation() -> None:
    courses = {
        "AU12": [0.2, 0.99, 0.999, 0.99],
        "AU4": [0.01, 0.1, 0.0, 0.05],
        "AU26": [0.99, 0.0, 0.0, 0.9],
        "AU43": [0.0, 0.0, 0.0, 1.0],
    }
    assert display_index(courses) == 2
    assert display_index({"AU26": [0.1, 0.9]}) == 1


@pytest.mark.parametrize(
    ("peak", "measured", "first"),
    [
        ({"AU6": 0.8, "AU12": 0.9}, {"AU6", "AU12", "AU14"}, "happy"),
        ({"AU1": 0.5, "AU2": 0.6, "AU5": 0.7, "AU26": 0.8}, None, "surprise"),
        ({"AU1": 0.9, "AU4": 0.6, "AU15": 0.7}, None, "sad"),
        ({"AU4": 0.9, "AU5": 0.6, "AU7": 0.7, "AU23": 0.5}, None, "angry"),
        ({"AU20": 0.6, "AU28": 0.6}, None, "worried"),
        ({"AU25": 0.9}, None, "doubt"),
        ({"AU45": 0.9}, None, None),
        ({}, None, None),
        ({"AU6": 0.1}, {"AU6", "AU12"}, None),  # half of the rule, but far too weak
    ],
)
def test_the_papers_rules(
    peak: dict[str, float], measured: set[str] | None, first: str | None
) -> None:
    every = {unit for units in emotion_rules().values() for unit in units}
    scores = rule_scores(peak, measured or every, emotion_rules())
    assert next(iter(scores), None) == first


def test_every_unit_of_a_rule_can_be_said() -> None:
    said = set(unit_phrases())
    assert {unit for units in emotion_rules().values() for unit in units} <= said
    assert set(unit_table().weights) <= said


def test_a_users_table_takes_the_place_of_ours(tmp_path: Path) -> None:
    table = tmp_path / "rules.csv"
    table.write_text("label,unit\ngrin,AU12\n", "utf-8")
    assert emotion_rules(table) == {"grin": ("AU12",)}
    table.with_name("bad.csv").write_text("label;unit\n1;2\n", "utf-8")
    with pytest.raises(ConfigError, match=r"bad\.csv, line 2"):
        emotion_rules(table.with_name("bad.csv"))
    weights = tmp_path / "weights.csv"
    weights.write_text("unit,measure,weight\nAU12,smileyness,1\n", "utf-8")
    with pytest.raises(ConfigError, match="smileyness"):
        unit_table(weights)


def signals_with(**values: float) -> np.ndarray:
    found = np.zeros((1, FACE_SIGNAL_SIZE), np.float32)
    for name, value in values.items():
        found[0, FACE_SIGNAL_NAMES.index(name.replace("__", "."))] = value
    return found


def test_measures_are_positive_for_what_their_name_says() -> None:
    smile = signals_with(
        outerLips0__y=-0.5, outerLips10__y=-0.5, outerLips0__x=-0.4, outerLips10__x=0.4
    )
    measures = face_measures(smile)
    assert measures["lipCornerUp"][0] == pytest.approx(0.5)
    assert measures["lipCornerApart"][0] == pytest.approx(0.4)
    opened = face_measures(signals_with(innerLips4__y=0.6, innerLips5__y=0.6, innerLips6__y=0.6))
    assert opened["mouthOpening"][0] == pytest.approx(0.6)
    assert opened["lowerLipDown"][0] == pytest.approx(0.6)
    one_side = face_measures(signals_with(mouthSmileLeft=0.8))
    assert one_side["mouthSmile"][0] == pytest.approx(0.4)


def test_a_smile_raises_the_lip_corner_puller_and_lowers_the_depressor() -> None:
    table = unit_table()
    rest = table.strengths(signals_with())
    smile = table.strengths(
        signals_with(
            mouthSmileLeft=0.8, mouthSmileRight=0.8, outerLips0__y=-0.5, outerLips10__y=-0.5
        )
    )
    assert smile["AU12"][0] > 0.5 > rest["AU12"][0]
    assert smile["AU15"][0] < rest["AU15"][0] < 0.5


def with_units(courses: dict[str, list[float]]) -> Sample:
    times = [k / 10 for k in range(len(next(iter(courses.values()))))]
    arrays = {unit: np.array(course) for unit, course in courses.items()}
    return BARE.with_signal("action_units", action_units_signal(times, arrays, "test"))


def run(steps: list[Any], sample: Sample) -> Sample:
    desk = Desk(DeskSettings(Path()))
    for step in steps:
        sample = step.run(sample, desk)
    return sample


def test_from_units_to_phrases_and_label() -> None:
    from openaffect.annotation.steps.faces import EmotionRules

    sample = with_units({"AU6": [0.1, 0.8, 0.3], "AU12": [0.2, 0.9, 0.6], "AU4": [0, 0, 0]})
    made = run([Peak(), EmotionRules(), Expression(), RuleLabel()], sample)
    assert made.signals["peak"] == {
        "time": 0.1,
        "index": 1,
        "action_units": {"AU6": 0.8, "AU12": 0.9},
    }
    assert made.label == "happy" and made.stream_labels == {"face": "happy"}
    phrases = made.text("expression")
    assert phrases is not None
    first, second = phrases.split(", ")
    assert first in unit_phrases()["AU6"] and second in unit_phrases()["AU12"]
    assert run([Expression()], made).text("expression") == phrases
    kept = run([RuleLabel()], dataclasses.replace(made, given_label="sad"))
    assert kept.label == "sad" and kept.stream_labels == {"face": "happy"}


def test_a_still_face_is_neutral_and_what_no_rule_fits_is_rejected() -> None:
    still = run([Peak(), RuleLabel()], with_units({"AU12": [0.1, 0.2], "AU4": [0, 0.1]}))
    assert still.label == "neutral"
    odd = with_units({"AU43": [0.9, 0.9], "AU4": [0, 0.1]}).with_signal("faces", {"tracks": []})
    made = run([Peak(), RuleLabel(), Expressive()], odd)
    assert made.status == "rejected" and made.reasons[0].rule == "no_rule"
    assert "AU43" in made.reasons[0].text
    faceless = BARE.with_signal("faces", {"missing": "no face was found in the frames"})
    assert run([RuleLabel(), Expressive()], faceless).reasons[0].rule == "no_face"


def test_a_rejection_is_taken_over_with_its_reasons() -> None:
    odd = with_units({"AU43": [0.9, 0.9], "AU4": [0, 0.1]}).with_signal("faces", {"tracks": []})
    steps, desk = [Peak(), RuleLabel(), Expressive()], Desk(DeskSettings(Path()))
    first = run_steps(odd, steps, desk)
    assert first.status == "rejected"
    assert run_steps(odd, steps, desk, previous=first) == first


def test_openface_tables_are_read(tmp_path: Path) -> None:
    header = "frame, timestamp, success, AU12_r, AU12_c, AU45_r, AU28_c"
    rows = ["1, 0.00, 1, 2.50, 1, 0.0, 0", "2, 0.04, 0, 9, 9, 9, 9", "3, 0.08, 1, 3.5, 1, 5, 0"]
    (tmp_path / "clip.csv").write_text("\n".join([header, *rows]) + "\n", "utf-8")
    found = read_openface(tmp_path, "other", "clip")
    assert found is not None and found["times"] == [0.0, 0.08]  # no face in the second frame
    assert found["courses"] == {"AU12": [0.5, 0.7], "AU28": [0.0, 0.0], "AU45": [0.0, 1.0]}
    assert found["present"] == ["AU12", "AU45"]
    peak = run([Peak()], BARE.with_signal("action_units", found)).signals["peak"]
    assert peak["action_units"] == {"AU12": 0.7}
    with pytest.raises(UsageError, match=r"no nowhere\.csv"):
        read_openface(tmp_path, "nowhere")
    text = "\n".join([header, rows[0].replace("2.50", "nan")])
    (tmp_path / "unmeasured.csv").write_text(text, "utf-8")
    with pytest.raises(UsageError, match=r"unmeasured\.csv: .* no number"):
        read_openface(tmp_path, "unmeasured")
    (tmp_path / "bad.csv").write_text("frame,time\n1,2\n", "utf-8")
    with pytest.raises(UsageError, match="AU"):
        read_openface(tmp_path, "bad")


def test_a_caption_leaves_out_what_the_clip_lacks() -> None:
    step = Caption(("scene", "tone", "expression", "prosody_words"))
    whole = BARE.annotated(
        Annotation(kind="scene", text="A man in a car.", made_by="x"),
        Annotation(kind="expression", text="big smile", made_by="rules"),
        Annotation(kind="tone", text="calm", made_by="x"),
    )
    made = run([step], dataclasses.replace(whole, subtitle="Hello.")).annotation("caption")
    assert made is not None
    assert made.text == (
        "This person in the video is A man in a car. The person's expression and actions include "
        "big smile, and the person's tone is calm. Saying: Hello."
    )
    assert made.evidence == ("scene", "expression", "tone", "subtitle")
    assert run([step], BARE).annotation("caption") is None


def test_the_order_of_steps_follows_from_what_they_read() -> None:
    for name in PIPELINES:
        steps = pipeline(name, DeskSettings(Path(), describers=describers({}, Path("x"), "m")))
        made = set(FROM_THE_START)
        for step in steps:
            assert set(step.reads) <= made, step.name
            made |= set(step.makes)
    assert [s.name for s in ordered([Expression(), Peak(), _Units()])] == [
        "units",
        "peak",
        "expression",
    ]
    with pytest.raises(ConfigError, match="which no step makes"):
        ordered([Peak()])
    with pytest.raises(ConfigError, match="both make"):
        ordered([_Units(), _Units("again")])
    with pytest.raises(UsageError, match="no pipeline"):
        pipeline("third", DeskSettings(Path()))


class _Units:
    reads, makes, stamp = ("clip",), ("action_units",), "1"

    def __init__(self, name: str = "units") -> None:
        self.name = name

    def run(self, sample: Sample, desk: Desk) -> Sample:
        return sample


class Server:
    """A chat endpoint that notes what it was asked, and first fails as often as it is told."""

    def __init__(self, answer: str, failures: tuple[int, ...] = ()) -> None:
        self.requests: list[dict[str, Any]] = []
        self.failures = list(failures)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append(json.loads(body))
                if outer.failures:
                    self.send_error(outer.failures.pop())
                    return
                told = json.dumps({"choices": [{"message": {"content": answer}}]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def served():
    started: list[Server] = []

    def start(answer: str, failures: tuple[int, ...] = ()) -> Server:
        started.append(Server(answer, failures))
        return started[-1]

    yield start
    for server in started:
        server.server.shutdown()
        server.server.server_close()


def test_an_endpoint_is_asked_once_for_the_same_content(served, tmp_path: Path) -> None:
    server = served("two men in a car")
    cache, desk = tmp_path / "replies.jsonl", Desk(DeskSettings(tmp_path))
    picture = np.full((4, 4, 3), 7, np.uint8)
    sound = np.zeros(1600, np.float32)
    who = EndpointDescriber(server.url, "m", cache)
    request = Request("scene", BARE, "What?", "You see.", picture, sound)
    assert who.describe(request, desk) == "two men in a car"
    again = EndpointDescriber(server.url, "m", cache)
    assert again.describe(request, desk) == "two men in a car"
    assert len(server.requests) == 1
    system, user = server.requests[0]["messages"]
    assert system["content"] == "You see."
    assert [part["type"] for part in user["content"]] == ["image_url", "input_audio", "text"]
    assert "base64" not in cache.read_text("utf-8")  # media are kept by their hash
    other = dataclasses.replace(request, picture=picture + 1)
    again.describe(other, desk)
    assert len(server.requests) == 2


def test_a_busy_endpoint_is_asked_again_and_a_budget_is_kept(
    served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_endpoint, "PAUSE", 0.01)
    server = served("fine", (503, 429))
    who = EndpointDescriber(server.url, "m", tmp_path / "r.jsonl", Budget(1))
    desk = Desk(DeskSettings(tmp_path))
    assert who.describe(Request("tone", BARE, "Which?"), desk) == "fine"
    assert len(server.requests) == 3
    assert who.describe(Request("tone", BARE, "Which?"), desk) == "fine"  # kept: costs nothing
    with pytest.raises(BudgetSpent, match="budget of 1 calls"):
        who.describe(Request("tone", BARE, "And this?"), desk)
    refused = served("never", (400,))
    with pytest.raises(EndpointError, match="400"):
        EndpointDescriber(refused.url, "m", tmp_path / "s.jsonl").describe(
            Request("tone", BARE, "Which?"), desk
        )


def test_reasoning_names_contradictions_and_its_evidence(served, tmp_path: Path) -> None:
    server = served("The person smiles while the voice is flat.")
    who = EndpointDescriber(server.url, "llm", tmp_path / "r.jsonl")
    sample = dataclasses.replace(EXAMPLE, stream_labels={"face": "happy", "voice": "sad"})
    made = run([Reasoning(who, ("tone",))], sample).annotation("reasoning")
    assert made is not None and made.made_by == "llm"
    assert made.text.endswith("Taken alone, the face looks happy but the voice sounds sad.")
    assert "stream_labels" in made.evidence
    asked = server.requests[0]["messages"][1]["content"]
    assert "perceived as happy" in asked and "feels" not in asked
    agreeing = dataclasses.replace(EXAMPLE, stream_labels={"face": "happy", "voice": "happy"})
    told = run([Reasoning(who, ("tone",))], agreeing).text("reasoning")
    assert told == "The person smiles while the voice is flat."


class _FromClip:
    name = identity = "looker"
    from_clip = True

    def describe(self, request: Request, desk: Desk) -> str:
        return "A smile."


def test_a_describer_that_looks_at_the_clip_claims_no_other_evidence() -> None:
    sample = dataclasses.replace(EXAMPLE, stream_labels={"face": "happy", "voice": "sad"})
    made = run([Reasoning(_FromClip(), ("tone",))], sample).annotation("reasoning")
    assert made is not None and made.evidence == ("clip", "subtitle", "stream_labels")
    alone = run([Reasoning(_FromClip(), ())], dataclasses.replace(sample, stream_labels={}))
    made = alone.annotation("reasoning")
    assert made is not None and made.evidence == ("clip", "subtitle")


def test_open_labels_are_read_from_an_answer_and_given_ones_stay(served, tmp_path: Path) -> None:
    who = EndpointDescriber(served("Joyful, Warm, joyful.").url, "llm", tmp_path / "r.jsonl")
    bare = dataclasses.replace(EXAMPLE, open_labels=())
    assert run([OpenLabels(who)], bare).open_labels == ("joyful", "warm")
    assert run([OpenLabels(who)], EXAMPLE).open_labels == EXAMPLE.open_labels


def test_who_describes_is_chosen_task_by_task(tmp_path: Path) -> None:
    found = describers({"all": "none", "scene": "http://h/v1#llava"}, tmp_path / "r", "m")
    assert set(found) == {"scene"} and found["scene"].identity == "http://h/v1#llava"
    assert "judge" not in describers({}, tmp_path / "r", "m")
    for wrong in ({"sceen": "none"}, {"scene": "http://h/v1"}, {"scene": "nowhere"}):
        with pytest.raises(UsageError, match="--describe"):
            describers(wrong, tmp_path / "r", "m")
    assert Scene(found["scene"]).stamp == "1 http://h/v1#llava"
