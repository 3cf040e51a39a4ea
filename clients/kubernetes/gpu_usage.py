"""Charges customers for the GPUs that their pods hold, by the minute, from what a cluster's exporters say anyway.

Once a minute it reads the page of NVIDIA's dcgm-exporter, which says what pod holds which GPU, and that of
kube-state-metrics, which says what labels the pod has. The label ``ante-customer`` names who pays. Each GPU and minute
is one event, whose id is made of the two: a second collector, or one that starts again, charges nothing twice.

It is told by its environment: ``ANTE_URL``, ``ANTE_API_KEY``, ``SPOOL`` (a directory), ``DCGM_URL``, ``LABELS_URL``.
"""

import os
import re
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ante_client import Ante

SECONDS = 60
EVENT_TYPE = "gpu.session"
HELD = "DCGM_FI_DEV_GPU_UTIL"
LABELS = "kube_pod_labels"
CUSTOMER, PROJECT = "label_ante_customer", "label_ante_project"
_SAMPLE = re.compile(r"(?P<name>\w+)\{(?P<labels>.*)\} \S+")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}

Pod = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class Use:
    """A GPU that was held for a minute."""

    customer: str
    gpu: str
    data: Mapping[str, Any]


def samples(page: str, name: str) -> Iterator[dict[str, str]]:
    """The labels of every sample of this metric in a page of Prometheus' text format."""
    for line in page.splitlines():
        found = _SAMPLE.match(line)
        if found and found["name"] == name:
            yield {key: re.sub(r"\\.", _unescape, value) for key, value in _LABEL.findall(found["labels"])}


def uses(held: str, labels: str) -> Iterator[Use]:
    """Who held which GPU, of two pages that were read together. Pods without the label are nobody's."""
    pods: dict[Pod, dict[str, str]] = {
        (each.get("namespace", ""), each.get("pod", "")): each for each in samples(labels, LABELS)
    }
    for each in samples(held, HELD):
        namespace, pod = each.get("namespace", ""), each.get("pod", "")
        known = pods.get((namespace, pod), {})
        if customer := known.get(CUSTOMER):
            data = {"gpu": _class(each.get("modelName", "")), "seconds": SECONDS, "pod": pod, "namespace": namespace}
            if project := known.get(PROJECT):
                data["project"] = project
            # A part of a card is a GPU of its own.
            part = each.get("GPU_I_ID")
            yield Use(customer, each.get("UUID", "") + (f"/{part}" if part else ""), data)


def report(ante: Ante, found: Iterator[Use], minute: int) -> int:
    """Report them as held in this minute (since 1970). Returns how many there were."""
    moment = datetime.fromtimestamp(minute * SECONDS, UTC)
    held = list(found)
    for use in held:
        ante.usage.report(use.customer, EVENT_TYPE, use.data, id=f"{use.gpu}@{minute}", time=moment)
    return len(held)


def _class(model: str) -> str:
    """``NVIDIA H100 80GB HBM3`` is an ``h100``."""
    words = model.removeprefix("NVIDIA ").replace("-", " ").split()
    return words[0].lower() if words else "unknown"


def _unescape(found: re.Match[str]) -> str:
    return _ESCAPES.get(found[0], found[0])


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as page:  # noqa: S310 - an address of the operator's own.
        return str(page.read().decode())


def main() -> None:
    settings = os.environ
    with Ante(settings["ANTE_URL"], settings["ANTE_API_KEY"], source="gpu-usage", spool=settings["SPOOL"]) as ante:
        while True:
            minute = int(time.time()) // SECONDS
            try:
                count = report(ante, uses(_read(settings["DCGM_URL"]), _read(settings["LABELS_URL"])), minute)
                print(f"{count} GPUs", flush=True)
            except OSError as error:
                # This minute is nobody's: better not charged than guessed.
                print(f"The exporters do not answer: {error}", flush=True)
            time.sleep(max(0.0, (minute + 1) * SECONDS - time.time()))


if __name__ == "__main__":
    main()
