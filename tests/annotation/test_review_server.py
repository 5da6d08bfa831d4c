"""The review server: what it serves and refuses, and that a kill loses nothing."""

import http.client
import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from urllib.parse import quote

import pytest
from review_corpus import LABELS, Serving, call, sample, write_reviewable
from sklearn.metrics import cohen_kappa_score
from typer.testing import CliRunner

from openaffect.annotation.card import Tally
from openaffect.annotation.review.agreement import agreement
from openaffect.annotation.review.desk import ReviewDesk
from openaffect.annotation.review.media import Span, asked_span
from openaffect.annotation.review.server import ReviewServer
from openaffect.annotation.review.store import SETTLEMENT, review_track, standing
from openaffect.annotation.rows import write_corpus
from openaffect.annotation.sample import Review, read_samples
from openaffect.cli import build_app
from openaffect.corpora.manifest import read_manifest
from openaffect.errors import UsageError

CLIP = bytes(range(256)) * 600
EACH = 200  # edits of a reviewer in the test with kills


@pytest.fixture
def server(tmp_path) -> Iterator[ReviewServer]:
    desk = ReviewDesk(write_reviewable(tmp_path / "corpus", 4, CLIP))
    with ReviewServer(desk) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield found
        found.shutdown()
        thread.join(30)


def review(server: ReviewServer, place: int, reviewer: str, queue: str = "review", **judged):
    id = server.desk.index.ids()[place]
    opened = call(server.url + "api/open", {"id": id, "reviewer": reviewer, "queue": queue})
    if "error" in opened:
        return opened
    shown = opened["sample"]
    judgement = {"decision": "accept", "label": shown["label"], "labels": shown["labels"], **judged}
    body = {
        "id": f"{random.random()}",
        "sample": id,
        "reviewer": reviewer,
        "queue": queue,
        "base": opened["base"],
        "judgement": judgement,
    }
    return call(server.url + "api/save", body)


def get(server: ReviewServer, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Path as it is given, which urllib would tidy up."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=30)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def media(server: ReviewServer, place: int = 0) -> str:
    return f"/media?sample={quote(server.desk.index.ids()[place], safe='')}"


def test_the_page_and_its_parts_are_served(server) -> None:
    for path, kind in (("/", "text/html"), ("/review.js", "text/javascript")):
        status, headers, body = get(server, path)
        assert status == 200 and body and headers["Content-Type"].startswith(kind)
        assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert get(server, "/review_store.py")[0] == 404
    assert get(server, "/../review_store.py")[0] == 404


def test_a_clip_is_served_whole_and_in_parts(server) -> None:
    status, headers, body = get(server, media(server))
    assert (status, body) == (200, CLIP) and headers["Content-Type"] == "video/mp4"
    status, headers, body = get(server, media(server), Range="bytes=100-299")
    assert (status, body) == (206, CLIP[100:300])
    assert headers["Content-Range"] == f"bytes 100-299/{len(CLIP)}"
    assert get(server, media(server), Range="bytes=-10")[2] == CLIP[-10:]
    assert get(server, media(server), Range=f"bytes={len(CLIP)}-")[0] == 416


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (None, None),
        ("bytes=0-0", Span(0, 1)),
        ("bytes=5-", Span(5, 100)),
        ("bytes=-7", Span(93, 100)),
        ("bytes=-700", Span(0, 100)),
        ("bytes=5-900", Span(5, 100)),
        ("bytes=0-1,5-6", None),
        ("lines=1-2", None),
        ("bytes=-", None),
    ],
)
def test_ranges(header, span) -> None:
    assert asked_span(header, 100) == span


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=9-3", "bytes=-0"])
def test_ranges_outside_of_the_file(header) -> None:
    with pytest.raises(ValueError):
        asked_span(header, 100)


def test_nothing_outside_of_the_corpus_is_served(tmp_path) -> None:
    folder = write_reviewable(tmp_path / "corpus", 1, CLIP)
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(b"secret")
    (folder / "clips" / "link.mp4").symlink_to(secret)
    (folder / "linked").symlink_to(tmp_path)
    (folder / "clips" / "words.txt").write_text("secret")
    outside = ["../secret.mp4", "clips/../../secret.mp4", "clips/link.mp4", "linked/secret.mp4"]
    clips = ["clips/000.mp4", *outside, "clips/words.txt", "clips/gone.mp4", "clips"]
    write_corpus([sample(n, clip=clip) for n, clip in enumerate(clips)], folder)
    desk = ReviewDesk(folder)
    with ReviewServer(desk) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            statuses = [get(server, media(server, place))[0] for place in range(len(clips))]
            for path in ("/media?sample=../secret.mp4", "/secret.mp4", "//secret.mp4", "/media"):
                assert get(server, path)[0] in (400, 404)
        finally:
            server.shutdown()
            thread.join(30)
    assert statuses == [200] + [400] * (len(clips) - 1)
    allowed = ReviewDesk(folder, [tmp_path])
    ids = allowed.index.ids()
    assert {allowed.media(ids[place]).name for place in range(1, 5)} == {"secret.mp4"}


def test_other_sites_can_neither_read_nor_write(server) -> None:
    assert get(server, "/api/corpus", Host="evil.example")[0] == 403
    assert get(server, "/api/corpus", Host="127.0.0.1:1")[0] == 403
    for headers, status in (
        ({"Content-Type": "application/json", "Origin": "http://evil.example"}, 403),
        ({"Content-Type": "text/plain"}, 415),
    ):
        request = urllib.request.Request(server.url + "api/export", b"{}", headers)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=30)
        assert refused.value.code == status
        refused.value.close()


@pytest.mark.parametrize(
    "body", [[], {}, {"id": 1, "reviewer": "ada"}, {"id": "x", "reviewer": ["ada"]}]
)
def test_bodies_of_another_form_are_refused(server, body) -> None:
    assert "error" in call(server.url + "api/undo", body)


def test_the_second_reviewer_is_blind_to_the_first(server) -> None:
    assert review(server, 0, "ada", decision="edit", label="sad", note="ada was here")
    id = server.desk.index.ids()[0]
    opened = call(server.url + "api/open", {"id": id, "reviewer": "ben", "queue": "review"})
    assert "ada was here" not in json.dumps(opened) and opened["others"] is None
    opened = call(server.url + "api/open", {"id": id, "reviewer": "ben", "queue": "dispute"})
    assert opened["status"] == 400 and "not in dispute" in opened["error"]
    review(server, 0, "ben")
    opened = call(server.url + "api/open", {"id": id, "reviewer": "ben", "queue": "dispute"})
    assert [view["reviewer"] for view in opened["others"]] == ["ada", "ben"]
    again = call(server.url + "api/open", {"id": id, "reviewer": "ben", "queue": "review"})
    assert again["kind"] == "closed"


def test_undo_takes_back_the_newest_and_says_which(server) -> None:
    review(server, 0, "ada")
    review(server, 1, "ada")
    undone = call(server.url + "api/undo", {"id": "u", "reviewer": "ada"})
    assert (undone["sample"], undone["queue"]) == (server.desk.index.ids()[1], "review")
    assert undone["judgement"]["decision"] == "accept"
    again = call(server.url + "api/undo", {"id": "u", "reviewer": "ada"})
    assert again == {**undone, "judgement": None}  # sent twice
    assert call(server.url + "api/undo", {"id": "v", "reviewer": "ada"})["sample"].startswith(
        "clip 000"
    )
    assert (
        "nothing to undo" in call(server.url + "api/undo", {"id": "w", "reviewer": "ada"})["error"]
    )


def test_export_writes_reviews_status_and_rows_and_can_be_repeated(server) -> None:
    desk = server.desk
    for reviewer in ("ada", "ben"):
        review(server, 0, reviewer)
        review(server, 1, reviewer, decision="reject", reasons=["poor sound"], note="hum")
        review(server, 2, reviewer, decision="edit", label="sad", text=f"Text of {reviewer}.")
    review(server, 3, "ada")
    told = call(server.url + "api/export", {})
    assert (told["reviewed"], told["accepted"], told["rejected"]) == (4, 1, 1)
    assert (told["disputed"], told["unfinished"]) == (1, 1)
    review(server, 2, "cyd", "dispute", decision="edit", label="sad", text="Settled text.")
    call(server.url + "api/export", {})
    first = (desk.folder / "samples.jsonl").read_bytes()
    call(server.url + "api/export", {})
    assert (desk.folder / "samples.jsonl").read_bytes() == first
    found = list(read_samples(desk.folder))
    assert [each.status for each in found] == ["accepted", "rejected", "accepted", "built"]
    assert found[1].reasons[-1].text == "rejected by ada and ben: poor sound; hum"
    assert [each.reviewer for each in found[2].reviews] == ["ada", "ben", "cyd"]
    rows = {row.id: row for row in read_manifest(desk.folder / "manifest.jsonl")}
    assert found[1].id not in rows
    assert rows[found[2].id].label == "sad"
    assert rows[found[2].id].told["reason"] == "Settled text."
    call(server.url + "api/undo", {"id": "u1", "reviewer": "ada"})  # of sample 3
    call(server.url + "api/undo", {"id": "u2", "reviewer": "cyd"})
    call(server.url + "api/export", {})
    found = list(read_samples(desk.folder))
    assert found[2].status == "built" and not found[3].reviews


def test_a_label_that_reviewers_took_away_is_gone_everywhere(server) -> None:
    for reviewer in ("ada", "ben"):
        review(server, 0, reviewer, decision="edit", label=None)
    review(server, 1, "ada", decision="edit", label="angry", text="Only one has said so.")
    call(server.url + "api/export", {})
    folder = server.desk.folder
    found = list(read_samples(folder))
    assert found[0].status == "accepted" and found[0].label == LABELS[0]
    rows = read_manifest(folder / "manifest.jsonl")
    assert rows[0].label is None and "emotion" not in rows[0].told
    assert rows[1].label == LABELS[1] and rows[1].told["reason"] == found[1].text("reasoning")
    card = Tally()
    for each in found:
        card.add(each)
    assert card.label["none"] == 1 and card.corrected == 1


def test_what_reviewers_here_agree_on_counts_before_an_imported_review(server) -> None:
    folder = server.desk.folder
    imported = Review("label studio", "edit", label="angry", labels=("cross",))
    first, *rest = read_samples(folder)
    write_corpus([replace(first, reviews=(imported,), status="accepted"), *rest], folder)
    for reviewer in ("ada", "ben"):
        review(server, 0, reviewer)
    call(server.url + "api/export", {})
    assert len(next(read_samples(folder)).reviews) == 3
    row = read_manifest(folder / "manifest.jsonl")[0]
    assert (row.label, row.open_labels) == (first.label, first.open_labels)


def test_an_imported_decision_stays_while_reviewers_here_have_none(server) -> None:
    folder = server.desk.folder
    imported = Review("label studio", "edit", label="angry", labels=("cross",), settles=True)
    first, *rest = read_samples(folder)
    write_corpus([replace(first, reviews=(imported,)), *rest], folder)
    review(server, 0, "ada", decision="edit", label="sad")
    call(server.url + "api/export", {})
    assert next(read_samples(folder)).status == "accepted"
    assert read_manifest(folder / "manifest.jsonl")[0].label == "angry"
    review(server, 0, "ben", decision="edit", label="sad")
    call(server.url + "api/export", {})
    found = next(read_samples(folder))
    assert found.reasons[-1].text == "accepted by ada and ben"
    assert read_manifest(folder / "manifest.jsonl")[0].label == "sad"


def test_page_and_card_tell_of_one_agreement(server) -> None:
    words = ["proud", "moved"]  # sent along with a rejection, as the page fills them in
    review(server, 0, "ada", decision="reject", reasons=["wrong label"], labels=words)
    review(server, 0, "ben", labels=["proud"])
    review(server, 1, "ada", labels=words)
    review(server, 1, "ben", decision="edit", labels=["Moved", "proud"])
    page = call(server.url + "api/agreement")
    call(server.url + "api/export", {})
    card = Tally()
    for each in read_samples(server.desk.folder):
        card.add(each)
    assert page == json.loads(json.dumps(asdict(agreement(card.ratings))))
    assert page["pairs"][0]["samples"] == 2 and page["pairs"][0]["labelled"] == 1
    assert page["pairs"][0]["open_overlap"] == 1


def test_a_later_export_needs_no_media_and_counts_as_many_reviews(tmp_path) -> None:
    folder = write_reviewable(tmp_path / "corpus", 1)
    write_corpus([sample(0, clip="../elsewhere/0.mp4")], folder)
    desk = ReviewDesk(folder, (tmp_path,), reviews_each=1)
    (id,) = desk.index.ids()
    desk.save("x", id, "ada", "review", 0, {"decision": "accept", "label": LABELS[0]})
    run = CliRunner().invoke(build_app(), ["data", "review", str(folder), "--export"])
    assert run.exit_code == 0 and "1 accepted" in run.output
    again = [*("data", "review", str(folder), "--export"), "--reviewers", "2"]
    assert "1 with too few reviews" in CliRunner().invoke(build_app(), again).output
    assert ReviewDesk(folder).queue.reviews_each == 2


def test_corpora_of_one_name_are_told_apart(tmp_path) -> None:
    desks = [ReviewDesk(write_reviewable(tmp_path / place / "corpus", 1)) for place in "ab"]
    first, second = (desk.corpus() for desk in desks)
    assert first["name"] == second["name"] and first["key"] != second["key"]
    assert ReviewDesk(desks[0].folder).corpus() == first


def test_one_export_waits_for_another(server, monkeypatch) -> None:
    from openaffect.annotation.review import desk

    at_once, most = [], []

    def exported(*given):
        at_once.append(1)
        most.append(len(at_once))
        time.sleep(0.2)
        at_once.pop()
        return real(*given)

    real = desk.export_reviews
    monkeypatch.setattr(desk, "export_reviews", exported)
    threads = [
        threading.Thread(target=call, args=(server.url + "api/export", {})) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == [1, 1, 1]
    assert len(list(read_samples(server.desk.folder))) == 4


def test_a_folder_without_samples_is_told(tmp_path) -> None:
    with pytest.raises(UsageError, match="no samples at"):
        ReviewDesk(tmp_path)
    folder = write_reviewable(tmp_path / "corpus", 1)
    write_corpus([sample(0, clip="../elsewhere/0.mp4")], folder)
    with pytest.raises(UsageError, match="--media"):
        ReviewDesk(folder).check_media()


def test_two_reviewers_at_once_lose_nothing_when_the_server_is_killed(tmp_path) -> None:
    """Each saves 200 edits, as the page does: under an id, until the server has said that it has
    them. The server is killed four times in between and started again on the same port."""
    folder = write_reviewable(tmp_path / "corpus", EACH)
    serving = Serving(folder)
    port, deadline = serving.port, time.monotonic() + 240
    acknowledged: dict[str, list[tuple[str, str, int]]] = {"ada": [], "ben": []}
    retries: list[int] = []

    def work(reviewer: str) -> None:
        choice = random.Random(reviewer)
        for place in range(EACH):
            label = choice.choice(LABELS)
            id = f"clip {place:03}/ä"
            body = {
                "id": f"{reviewer} {place}",
                "sample": id,
                "reviewer": reviewer,
                "queue": "review",
                "base": 0,
                "judgement": {"decision": "edit", "label": label, "labels": ["proud"]},
            }
            while time.monotonic() < deadline:
                try:
                    answer = call(f"http://127.0.0.1:{port}/api/save", body, timeout=10)
                except (OSError, ValueError, http.client.HTTPException):
                    retries.append(place)
                    time.sleep(0.05)
                    continue
                acknowledged[reviewer].append((id, label, answer["version"]))
                break

    workers = [threading.Thread(target=work, args=(name,)) for name in acknowledged]
    for worker in workers:
        worker.start()
    try:
        for quarter in (40, 150, 230, 330):
            while sum(map(len, acknowledged.values())) < quarter and time.monotonic() < deadline:
                time.sleep(0.005)
            serving.kill()
            serving = Serving(folder, port)
        for worker in workers:
            worker.join(240)
        told = call(f"{serving.url}api/agreement")
    finally:
        serving.kill()
    assert retries, "the server was away"
    store = ReviewDesk(folder).store
    assert len(store.edits()) == 2 * EACH
    now = standing(store.edits())
    for reviewer, saved in acknowledged.items():
        assert len(saved) == EACH and {version for _, _, version in saved} == {1}
        for id, label, _ in saved:
            judgement = now[id][review_track(reviewer)].judgement
            assert judgement is not None and judgement.label == label
    labels = [[label for _, label, _ in saved] for saved in acknowledged.values()]
    (pair,) = told["pairs"]
    assert pair["samples"] == EACH
    assert pair["label_kappa"] == pytest.approx(cohen_kappa_score(*labels), abs=1e-12)
    assert SETTLEMENT not in {edit.track for edit in store.edits()}
    assert Path(folder / "reviews.sqlite").is_file()
