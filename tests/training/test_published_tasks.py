"""Emotion-LLaMA's training: published lists, tasks and targets, schedule, one whole stage."""

import json
import shutil
import sys
from pathlib import Path
from random import Random

import pytest
import torch
from safetensors.torch import load_file, save_file

from openaffect.corpora.manifest import Row, write_manifest
from openaffect.corpora.merr import read_merr
from openaffect.errors import ConfigError, UsageError
from openaffect.media.face_detection import BLENDSHAPE_NAMES
from openaffect.media.voice import VOICE_STATISTICS
from openaffect.models.emotion_llama import EmotionLlamaForConditionalGeneration
from openaffect.models.emotion_llama.tiny import tiny_model, tiny_processor
from openaffect.models.tower_features import towers_identity
from openaffect.models.trained_parts import ADAPTER_FOLDER, load_trained_parts
from openaffect.prompts.dialogues import dialogue_of
from openaffect.training.features import (
    MEDIA_KEY,
    ROWS_FILE,
    SHOWN_KEY,
    TOWERS_KEY,
    FeatureFolder,
    StreamClip,
    shown_told,
)
from openaffect.training.published_tasks import StreamExampleBuilder
from openaffect.training.recipe import Dropout, Recipe, Schedule, load_recipe
from openaffect.training.stage import run_stage
from openaffect.training.trainer import rate

RECIPES = Path(__file__).parents[2] / "recipes" / "emotion-llama-7b"
PUBLISHED = {
    "learning_rate": 1e-5,
    "min_learning_rate": 1e-6,
    "warmup_learning_rate": 1e-6,
    "batch_size": 1,
}
CAPTION = "The person smiles. The tone is calm."
REASON = "The smile and the calm tone show joy."


def clip(seed: int = 0) -> StreamClip:
    generator = torch.Generator().manual_seed(seed)
    return StreamClip(
        video=torch.randn(17, 24, generator=generator),
        faces=torch.randn(16, generator=generator),
        motion=torch.randn(16, generator=generator),
        blendshapes=torch.rand(3, len(BLENDSHAPE_NAMES), generator=generator),
        audio=torch.randn(1, 16, generator=generator),
        audio_signals=torch.rand(1, len(VOICE_STATISTICS), generator=generator),
    )


def row(number: int = 0, **changes) -> Row:
    settings = {
        "id": f"clip-{number}",
        "source": "test",
        "split": "validation" if number % 4 == 3 else "train",
        "media": f"{number}.mp4",
        "speaker": None,
        "language": "en",
        "words": "It is here.",
        "label": "happy",
        "open_labels": ("happy",),
        "face_label": "happy",
        "told": {"emotion": "worried", "caption": CAPTION, "reason": REASON},
    }
    return Row(**(settings | changes))


def builder(pool, **dropout) -> StreamExampleBuilder:
    processor = tiny_processor(tiny_model().config)
    chances = Dropout(**({"stream": 0, "words": 0, "frames": 0} | dropout))
    streams = ("face", "voice", "scene", "words")
    return StreamExampleBuilder(dialogue_of(processor), pool, chances, streams)


def texts(made: StreamExampleBuilder, example) -> tuple[str, str]:
    tokenizer = made.processor.tokenizer
    prompt, answer = example.prompt_ids, example.answer_ids
    assert answer[-1] == tokenizer.eos_token_id
    return tokenizer.decode(prompt), tokenizer.decode(answer[:-1])


@pytest.mark.parametrize(
    ("task", "asked", "answer"),
    [
        ("emotion", "[emotion] Please determine which emotion label", "worried"),
        ("reason", "[reason] ", "the person smiles the tone is calm"),
        ("caption", "[caption] ", "the person smiles the tone is calm"),
        (
            "reason_v2",
            "[reason_v2] ",
            "the smile and the calm tone show joy therefore, it is inferred that his emotional "
            "state is worried",
        ),
        ("infer", f"[infer] {REASON} Therefore, it is inferred that", "worried"),
    ],
)
def test_published_texts_are_the_targets(task, asked, answer):
    made = builder((task,))
    example = made.build(row(), clip(), Random(0), training=True)
    question, told = texts(made, example)
    assert asked in question and "The person in video says: It is here.." in question
    assert told.strip() == answer
    assert example.media()["frame_mask"] and example.media()["person_mask"]
    assert example.prompt_ids.count(0) == 4 + 4


def test_each_task_of_the_pool_is_as_likely():
    made = builder(("emotion", "reason", "reason_v2"))
    counts = dict.fromkeys(made.pool, 0)
    rng = Random(0)
    for _ in range(600):
        question, _ = texts(made, made.build(row(), clip(), rng, training=True))
        counts[next(task for task in counts if f"[{task}]" in question)] += 1
    assert all(160 < count < 240 for count in counts.values())


def test_own_corpora_are_told_from_measured_clues_of_streams_in_use():
    made = builder(("reason_v2",), stream=0.6, words=0.6)
    rng = Random(1)
    for _ in range(60):
        example = made.build(row(told={}), clip(), rng, training=True)
        media = example.media()
        _, told = texts(made, example)
        assert ("the face looks happy and shows " in told) == (media["face_features"] is not None)
        assert ("the voice has " in told) == (media["audio_features"] is not None)


def test_without_face_or_voice_a_published_text_is_no_target():
    made = builder(("reason_v2", "caption"), stream=0.7)
    rng = Random(2)
    for _ in range(60):
        example = made.build(row(), clip(), rng, training=True)
        whole = example.face is not None and example.voice is not None
        _, told = texts(made, example)
        assert whole or told.strip() == "worried"


def test_answers_are_among_the_asked_labels():
    made = builder(("emotion",))
    for words, answer in (("fearful", "fear"), ("surprised", "surprise"), ("happy", "happy")):
        plain = row(told={}, label=words, open_labels=(words,))
        reviewed = row(told={"emotion": words}, label=words)
        for found in (plain, reviewed):
            assert made.usable(found, clip())
            asked, told = texts(made, made.build(found, clip(), Random(0), training=False))
            assert told.startswith(answer) and answer in asked.split("represents:")[1]
    for words in ("disgusted", "calm", "bored"):
        assert not made.usable(row(told={}, label=words, open_labels=(words,)), clip())
    assert not made.usable(row(told={"emotion": "disgust"}), clip())


def test_lists_texts_and_transcripts_become_rows(tmp_path):
    (tmp_path / "video").mkdir()
    for name in ("sample_1.mp4", "sample_2.avi", "00003.mp4"):
        (tmp_path / "video" / name).write_bytes(b"x")
    (tmp_path / "MERR_fine_grained.txt").write_text(
        "sample_1 22 surprise -0.6\nsample_2 9 contempt\nabsent 5 sad\n"
    )
    (tmp_path / "MERR_fine_grained.json").write_text(
        json.dumps({"sample_1": {"smp_reason_caption": REASON, "caption": CAPTION}})
    )
    (tmp_path / "transcription_en_all.csv").write_text('name,sentence\nsample_1,"Well, I see"\n')
    rows = read_merr(tmp_path, "MERR_fine_grained.txt")
    assert [(r.id, r.media, r.label, r.words) for r in rows] == [
        ("sample_1", "video/sample_1.mp4", "surprised", "Well, I see"),
        ("sample_2", "video/sample_2.avi", None, None),
    ]
    assert rows[0].told == {"emotion": "surprise", "caption": CAPTION, "reason": REASON}
    assert rows[1].told == {"emotion": "contempt"}
    (tmp_path / "DFEW.txt").write_text("/faces/00003 30 5\n")
    assert read_merr(tmp_path, "DFEW.txt")[0].told == {"emotion": "disgust"}


@pytest.mark.parametrize(
    ("content", "said"), [("one two\n", "line 1: name"), ("absent 1 sad\n", "none of its clips")]
)
def test_wrong_lists_are_told_in_one_line(content, said, tmp_path):
    (tmp_path / "list.txt").write_text(content)
    with pytest.raises(UsageError, match=said):
        read_merr(tmp_path, "list.txt")
    with pytest.raises(UsageError, match="cannot be read"):
        read_merr(tmp_path, "other.txt")


def published(step: int, shape: str = "published", epoch: int = 5000) -> float:
    schedule = Schedule(shape=shape, steps=6000, warmup=1 / 6, epoch_steps=epoch, **PUBLISHED)
    return 1e-5 * rate(step, schedule)


def test_the_published_schedule_is_lavis_s():
    assert published(0) == pytest.approx(1e-6)
    assert published(500) == pytest.approx(5.5e-6)
    # (init - min) * 0.5 * (1 + cos(pi t / T)) + min with t counted from the start
    assert published(1000) == pytest.approx(9e-6 * 0.5 * (1 + 3**0.5 / 2) + 1e-6)
    assert published(3000) == pytest.approx(5.5e-6)


def test_the_released_slip_saws_within_epochs_and_then_jumps():
    saw = [published(step, "published_in_epoch", 200) for step in range(1001)]
    assert max(saw[:1000]) == pytest.approx(1e-6 + 9e-6 * 199 / 1000)
    assert saw[0] == saw[200] == saw[800] == pytest.approx(1e-6)
    assert sum(saw[:200]) / 200 == pytest.approx(1.9e-6, abs=1e-7)  # "2e-6" in the authors' log
    assert saw[1000] > 9e-6
    assert published(700, "published_in_epoch") == published(700)


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.yaml")))
def test_recipes_hold_the_published_values(name):
    recipe = load_recipe(RECIPES / f"{name}.yaml")
    schedule = recipe.schedule
    assert round(schedule.warmup * schedule.steps) == 1000
    assert (schedule.weight_decay, schedule.beta2, schedule.gradient_clip) == (0.05, 0.999, None)
    assert schedule.steps == 30 * schedule.epoch_steps and schedule.batch_size == 4
    assert not schedule.decay_all and schedule.gradient_checkpointing and recipe.seed == 42
    constant = name == "stage2-fine"
    assert schedule.learning_rate == (1e-6 if constant else 1e-5)
    assert rate(0, schedule) == pytest.approx(1 if constant else 0.1)


def recipe(folder: Path, **changes) -> Recipe:
    settings = {
        "stage": "test",
        "model": str(folder / "model"),
        "output": str(folder / "out"),
        "trains": ["face_projector", "motion_projector", "class_projector", "language_model"],
        "task_pool": ["emotion", "reason_v2"],
        "corpora": {"test": {"kind": "features", "folder": str(folder / "features")}},
        "dropout": {"stream": 0, "words": 0, "frames": 0},
        "schedule": {
            **PUBLISHED,
            "learning_rate": 1e-3,
            "shape": "published",
            "steps": 3,
            "batch_size": 2,
            "validation_examples": 2,
            "decay_all": False,
            "gradient_clip": None,
            "gradient_checkpointing": True,
        },
    }
    return Recipe.model_validate(settings | changes)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A tiny checkpoint, and a folder of random features in its towers' name."""
    folder = tmp_path_factory.mktemp("stage")
    model = tiny_model()
    model.save_pretrained(folder / "model")
    processor = tiny_processor(model.config)
    processor.save_pretrained(folder / "model")
    store = FeatureFolder(folder / "features", StreamClip)
    origin = {
        MEDIA_KEY: "",
        TOWERS_KEY: towers_identity(model),
        SHOWN_KEY: shown_told(processor),
    }
    rows = [row(number) for number in range(8)]
    for number, item in enumerate(rows):
        store.save(item, 0, clip(number), origin)
    write_manifest(rows, folder / "features" / ROWS_FILE)
    return folder


def test_one_stage_trains_what_it_names_and_chains(made):
    result = run_stage(recipe(made), say=lambda line: None)
    before = tiny_model()
    after = EmotionLlamaForConditionalGeneration.from_pretrained(made / "model")
    load_trained_parts(after, result)
    names = ("face_projector", "motion_projector", "class_projector", ".lora_")
    for name, tensor in before.named_parameters():
        changed = not torch.equal(tensor, after.get_parameter(name))
        assert changed == any(part in name for part in names), name
    again = recipe(made, start=str(result), output=str(made / "next"))
    assert run_stage(again, say=lambda line: None) == made / "next" / "trained"
    rows = [json.loads(line) for line in (made / "next" / "history.jsonl").read_text().splitlines()]
    assert len(rows) == 3 and "validation" in rows[-1]


def test_a_run_is_not_mixed_with_another_corpus_or_start(made, tmp_path):
    def noted() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in tmp_path.glob("out/*.json*")}

    def copied(name: str, origin: dict[str, str], **changes) -> dict:
        store = FeatureFolder(tmp_path / name, StreamClip)
        rows = [row(number, **changes) for number in range(8)]
        for number, item in enumerate(rows):
            store.save(item, 0, clip(number), origin)
        write_manifest(rows, store.folder / ROWS_FILE)
        return {"test": {"kind": "features", "folder": str(store.folder)}}

    origin = FeatureFolder(made / "features").origin(row())
    output = str(tmp_path / "out")
    first = run_stage(recipe(made, output=output), say=lambda line: None)
    same = copied("moved", origin)
    assert run_stage(recipe(made, output=output, corpora=same), say=lambda line: None) == first
    before = noted()
    for corpora in (
        copied("labels", origin, label="sad"),
        copied("media", {**origin, MEDIA_KEY: "f" * 64}),
    ):
        with pytest.raises(ConfigError, match="holds a run with other rows or features"):
            run_stage(recipe(made, output=output, corpora=corpora), say=lambda line: None)
    assert noted() == before

    start = tmp_path / "start"
    shutil.copytree(first, start)
    onward = recipe(made, output=str(tmp_path / "next"), start=str(start))
    run_stage(onward, say=lambda line: None)
    adapter = start / ADAPTER_FOLDER / "adapter_model.safetensors"
    save_file({name: 2 * tensor for name, tensor in load_file(adapter).items()}, adapter)
    with pytest.raises(ConfigError, match="holds a run with other tensors to start from"):
        run_stage(onward, say=lambda line: None)


def test_wrong_recipes_are_refused(made):
    with pytest.raises(ConfigError, match="task_pool"):
        run_stage(recipe(made, task_pool=[]), say=lambda line: None)
    with pytest.raises(ConfigError, match="set task_pool"):
        run_stage(recipe(made, objective="embedding"), say=lambda line: None)
    with pytest.raises(ConfigError, match=r"dropout\.mixing"):
        run_stage(recipe(made, dropout={"mixing": 0.4}), say=lambda line: None)


def test_a_run_without_matplotlib_has_no_picture_and_says_so(made, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    said: list[str] = []
    run_stage(recipe(made, output=str(tmp_path / "out")), say=said.append)
    assert not (tmp_path / "out" / "loss.png").exists()
    assert any("no loss.png" in line and "'.[train]' in the clone" in line for line in said)
    monkeypatch.undo()
    said.clear()
    run_stage(recipe(made, output=str(tmp_path / "drawn")), say=said.append)
    assert (tmp_path / "drawn" / "loss.png").exists()
    assert not any("loss.png" in line for line in said)
