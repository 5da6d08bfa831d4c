"""What a step is, and the order in which steps are run.

A step reads a sample (and, where it declares `clip`, the media at the desk) and returns the sample
with what it adds. It declares the names of what it reads and makes: `clip`, a field of the sample,
the name of a signal, or the kind of an annotation. What a step reads may be absent in a clip (no
face, no voice): it then adds nothing for it, and never makes up a value.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from openaffect.annotation.sample import Sample
from openaffect.errors import ConfigError

if TYPE_CHECKING:
    from openaffect.annotation.desk import Desk

FIELDS = frozenset(field.name for field in dataclasses.fields(Sample))
FROM_THE_START = frozenset(
    ("clip", "id", "source", "licence", "split", "speaker", "language", "given_label", "subtitle")
)
"""What every sample brings before any step was run."""


class Step(Protocol):
    """One unit of work on one sample."""

    @property
    def name(self) -> str:
        """Unique within a pipeline."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of what it reads."""

    @property
    def makes(self) -> tuple[str, ...]:
        """Names of what it makes."""

    @property
    def stamp(self) -> str:
        """Version of the step, and whatever else its result depends on (settings, model): a sample
        with another stamp is made anew, from this step on."""

    def run(self, sample: Sample, desk: Desk) -> Sample:
        """The sample with what this step makes; the same for the same sample, clip and stamp."""


def ordered(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Steps so that each comes after those that make what it reads; otherwise as given.

    Raises ConfigError for two steps of one name, two makers of one result, something read that
    nothing makes, and steps that wait for each other.
    """
    makers: dict[str, str] = {}
    names: set[str] = set()
    for step in steps:
        if step.name in names:
            raise ConfigError(f"two steps of one pipeline are called {step.name!r}")
        names.add(step.name)
        for made in step.makes:
            if made in makers:
                raise ConfigError(f"steps {makers[made]!r} and {step.name!r} both make {made!r}")
            makers[made] = step.name
    for step in steps:
        for read in step.reads:
            if read not in makers and read not in FROM_THE_START:
                raise ConfigError(f"step {step.name!r} reads {read!r}, which no step makes")
    waiting, order, done = list(steps), list[Step](), set[str]()
    while waiting:
        ready = next((s for s in waiting if upstream(s, makers) <= done), None)
        if ready is None:
            told = ", ".join(step.name for step in waiting)
            raise ConfigError(f"these steps wait for each other: {told}")
        waiting.remove(ready)
        order.append(ready)
        done.add(ready.name)
    return tuple(order)


def upstream(step: Step, makers: dict[str, str]) -> set[str]:
    """Names of the steps that make what a step reads, itself left out."""
    return {makers[read] for read in step.reads if read in makers} - {step.name}


def run_steps(
    sample: Sample, steps: Sequence[Step], desk: Desk, previous: Sample | None = None
) -> Sample:
    """Run steps, given in order, on a sample that none was run on.

    What a step made in `previous`, an earlier outcome for the same sample, is taken over where its
    stamp and those of all that it rests on are the same.
    """
    makers = {made: step.name for step in steps for made in step.makes}
    changed: set[str] = set()
    for step in steps:
        known = previous is not None and previous.steps.get(step.name) == step.stamp
        if previous is not None and known and not upstream(step, makers) & changed:
            sample = taken_over(sample, previous, step.makes)
        else:
            sample = step.run(sample, desk)
            changed.add(step.name)
        sample = dataclasses.replace(sample, steps={**sample.steps, step.name: step.stamp})
    return sample


def taken_over(sample: Sample, previous: Sample, names: Sequence[str]) -> Sample:
    """The sample with what is called `names` in `previous`: fields, signals and annotations."""
    fields: dict[str, Any] = {name: getattr(previous, name) for name in names if name in FIELDS}
    sample = dataclasses.replace(sample, **fields)  # at once: a rejection needs its reasons
    for name in names:
        if name in previous.signals:
            sample = sample.with_signal(name, previous.signals[name])
        annotation = previous.annotation(name)
        if annotation is not None:
            sample = sample.annotated(annotation)
    return sample
