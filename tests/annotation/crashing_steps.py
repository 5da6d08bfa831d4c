"""Steps that misbehave on certain clips; in a module of its own, which worker processes import."""

import os
import signal
import time
from pathlib import Path

from openaffect.annotation.desk import Desk
from openaffect.annotation.sample import Sample
from openaffect.errors import MediaError, WeightsError
from openaffect.inference.chat_endpoint import EndpointError


class Troubled:
    """Notes that it was run, then dies, hangs or fails on clips of such names."""

    name, version = "troubled", "1"
    reads, makes = ("clip",), ("troubled",)
    stamp = version

    def __init__(self, runs: Path) -> None:
        self.runs = runs  # folder that holds a file for each run

    def run(self, sample: Sample, desk: Desk) -> Sample:
        (self.runs / f"{sample.id}.{time.time_ns()}").touch()
        if sample.id.startswith("dies"):
            os.kill(os.getpid(), signal.SIGKILL)
        if sample.id.startswith("hangs"):
            time.sleep(3600)
        if sample.id.startswith("breaks"):
            raise ZeroDivisionError("a bug")
        if sample.id.startswith("damaged"):
            raise MediaError("it is damaged")
        if sample.id.startswith("weightless"):
            raise WeightsError("its model is missing")
        value = float("nan") if sample.id == "nan" else len(sample.id)
        return sample.with_signal("troubled", value)


class Second:
    """Rests on the first; fails where its stamp says so, as a describer without an answer."""

    name = "second"
    reads, makes = ("troubled",), ("second",)

    def __init__(self, stamp: str = "1") -> None:
        self.stamp = stamp

    def run(self, sample: Sample, desk: Desk) -> Sample:
        if self.stamp == "silent":
            raise EndpointError("it gives no answer")
        return sample.with_signal("second", f"{sample.signals['troubled']} {self.stamp}")
