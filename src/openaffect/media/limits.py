"""How much of a media file is read: limits that are checked before the work and while it runs."""

from dataclasses import dataclass

from openaffect.errors import MediaError, UsageError


@dataclass(frozen=True)
class Limits:
    """Upper bounds for one media file; each message names the option that lifts its bound."""

    max_bytes: int = 4 * 2**30  # size of the file (--max-bytes)
    max_seconds: float = 3600.0  # length of the part that is read (--max-seconds)
    max_long_seconds: float = 6 * 3600.0  # length of what is read in segments (--max-seconds)
    max_pixels: int = 8192 * 4352  # width x height of a coded picture; 8K fits (--max-pixels)
    max_frames: int = 500_000  # coded pictures in the part that is read
    max_picked_bytes: int = 2 * 2**30  # memory for the frames that are kept
    max_streams: int = 32  # streams in the container

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise UsageError(f"the media limit {name} must be above zero, not {value}")

    def check_bytes(self, name: str, size: int) -> None:
        """Raises MediaError where the file is larger than max_bytes."""
        if size > self.max_bytes:
            raise MediaError(
                f"{name}: {bytes_text(size)} is over the limit of {bytes_text(self.max_bytes)}; "
                f"lift it with --max-bytes {size}"
            )

    def check_seconds(self, name: str, seconds: float, *, long: bool = False) -> None:
        """Raises MediaError where the part to read lasts longer than max_seconds.

        With `long`, than max_long_seconds.
        """
        most = self.max_long_seconds if long else self.max_seconds
        if seconds > most:
            raise MediaError(
                f"{name}: {seconds_text(seconds)} long, over the limit of "
                f"{seconds_text(most)}; choose a part with --start and --end or lift "
                f"the limit with --max-seconds {int(seconds) + 1}"
            )

    def check_pixels(self, name: str, width: int, height: int) -> None:
        """Raises MediaError where a picture has more than max_pixels."""
        if width * height > self.max_pixels:
            raise MediaError(
                f"{name}: pictures of {width}x{height} are over the limit of {self.max_pixels} "
                f"pixels; lift it with --max-pixels {width * height}"
            )

    def check_frames(self, name: str, frames: int) -> None:
        """Raises MediaError where the part to read holds more than max_frames coded pictures."""
        if frames > self.max_frames:
            raise MediaError(
                f"{name}: more than {self.max_frames} pictures in the part to read; choose a "
                "shorter part with --start and --end"
            )

    def check_picked(self, name: str, frames: int, width: int, height: int) -> None:
        """Raises MediaError where the frames to keep would need more than max_picked_bytes."""
        if frames * width * height * 3 > self.max_picked_bytes:
            raise MediaError(
                f"{name}: keeping {frames} frames of {width}x{height} needs "
                f"{bytes_text(frames * width * height * 3)}; ask for fewer frames with --frames"
            )

    def check_streams(self, name: str, streams: int) -> None:
        """Raises MediaError where the container declares more than max_streams streams."""
        if streams > self.max_streams:
            raise MediaError(
                f"{name}: {streams} streams in one file, over the limit of {self.max_streams}; "
                "keep one video and one audio stream"
            )


def bytes_text(size: float) -> str:
    """A byte count for people, e.g. 1.5 GiB."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def seconds_text(seconds: float) -> str:
    """A length of time for people, e.g. 2:00:00 h, 3:05 min or 4.2 s."""
    if seconds < 60:
        return f"{seconds:.4g} s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d} h" if hours else f"{minutes}:{rest:02d} min"
