"""HTML: one self-contained page with player, timeline, findings and what they rest on.

The page loads nothing but the clip: style and script are inside, and its content security policy
allows these two texts by their hash and nothing else. Every text from outside is escaped.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import mimetypes
from functools import cache
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

from openaffect.errors import OpenAffectError
from openaffect.results.analysis import Analysis, Emotion, Segment
from openaffect.results.writers.base import RenderOptions
from openaffect.results.writers.clip_link import clip_link
from openaffect.results.writers.plain_text import clean
from openaffect.results.writers.report import what_was_used
from openaffect.results.writers.timeline import time_span, timeline

MAX_EMBEDDED_BYTES = 150 * 2**20
"""Browsers give up on much longer data URLs."""
LABELS_SHOWN = 10
CLUE_HEADINGS = {"face": "Face", "voice": "Voice", "scene": "Scene", "words": "Words"}


class HtmlWriter:
    """The page of one clip."""

    name = "html"
    suffix = ".html"

    def render(self, analysis: Analysis, options: RenderOptions) -> str:
        """The whole page. Raises OpenAffectError when a clip to embed cannot be read."""
        clip, model = analysis.clip, analysis.model
        span = f"{clip.start:.1f} to {clip.end:.1f} s · " if clip.duration > 0 else ""
        style, script = _asset("page.css"), _asset("page.js")
        return Template(_asset("page.html")).substitute(
            policy=_policy(style, script),
            style=style,
            script=script,
            title=safe(Path(clip.path).name),
            subtitle=safe(f"{span}{model.preset} · openaffect {model.version}"),
            player=_player(analysis, options),
            timeline=_timeline(analysis),
            findings=_findings(analysis),
            rest=_rest(analysis),
            notice=safe(analysis.notice),
        )


def safe(text: str) -> str:
    """Text that can stand anywhere in the page."""
    return escape(clean(text))


@cache
def _asset(name: str) -> str:
    return resources.files("openaffect.results.writers").joinpath(name).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    """Content security policy: these two texts, and the clip from its place or from inside."""

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    clip = "'self' file: data:"
    return (
        f"default-src 'none'; style-src 'sha256-{digest(style)}'; "
        f"script-src 'sha256-{digest(script)}'; media-src {clip}; img-src {clip}; "
        "base-uri 'none'; form-action 'none'"
    )


def _player(analysis: Analysis, options: RenderOptions) -> str:
    """The clip, by relative reference or as data inside the page."""
    mime = mimetypes.guess_type(analysis.clip.path)[0] or "video/mp4"
    source = clip_link(analysis, options.folder)
    if options.embed:
        source = _data_url(Path(analysis.clip.path), mime)
    link = safe(source)
    if mime.startswith("image/"):
        return f'<img src="{link}" alt="The analysed image">'
    tag = "audio" if mime.startswith("audio/") else "video"
    return (
        f'<{tag} controls preload="metadata" src="{link}"></{tag}>\n'
        '<p class="unplayable" hidden>The browser cannot play this clip: it has moved away from '
        "this page, or its format is unknown to the browser.</p>"
    )


def _data_url(path: Path, mime: str) -> str:
    try:
        size = path.stat().st_size
        if size > MAX_EMBEDDED_BYTES:
            raise OpenAffectError(
                f"{path}: {size / 2**20:.0f} MiB are too many to embed in a page "
                f"(limit {MAX_EMBEDDED_BYTES / 2**20:.0f}); leave out --embed"
            )
        data = path.read_bytes()
    except OSError as error:
        raise OpenAffectError(f"cannot embed {path}: {error.strerror}") from None
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def _timeline(analysis: Analysis) -> str:
    lanes = timeline(analysis)
    if not lanes:
        return ""
    start, end = time_span(analysis)
    return (
        f'<div class="lanes" role="slider" tabindex="0" aria-label="Position in the clip" '
        f'aria-valuemin="{start:.2f}" aria-valuemax="{end:.2f}" aria-valuenow="{start:.2f}" '
        f'data-start="{start!r}" data-end="{end!r}">\n{lanes}\n'
        '<div class="head"><i></i></div></div>\n'
        '<p class="quiet"><small>Click or drag to seek. With the timeline in focus: arrow keys '
        "0.1 s, Page Up and Down 1 s, space plays.</small></p>"
    )


def _section(heading: str, body: str, kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f"<section{style}><h2>{safe(heading)}</h2>\n{body}</section>\n"


def _findings(analysis: Analysis) -> str:
    parts = []
    if analysis.emotions:
        parts.append(_section("Emotion perceived as", _bars(analysis.emotions)))
    if analysis.open_emotions:
        words = "".join(f"<li>{safe(word)}</li>" for word in analysis.open_emotions)
        parts.append(_section("In open words", f'<ul class="words">{words}</ul>'))
    if analysis.question is not None:
        answer = f'<p class="why">{safe(analysis.answer or "no answer")}</p>'
        parts.append(_section(analysis.question, answer))
    if analysis.reasoning:
        parts.append(_section("Why", f'<p class="why">{safe(analysis.reasoning)}</p>'))
    if any(analysis.clues.values()):
        parts.append(_section("Clues", _clues(analysis), "clues"))
    return "".join(parts)


def _bars(emotions: tuple[Emotion, ...]) -> str:
    ranked = sorted(emotions, key=lambda emotion: -emotion.probability)
    rows = []
    for rank, emotion in enumerate(ranked[:LABELS_SHOWN]):
        top = ' class="top"' if rank == 0 else ""
        width = f"{100 * emotion.probability:.2f}"
        rows.append(
            f"<dt{top}>{safe(emotion.label)}</dt><dd{top}>{emotion.probability:.0%}</dd>"
            '<svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
            f'<rect width="{width}" height="8"/></svg>'
        )
    rest = ranked[LABELS_SHOWN:]
    if rest:
        share = sum(emotion.probability for emotion in rest)
        rows.append(f"<dt>{len(rest)} others</dt><dd>{share:.0%}</dd><span></span>")
    return f'<dl class="bars">{"".join(rows)}</dl>'


def _clues(found: Analysis | Segment) -> str:
    parts = []
    for kind, clues in found.clues.items():
        if clues:
            items = "".join(f"<li>{safe(clue)}</li>" for clue in clues)
            parts.append(f"<h3>{CLUE_HEADINGS[kind]}</h3><ul>{items}</ul>")
    return "".join(parts)


def _rest(analysis: Analysis) -> str:
    parts = [_section("What was used", _modalities(analysis))]
    if analysis.warnings:
        items = "".join(f"<li>{safe(warning)}</li>" for warning in analysis.warnings)
        parts.append(_section("Warnings", f'<ul class="plain warning">{items}</ul>'))
    if analysis.segments:
        parts.append(_section("Over time", _course(analysis)))
    if analysis.modalities.text.lines:
        parts.append(_section("Words", _lines(analysis)))
    if analysis.people:
        parts.append(_section("People", _people(analysis)))
    parts.append(_section("Model and settings", _origin(analysis)))
    return f'<div class="rest">{"".join(parts)}</div>'


def _modalities(analysis: Analysis) -> str:
    rows = []
    for field in dataclasses.fields(analysis.modalities):
        use = getattr(analysis.modalities, field.name)
        mark = ('<td class="used">used' if use.used else '<td class="unused">not used') + "</td>"
        rows.append(f"<tr><th>{field.name}</th>{mark}<td>{safe(what_was_used(use))}</td></tr>")
    return f"<table>{''.join(rows)}</table>"


def _seek(seconds: float) -> str:
    return f'<button type="button" data-seek="{seconds!r}">{seconds:.1f} s</button>'


def _course(analysis: Analysis) -> str:
    rows = []
    for segment in analysis.segments:
        top = max(segment.emotions, key=lambda emotion: emotion.probability, default=None)
        named = f"{top.label} {top.probability:.0%}" if top else ""
        words = safe(", ".join(segment.open_emotions))
        rows.append(
            f"<tr><td>{_seek(segment.start)}</td><td>{safe(named)}</td>"
            f"<td>{words}<br><small>{safe(segment.reasoning)}</small></td></tr>"
        )
    return f"<table>{''.join(rows)}</table>"


def _lines(analysis: Analysis) -> str:
    rows = [
        f"<tr><td>{_seek(line.start)}</td><td>{safe(line.text)}</td></tr>"
        for line in analysis.modalities.text.lines
    ]
    return f"<table>{''.join(rows)}</table>"


def _people(analysis: Analysis) -> str:
    rows = []
    for person in analysis.people:
        facts = [f"in sight {person.visible_seconds:.1f} s"]
        if person.main:
            facts.insert(0, "main person")
        if person.speaking is not None:
            facts.append(f"mouth moves with the sound: {person.speaking:.0%}")
        if person.expression:
            top = max(person.expression, key=lambda emotion: emotion.probability)
            facts.append(f"face alone perceived as {top.label} {top.probability:.0%}")
        told = safe("; ".join(facts))
        rows.append(f"<tr><th>{person.track}</th><td>{told}</td></tr>")
    return f"<table>{''.join(rows)}</table>"


def _origin(analysis: Analysis) -> str:
    settings = [(name, _value(value)) for name, value in analysis.settings.items()]
    parts = [(f"weights of {name}", digest) for name, digest in analysis.model.parts.items()]
    facts = [("clip", analysis.clip.sha256), *settings, *parts]
    rows = [
        f"<tr><th>{safe(name)}</th><td><code>{safe(value)}</code></td></tr>"
        for name, value in facts
    ]
    return f"<details><summary>Show</summary><table>{''.join(rows)}</table></details>"


def _value(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
