"""Several clips' questions through the language model together, a token of each in one pass.

Every conversation of a batch runs in a thread of its own, just as it would alone, and only one at a
time: what it feeds waits until all others have something to feed, too, or have ended. Then all of
it goes through the model at once, every clip with its own cache, padded to the longest. So clips
whose caches are about equally long are put into one batch.

The answers are those of one clip after another, up to the rounding of sums in another order.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache

from openaffect.errors import OpenAffectError
from openaffect.inference.answers import MAX_CLUE_TOKENS, Conversation, FreeConversation, Reason
from openaffect.inference.engine import Stream
from openaffect.prompts.conversation import STREAM_QUESTIONS
from openaffect.results.analysis import Analysis

if TYPE_CHECKING:
    from openaffect.inference.analyzer import Analyzer, Reading
    from openaffect.inference.options import AnalyzeOptions

WINDOW = 2  # batches' worth of clips that are read before the first batch is put together
Answer = TypeVar("Answer")


@dataclass
class _Turn:
    """Tokens that one stream waits to feed."""

    stream: Stream
    ids: Sequence[int]
    fed: bool = False
    error: Exception | None = None


class Batch:
    """Conversations that go through the model together.

    Args:
        count: how many there are.
    """

    def __init__(self, count: int) -> None:
        self._going = count
        self._turn = threading.Condition()  # held by the one conversation that runs
        self._waiting: list[_Turn] = []

    def join(self, talk: Conversation) -> Conversation:
        """Let a conversation, and those about its single streams, feed with the others."""
        talk.stream = _Member(self, talk.stream)
        alone = talk.alone
        if alone is not None:
            talk.alone = lambda name: self.join(alone(name))
        return talk

    def run(self, ask: Callable[[], Answer]) -> Answer:
        """Ask one conversation of the batch; to be called once for each, in a thread."""
        with self._turn:
            try:
                return ask()
            finally:
                self._going -= 1
                self._feed_if_all_wait()

    def feed(self, stream: Stream, ids: Sequence[int]) -> None:
        """Feed with the others; returns when that is done."""
        turn = _Turn(stream, ids)
        self._waiting.append(turn)
        self._feed_if_all_wait()
        self._turn.wait_for(lambda: turn.fed)
        if turn.error is not None:
            raise turn.error

    def _feed_if_all_wait(self) -> None:
        if not self._waiting or len(self._waiting) < self._going:
            return
        turns, self._waiting = self._waiting, []
        try:
            feed_together([turn.stream for turn in turns], [turn.ids for turn in turns])
        except Exception as error:
            for turn in turns:
                turn.error = error
        for turn in turns:
            turn.fed = True
        self._turn.notify_all()


class _Member(Stream):
    """A stream that feeds together with those of other clips."""

    def __init__(self, batch: Batch, stream: Stream) -> None:
        super().__init__(stream.model, stream.cache, stream.logits)
        self.batch = batch

    def fork(self) -> Stream:
        return _Member(self.batch, Stream(self.model, copy.deepcopy(self.cache), self.logits))

    def feed(self, ids: Sequence[int]) -> None:
        if ids:
            self.batch.feed(self, ids)

    def generate(
        self,
        limit: int,
        stop: Callable[[list[int]], bool],
        end_ids: Sequence[int] = (),
        drafts: Sequence[Sequence[int]] = (),
    ) -> list[int]:
        # A token of each clip goes through together; reading ahead would pad all the others.
        return super().generate(limit, stop, end_ids)

    def _read(self, ids: Sequence[int]) -> Tensor:
        self.batch.feed(self, ids)
        return self.logits[None]


@torch.inference_mode()
def feed_together(streams: Sequence[Stream], pieces: Sequence[Sequence[int]]) -> None:
    """Append given tokens to several streams of one model; as `Stream.feed` of each."""
    model = streams[0].model
    device = model.device
    past = [stream.cache.get_seq_length() for stream in streams]
    new = [len(ids) for ids in pieces]
    longest, most = max(past), max(new)
    joint = DynamicCache(config=model.config.get_text_config())
    for layer in range(len(streams[0].cache.layers)):
        keys, values = (
            torch.cat(
                [
                    pad(getattr(stream.cache.layers[layer], kind), (0, 0, longest - length, 0))
                    for stream, length in zip(streams, past, strict=True)
                ]
            )
            for kind in ("keys", "values")
        )
        joint.update(keys, values, layer)
    tokens = torch.tensor([[ids[0]] * (most - len(ids)) + list(ids) for ids in pieces])
    mask = torch.zeros(len(streams), longest + most, dtype=torch.long)
    places = torch.zeros(len(streams), most, dtype=torch.long)
    for row, (length, count) in enumerate(zip(past, new, strict=True)):
        mask[row, longest - length : longest] = 1
        mask[row, longest + most - count :] = 1
        places[row, most - count :] = torch.arange(length, length + count)
    output = model(
        input_ids=tokens.to(device),
        attention_mask=mask.to(device),
        position_ids=places.to(device),
        cache=joint,
        use_cache=True,
        logits_to_keep=1,
    )
    for row, (stream, count) in enumerate(zip(streams, new, strict=True)):
        for layer, made in enumerate(joint.layers):
            keys, values = made.keys[row : row + 1], made.values[row : row + 1]
            stream.cache.update(keys[:, :, -count:], values[:, :, -count:], layer)
        stream.logits = output.logits[row, -1].clone()


@torch.inference_mode()
def generate_together(
    streams: Sequence[Stream],
    limit: int,
    stop: Callable[[list[int]], bool],
    end_ids: Sequence[int] = (),
) -> list[list[int]]:
    """As `Stream.generate` of each of several streams of one model."""
    made: list[list[int]] = [[] for _ in streams]
    going = list(range(len(streams)))
    while going:
        likeliest = {place: int(streams[place].logits.argmax()) for place in going}
        going = [place for place in going if likeliest[place] not in end_ids]
        for place in going:
            made[place].append(likeliest[place])
        if going:
            feed_together([streams[p] for p in going], [[likeliest[p]] for p in going])
        going = [p for p in going if len(made[p]) < limit and not stop(made[p])]
    return made


def reason_together(talk: Conversation) -> Reason:
    """As `talk.reason()`, what each stream shows being told a token of each in one pass."""
    if isinstance(talk, FreeConversation):
        return talk.reason()
    names = talk.given.streams
    talks = [talk.about(name) for name in names]
    asked = [one.asked(STREAM_QUESTIONS[name]) for one, name in zip(talks, names, strict=True)]
    made = generate_together(asked, MAX_CLUE_TOKENS, talk.is_sentence, talk.dialogue.end_ids)
    return talk.reason({name: talk.clues(ids) for name, ids in zip(names, made, strict=True)})


@dataclass
class _Held:
    """A clip that was read and waits for its batch."""

    number: int
    path: Path
    reading: Reading = field(repr=False)
    talk: Conversation = field(repr=False)

    @property
    def length(self) -> int:
        """Tokens in its cache."""
        return int(self.talk.stream.cache.get_seq_length())


def analyze_in_batches(
    analyzer: Analyzer, paths: Sequence[Path], options: AnalyzeOptions, size: int
) -> Iterator[tuple[int, Analysis | Exception]]:
    """The number of each clip with its Analysis, or with the error that it ended in, as they come.

    Long clips, which are read in segments, are analysed by themselves, as is every one at size 1.
    """
    held: list[_Held] = []
    for number, path in enumerate(paths):
        try:
            reading = analyzer.read_short(path, options) if size > 1 else None
            if reading is None:
                yield number, analyzer.analyze(path, options=options)
                continue
            held.append(_Held(number, path, reading, analyzer.converse(reading)))
        except Exception as error:
            yield number, error
        if len(held) >= WINDOW * size:
            held.sort(key=lambda clip: clip.length)
            batch, held = held[:size], held[size:]
            yield from _answered(analyzer, batch, options)
    held.sort(key=lambda clip: clip.length)
    for first in range(0, len(held), size):
        yield from _answered(analyzer, held[first : first + size], options)


def _answered(
    analyzer: Analyzer, clips: Sequence[_Held], options: AnalyzeOptions
) -> list[tuple[int, Analysis | Exception]]:
    """What the model says of each clip of one batch."""
    batch = Batch(len(clips))
    found: list[Analysis | Exception] = [OpenAffectError("not answered") for _ in clips]

    def ask(place: int) -> None:
        clip = clips[place]
        try:
            found[place] = batch.run(
                lambda: analyzer.findings(clip.reading, batch.join(clip.talk), options, clip.path)
            )
        except Exception as error:
            found[place] = error

    threads = [
        threading.Thread(target=ask, args=(place,), daemon=True) for place in range(len(clips))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [(clip.number, answer) for clip, answer in zip(clips, found, strict=True)]
