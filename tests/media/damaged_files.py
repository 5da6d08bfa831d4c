"""Run as a program: reads many seeded mutations of good files and prints what each attempt gave.

    python damaged_files.py FOLDER COUNT SEED

One JSON line per file: {"name", "mutation", "outcome", "seconds"}. A crash or a hang shows itself
to the caller as a bad exit status or as missing lines.
"""

import json
import random
import resource
import sys
import time
from pathlib import Path

from openaffect.errors import OpenAffectError
from openaffect.media.limits import Limits
from openaffect.media.reader import read_clip
from openaffect.media.sampling import Sampling

MEMORY = 6 * 2**30  # bytes of address space
# The door turns every exception into one line; these would be bugs of the reader behind it.
OWN_MISTAKES = (TypeError, AttributeError, NameError, AssertionError, KeyError, ZeroDivisionError)
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE, 0x10000)


def flip_bytes(data: bytearray, rng: random.Random) -> None:
    """Random bytes at random places."""
    for _ in range(rng.choice((1, 4, 32, 200))):
        data[rng.randrange(len(data))] = rng.randrange(256)


def poison_numbers(data: bytearray, rng: random.Random) -> None:
    """Extreme 32-bit numbers, mostly in the header."""
    for _ in range(rng.choice((1, 3, 10))):
        span = len(data) if rng.random() < 0.4 else min(len(data), 1500)
        place = rng.randrange(max(span - 4, 1))
        data[place : place + 4] = rng.choice(INTERESTING).to_bytes(4, rng.choice(("big", "little")))


def cut(data: bytearray, rng: random.Random) -> None:
    """The end is missing."""
    del data[rng.randrange(1, len(data)) :]


def drop_block(data: bytearray, rng: random.Random) -> None:
    """A piece in the middle is missing."""
    place = rng.randrange(len(data))
    del data[place : place + rng.randrange(1, 600)]
    if not data:
        data.append(0)


def repeat_block(data: bytearray, rng: random.Random) -> None:
    """A piece occurs twice."""
    place = rng.randrange(len(data))
    data[place:place] = data[place : place + rng.randrange(1, 600)]


def blank_block(data: bytearray, rng: random.Random) -> None:
    """A piece is zero."""
    place = rng.randrange(len(data))
    length = min(rng.randrange(1, 2000), len(data) - place)
    data[place : place + length] = bytes(length)


MUTATIONS = (flip_bytes, poison_numbers, cut, drop_block, repeat_block, blank_block)


def main(folder: Path, count: int, seed: int) -> None:
    """Reads `count` mutations of the files in `folder`."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    good = sorted(path for path in folder.iterdir() if path.is_file())
    rng = random.Random(seed)
    for number in range(count):
        source = good[number % len(good)]
        data = bytearray(source.read_bytes())
        mutation = rng.choice(MUTATIONS)
        mutation(data, rng)
        target = folder / "damaged" / source.name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(data)
        began = time.perf_counter()
        try:
            clip = read_clip(target, sampling=Sampling("uniform", 4), limits=Limits(max_seconds=60))
            outcome = "clip" if clip.frames is not None or clip.audio is not None else "nothing"
        except OpenAffectError as error:
            text = str(error)
            outcome = "refused" if "\n" not in text and str(target) in text else f"unclear: {text}"
            if isinstance(error.__cause__, OWN_MISTAKES):
                outcome = f"mistake of ours: {error.__cause__!r}"
        except BaseException as error:
            outcome = f"foreign: {type(error).__name__}: {error}"
        spent = time.perf_counter() - began
        line = {"name": source.name, "mutation": mutation.__name__, "outcome": outcome}
        print(json.dumps({**line, "seconds": round(spent, 3)}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
