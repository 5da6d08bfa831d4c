"""Seconds of the first question on a clip and of a follow-up, whose prefix is kept.

    python benchmarks/follow_up.py [--clip CLIP] [--repeats 3] [--threads 1]

The first question reads the clip (decoding, faces, speech recognition, prefix) and answers, alone
as in a chat or with the whole analysis as on the page; asked later, it is answered from the kept
prefix, in the same words. Told are seconds of the clock and, on Linux, processor seconds of the
worker, which neighbours on a busy machine change less.
"""

import argparse
import os
import statistics
import time
from dataclasses import replace
from pathlib import Path

from openaffect.inference.options import AnalyzeOptions
from openaffect.inference.worker_process import Request, WorkerSettings
from openaffect.inference.workers import Worker

EXAMPLE = Path(__file__).parents[1] / "examples" / "surprise-and-joy.mp4"


def processor_seconds(pid: int | None) -> float:
    """What a process has used of the processor so far; not a number where that cannot be told."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def seconds_of(worker: Worker, request: Request) -> tuple[float, float]:
    """Seconds of the clock and of the processor until a request is answered."""
    used, began = processor_seconds(worker.pid), time.perf_counter()
    worker.submit(request)
    while (event := worker.receive()).kind in ("text", "segment"):
        pass
    if event.kind != "done":
        raise SystemExit(str(event.value))
    return time.perf_counter() - began, processor_seconds(worker.pid) - used


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path, default=EXAMPLE)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    worker = Worker(WorkerSettings(("omni-emotion-small",), threads=options.threads))
    try:
        event = worker.receive()
        if event.kind != "ready":
            raise SystemExit(str(event.value))
        clip, question = str(options.clip), "Does the voice fit the words?"
        asked = AnalyzeOptions()
        warm_up = Request(0, "ask", clip, options=asked, question=question, keep="warm-up")
        seconds_of(worker, warm_up)
        taken: dict[str, list[tuple[float, float]]] = {}
        for turn in range(options.repeats):
            alone = Request(1, "ask", clip, options=asked, question=question, keep=f"{turn}")
            whole = replace(asked, question=question)
            analysis = Request(1, "analyze", clip, options=whole, keep=f"{turn} analysed")
            for name, request in (("question", alone), ("analysis", analysis), ("later", alone)):
                taken.setdefault(name, []).append(seconds_of(worker, request))
    finally:
        worker.close()
    for place, kind in enumerate(("clock", "processor")):
        question_alone, analysed, later = (
            statistics.median(seconds[place] for seconds in taken[name])
            for name in ("question", "analysis", "later")
        )
        print(
            f"{kind}: analysis with the question {analysed:.2f} s, the question alone "
            f"{question_alone:.2f} s, asked later {later:.2f} s"
        )
        print(f"that is {later / analysed:.3f} and {later / question_alone:.3f} of them")


if __name__ == "__main__":
    main()
