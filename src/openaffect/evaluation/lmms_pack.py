"""Tasks for lmms-eval over test sets that the user has: a YAML file and its rows, for each fold.

`lmms_eval --include_path DIR --tasks openaffect_dfew ...` then runs any of its models and scores it
with our metrics (lmms_tasks).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from openaffect.corpora.replacing import replacing
from openaffect.errors import UsageError
from openaffect.evaluation.benchmarks import BENCHMARKS, read_items
from openaffect.evaluation.endpoint_model import ONE_WORD
from openaffect.evaluation.label_tables import read_texts, read_word_sets
from openaffect.evaluation.lmms_tasks import CLOSED_METRICS, OVERLAP_METRICS, WORDS_METRICS
from openaffect.media.folder import find_clips
from openaffect.prompts.conversation import REASON_QUESTION, label_question

FUNCTIONS = "openaffect.evaluation.lmms_tasks"
WORDS_QUESTION = (
    "Which emotions are perceived in the person? Answer with emotion words alone, separated by "
    "commas."
)
TEXT_TASKS = ("emer", "emer-ov")
NEW_TOKENS = {"closed": 32, "words": 64, "overlap": 512}

_TASK = """task: {task}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {rows}
test_split: test
output_type: generate_until
doc_to_visual: !function {functions}.clip
doc_to_text: !function {functions}.question
doc_to_target: {target}
process_results: !function {functions}.{kind}_results
generation_kwargs:
  max_new_tokens: {tokens}
  temperature: 0
  do_sample: false
metric_list:
{metrics}"""
_METRIC = """  - metric: {name}
    aggregation: !function {functions}.{name}
    higher_is_better: true
"""


def write_closed_pack(name: str, data: Path, out: Path) -> tuple[list[Path], int]:
    """A task for each fold of a benchmark, and a group of them where there are several.

    Returns the YAML files and how many clips were left out because their media file is missing.
    Raises UsageError as `read_items` does.
    """
    benchmark = BENCHMARKS[name]
    files, tasks, missing = [], [], 0
    for fold in range(1, benchmark.folds + 1):
        items, labels = read_items(benchmark, data, fold=fold)
        rows = [
            {
                "name": item.id,
                "clip": str(item.path.resolve()),
                "question": f"{label_question(labels)} {ONE_WORD}",
                "label": item.truth,
                "labels": list(labels),
            }
            for item in items
            if item.path.is_file()
        ]
        missing += len(items) - len(rows)
        task = f"openaffect_{name}" + (f"_fold{fold}" if benchmark.folds > 1 else "")
        files.append(_write(out, task, rows, "closed", "label", CLOSED_METRICS))
        tasks.append(task)
    if len(tasks) > 1:
        lines = [f"group: openaffect_{name}", "task:", *(f"  - {task}" for task in tasks)]
        lines.append("aggregate_metric_list:")
        for metric in CLOSED_METRICS:
            lines += [f"  - metric: {metric}", "    aggregation: mean", "    weight_by_size: false"]
        files.append(_put(out / f"openaffect_{name}.yaml", "\n".join(lines) + "\n"))
    return files, missing


def write_text_pack(name: str, reference: Path, clips: Path, out: Path) -> tuple[list[Path], int]:
    """The task `emer` (reasons, judged) or `emer-ov` (open words); `clips` holds NAME.mp4.

    Returns as `write_closed_pack` does. Raises UsageError for an unreadable reference.
    """
    media = {path.stem: path for path in find_clips([clips])}
    told: Mapping[str, Any]
    metrics: Sequence[str]
    if name == "emer":
        kind, key, asked, metrics = "overlap", "reason", REASON_QUESTION, OVERLAP_METRICS
        told = read_texts(reference)
    else:
        kind, key, asked, metrics = "words", "words", WORDS_QUESTION, WORDS_METRICS
        told = read_word_sets(reference)
    rows = [
        {"name": sample, "clip": str(media[sample].resolve()), "question": asked, key: value}
        for sample, value in told.items()
        if sample in media
    ]
    task = f"openaffect_{name.replace('-', '_')}"
    return [_write(out, task, rows, kind, key, metrics)], len(told) - len(rows)


def _write(
    out: Path,
    task: str,
    rows: Sequence[dict[str, Any]],
    kind: str,
    target: str,
    metrics: Sequence[str],
) -> Path:
    if not rows:
        raise UsageError(f"{task}: no clip of the test set has its media file")
    out.mkdir(parents=True, exist_ok=True)
    path = (out / f"{task}.jsonl").resolve()
    _put(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    text = _TASK.format(
        task=task,
        rows=json.dumps(str(path), ensure_ascii=False),
        functions=FUNCTIONS,
        target=target,
        kind=kind,
        tokens=NEW_TOKENS[kind],
        metrics="".join(_METRIC.format(name=name, functions=FUNCTIONS) for name in metrics),
    )
    return _put(out / f"{task}.yaml", text)


def _put(path: Path, text: str) -> Path:
    with replacing(path) as partial:
        partial.write_text(text, "utf-8")
    return path
