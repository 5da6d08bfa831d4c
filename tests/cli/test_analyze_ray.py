"""Folders on a Ray cluster: the files are those of local workers, failures stay apart."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import Result
from test_analyze_clips import write_clip
from typer.testing import CliRunner

from openaffect.cli import build_app
from openaffect.cli.run_record import RECORD_NAME
from openaffect.errors import UsageError
from openaffect.inference.ray_workers import _actors
from openaffect.inference.worker_process import WorkerSettings


def test_no_more_actors_than_the_cluster_holds() -> None:
    two = {"CPU": 4.0, "GPU": 1.0}
    assert _actors(two, "cpu", 2, None, 9) == 2
    assert _actors(two, "cpu", 1, None, 3) == 3
    assert _actors(two, "cuda", 1, None, 9) == 1
    for device, threads, jobs in (("cpu", 2, 3), ("cpu", 8, None), ("cuda:0", 1, 2)):
        with pytest.raises(UsageError, match="room for"):
            _actors(two, device, threads, jobs, 9)


def test_without_ray_it_says_what_to_install(tmp_path, monkeypatch) -> None:
    from openaffect.inference.ray_workers import run_on_ray

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install -e '\.\[ray\]' in the clone"):
        list(run_on_ray([], WorkerSettings(("m",)), 1))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_cluster_of_two_machines_writes_what_local_workers_write(
    tmp_path, small_parts, monkeypatch
) -> None:
    """Two nodes with one processor each, so that each holds one actor."""
    monkeypatch.setenv("RAY_worker_niceness", "0")  # else a busy machine leaves them no time
    ray = pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    from ray.cluster_utils import Cluster

    from openaffect.models.omni_emotion.tiny import tiny_model, tiny_processor

    model, clips = tmp_path / "model", tmp_path / "clips"
    network = tiny_model()
    network.save_pretrained(model)
    tiny_processor(network.config).save_pretrained(model)
    clips.mkdir()
    for number in range(4):
        write_clip(clips / f"{number}.mp4", 20 + 30 * number)
    (clips / "broken.mp4").write_text("these are only words")

    def run(out: str, *more: str, folder: Path = model) -> Result:
        words = ["analyze", str(clips), "--out", str(tmp_path / out), "--model", str(folder)]
        return CliRunner().invoke(build_app(), [*words, *more])

    local = run("local", "--jobs", "1")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes(timeout=120)
        ray.init(address=cluster.address, log_to_driver=False)
        far = run("ray", "--engine", "ray", "--jobs", "2")
        small = run("x", "--engine", "ray", "--jobs", "3")
        none = run("y", "--engine", "ray", "--jobs", "1", folder=tmp_path / "nonesuch")
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert far.exit_code == local.exit_code == 1
    assert "1 of 5 clips failed" in far.stderr and far.stderr == local.stderr
    names = sorted(path.name for path in (tmp_path / "local").glob("*.json"))
    assert len(names) == 4
    for name in names:
        assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()
    rows = [json.loads(line) for line in (tmp_path / "ray" / RECORD_NAME).read_text().splitlines()]
    assert sorted(row["status"] for row in rows) == ["done"] * 4 + ["failed"]
    assert isinstance(small.exception, UsageError) and "room for 2" in str(small.exception)
    assert isinstance(none.exception, UsageError) and "nonesuch" in str(none.exception)
