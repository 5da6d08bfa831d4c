"""The file of reviews: append-only, versioned, idempotent, blind."""

import sqlite3
import threading

import pytest

from openaffect.annotation.review.queue import ReviewQueue, agreed, judged
from openaffect.annotation.review.store import (
    SETTLEMENT,
    ClosedError,
    ConflictError,
    Judgement,
    ReviewStore,
    newest_versions,
    review_track,
    standing,
)
from openaffect.errors import OpenAffectError, UsageError

KEEP = Judgement("accept", "happy", ("glad",))
DROP = Judgement("reject", reasons=("wrong label",))
IDS = ("1", "2", "3")


@pytest.fixture
def store(tmp_path) -> ReviewStore:
    return ReviewStore(tmp_path / "reviews.sqlite")


def save(store: ReviewStore, sample: str, reviewer: str, judgement: Judgement = KEEP) -> int:
    track = review_track(reviewer)
    base = newest_versions(store.edits()).get((sample, track), 0)
    return store.save(f"{sample} {reviewer} {base}", sample, track, reviewer, base, judgement)


def test_what_was_saved_is_there_for_another_process(store) -> None:
    assert save(store, "1", "ada") == 1
    (edit,) = ReviewStore(store.path).edits()
    assert (edit.sample, edit.reviewer, edit.version, edit.judgement) == ("1", "ada", 1, KEEP)


def test_sent_twice_is_written_once(store) -> None:
    track = review_track("ada")
    first = store.save("x", "1", track, "ada", 0, KEEP)
    assert store.save("x", "1", track, "ada", 0, KEEP) == first
    assert len(store.edits()) == 1
    with pytest.raises(UsageError, match="belongs to sample 1"):
        store.save("x", "2", track, "ada", 0, KEEP)


def test_nobody_overwrites_what_they_have_not_seen(store) -> None:
    save(store, "1", "ada")
    with pytest.raises(ConflictError, match="version 1 is newer"):
        store.save("late", "1", review_track("ada"), "ada", 0, DROP)
    assert save(store, "1", "ben") == 1  # of their own


def test_one_of_many_at_once_wins_and_the_others_are_told(store) -> None:
    outcomes: list[str] = []

    def settle(number: int) -> None:
        try:
            store.save(f"e{number}", "1", SETTLEMENT, f"r{number}", 0, KEEP)
            outcomes.append("saved")
        except ConflictError:
            outcomes.append("conflict")

    threads = [threading.Thread(target=settle, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == ["conflict"] * 5 + ["saved"]


def test_undo_returns_to_what_was_before(store) -> None:
    track = review_track("ada")
    save(store, "1", "ada")
    save(store, "1", "ada", DROP)
    store.take_back("u1", "1", track, "ada", 2)
    assert standing(store.edits())["1"][track].judgement == KEEP
    store.take_back("u2", "1", track, "ada", 3)
    assert "1" not in standing(store.edits())
    store.take_back("u3", "1", track, "ada", 4)  # nothing left: stays empty
    save(store, "1", "ada", DROP)
    assert standing(store.edits())["1"][track].judgement == DROP
    assert len(store.edits()) == 6


def test_edits_cannot_be_changed_or_removed(store) -> None:
    save(store, "1", "ada")
    connection = sqlite3.connect(store.path)
    for statement in ("DELETE FROM edits", "UPDATE edits SET reviewer = 'ben'"):
        with pytest.raises(sqlite3.Error, match="only ever added"):
            connection.execute(statement)
    connection.close()


def test_a_draft_waits_until_its_review_is_saved(store) -> None:
    track = review_track("ada")
    store.save_draft("1", track, "ada", {"note": "half"})
    store.save_draft("1", track, "ada", {"note": "half a word"})
    found = ReviewStore(store.path).draft("1", track, "ada")
    assert found is not None and found["note"] == "half a word"
    assert store.draft("1", track, "ben") is None
    save(store, "1", "ada")
    assert store.draft("1", track, "ada") is None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"decision": "maybe"},
        {"decision": "reject"},
        {"decision": "reject", "reasons": ["because"]},
        {"decision": "accept", "labels": "happy"},
        {"decision": "accept", "label": 3},
        {"decision": "accept", "extra": 1},
        {"decision": "edit", "text": "x" * 20_001},
        {"decision": ["accept"]},
    ],
)
def test_what_makes_no_sense_is_refused(fields) -> None:
    with pytest.raises(UsageError):
        Judgement.from_fields(fields)


@pytest.mark.parametrize("name", ["", " ada", "a\nb", "x" * 81])
def test_names_that_nobody_can_tell_apart_are_refused(store, name) -> None:
    with pytest.raises(UsageError):
        store.save("x", "1", review_track(name), name, 0, KEEP)
    with pytest.raises(UsageError, match="cannot write"):
        store.save("x", "1", review_track("ben"), "ada", 0, KEEP)


def test_a_file_that_is_no_database_is_told(tmp_path) -> None:
    path = tmp_path / "reviews.sqlite"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(OpenAffectError, match=r"reviews\.sqlite"):
        ReviewStore(path)


def test_the_queue_gives_each_sample_to_as_many_as_it_needs(store) -> None:
    queue = ReviewQueue(lambda: IDS, store, reviews_each=2)
    assert queue.next("ada") == "1"
    queue.hold("1", "ada")
    queue.hold("1", "ben")
    assert queue.next("cyd") == "2"  # two are at work on the first
    assert queue.next("ada") == "1"
    save(store, "1", "ada")
    save(store, "1", "ben")
    assert [queue.next(name) for name in ("ada", "ben", "cyd")] == ["2"] * 3
    assert queue.next("ada", after="2") == "3"
    save(store, "3", "ada")
    assert queue.next("ada", after="3") == "2"
    save(store, "2", "ada")
    assert queue.next("ada", after="2") is None
    progress = queue.progress("ada")
    assert (progress.mine, progress.complete, progress.left) == (3, 1, 0)


def test_disputes_are_found_settled_and_close_the_reviews(store) -> None:
    queue = ReviewQueue(lambda: IDS, store)
    save(store, "1", "ada")
    save(store, "1", "ben", DROP)
    save(store, "2", "ada")
    save(store, "2", "ben")
    assert queue.next_dispute() == "1"
    store.mark_seen("1", "ada")
    with pytest.raises(ClosedError, match="has seen the other reviews"):
        save(store, "1", "ada", DROP)
    save(store, "1", "ben")  # he has seen nothing and may think again
    assert queue.next_dispute() is None
    save(store, "1", "ben", DROP)
    store.save("s", "1", SETTLEMENT, "ada", 0, KEEP)
    assert queue.next_dispute() is None
    assert queue.progress("ada").settled == 1


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (KEEP, True),
        (Judgement("accept", "happy", ("Glad",)), True),
        (Judgement("edit", "happy", ("glad",), "better text"), True),
        (Judgement("edit", "sad", ("glad",)), False),
        (Judgement("edit", "happy", ("glad", "proud")), False),
        (DROP, False),
    ],
)
def test_what_counts_as_agreement(store, other, same) -> None:
    save(store, "1", "ada")
    save(store, "1", "ben", other)
    reviews = [judged(edit) for edit in standing(store.edits())["1"].values()]
    assert agreed(reviews) is same
