"""A sample to test with, and a strategy that draws any."""

import string

from hypothesis import strategies as st

from openaffect.annotation.sample import Annotation, Reason, Review, Sample

EXAMPLE = Sample(
    id="clip-1",
    clip="../clips/clip-1.mp4",
    sha256="ab" * 32,
    source="interviews",
    licence="CC-BY-4.0",
    consent="given",
    speaker="s1",
    language="en",
    subtitle="What a day!",
    given_label="happiness",
    label="happy",
    open_labels=("delighted", "proud"),
    stream_labels={"face": "happy", "voice": "surprise"},
    signals={
        "action_units": {"apex": {"AU6": 0.4, "AU12": 0.8}, "present": ["AU12"]},
        "prosody": {"pitch_median": 11.5},
    },
    annotations=(
        Annotation(kind="caption", text="The person smiles.", made_by="rules", step="caption"),
        Annotation(
            kind="reasoning",
            text="A smile and a bright voice.",
            made_by="omni-emotion-small",
            step="reasoning",
            version="1",
            evidence=("action_units", "prosody"),
        ),
    ),
    status="built",
    steps={"action_units": "1"},
)

words = st.text(st.characters(codec="utf-8"), max_size=12)
names = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=8)
numbers = st.floats(-1e6, 1e6)
labels = st.none() | st.sampled_from(["happy", "anger", "worried", "surprise"]) | words
values = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
annotations = st.lists(
    st.builds(
        Annotation,
        kind=names,
        text=words,
        made_by=words,
        step=names,
        version=names,
        evidence=st.lists(names, max_size=2).map(tuple),
    ),
    max_size=3,
    unique_by=lambda annotation: annotation.kind,
).map(tuple)
reviews = st.builds(
    Review,
    reviewer=names,
    decision=st.sampled_from(["accept", "edit", "reject"]),
    reason=words,
    text=st.none() | words,
    labels=st.none() | st.lists(words, max_size=2).map(tuple),
    time=st.datetimes().map(lambda time: time.isoformat()),
)


def samples() -> st.SearchStrategy[Sample]:
    """Samples with any texts, labels, signals and reviews."""
    return st.builds(
        Sample,
        id=names,
        clip=names.map(lambda name: f"../clips/{name}.mp4"),
        sha256=st.just("cd" * 32),
        source=words,
        licence=words,
        consent=st.sampled_from(["given", "not_needed", "refused", "unknown"]),
        consent_waived=st.booleans(),
        split=st.sampled_from(["train", "validation", "test"]),
        speaker=st.none() | words,
        language=st.none() | st.sampled_from(["en", "de"]),
        subtitle=st.none() | words,
        given_label=labels,
        label=labels,
        open_labels=st.lists(words, max_size=3).map(tuple),
        stream_labels=st.dictionaries(st.sampled_from(["face", "voice", "words"]), words),
        # Of nobody's name: what a step or a format names itself has a form of its own.
        signals=st.dictionaries(names.map("{}?".format), values, max_size=3),
        annotations=annotations,
        reviews=st.lists(reviews, max_size=2).map(tuple),
        status=st.sampled_from(["pending", "built", "accepted", "rejected"]),
        reasons=st.lists(st.builds(Reason, rule=names, text=words), min_size=1, max_size=2).map(
            tuple
        ),
        steps=st.dictionaries(names, names, max_size=2),
    )
