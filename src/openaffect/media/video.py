"""Pictures of a clip: an index of all its packets, then one decode that keeps the wanted frames."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from openaffect.media.door import seconds
from openaffect.media.formats import (
    RANDOM_ACCESS_DECODERS,
    SKIPPING_DECODERS,
    UNTIMED_CONTAINERS,
)
from openaffect.media.geometry import Orientation, capped_size, orientation, square_size
from openaffect.media.limits import Limits

MAX_THREADS = 4
LONGEST_FRAME = 3600  # seconds; a stated duration beyond comes from damage
HELD_PACKETS, HELD_BYTES = 1200, 64 * 2**20  # of two groups of pictures, held back at most
SHORTEST_GAP = 8  # packets; emptying and restarting the decoder costs about as much


@dataclass
class PacketIndex:
    """What the packets of a video stream say, in the order in which they are stored."""

    pts: list[int | None] = field(default_factory=list)  # stated display time, stream time base
    keyframe: list[bool] = field(default_factory=list)  # decoding may begin here
    hidden: list[bool] = field(default_factory=list)  # decoded but never displayed (edit lists)
    last_duration: int = 0  # stated duration of the packet displayed last, stream time base
    _last_pts: int | None = None

    def add(self, packet: Any) -> None:
        """Notes one packet."""
        known = seconds(packet.pts, packet.time_base) is not None
        self.pts.append(packet.pts if known else None)
        self.keyframe.append(packet.is_keyframe)
        self.hidden.append(packet.is_discard)
        if known and (self._last_pts is None or packet.pts >= self._last_pts):
            self._last_pts, self.last_duration = packet.pts, packet.duration or 0


@dataclass(frozen=True)
class Timeline:
    """When each frame of a stream is displayed."""

    ticks: np.ndarray  # (N,) int64 display times in the stream's time base, ascending
    times: np.ndarray  # (N,) float64 the same in seconds on the clip's clock
    packets: np.ndarray  # (N,) int64 position in the file of the packet that begins the frame
    end: float  # seconds, when the last frame leaves the screen
    by_order: bool  # decoder output has no usable times: its k-th frame is the k-th of these


def timeline(
    index: PacketIndex, time_base: Fraction, rate: Fraction | None, origin: float, container: str
) -> Timeline:
    """Display times of all frames from the packets alone, nothing decoded.

    A packet without a time continues the frame before it (the second field of interlaced video),
    unless most have none: then frames follow each other at the declared rate.
    """
    step = max(round(1 / (rate * time_base)), 1) if rate else 1
    first = round(Fraction(origin) / time_base)
    shown = np.array([i for i, hidden in enumerate(index.hidden) if not hidden], np.int64)
    timed = np.array([i for i in shown if index.pts[i] is not None], np.int64)
    by_order = container in UNTIMED_CONTAINERS
    if 2 * len(timed) >= len(shown):
        stated = np.array([index.pts[i] for i in timed], np.int64)
        order = np.argsort(stated, kind="stable")
        places, ticks = timed[order], stated[order]
        if by_order and len(ticks):
            ticks = ticks - ticks[0] + first
    else:
        by_order = True
        places, ticks = shown, np.arange(len(shown), dtype=np.int64) * step + first
    times = ticks * float(time_base) - origin
    spacing = np.diff(ticks)
    usual = int(np.median(spacing)) if len(spacing) else step
    last = index.last_duration if 0 < index.last_duration * time_base < LONGEST_FRAME else usual
    end = float(times[-1] + last * time_base) if len(times) else 0.0
    return Timeline(ticks, times, places, end, by_order)


@dataclass
class Pictures:
    """Frames that a decode has kept."""

    pixels: np.ndarray | None = None  # (wanted, H, W, 3) uint8; the first len(times) are filled
    times: list[float] = field(default_factory=list)  # seconds on the clip's clock
    width: int = 0  # of the first frame, upright, square pixels, before scaling
    height: int = 0
    damaged: int = 0  # packets that the decoder refused
    complete: bool = False  # every wanted frame appeared with its own time


class Scaler:
    """Decoded frames to upright RGB of one size; a stream that changes keeps its first frame's."""

    def __init__(self, aspect: Fraction | None, max_side: int) -> None:
        self.width = 0  # of the first frame, upright, square pixels, before scaling
        self.height = 0
        self._aspect = aspect
        self._max_side = max_side
        # A frame's full orientation is read once: looking at its side data ties PyAV's frame into a
        # reference cycle that keeps its memory.
        self._turn = Orientation()
        self._size = (0, 0)  # of the kept frames as coded, before turning them upright

    def prepare(self, frame: Any) -> tuple[int, int]:
        """Height and width of the pictures to come, settled by the first frame."""
        if not self.width:
            self._turn = turn = orientation(frame)
            width, height = square_size(frame.width, frame.height, self._aspect)
            self.width, self.height = (height, width) if turn.transpose else (width, height)
            self._size = capped_size(width, height, self._max_side)
        across, down = self._size[::-1] if self._turn.transpose else self._size
        return down, across

    def picture(self, frame: Any) -> np.ndarray:
        """The frame as (H, W, 3) uint8 RGB."""
        from av.video.reformatter import Interpolation

        self.prepare(frame)
        rgb = frame.reformat(*self._size, "rgb24", interpolation=Interpolation.BICUBIC)
        return self._turn.apply(rgb.to_ndarray())


class FramePicker:
    """Keeps the frames on display at the wanted times out of a stream of decoded frames."""

    def __init__(
        self,
        wanted: list[int],
        line: Timeline,
        aspect: Fraction | None,
        max_side: int,
        name: str,
        limits: Limits,
    ) -> None:
        self.pictures = Pictures()
        self._wanted = wanted
        self._line = line
        self._scaler = Scaler(aspect, max_side)
        self._name = name
        self._limits = limits
        self._next = 0  # position in wanted
        self._exact = 0  # wanted frames that appeared with their own time
        self._count = 0  # frames seen
        self._previous: tuple[Any, int] | None = None  # the latest unused frame and its rank

    @property
    def done(self) -> bool:
        """Whether every wanted frame has been dealt with."""
        return self._next >= len(self._wanted)

    def see(self, frame: Any) -> None:
        """Takes the next decoded frame in display order."""
        self._limits.check_pixels(self._name, frame.width, frame.height)
        rank = self._rank(frame)
        self._count += 1
        # Wanted frames that never appeared: what was on display then stands in for them.
        while not self.done and self._wanted[self._next] < rank:
            if self._previous is not None:
                self._keep(*self._previous)
                self._previous = None
            self._next += 1
        if not self.done and self._wanted[self._next] == rank:
            self._keep(frame, rank)
            self._exact += 1
            self._next += 1
            self._previous = None
        else:
            self._previous = (frame, rank)

    def finish(self) -> Pictures:
        """Ends the stream and gives what was kept."""
        if not self.done and self._previous is not None:
            self._keep(*self._previous)
        self._previous = None
        self._next = len(self._wanted)
        self.pictures.complete = self._exact == len(self._wanted)
        return self.pictures

    def _rank(self, frame: Any) -> int:
        """The place of a frame among all frames of the stream in display order."""
        if self._line.by_order or frame.pts is None:
            return self._count
        return int(np.searchsorted(self._line.ticks, frame.pts))

    def _keep(self, frame: Any, rank: int) -> None:
        pictures = self.pictures
        if pictures.pixels is None:
            down, across = self._scaler.prepare(frame)
            pictures.width, pictures.height = self._scaler.width, self._scaler.height
            self._limits.check_picked(self._name, len(self._wanted), across, down)
            pictures.pixels = np.empty((len(self._wanted), down, across, 3), np.uint8)
        pictures.pixels[len(pictures.times)] = self._scaler.picture(frame)
        pictures.times.append(float(self._line.times[min(rank, len(self._line.times) - 1)]))


@dataclass(frozen=True)
class Plan:
    """Which packets are decoded for the wanted frames."""

    feed: np.ndarray  # (N packets,) bool, in file order: decode this packet
    full: np.ndarray  # (N packets,) bool: its frame is wanted or may be referred to by others
    # Where full is False, a frame that no other refers to is skipped by the decoder itself.


def plan(wanted: list[int], line: Timeline, index: PacketIndex, codec: str) -> Plan:
    """The cheapest exact way to the wanted frames.

    Everything up to the last wanted frame, less the groups of pictures that hold none of them and
    less the frames that no other refers to, where codec and container make that safe.
    """
    count = len(index.pts)
    feed, full = np.zeros(count, bool), np.ones(count, bool)
    ends = [_frame_end(int(place), index) for place in line.packets[wanted]]
    if line.by_order or codec not in RANDOM_ACCESS_DECODERS:
        feed[: max(ends, default=0)] = True
    else:
        keys = np.flatnonzero(index.keyframe)
        for place, end in zip(line.packets[wanted], ends, strict=True):
            group = int(np.searchsorted(keys, place, side="right")) - 1
            # A picture stored after a keyframe but shown before it leans on the group before.
            while group >= 0 and _earlier(index.pts[place], index.pts[keys[group]]):
                group -= 1
            feed[keys[group] if group >= 0 else 0 : end] = True
        _close_gaps(feed)
    if codec in SKIPPING_DECODERS and not line.by_order:
        full[:] = False
        for place, end in zip(line.packets[wanted], ends, strict=True):
            full[place:end] = True
    return Plan(feed, full)


def plan_everything(index: PacketIndex) -> Plan:
    """The plan that decodes every packet, for streams whose marks cannot be trusted."""
    return Plan(np.ones(len(index.pts), bool), np.ones(len(index.pts), bool))


def _frame_end(place: int, index: PacketIndex) -> int:
    """One past the last packet of the frame that begins at a packet."""
    end = place + 1
    while end < len(index.pts) and index.pts[end] is None:
        end += 1
    return end


def _earlier(one: int | None, other: int | None) -> bool:
    return one is not None and other is not None and one < other


def _close_gaps(feed: np.ndarray) -> None:
    """Marks short unmarked runs: leaving out a few packets costs more than decoding them."""
    marked = np.flatnonzero(feed)
    for before, after in pairwise(marked):
        if 1 < after - before <= SHORTEST_GAP:
            feed[before:after] = True


def decode(container: Any, stream: Any, picker: FramePicker, which: Plan) -> Pictures:
    """One pass over the stream in which only the planned packets are decoded."""
    import av

    context = stream.codec_context
    context.thread_type = "AUTO"
    context.thread_count = min(os.cpu_count() or 1, MAX_THREADS)
    pictures = picker.pictures
    running = False

    def run(packet: Any) -> None:
        try:
            frames = context.decode(packet)
        except av.FFmpegError:
            pictures.damaged += 1
            return
        for frame in frames:
            picker.see(frame)

    last = int(np.flatnonzero(which.feed)[-1]) if which.feed.any() else -1
    for place, packet in enumerate(packets(container, stream)):
        if place > last or picker.done:
            break
        if which.feed[place]:
            context.skip_frame = "DEFAULT" if which.full[place] else "NONREF"
            run(packet)
            running = True
        elif running:
            run(None)
            context.flush_buffers()
            running = False
    if not picker.done:
        run(None)
    return picker.finish()


class LeadIn:
    """The packets to decode for what is displayed from a second on, when they come one by one.

    Of those before, two groups of pictures are wanted: that in which the second lies, and the one
    before, for a picture may refer to it where a key picture is damaged or renewed in parts.

    Args:
        stream: of pictures.
        origin: second of the file's clock at which the clip's begins.
        first: second of the clip's clock from which pictures are wanted.
    """

    def __init__(self, stream: Any, origin: float, first: float) -> None:
        untimed = UNTIMED_CONTAINERS.intersection(stream.container.format.name.split(","))
        skips = stream.codec_context.name in RANDOM_ACCESS_DECODERS and not untimed
        self._first = origin + first if skips else -math.inf
        self._held: list[Any] | None = []  # None: the part has begun
        self._key = 0  # place of the last key picture held
        self._bytes = 0  # that are held

    def due(self, packet: Any) -> list[Any]:
        """The packets to decode now that this one has come."""
        if self._held is None:
            return [packet]
        at = seconds(packet.pts, packet.time_base)
        if packet.is_keyframe and not packet.is_discard and at is not None and at <= self._first:
            # A packet that changes how the stream is to be decoded counts for all later ones.
            kept = [old for old in self._held[: self._key] if old.has_sidedata("new_extradata")]
            self._held = kept + self._held[self._key :]
            self._key, self._bytes = len(self._held), sum(old.size for old in self._held)
        self._held.append(packet)
        self._bytes += packet.size
        few = len(self._held) < HELD_PACKETS and self._bytes < HELD_BYTES
        if at is not None and at < self._first and few:
            return []
        return self.rest()

    def rest(self) -> list[Any]:
        """The packets that are still held back, when the part begins or the file ends."""
        due, self._held = self._held or [], None
        return due


def packets(container: Any, *streams: Any) -> Iterator[Any]:
    """The packets of streams up to the end of the file or to where it is damaged beyond reading."""
    import av

    source = container.demux(*streams)
    while True:
        try:
            packet = next(source)
        except (StopIteration, av.FFmpegError):
            return
        if packet.size:
            yield packet
