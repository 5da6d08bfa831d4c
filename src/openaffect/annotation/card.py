"""The card of a corpus: what is in it, how it came about, what it must not be used for."""

from __future__ import annotations

import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openaffect.annotation import signals
from openaffect.annotation.funnel import Funnel, funnel, funnel_table, left_before
from openaffect.annotation.pictures import write_bars, write_funnel, write_histograms
from openaffect.annotation.review.agreement import Agreement, agreement
from openaffect.annotation.sample import Sample, Verdict, read_samples
from openaffect.corpora.replacing import replacing

CARD_FILE, FOLDER = "CARD.md", "card"  # the card, and the folder of its pictures
MOST_WORDS_SHOWN = 20  # open labels in table and picture
FEW = 20  # samples of a label under which a figure about it says little
LOPSIDED = 5.0  # times that the commonest label may outnumber the rarest before it is named
ONE_VOICE = 0.5  # share of samples by one speaker that is named
USED = ("built", "accepted")

PURPOSE = """\
Samples tell how an expression is perceived, by machines and, where it was reviewed, by people. None
tells what a person feels. The corpus serves research on how expressions are perceived and the
training of models for it; it does not serve decisions about people, nor recognising who they are.
Files of faces and voices are biometric data: keep them as such."""


@dataclass
class Tally:
    """What is counted over a corpus in one pass."""

    used: int = 0
    status: Counter[str] = field(default_factory=Counter)
    split: Counter[str] = field(default_factory=Counter)
    label: Counter[str] = field(default_factory=Counter)
    split_label: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    words: Counter[str] = field(default_factory=Counter)
    source: Counter[str] = field(default_factory=Counter)
    licence: Counter[str] = field(default_factory=Counter)
    consent: Counter[str] = field(default_factory=Counter)
    language: Counter[str] = field(default_factory=Counter)
    speaker: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    makers: Counter[str] = field(default_factory=Counter)  # "kind by maker"
    reasons: Counter[str] = field(default_factory=Counter)  # of rejections
    seconds: list[float] = field(default_factory=list)
    text_words: list[float] = field(default_factory=list)
    speaker_splits: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    reviewed: int = 0
    corrected: int = 0  # accepted, and something put right
    ratings: dict[str, dict[str, Verdict]] = field(default_factory=dict)

    def add(self, sample: Sample) -> None:
        """Count a sample; rejected ones for their status, reasons and reviews alone."""
        self.status[sample.status] += 1
        self._add_reviews(sample)
        if sample.status == "rejected":
            self.reasons.update({reason.rule for reason in sample.reasons})
        if sample.status not in USED:
            return
        self.used += 1
        corrected = sample.corrected()
        self.corrected += corrected != sample
        label = corrected.label or "none"
        self.split[sample.split] += 1
        self.label[label] += 1
        self.split_label[sample.split][label] += 1
        self.words.update(word.casefold() for word in corrected.open_labels)
        self.source[sample.source or "not told"] += 1
        self.licence[sample.licence or "not told"] += 1
        waived = " (taken on the word of who built)" if sample.consent_waived else ""
        self.consent[sample.consent.replace("_", " ") + waived] += 1
        self.language[sample.language or "none or not known"] += 1
        self.speaker[sample.speaker or ""] += 1
        if sample.speaker:
            self.speaker_splits[sample.speaker].add(sample.split)
        self.missing.update(signals.missing(sample).keys())
        self.makers.update(f"{made.kind} by {made.made_by}" for made in sample.annotations)
        length = (sample.signals.get(signals.FINGERPRINT) or {}).get("seconds")
        if length is not None:
            self.seconds.append(float(length))
        text = corrected.text(corrected.description or "")
        if text:
            self.text_words.append(float(len(text.split())))

    def _add_reviews(self, sample: Sample) -> None:
        own = [review for review in sample.reviews if not review.settles]
        if not own:
            return
        self.reviewed += 1
        self.ratings[sample.id] = {review.reviewer: sample.verdict(review) for review in own}


def write_card(folder: Path) -> Path:
    """Write CARD.md and its pictures into a corpus folder, each whole or not; returns the card.

    Raises UsageError where the folder has no samples, or matplotlib is missing.
    """
    folder = Path(folder)
    tally = Tally()
    for sample in read_samples(folder):
        tally.add(sample)
    found = funnel(read_samples(folder), left_before(folder))
    pictures = folder / FOLDER
    pictures.mkdir(exist_ok=True)
    write_bars(pictures / "labels.png", "samples by label", dict(tally.label.most_common()))
    if tally.words:
        shown = dict(tally.words.most_common(MOST_WORDS_SHOWN))
        write_bars(pictures / "open_labels.png", "samples by open label", shown)
    lengths = {"seconds": tally.seconds, "words of the text": tally.text_words}
    measured = {name: values for name, values in lengths.items() if values}
    if measured:
        write_histograms(pictures / "lengths.png", measured)
    write_funnel(pictures / "funnel.png", found)
    path = folder / CARD_FILE
    with replacing(path) as partial:
        partial.write_text(card_text(folder.resolve().name, tally, found, _record(folder)), "utf-8")
    return path


def _record(folder: Path) -> Mapping[str, Any]:
    """How the corpus was built, from its own record; nothing without one."""
    path = folder / "build.json"
    found: Mapping[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return found


def card_text(name: str, tally: Tally, found: Funnel, record: Mapping[str, Any]) -> str:
    """The card in Markdown."""
    agreed = agreement(tally.ratings)
    parts = [
        f"# {cell(name)}\n",
        f"{tally.used} samples to use, of {found.given} clips that were given.\n",
        PURPOSE + "\n",
        "## Samples\n",
        table(("split", "samples"), [(k, n) for k, n in sorted(tally.split.items())]),
        "![Samples by label](card/labels.png)\n",
        _label_table(tally),
    ]
    if tally.words:
        parts += [
            f"{len(tally.words)} open labels, {sum(tally.words.values())} uses.\n",
            "![Samples by open label](card/open_labels.png)\n",
        ]
    if tally.seconds or tally.text_words:
        parts += ["## Lengths\n", _lengths(tally), "![Lengths](card/lengths.png)\n"]
    parts += ["## Funnel\n", funnel_table(found), "![Funnel](card/funnel.png)\n"]
    parts += ["## Reviews by people\n", _reviews(tally, agreed)]
    parts += ["## How it was made\n", _made(tally, record)]
    parts += ["## Sources, licences, consent\n", _origin(tally)]
    parts += ["## Known biases and limits\n", _biases(tally, found)]
    return "\n".join(parts)


def cell(value: object) -> str:
    """A value as it can stand in a table or heading: on one line, marks of Markdown escaped."""
    text = " ".join(str(value).split())
    return "".join(f"\\{mark}" if mark in r"\|`*_<>[]#!" else mark for mark in text)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    lines += [f"| {' | '.join(map(cell, row))} |" for row in rows]
    return "\n".join(lines) + "\n"


def _label_table(tally: Tally) -> str:
    splits = sorted(tally.split)
    rows = [
        (label, count, *(tally.split_label[split][label] for split in splits))
        for label, count in tally.label.most_common()
    ]
    return table(("label", "samples", *splits), rows)


def _lengths(tally: Tally) -> str:
    rows = []
    for name, values in (("seconds", tally.seconds), ("words of the text", tally.text_words)):
        if values:
            middle, total = statistics.median(values), sum(values)
            figures = (f"{v:.1f}" for v in (min(values), middle, max(values), total))
            rows.append((name, *figures))
    return table(("", "least", "median", "most", "in all"), rows)


def _figure(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.2f}"


def _reviews(tally: Tally, agreed: Agreement) -> str:
    if not tally.reviewed:
        return "No sample was reviewed by people.\n"
    lines = [
        f"{tally.reviewed} samples were reviewed; {tally.status['accepted']} stand accepted, of "
        f"which {tally.corrected} with corrections.\n"
    ]
    if agreed.pairs:
        rows = [
            (
                " and ".join(pair.reviewers),
                pair.samples,
                f"{pair.same_decision:.2f}",
                _figure(pair.decision_kappa),
                _figure(pair.label_kappa),
                _figure(pair.open_overlap),
            )
            for pair in agreed.pairs
        ]
        kappas = ("kappa of decisions", "kappa of labels", "overlap of open labels")
        lines.append(table(("reviewers", "samples", "same decision", *kappas), rows))
        lines.append(
            f"Fleiss' kappa over {agreed.samples} samples with {agreed.reviewers_each} reviews: "
            f"{_figure(agreed.decision_kappa)} of decisions, {_figure(agreed.label_kappa)} of "
            "labels. Kappa is Cohen's; overlap is the mean Jaccard index.\n"
        )
    return "\n".join(lines)


def _made(tally: Tally, record: Mapping[str, Any]) -> str:
    lines = []
    if record:
        version = record.get("openaffect", "not told")
        lines.append(f"Pipeline {cell(record.get('pipeline'))}, openaffect {cell(version)}.\n")
        rows = sorted((record.get("steps") or {}).items())
        lines.append(table(("step", "version"), rows))
    if tally.makers:
        rows = [(kind, n) for kind, n in sorted(tally.makers.items())]
        lines.append(table(("text", "samples"), rows))
    return "\n".join(lines) or "Nothing is recorded.\n"


def _origin(tally: Tally) -> str:
    parts = []
    for name, counts in (
        ("source", tally.source),
        ("licence", tally.licence),
        ("consent", tally.consent),
        ("language", tally.language),
    ):
        parts.append(table((name, "samples"), counts.most_common()))
    return "\n".join(parts)


def _biases(tally: Tally, found: Funnel) -> str:
    """What the counts themselves show to be lopsided, and what holds for every such corpus."""
    told = []
    labels = [(label, count) for label, count in tally.label.most_common() if label != "none"]
    if labels and labels[0][1] >= LOPSIDED * labels[-1][1]:
        (most, many), (least, few) = labels[0], labels[-1]
        told.append(f"Labels are uneven: {many} samples of {most}, {few} of {least}.")
    few_of = [f"{label} ({count})" for label, count in labels if count < FEW]
    if few_of:
        told.append(f"Under {FEW} samples, too few to measure a label by: {', '.join(few_of)}.")
    known = {name: count for name, count in tally.speaker.items() if name}
    unknown = tally.speaker.get("", 0)
    if unknown:
        told.append(f"Of {unknown} samples the speaker is not known; splits may share people.")
    if known and max(known.values()) >= ONE_VOICE * tally.used:
        share = max(known.values()) / tally.used
        told.append(f"One speaker is in {share:.0%} of the samples.")
    if known:
        told.append(f"{len(known)} speakers are told apart.")
    across = [name for name, splits in tally.speaker_splits.items() if len(splits) > 1]
    if across:
        told.append(f"{len(across)} speakers are in more than one split: figures are too high.")
    languages = [name for name in tally.language if name != "none or not known"]
    if len(languages) == 1:
        told.append(f"All speech of a known language is in one: {languages[0]}.")
    for stream, count in sorted(tally.missing.items()):
        told.append(f"{count} samples have no {stream}.")
    unlicensed = tally.licence.get("not told", 0)
    if unlicensed:
        told.append(f"Of {unlicensed} samples the licence is not told.")
    if found.given and found.kept < found.given:
        told.append(
            f"{1 - found.kept / found.given:.0%} of the clips were left out (see the funnel): what "
            "the rules cannot read is rarer here than it was."
        )
    told += [
        "Age, gender and origin of the people in the clips were not recorded, so balance in these "
        "was not checked.",
        "Faces are read by MediaPipe and by tables fitted on rendered heads; they read some faces "
        "better than others, and the samples that stay are those that they could read.",
        "Machine texts repeat the leanings of the models that wrote them.",
    ]
    return "\n".join(f"- {cell(sentence)}" for sentence in told) + "\n"
