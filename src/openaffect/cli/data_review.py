"""`openaffect data review`: people look at a corpus's samples on a local page."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

FOLDER_HELP = "A corpus that `openaffect data build` made."
MEDIA_HELP = "Folder that clips may be served from, besides DIR; may be repeated."
REVIEWERS_HELP = "Reviews that each sample needs: 2, or as many as were asked for before."


def review(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help=FOLDER_HELP)],
    media: Annotated[list[Path] | None, typer.Option(metavar="FOLDER", help=MEDIA_HELP)] = None,
    reviewers: Annotated[int | None, typer.Option(help=REVIEWERS_HELP)] = None,
    port: Annotated[int, typer.Option(help="Port of the page; 0 takes a free one.")] = 8765,
    export: Annotated[bool, typer.Option(help="Write the reviews into DIR and stop.")] = False,
) -> None:
    """Open a page to review samples on, at this machine's own address only, until Ctrl-C.

    Every review is on disk, in DIR/reviews.sqlite, before the page says so.
    """
    from openaffect.annotation.review.desk import ReviewDesk
    from openaffect.annotation.review.server import ReviewServer

    desk = ReviewDesk(folder, media or (), reviewers)
    if export:
        told = desk.export()
        typer.echo(
            f"{told['reviewed']} of {told['samples']} samples reviewed: {told['accepted']} "
            f"accepted, {told['rejected']} rejected, {told['disputed']} in dispute, "
            f"{told['unfinished']} with too few reviews"
        )
        return
    desk.check_media()
    with ReviewServer(desk, port) as server:
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        stopped = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        typer.echo(f"Reviewing {len(desk.index.ids())} samples at {server.url} (Ctrl-C stops)")
        while not stopped.wait(1.0):
            pass
        server.shutdown()
