"""What evaluation costs: another question about clips that were read, bootstrap, wheels.

`python benchmarks/evaluation.py --data DIR` (a synthetic corpus, DIR/manifest.jsonl) scores its
test clips without kept features, then from them. `--wheels DIR` times the published wheels too.
Times are of the processor, so that neighbours change them little.
"""

import argparse
import random
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from openaffect.evaluation.benchmarks import BENCHMARKS, read_items
from openaffect.evaluation.closed_set import score_labels
from openaffect.evaluation.grouping import OnWheel
from openaffect.evaluation.open_vocabulary import score_sets
from openaffect.evaluation.wheels import BuiltinWheel, Wheel, read_wheels

PREDICTIONS = 100_000
SAMPLES = 10_000
REASONED = 3  # clips that are analysed whole
LABELS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of one call."""
    before = time.process_time()
    work()
    return time.process_time() - before


def features(data: Path, limit: int) -> None:
    """The same clips without kept features, keeping them, and from them with other labels."""
    from openaffect.inference.analyzer import Analyzer
    from openaffect.inference.feature_cache import FeatureCache

    items, labels = read_items(BENCHMARKS["synthetic"], data, limit=limit)
    analyzer = Analyzer.load()
    analyzer.score(items[0].path, labels)  # everything is loaded now

    def ask(asked: tuple[str, ...]) -> None:
        for item in items:
            analyzer.score(item.path, asked)

    def reason() -> float:
        return seconds(lambda: [analyzer.analyze(item.path) for item in reasoned]) / len(reasoned)

    reasoned = items[:REASONED]
    plain = seconds(lambda: ask(labels)) / len(items)
    plain_reason = reason()
    print(f"{len(items)} clips, all streams, processor seconds a clip")
    print(f"  nothing kept          {plain:.2f}")
    with tempfile.TemporaryDirectory() as folder:
        analyzer.cache = FeatureCache(analyzer.model, analyzer.processor, Path(folder))
        print(f"  kept on the way       {seconds(lambda: ask(labels)) / len(items):.2f}")
        again = seconds(lambda: ask(labels[::-1])) / len(items)
        print(f"  another question      {again:.2f} ({again / plain:.0%})")
        reason()
        again = reason()
        told = f"{plain_reason:.2f}, again {again:.2f} ({again / plain_reason:.0%})"
        print(f"  a reason, {len(reasoned)} clips    {told}")
        size = sum(path.stat().st_size for path in analyzer.cache.folder.iterdir())
        print(f"  kept of a clip        {size / 1e6 / len(items):.2f} MB")
    analyzer.close()


def scoring(wheels: Path | None) -> None:
    """Closed labels with their bootstrap intervals, and word sets on wheels."""
    rng = random.Random(0)
    truth = {str(i): rng.choice(LABELS) for i in range(PREDICTIONS)}
    told = {name: rng.choice(LABELS) for name in truth}
    print(f"{PREDICTIONS} labels: {seconds(lambda: score_labels(truth, told, LABELS)):.1f} s")
    published = read_wheels(wheels, 1) if wheels else ()
    found: Sequence[Wheel | BuiltinWheel] = published or [BuiltinWheel(1)]
    vocabulary = sorted(published[0].words if published else BuiltinWheel(1).sectors)
    sets = [
        {str(i): rng.sample(vocabulary, rng.randint(1, 8)) for i in range(SAMPLES)}
        for _ in range(2)
    ]
    for wheel in found:
        took = seconds(lambda wheel=wheel: score_sets(OnWheel(wheel), *sets))
        print(f"{SAMPLES} word sets on {wheel.name}: {took:.1f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--limit", type=int, default=8)
    parser.add_argument("--wheels", type=Path)
    arguments = parser.parse_args()
    scoring(arguments.wheels)
    if arguments.data:
        features(arguments.data, arguments.limit)


if __name__ == "__main__":
    main()
