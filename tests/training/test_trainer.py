"""The training loop on a tiny model: what trains, exact resumption, the answer's loss."""

import dataclasses
import itertools
import json
import math
import shutil
from pathlib import Path

import pytest
import torch

from openaffect.errors import OpenAffectError, WeightsError
from openaffect.models.lora import LoraLinear, LoraSettings
from openaffect.models.omni_emotion.tiny import tiny_model, tiny_processor
from openaffect.models.trained_parts import (
    freeze_all_but,
    load_trained_parts,
    part_of,
    read_settings,
    recover,
    save_trained_parts,
    widen,
)
from openaffect.training.batches import IGNORED, Example, collate
from openaffect.training.checkpoint import complete_checkpoints, save_checkpoint
from openaffect.training.recipe import Schedule
from openaffect.training.trainer import Trainer, answer_loss, rate

LORA = LoraSettings(r=2, lora_alpha=4, lora_dropout=0.1, target_modules=("q_proj", "v_proj"))
PROJECTORS = ("vision_projector", "audio_projector", "face_projector")
CHANGES = {"audio_crop": True, "audio_layers": [1, 2], "audio_summary": 1}


def schedule(**changes) -> Schedule:
    settings = {
        "steps": 6,
        "batch_size": 3,
        "learning_rate": 1e-2,
        "validate_every": 3,
        "checkpoint_every": 2,
        "validation_examples": 2,
    }
    return Schedule(**(settings | changes))


class Draw:
    """Examples with every medium, the same for the same step and index."""

    def __init__(self, model, processor) -> None:
        self.config, self.processor = model.config, processor

    def __call__(self, step: int, index: int) -> Example:
        generator = torch.Generator().manual_seed(1000 * step + index)
        frames, mel = 2, 60
        mask = torch.tensor([[True, index % 2 == 0]])
        text = self.processor.expand(
            "<video><audio>label?",
            self.processor.video_length(frames, [int(mask.sum())]),
            self.processor.audio_length([mel]),
        )
        rows = self.processor.audio_length([mel]) + 1
        ids = self.processor.tokenizer(text)["input_ids"]
        answer = self.processor.tokenizer("abcd"[index % 4] * 2 + "<|im_end|>")["input_ids"]
        return Example(
            ids,
            answer,
            torch.randn(frames, 9, 24, generator=generator),
            torch.randn(1, frames, 4, 8, generator=generator),
            mask,
            torch.randn(1, rows, 2, 16, generator=generator),
            torch.tensor([mel]),
            None,
        )


def trainer(folder: Path, trains=(*PROJECTORS, "language_model"), lora=LORA, **changes) -> Trainer:
    model = tiny_model(**CHANGES)
    processor = tiny_processor(model.config)
    torch.manual_seed(3)
    freeze_all_but(model, trains, lora)
    draw = Draw(model, processor)
    validation = [draw(99, index) for index in range(2)]
    return Trainer(model, draw, validation, schedule(**changes), folder, 0, 7, lambda: None)


def test_training_lowers_the_loss(tmp_path):
    history = trainer(tmp_path, lora=None, steps=40).run()
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    assert [json.loads(line) for line in (tmp_path / "history.jsonl").open()] == history


def test_resumed_equals_uninterrupted(tmp_path):
    whole = trainer(tmp_path / "whole")
    expected = whole.run()
    broken = trainer(tmp_path / "broken")
    steps = 0

    def interrupt(progress):
        nonlocal steps
        steps += 1
        if steps == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken.run(interrupt)
    again = trainer(tmp_path / "broken")
    assert again.resume() and again.step == 4
    assert again.run() == expected
    for name, tensor in whole.model.named_parameters():
        assert torch.equal(tensor, dict(again.model.named_parameters())[name]), name


def test_a_later_and_worse_validation_leaves_the_best_parts_alone(tmp_path, monkeypatch):
    losses = {2: 3.0, 4: 1.0, 6: 2.0}  # by step
    at_best = {}

    def prepared() -> Trainer:
        stage = trainer(tmp_path / "run", validate_every=2)
        monkeypatch.setattr(stage, "validate", lambda: {"validation": losses[stage.step]})

        def save() -> None:
            save_trained_parts(stage.model, LORA, tmp_path / "best", {"step": stage.step})
            at_best.update({n: t.clone() for n, t in stage.model.state_dict().items()})

        stage.save_best = save
        return stage

    def stop(progress):
        if progress.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepared().run(stop)
    again = prepared()
    assert again.resume() and again.best == 1.0
    again.run()
    assert read_settings(tmp_path / "best")["step"] == 4
    assert any(not torch.equal(t, at_best[n]) for n, t in again.model.state_dict().items())


def test_a_run_killed_after_its_last_checkpoint_has_its_whole_history(tmp_path, monkeypatch):
    def save_and_die(folder, step, *rest):
        save_checkpoint(folder, step, *rest)
        if step == 6:
            raise KeyboardInterrupt

    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr("openaffect.training.trainer.save_checkpoint", save_and_die)
        trainer(tmp_path).run()
    again = trainer(tmp_path)
    assert again.resume() and again.step == 6
    assert [json.loads(line) for line in (tmp_path / "history.jsonl").open()] == again.run()


def test_a_half_written_checkpoint_is_passed_over(tmp_path):
    trainer(tmp_path).run()
    newest = complete_checkpoints(tmp_path)[-1]
    half = tmp_path / "checkpoint-99"
    shutil.copytree(newest, half)
    (half / "state.json").unlink()
    again = trainer(tmp_path)
    assert again.resume() and again.step == 6


def test_a_checkpoint_of_other_parts_is_refused(tmp_path):
    trainer(tmp_path).run()
    with pytest.raises(OpenAffectError, match="other trained parts"):
        trainer(tmp_path, trains=("face_projector",)).resume()


@pytest.mark.parametrize("part", PROJECTORS)
def test_a_stage_changes_its_part_and_nothing_else(part, tmp_path):
    stage = trainer(tmp_path, trains=(part,), steps=1)
    before = {name: tensor.clone() for name, tensor in stage.model.state_dict().items()}
    stage.run()
    for name, tensor in stage.model.state_dict().items():
        if part_of(name) != part:
            assert torch.equal(tensor, before[name]), name
    assert any(not torch.equal(t, before[n]) for n, t in stage.model.state_dict().items())


def test_frozen_parts_get_no_gradients(tmp_path):
    stage = trainer(tmp_path, trains=("audio_projector",))
    batch = collate([stage.draw(0, 0)], 0)
    answer_loss(stage.model, batch)[0].sum().backward()
    graded = {name for name, tensor in stage.model.named_parameters() if tensor.grad is not None}
    assert graded and {part_of(name) for name in graded} == {"audio_projector"}


def test_micro_batches_sum_to_the_batch(tmp_path):
    losses = []
    for micro in (None, 1):
        stage = trainer(tmp_path / str(micro), trains=PROJECTORS, steps=2, micro_batch=micro)
        losses.append([row["loss"] for row in stage.run()])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_validation_in_micro_batches_is_that_of_the_whole(tmp_path):
    whole = trainer(tmp_path / "a")
    parts = trainer(tmp_path / "b", micro_batch=1)
    assert parts.validate() == pytest.approx(whole.validate(), abs=1e-5)


def test_answer_loss_is_cross_entropy_over_the_answer(tmp_path):
    stage = trainer(tmp_path)
    stage.model.eval()
    batch = collate([stage.draw(0, 0), stage.draw(0, 1)], 0)
    losses, _ = answer_loss(stage.model, batch)
    for index in range(2):
        single = {name: tensor[index : index + 1] for name, tensor in batch.items()}
        assert (single["labels"] != IGNORED).sum() == len(stage.draw(0, index).answer_ids)
        expected = stage.model(**single).loss
        torch.testing.assert_close(losses[index], expected, atol=1e-5, rtol=1e-5)


def test_saved_parts_load_into_a_fresh_model(tmp_path):
    stage = trainer(tmp_path / "run", steps=2)
    stage.run()
    save_trained_parts(stage.model, LORA, tmp_path / "parts", {"fusion": "x"}, torch.float32)
    fresh = tiny_model(**CHANGES)
    load_trained_parts(fresh, tmp_path / "parts")
    batch = collate([stage.draw(0, 0)], 0)
    stage.model.eval()
    fresh.eval()
    torch.testing.assert_close(fresh(**batch).logits, stage.model(**batch).logits)


def test_a_language_model_trained_whole_is_kept_and_loaded(tmp_path):
    stage = trainer(tmp_path / "run", trains=("language_model",), lora=None, steps=2)
    stage.run()
    save_trained_parts(stage.model, None, tmp_path / "parts", {}, torch.float32, whole=True)
    fresh = tiny_model(**CHANGES)
    load_trained_parts(fresh, tmp_path / "parts")
    own = dict(fresh.named_parameters())
    untrained = dict(tiny_model(**CHANGES).named_parameters())
    changed = 0
    for name, parameter in stage.model.named_parameters():
        if part_of(name) == "language_model":
            assert torch.equal(own[name], parameter)
            changed += not torch.equal(untrained[name], parameter)
    assert changed


def test_adapters_over_a_language_model_trained_whole_are_kept_and_loaded(tmp_path):
    stage = trainer(tmp_path / "run", trains=("language_model",), steps=1)
    stage.run()
    save_trained_parts(stage.model, LORA, tmp_path / "parts", {}, torch.float32, whole=True)
    again = tiny_model(seed=5, **CHANGES)
    load_trained_parts(again, tmp_path / "parts")
    own = dict(stage.model.named_parameters())
    for name, parameter in again.named_parameters():
        if part_of(name) == "language_model":
            assert torch.equal(parameter, own[name]), name


def test_parts_left_by_another_run_are_not_loaded(tmp_path):
    stage, folder = trainer(tmp_path / "run", steps=1), tmp_path / "parts"
    save_trained_parts(stage.model, LORA, folder, {})
    (folder / "language_model.safetensors").write_bytes(b"left over")
    assert load_trained_parts(tiny_model(**CHANGES), folder) == LORA
    save_trained_parts(tiny_model(**CHANGES), None, folder, {})
    assert sorted(path.name for path in folder.iterdir()) == [
        "trained_parts.json",
        "trained_parts.safetensors",
    ]
    assert load_trained_parts(tiny_model(**CHANGES), folder) is None


def test_parts_are_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    folder, first = tmp_path / "parts", tiny_model(**CHANGES)
    save_trained_parts(first, None, folder, {"stage": "first"})

    def fails(*arguments, **more):
        raise OSError("no space left")

    with monkeypatch.context() as broken:
        broken.setattr("openaffect.models.trained_parts.write_settings", fails)
        with pytest.raises(OSError):
            save_trained_parts(tiny_model(seed=5, **CHANGES), None, folder, {"stage": "second"})
    load_trained_parts(tiny_model(**CHANGES), folder)
    assert read_settings(folder)["stage"] == "first"
    folder.rename(tmp_path / ".parts.former")  # killed between the two renames
    recover(folder)
    assert read_settings(folder)["stage"] == "first"
    save_trained_parts(first, None, folder, {"stage": "third"})
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]


def test_half_precision_parts_learn_in_single(tmp_path):
    model = tiny_model(fusion="cross_attention", **CHANGES).bfloat16()
    widen(model)
    trained = freeze_all_but(model, ("audio_projector", "language_model"), LORA)
    for name, parameter in model.named_parameters():
        wide = part_of(name) in (*PROJECTORS, "fusion") or ".lora_" in name
        assert parameter.dtype == (torch.float32 if wide else torch.bfloat16), name
        assert parameter.requires_grad == (name in trained)
    draw = Draw(model, tiny_processor(model.config))
    stage = Trainer(model, draw, [draw(9, 0)], schedule(steps=1), tmp_path, 0, 7, lambda: None)
    assert math.isfinite(stage.run()[0]["loss"])


def test_adapters_take_the_dropout_of_the_recipe():
    model = tiny_model(**CHANGES)
    for dropout in (0.3, 0.0):
        settings = dataclasses.replace(LORA, lora_dropout=dropout)
        freeze_all_but(model, ("language_model",), settings)
        found = {m.dropout.p for m in model.modules() if isinstance(m, LoraLinear)}
        assert found == {dropout}


def test_fusion_may_begin_where_the_stage_before_had_none(tmp_path):
    before, folder = tiny_model(**CHANGES), tmp_path / "parts"
    save_trained_parts(before, None, folder, {}, torch.float32)
    after = tiny_model(fusion="cross_attention", **CHANGES)
    own = {k: v.clone() for k, v in after.state_dict().items() if part_of(k) == "fusion"}
    with pytest.raises(WeightsError, match="do not fit"):
        load_trained_parts(after, folder)
    load_trained_parts(after, folder, ("fusion",))
    for name, tensor in after.state_dict().items():
        if part_of(name) == "fusion":
            assert torch.equal(tensor, own[name])
        elif part_of(name) in PROJECTORS:
            assert torch.equal(tensor, before.state_dict()[name])


def test_parts_of_another_shape_are_refused(tmp_path):
    stage = trainer(tmp_path / "run", steps=1)
    save_trained_parts(stage.model, LORA, tmp_path / "parts", {})
    with pytest.raises(WeightsError, match="do not fit"):
        load_trained_parts(tiny_model(audio_crop=True), tmp_path / "parts")


def test_a_part_that_is_not_there_cannot_train():
    with pytest.raises(WeightsError, match="no part fusion"):
        freeze_all_but(tiny_model(**CHANGES), ("fusion",), None)


def test_the_rate_warms_up_and_decays():
    plan = schedule(steps=100, warmup=0.1)
    rates = [rate(step, plan) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(1.0, abs=0.02)
    assert rates[9] == 1.0 and rates[-1] < 0.01
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
