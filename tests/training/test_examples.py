"""Training examples: the answer is exactly what is trained on, and speaks of what is left alone."""

import dataclasses
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, get_args
from weakref import WeakSet

import numpy as np
import pytest
import torch

from openaffect.corpora.manifest import Row, Scene
from openaffect.errors import ConfigError
from openaffect.media.face_detection import BLENDSHAPE_NAMES
from openaffect.media.voice import VOICE_STATISTICS
from openaffect.models.omni_emotion.tiny import tiny_config, tiny_processor
from openaffect.prompts.claims import claimed_streams
from openaffect.prompts.conversation import (
    ABSENT_ANSWERS,
    STREAM_QUESTIONS,
    STREAMS,
    TEXT_QUESTION,
)
from openaffect.training.augment import augment_voice
from openaffect.training.batches import IGNORED, collate
from openaffect.training.corpora import label_shares, share_of
from openaffect.training.examples import (
    TRANSCRIBE_QUESTION,
    ExampleBuilder,
    label_of,
    streams_known,
)
from openaffect.training.face_changes import FaceScale
from openaffect.training.features import ClipFeatures
from openaffect.training.norms import fit_norms
from openaffect.training.recipe import Dropout, Recipe, Tasks, load_recipe

CHANGES = {"audio_crop": True, "audio_layers": [1, 2], "audio_summary": 1}
RECIPES = sorted((Path(__file__).parents[2] / "recipes").rglob("*.yaml"))

ROW = Row(
    id="clip",
    source="synthetic",
    split="train",
    media="clip.mp4",
    speaker="a",
    language="en",
    words="I lost it all.",
    label="sad",
    open_labels=("hurt", "downcast"),
    face_label="sad",
    voice_label="angry",
    words_label="sad",
    scene=Scene("dim", "indoor", 2, True),
)
FACE_SIZE = 20  # 7 log-scores, 7 scores, 3 features, 3 signals
GROUPS = {
    "log_scores": slice(0, 7),
    "scores": slice(7, 14),
    "features": slice(14, 17),
    "signals": slice(17, 20),
}
LENT = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
SCALE = FaceScale(torch.zeros(FACE_SIZE), torch.ones(FACE_SIZE), GROUPS, LENT)


def features() -> ClipFeatures:
    generator = torch.Generator().manual_seed(0)
    return ClipFeatures(
        video=torch.randn(3, 9, 24, generator=generator),
        faces=torch.randn(1, 3, 1, FACE_SIZE, generator=generator),
        face_mask=torch.tensor([[True, False, True]]),
        blendshapes=torch.rand(2, len(BLENDSHAPE_NAMES), generator=generator),
        audio=torch.randn(1, 6, 2, 16, generator=generator),
        audio_lengths=torch.tensor([24]),
        audio_signals=torch.randn(1, len(VOICE_STATISTICS), generator=generator),
    )


def builder(tasks: Tasks | None = None, dropout: Dropout | None = None, **options):
    processor = tiny_processor(tiny_config(**CHANGES))
    return ExampleBuilder(processor, tasks or Tasks(), dropout or Dropout(), SCALE, **options)


def prompt_text(example, processor) -> str:
    return processor.tokenizer.decode(example.prompt_ids)


def test_labels_cover_the_answer_and_nothing_else():
    made = builder()
    examples = [made.build(ROW, features(), Random(seed), True) for seed in range(12)]
    batch = collate(examples, 0)
    for index, example in enumerate(examples):
        kept = batch["labels"][index][batch["labels"][index] != IGNORED]
        assert kept.tolist() == example.answer_ids
        answer = made.processor.tokenizer.decode(kept)
        assert answer.endswith("<|im_end|>") and answer.count("<|im_end|>") == 1


@pytest.mark.parametrize("seed", range(40))
def test_an_answer_speaks_only_of_what_is_left(seed):
    made = builder(Tasks(label=0, reason=1), Dropout(stream=0.5, words=0.5))
    example = made.build(ROW, features(), Random(seed), True)
    answer = made.processor.tokenizer.decode(example.answer_ids)
    left = {
        "scene": example.video is not None,
        "face": example.faces is not None,
        "voice": example.audio is not None,
        "words": "I lost it all" in prompt_text(example, made.processor),
    }
    assert any(left.values())
    for stream, there in left.items():
        assert (f"{stream.title()}:" in answer) == there
        if not there:
            assert stream not in claimed_streams(answer)


def test_the_same_state_gives_the_same_example():
    made = builder(dropout=Dropout(real_faces=1.0))
    one, two = (made.build(ROW, features(), Random(5), True) for _ in range(2))
    assert one.prompt_ids == two.prompt_ids and one.answer_ids == two.answer_ids
    assert one.faces is two.faces or torch.equal(one.faces, two.faces)


@pytest.mark.parametrize(
    ("streams", "label"),
    [({"face", "voice"}, "sad"), ({"voice"}, "angry"), ({"scene"}, "neutral"), ({"words"}, "sad")],
)
def test_the_label_is_what_the_given_streams_carry(streams, label):
    made = builder(dropout=Dropout(stream=0, words=0, frames=0), streams=tuple(streams))
    given, _ = made.given(ROW, features(), Random(0), True)
    assert set(given.streams) == streams
    assert label_of(ROW, given) == label


def test_a_reason_of_the_corpus_is_told_where_nothing_was_left_out():
    told = dataclasses.replace(ROW, reasoning="The brows are lowered and the voice breaks.")
    tasks = Tasks(label=0, reason=0, stream=0, text=1)
    made = builder(tasks, Dropout(stream=0.2, words=0.2))
    seen = set()
    for seed in range(30):
        example = made.build(told, features(), Random(seed), True)
        answer = made.processor.tokenizer.decode(example.answer_ids)
        whole = None not in (example.video, example.faces, example.audio)
        whole = whole and "I lost it all" in prompt_text(example, made.processor)
        own = answer.startswith("The brows are lowered")
        assert own == whole and (TEXT_QUESTION in prompt_text(example, made.processor)) == whole
        seen.add(own)
    assert seen == {True, False}
    example = made.build(ROW, features(), Random(0), False)
    assert TEXT_QUESTION not in prompt_text(example, made.processor)


def test_what_is_said_is_asked_of_the_voice_alone():
    made = builder(Tasks(label=0, reason=0, transcribe=1), Dropout(stream=0, words=0, frames=0))
    example = made.build(ROW, features(), Random(0), True)
    prompt = prompt_text(example, made.processor)
    assert TRANSCRIBE_QUESTION in prompt and "Given: voice." in prompt
    assert ROW.words not in prompt and example.faces is example.video is None
    assert made.processor.tokenizer.decode(example.answer_ids) == f"{ROW.words}<|im_end|>"
    for row, left in (
        (dataclasses.replace(ROW, words=None), features()),
        (ROW, dataclasses.replace(features(), audio=None, audio_lengths=None, audio_signals=None)),
    ):
        example = made.build(row, left, Random(0), True)
        assert "Choose one:" in prompt_text(example, made.processor)


def test_words_that_look_like_control_tokens_do_not_end_an_answer():
    made = builder(Tasks(label=0, reason=0, transcribe=1))
    row = dataclasses.replace(ROW, words="So <|im_end|> it goes.")
    example = made.build(row, features(), Random(0), False)
    assert set(example.answer_ids[:-1]).isdisjoint(made.dialogue.end_ids)


def test_labels_without_a_counterpart_are_not_replaced():
    made = builder()
    worried = dataclasses.replace(ROW, label=None, open_labels=("worried",), face_label="neutral")
    assert made.usable(ROW, features()) and not made.usable(worried, features())
    nothing = dataclasses.replace(worried, open_labels=(), told={"emotion": "worried"})
    assert not made.usable(nothing, features())


def test_a_published_neutral_says_nothing_of_voice_and_words():
    neutral = dataclasses.replace(
        ROW, label="neutral", face_label=None, voice_label=None, words_label=None
    )
    assert streams_known(neutral)
    assert not streams_known(dataclasses.replace(neutral, told={"emotion": "neutral"}))


def test_an_absent_stream_is_said_to_be_absent():
    tasks = Tasks(label=0, reason=0, stream=1, streams=("voice",))
    made = builder(tasks, streams=("face",))
    example = made.build(ROW, features(), Random(0), True)
    answer = made.processor.tokenizer.decode(example.answer_ids)
    assert answer == ABSENT_ANSWERS["voice"] + "<|im_end|>"


def test_nobody_is_asked_about_an_undescribed_scene():
    row = dataclasses.replace(ROW, scene=None)
    every = Tasks(label=0, reason=0, stream=1)
    made = builder(every, dropout=Dropout(stream=0, words=0, frames=0))
    only = builder(Tasks(label=0, reason=0, stream=1, streams=("scene",)))
    for seed in range(30):
        asked = made.processor.tokenizer.decode(
            made.build(row, features(), Random(seed), True).prompt_ids
        )
        assert STREAM_QUESTIONS["scene"] not in asked
    assert only.build(row, features(), Random(0), False).answer_ids


def test_a_hidden_face_is_not_given_whatever_was_found():
    hidden = dataclasses.replace(ROW, face_label=None, scene=Scene("dim", "indoor", 1, False))
    given, left = builder().given(hidden, features(), Random(0), training=False)
    assert not given.face and left.faces is None and left.face_mask is None and given.voice
    assert not builder(streams=("face",)).usable(hidden, features())
    assert builder(streams=("face",)).usable(ROW, features())


def test_validation_has_no_dropout():
    made = builder(dropout=Dropout(stream=1, words=1, frames=1, face_noise=1))
    given, kept = made.given(ROW, features(), Random(0), False)
    assert given.streams == STREAMS
    assert torch.equal(kept.faces, features().faces)


def test_a_still_keeps_one_frame_and_its_face():
    made = builder(dropout=Dropout(stream=0, words=0, frames=1))
    for seed in range(10):
        _, kept = made.given(ROW, features(), Random(seed), True)
        assert kept.video.shape[0] == 1 and kept.faces.shape[:2] == (1, 1)
        assert kept.face_mask.all() and kept.blendshapes.shape[0] == 1


def test_alone_keeps_one_telling_stream():
    made = builder(dropout=Dropout(alone=1, stream=0, words=0, frames=0))
    seen = {made.given(ROW, features(), Random(seed), True)[0].streams for seed in range(30)}
    assert seen == {("face",), ("voice",), ("words",)}


def test_a_stream_described_alone_is_all_that_is_given():
    tasks = Tasks(label=0, reason=0, stream=1, stream_alone=1)
    made = builder(tasks, Dropout(stream=0, words=0, alone=0, frames=0))
    asked = set()
    for seed in range(30):
        example = made.build(ROW, features(), Random(seed), True)
        prompt = prompt_text(example, made.processor)
        stream = next(s for s in STREAMS if STREAM_QUESTIONS[s] in prompt)
        assert f"Given: {stream}." in prompt
        there = (example.faces, example.audio, example.video)
        assert [t is not None for t in there] == [stream == s for s in ("face", "voice", "scene")]
        asked.add(stream)
    assert asked == set(STREAMS)


def test_balanced_labels_are_drawn_alike_often():
    rows = [dataclasses.replace(ROW, id=str(n), label="sad" if n else "happy") for n in range(10)]
    held = dataclasses.replace(ROW, id="held", split="validation", label="bored")
    shares = label_shares([*rows, held])
    assert shares["happy"] == pytest.approx(9 * shares["sad"])
    assert sum(shares[row.label] for row in rows) == pytest.approx(len(rows))
    assert "bored" not in shares


@pytest.mark.parametrize("edge", [0.1, 0.6, 0.99])
def test_the_shares_of_a_corpus_are_apart_and_make_up_the_whole(edge):
    splits = ["train", "test", "train", "validation", "train", "train", "train"]
    rows = [dataclasses.replace(ROW, id=str(n), split=split) for n, split in enumerate(splits)]
    first, last = share_of(rows, (0, edge)), share_of(rows, (edge, 1))
    kept = [[row.id for row in part if row.split == "train"] for part in (first, last)]
    assert kept[0] + kept[1] == ["0", "2", "4", "5", "6"]
    for part in (first, last):
        assert [row.id for row in part if row.split != "train"] == ["1", "3"]
    assert share_of(rows, (0, 1)) == tuple(rows)


def test_a_share_that_ends_before_it_begins_is_refused():
    with pytest.raises(ConfigError, match=r"a share begins before it ends.*0\.6"):
        load_recipe(
            RECIPES[0].parents[1] / "omni-emotion-small/stage3-instruct.yaml",
            ("corpora.synthetic.share=[0.6, 0.2]",),
        )


def test_augmented_voices_are_other_recordings_of_the_same_length_scale():
    times = np.arange(16000) / 16000
    voice = (0.1 * np.sin(2 * np.pi * 220 * times)).astype(np.float32)
    variants = [augment_voice(voice, f"row/{k}") for k in range(20)]
    assert np.array_equal(variants[0], augment_voice(voice, "row/0"))
    assert all(np.isfinite(v).all() and np.abs(v).max() <= 1 for v in variants)
    assert all(0.9 < len(v) / len(voice) < 1.1 for v in variants)
    assert len({len(v) for v in variants}) > 10
    levels = [20 * np.log10(v.std()) for v in variants]
    assert max(levels) - min(levels) > 6
    assert np.array_equal(augment_voice(voice[:200], "row/1"), voice[:200])


def drawn_features(generator: torch.Generator) -> ClipFeatures:
    """Features of the tiny model's sizes, none of them standardised."""
    return dataclasses.replace(
        features(),
        faces=5 + 3 * torch.randn(1, 3, 1, 8, generator=generator),
        audio=2 * torch.randn(1, 6, 2, 16, generator=generator) - 1,
        audio_signals=40 * torch.randn(1, len(VOICE_STATISTICS), generator=generator),
    )


def test_norms_standardise_the_training_features():
    from openaffect.models.omni_emotion.tiny import tiny_model
    from openaffect.training.stage import Entry

    model = tiny_model(**CHANGES, normalise_features=True, audio_signal_size=len(VOICE_STATISTICS))
    generator = torch.Generator().manual_seed(1)
    entries = [Entry(ROW, (drawn_features(generator),), 1.0) for _ in range(60)]
    fit_norms(model, entries)
    faces = torch.cat([e.variants[0].faces[e.variants[0].face_mask] for e in entries])
    normed = model.model.face_projector.norm(faces.flatten(0, 1))
    assert normed.mean().abs() < 0.02 and normed.std() == pytest.approx(1, abs=0.03)
    signals = torch.cat([e.variants[0].audio_signals for e in entries])
    assert model.model.audio_projector.signal_norm(signals).std() == pytest.approx(1, abs=0.03)


def test_norms_are_fitted_once_and_where_a_part_first_has_features():
    from openaffect.models.omni_emotion.tiny import tiny_model
    from openaffect.training.stage import Entry

    def entries(**changes) -> list[Entry]:
        drawn = drawn_features(torch.Generator().manual_seed(1))
        return [Entry(ROW, (dataclasses.replace(drawn, **changes),), 1.0)]

    changes = {**CHANGES, "audio_signal_size": len(VOICE_STATISTICS)}
    assert fit_norms(tiny_model(**changes), entries()) == []
    model = tiny_model(**changes, normalise_features=True)
    norm, parts = model.model.face_projector.norm, ("face_projector", "audio_projector")
    assert fit_norms(model, entries(faces=None, face_mask=None)) == ["audio_projector"]
    assert not norm.is_fitted
    assert fit_norms(model, entries(), parts) == ["face_projector"]
    fitted = norm.shift.clone()
    assert norm.is_fitted
    assert fit_norms(model, entries(faces=torch.ones(1, 3, 1, 8)), parts) == []
    assert torch.equal(norm.shift, fitted)


def test_faces_to_borrow_are_taken_from_one_clip_after_another():
    from openaffect.models.omni_emotion.projectors import FeatureNorm
    from openaffect.training.norms import face_scale
    from openaffect.training.stage import Entry

    alive = WeakSet()

    class Stored(list):
        """Features that are read at each use."""

        def __getitem__(self, variant):
            assert len(alive) < 2
            clip = features()
            alive.add(clip)
            return clip

    projector = SimpleNamespace(norm=FeatureNorm(FACE_SIZE))
    config = SimpleNamespace(face_config=SimpleNamespace(group_slices=GROUPS))
    model = SimpleNamespace(model=SimpleNamespace(face_projector=projector), config=config)
    scale = face_scale(model, [Entry(ROW, Stored(), 1.0) for _ in range(10)])
    assert scale.faces.shape == (10 * 2, FACE_SIZE)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads(path):
    recipe = load_recipe(path)
    assert recipe.trains and recipe.schedule.steps > 0
    assert f"openaffect train recipes/{path.parent.name}/{path.name}" in path.read_text()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("schedule.stepz=3", "did you mean steps"),
        ("schedule.steps=0", "greater than or equal to 1, got 0"),
        ("trains=[face]", "trains"),
        ("nonsense", "must look like"),
        ("trains=[face_projector", "the value is not YAML"),
    ],
)
def test_a_wrong_recipe_says_what_is_wrong(override, message):
    from openaffect.errors import ConfigError

    with pytest.raises(ConfigError, match=message):
        load_recipe(RECIPES[0], (override,))


@pytest.mark.parametrize(
    ("recipe", "override", "message"),
    [
        ("emotion-llama-small/stage0-align", "tasks.label=1", "tasks is not read beside task_pool"),
        ("omni-emotion-small/stage1-audio", "labels=corpora", "labels is corpora, but is read"),
        ("omni-emotion-small/stage1-audio", "labels=[sad, happy]", r"labels is \[sad, happy\]"),
        (
            "omni-emotion-small/stage1-audio",
            "corpora.emodb.list_file=a.txt",
            r"corpora\.emodb\.list_file is a\.txt, but only kind merr has a list, not emodb",
        ),
        *(
            (
                "omni-emotion-small/stage1-audio",
                f"schedule.{field}=1000",
                rf"schedule\.{field} is 1000.*shape cosine does not read it",
            )
            for field in ("min_learning_rate", "warmup_learning_rate", "epoch_steps")
        ),
        ("omni-emotion-small/stage1-audio", "lora.r=8", "lora is set, but only read where"),
        ("omni-emotion-small/stage1-audio", "keep_start=0.5", r"keep_start is 0\.5, but there is"),
        (
            "omni-emotion-small/stage2-face",
            "schedule.language_model_learning_rate=0.001",
            r"schedule\.language_model_learning_rate is set, but only read where",
        ),
    ],
)
def test_what_a_recipe_sets_and_nothing_reads_is_refused(recipe, override, message):
    path = RECIPES[0].parents[1] / f"{recipe}.yaml"
    with pytest.raises(ConfigError, match=message):
        load_recipe(path, (override,))


def test_features_may_take_the_place_of_a_list():
    path = RECIPES[0].parents[1] / "emotion-llama-7b/stage1-coarse.yaml"
    assert load_recipe(path, ("corpora.merr.kind=features",)).corpora["merr"].list_file


def test_what_the_papers_leave_open_are_fields_of_a_recipe():
    named = {field for path in RECIPES for field in load_recipe(path).open_choices}
    assert named
    for name in sorted(named):
        section: Any = Recipe
        for part in name.split("."):
            told = section.model_fields  # an AttributeError here: a field within no section
            assert part in told, name
            section = section_of(told[part].annotation)


@pytest.mark.parametrize("name", ["stage1-audio", "stage2-face", "stage3-instruct"])
def test_a_full_size_recipe_tells_all_that_the_paper_leaves_open(name):
    recipe = load_recipe(RECIPES[0].parents[1] / f"omni-emotion-7b/{name}.yaml")
    machine = {
        *("micro_batch", "gradient_checkpointing", "precision"),
        *("validate_every", "validation_examples", "calibration_examples", "checkpoint_every"),
    }
    choices = {f"schedule.{field}" for field in recipe.schedule.model_fields_set - machine}
    choices |= {"tasks", "trains", "lora", "streams", "objective", "dropout"}
    choices -= {field for field in choices if "." not in field} - recipe.model_fields_set
    assert choices <= {*recipe.open_choices}


def section_of(annotation: Any) -> Any:
    """The section that a field holds, whether or not it may be left out."""
    inner = [kind for kind in get_args(annotation) if kind is not type(None)]
    return inner[0] if inner else annotation
