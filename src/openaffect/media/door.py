"""The one place where media files are opened: what is let in, and what is said about the rest.

Only local regular files pass, only containers and decoders listed in `formats` are used, and every
exception of the media libraries becomes a MediaError with one line of our own. The lists keep out
playlists (which would open other files or the network) and rarely tested decoders.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from openaffect.errors import MediaError, OpenAffectError, UsageError
from openaffect.media.formats import AUDIO_DECODERS, CONTAINERS, READABLE, VIDEO_DECODERS
from openaffect.media.limits import Limits

PLAYLIST_HEADS = {
    b"#EXTM3U": "an HLS playlist",
    b"ffconcat": "a concat list",
    b"[playlist]": "a playlist",
    b"<asx": "a playlist",
    b"<smil": "a playlist",
}
HEAD_BYTES = 4096  # read to name a file that FFmpeg cannot open
TIMESTAMP_LIMIT = 1e9  # seconds; larger times come from damaged files only


def checked_path(path: str | Path, limits: Limits) -> Path:
    """The path, once it is known to be a local regular file within the size limit.

    Raises UsageError for addresses and missing paths, MediaError for anything unusable.
    """
    text = str(path)
    if "://" in text:
        raise UsageError(f"{text}: network addresses are not opened; download the file first")
    path = Path(path)
    try:
        if path.is_dir():
            raise UsageError(f"{path}: is a folder, not a media file")
        if not path.exists():
            raise UsageError(f"{path}: no such file; check the path")
        if not path.is_file():
            raise MediaError(f"{path}: is not a regular file; copy the media into one")
        size = path.stat().st_size
        head = b""
        if size:
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a valid path"
        raise MediaError(f"{path}: cannot be read ({reason}); check its permissions") from error
    if size == 0:
        raise MediaError(f"{path}: is empty (0 bytes); copy or download it again")
    limits.check_bytes(str(path), size)
    _refuse_playlists(path, head)
    return path


@contextmanager
def one_line(path: Path) -> Iterator[None]:
    """Turns whatever a media library throws into a MediaError that names the file."""
    try:
        yield
    except OpenAffectError:
        raise
    except MemoryError as error:
        raise MediaError(f"{path}: needs more memory than there is; use a smaller file") from error
    except Exception as error:  # PyAV lets IndexError, UnicodeDecodeError and others through
        raise MediaError(
            f"{path}: is damaged and cannot be read; copy or export it again"
        ) from error


@contextmanager
def opened(path: Path, limits: Limits) -> Iterator[Any]:
    """An open PyAV input container of an allowed format; path comes from `checked_path`."""
    import av

    options = {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join(CONTAINERS),
        "codec_whitelist": ",".join(sorted(VIDEO_DECODERS | AUDIO_DECODERS)),  # for the probing
    }
    try:
        container = av.open(
            f"file:{path.resolve()}", "r", container_options=options, metadata_errors="replace"
        )
    except MemoryError as error:
        raise MediaError(f"{path}: needs more memory than there is; use a smaller file") from error
    except Exception as error:
        raise MediaError(f"{path}: {_why_not_opened(path)}") from error
    with container:
        limits.check_streams(str(path), len(container.streams))
        yield container


def video_stream(container: Any) -> tuple[Any | None, str | None]:
    """The video stream to read, or None and why; cover art is not video."""
    streams = [s for s in container.streams if s.type == "video"]
    moving = [s for s in streams if not (s.disposition & s.disposition.attached_pic)]
    if not moving:
        return None, "the file has only cover art" if streams else "the file has no video stream"
    return _first_readable(container, moving, VIDEO_DECODERS, "video")


def audio_stream(container: Any) -> tuple[Any | None, str | None]:
    """The audio stream to read, or None and why."""
    streams = [s for s in container.streams if s.type == "audio"]
    if not streams:
        return None, "the file has no audio stream"
    return _first_readable(container, streams, AUDIO_DECODERS, "audio")


def _first_readable(
    container: Any, streams: list[Any], decoders: frozenset[str], kind: str
) -> tuple[Any | None, str | None]:
    """FFmpeg's own choice among streams first, then the others in order."""
    best = container.streams.best(kind)
    ordered = sorted(streams, key=lambda stream: stream is not best)
    for stream in ordered:
        if stream.codec_context is not None and stream.codec_context.name in decoders:
            return stream, None
    context = ordered[0].codec_context
    name = context.name if context is not None else "unknown"
    return None, f"the {kind} codec {name!r} is not supported"


def seconds(timestamp: int | None, time_base: Any) -> float | None:
    """A timestamp in seconds; None where it is absent or impossible."""
    if timestamp is None or time_base is None or not time_base:
        return None
    value = float(timestamp * time_base)
    return value if abs(value) < TIMESTAMP_LIMIT else None


def _refuse_playlists(path: Path, head: bytes) -> None:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    kind = next((name for mark, name in PLAYLIST_HEADS.items() if start.startswith(mark)), None)
    if kind is None and b"<MPD" in head[:1024]:
        kind = "a DASH manifest"
    if kind:
        raise MediaError(
            f"{path}: is {kind}, which only points at other files; give the media file"
        )


def _why_not_opened(path: Path) -> str:
    """Why FFmpeg could not open a file, told from its first bytes."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        file.seek(0)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
            moov = any(b"moov" in block for block in iter(lambda: file.read(1 << 20), b""))
            if not moov:
                return "is cut off (its index, the moov box, is missing); copy or record it again"
            return "is damaged (its index, the moov box, is broken); copy or export it again"
    if b"\0" not in head and _is_text(head):
        return "holds text, not pictures or sound; check the file"
    return f"is damaged or in a format that is not accepted; readable are {READABLE}"


def _is_text(head: bytes) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4  # only the last character is cut
    return True
