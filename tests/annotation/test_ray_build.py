"""Builds on a Ray cluster: the files of local workers, to the byte."""

import sys
from pathlib import Path

import pytest
from crashing_steps import Second, Troubled
from test_runner import SIGNALS_ONLY, write_wav
from typer.testing import CliRunner

from openaffect.annotation.desk import DeskSettings
from openaffect.annotation.runner import FAILED_FILE, RECORD_FILE, BuildSettings, Built, build
from openaffect.annotation.sample import SAMPLES_FILE
from openaffect.cli import build_app
from openaffect.errors import UsageError

WRITTEN = (SAMPLES_FILE, "manifest.jsonl", RECORD_FILE)
NAMES = ("breaks", "damaged", "dies", "fine-1", "fine-2", "fine-3")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--engine", "ray"), r"-e '.\[ray\]' in the clone"),
        (("--engine", "dask"), "local or ray"),
        (("--engine", "ray", "--budget", "3"), "one machine"),
    ],
)
def test_an_engine_that_cannot_be_used_is_refused(tmp_path, monkeypatch, options, told) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    write_wav(tmp_path / "in.wav", 0.3, 1)
    words = ["data", "build", "merr", str(tmp_path), str(tmp_path / "out"), *SIGNALS_ONLY]
    refused = CliRunner().invoke(build_app(), [*words, *options])
    with pytest.raises(UsageError, match=told):
        raise refused.exception


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch):
    """Two nodes with one processor each, so that each holds one actor."""
    monkeypatch.setenv("RAY_worker_niceness", "0")  # else a busy machine leaves them no time
    monkeypatch.setenv("PYTHONPATH", ":".join([str(Path(__file__).parent), *sys.path]))
    ray = pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        nodes.add_node(num_cpus=1)
        nodes.wait_for_nodes(timeout=120)
        ray.init(address=nodes.address, log_to_driver=False)
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_cluster_of_two_workers_writes_what_one_process_writes(
    cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clips").mkdir()
    for number, name in enumerate(NAMES):
        write_wav(tmp_path / "clips" / f"{name}.wav", 0.3 + 0.1 * number, number)
    monkeypatch.chdir(tmp_path)  # so that paths are relative

    def built(out: str, stop=lambda: False, **settings) -> Built:
        (tmp_path / "runs").mkdir(exist_ok=True)
        return build(
            Path("clips"),
            Path(out),
            BuildSettings("merr", without_consent=True, **settings),
            DeskSettings(Path(out)),
            stop=stop,
            steps=(Troubled(tmp_path / "runs"), Second()),
        )

    here, there = built("local", jobs=1), built("ray", engine="ray", jobs=2)
    assert set(there.failed) == {"breaks", "damaged", "dies"}
    assert there.failed == here.failed and there.new == here.new == 3
    for name in (*WRITTEN, FAILED_FILE):
        assert Path("ray", name).read_bytes() == Path("local", name).read_bytes()
    assert built("ray", engine="ray").new == 0
    with pytest.raises(UsageError, match="room for 2"):
        built("small", engine="ray", jobs=3)

    begun = list((tmp_path / "runs").iterdir())
    halted = built("halted", engine="ray", jobs=1, stop=_after(2))
    assert halted.stopped and len(list((tmp_path / "runs").iterdir())) < 2 * len(begun)
    assert built("halted", engine="ray").samples == 3

    def pipeline(out: str, *more: str) -> None:
        words = ["data", "build", "merr", "clips", out, *SIGNALS_ONLY, *more]
        done = CliRunner().invoke(build_app(), words)
        assert done.exit_code == 0, done.exception or done.stderr

    pipeline("alone", "--jobs", "1")
    pipeline("together", "--engine", "ray", "--jobs", "2")
    for name in WRITTEN:
        assert Path("together", name).read_bytes() == Path("alone", name).read_bytes()


def _after(times: int):
    """A stop that is asked for once it was looked at so often."""
    looks: list[int] = []

    def stop() -> bool:
        looks.append(1)
        return len(looks) > times

    return stop
