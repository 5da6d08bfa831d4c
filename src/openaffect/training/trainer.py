"""The training loop: one stage, resumable to the bit.

Nothing random is carried from step to step: the examples of step n and its dropout are drawn from
(seed, n), so that a run resumed at step n continues as the uninterrupted one.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from openaffect.corpora.replacing import replacing
from openaffect.errors import OpenAffectError
from openaffect.models.generation import MediaGeneration
from openaffect.models.trained_parts import part_of
from openaffect.training.batches import IGNORED, TokenExample, collate
from openaffect.training.checkpoint import complete_checkpoints, load_checkpoint, save_checkpoint
from openaffect.training.recipe import Schedule

HISTORY_FILE = "history.jsonl"

Objective = Callable[[MediaGeneration, dict[str, Tensor]], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Progress:
    """What the caller is told after a step."""

    step: int  # steps done
    steps: int  # steps in all
    loss: float  # of this step
    validation: float | None  # newest validation loss


def answer_loss(model: MediaGeneration, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Each example's mean cross entropy over its answer (B,), and whether all of it is right (B,).

    A short answer weighs as much as a long one. Logits are made for answer positions only.
    """
    labels = batch["labels"][:, 1:]
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    hidden = model.model(**inputs, use_cache=False).last_hidden_state[:, :-1]
    rows, columns = (labels != IGNORED).nonzero(as_tuple=True)
    logits = model.lm_head(hidden[rows, columns]).float()
    targets = labels[rows, columns]
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    wrong = (logits.argmax(-1) != targets).float()
    counts = torch.zeros(len(labels), device=losses.device).index_add(
        0, rows, torch.ones_like(losses)
    )
    sums = torch.zeros(len(labels), device=losses.device).index_add(0, rows, losses)
    mistakes = torch.zeros(len(labels), device=losses.device).index_add(0, rows, wrong)
    return sums / counts.clamp(min=1), mistakes == 0


def rate(step: int, schedule: Schedule) -> float:
    """Share of the full learning rate at a step: linear warm-up, then cosine decay.

    `cosine` warms up from zero and decays to zero over what is left. The published schedules are
    LAVIS's, whose cosine runs from the first step on: it is ahead already when the warm-up ends.
    `published_in_epoch` counts the steps of the warm-up within each epoch, as the released code
    does: with epochs shorter than the warm-up the rate is a saw until the warm-up is over.
    """
    if schedule.shape != "cosine":
        return _published_rate(step, schedule)
    warmup = max(1, round(schedule.warmup * schedule.steps))
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, schedule.steps - warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _published_rate(step: int, schedule: Schedule) -> float:
    """LAVIS's linear warm-up and cosine decay, as a share of the full learning rate."""
    warmup = round(schedule.warmup * schedule.steps)
    first, least = (
        value / schedule.learning_rate
        for value in (schedule.warmup_learning_rate, schedule.min_learning_rate)
    )
    if step < warmup:
        within = step % schedule.epoch_steps if schedule.shape == "published_in_epoch" else step
        return first + (1 - first) * within / warmup
    return (1 - least) * 0.5 * (1 + math.cos(math.pi * step / schedule.steps)) + least


def make_optimizer(model: MediaGeneration, schedule: Schedule) -> torch.optim.AdamW:
    """AdamW over the parameters that train, the language model's at their own rate."""
    own: list[Tensor] = []
    language: list[Tensor] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (language if part_of(name) == "language_model" else own).append(parameter)
    language_rate = schedule.language_model_learning_rate or schedule.learning_rate
    groups = []
    for parameters, full in ((own, schedule.learning_rate), (language, language_rate)):
        for decayed in (True, False):
            chosen = [p for p in parameters if (p.dim() > 1 or schedule.decay_all) == decayed]
            decay = schedule.weight_decay if decayed else 0.0
            if chosen:
                groups.append(
                    {"params": chosen, "lr": full, "full_rate": full, "weight_decay": decay}
                )
    return torch.optim.AdamW(groups, betas=(0.9, schedule.beta2))


class Trainer:
    """Runs one stage over examples drawn by `draw(step, index)`.

    Args:
        model: with exactly the parts to train requiring gradients.
        draw: gives example `index` of step `step`; the same for the same arguments.
        validation: fixed examples.
        output: folder of checkpoints and history.
        save_best: called whenever the validation loss is the best so far.
        objective: each example's loss, and whether its answer is right; None takes `answer_loss`.
    """

    def __init__(
        self,
        model: MediaGeneration,
        draw: Callable[[int, int], TokenExample],
        validation: Sequence[TokenExample],
        schedule: Schedule,
        output: Path,
        pad_id: int,
        seed: int,
        save_best: Callable[[], None],
        objective: Objective | None = None,
    ) -> None:
        self.model = model
        self.draw = draw
        self.validation = validation
        self.schedule = schedule
        self.output = output
        self.pad_id = pad_id
        self.seed = seed
        self.save_best = save_best
        self.objective = objective or answer_loss
        self.optimizer = make_optimizer(model, schedule)
        self.step = 0
        self.best = math.inf
        self.history: list[dict] = []

    def resume(self) -> bool:
        """Continue from the newest complete checkpoint of the output folder, if there is one."""
        found = complete_checkpoints(self.output)
        if not found:
            return False
        state = load_checkpoint(found[-1], self.model, self.optimizer)
        self.step, self.history = state["step"], state["history"]
        self.best = math.inf if state["best"] is None else state["best"]
        return True

    def run(self, report: Callable[[Progress], None] = lambda progress: None) -> list[dict]:
        """Train to the last step; returns the history: one row a step.

        Raises:
            OpenAffectError: the loss is no longer finite.
        """
        if self.schedule.gradient_checkpointing:
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
        while self.step < self.schedule.steps:
            row = {"step": self.step + 1, "loss": self._train_step()}
            self.step += 1
            last = self.step == self.schedule.steps
            if last or self.step % self.schedule.validate_every == 0:
                row |= self.validate()
                if row["validation"] < self.best:
                    self.best = row["validation"]
                    self.save_best()
            self.history.append(row)
            if last or self.step % self.schedule.checkpoint_every == 0:
                self._checkpoint()
            newest = next((r["validation"] for r in self.history[::-1] if "validation" in r), None)
            report(Progress(self.step, self.schedule.steps, row["loss"], newest))
        return self.history

    def _train_step(self) -> float:
        self.model.train()
        torch.manual_seed(self.seed * 1_000_003 + self.step)
        share = rate(self.step, self.schedule)
        for group in self.optimizer.param_groups:
            group["lr"] = group["full_rate"] * share
        size = self.schedule.batch_size
        examples = [self.draw(self.step, index) for index in range(size)]
        micro = self.schedule.micro_batch or size
        # Alike lengths together: less padding to compute, the same gradient.
        examples.sort(key=lambda example: len(example.prompt_ids) + len(example.answer_ids))
        total = 0.0
        for start in range(0, size, micro):
            part = examples[start : start + micro]
            losses, _ = self.objective(self.model, self._batch(part))
            loss = losses.sum() / size
            loss.backward()
            total += loss.item()
        if not math.isfinite(total):
            raise OpenAffectError(
                f"the loss is {total} at step {self.step + 1}; lower schedule.learning_rate"
            )
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        if self.schedule.gradient_clip is not None:
            torch.nn.utils.clip_grad_norm_(trained, self.schedule.gradient_clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return total

    def _batch(self, examples: Sequence[TokenExample]) -> dict[str, Tensor]:
        device = self.model.device
        return {name: t.to(device) for name, t in collate(examples, self.pad_id).items()}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mean loss and share of answers that are right to the letter, on the validation set."""
        self.model.eval()
        losses, right = [], []
        size = self.schedule.micro_batch or self.schedule.batch_size
        for start in range(0, len(self.validation), size):
            part = self.validation[start : start + size]
            loss, correct = self.objective(self.model, self._batch(part))
            losses.append(loss.cpu())
            right.append(correct.float().cpu())
        return {
            "validation": torch.cat(losses).mean().item(),
            "exact": torch.cat(right).mean().item(),
        }

    def _checkpoint(self) -> None:
        best = None if math.isinf(self.best) else self.best
        state = {"best": best, "history": self.history}
        # First: a run whose last checkpoint is there writes nothing more.
        with replacing(self.output / HISTORY_FILE) as partial:
            partial.write_text("".join(json.dumps(row) + "\n" for row in self.history))
        save_checkpoint(self.output, self.step, self.model, self.optimizer, state)
