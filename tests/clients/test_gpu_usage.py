"""The collector for GPUs of a Kubernetes cluster, on pages in the form of its exporters."""

import importlib.util
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ante_client import Ante
from tests.clients.standin import Billing

SAMPLE = Path(__file__).resolve().parents[2] / "clients" / "kubernetes" / "gpu_usage.py"
RECORDED = Path(__file__).parent / "recorded"
MINUTE = 29_460_210


@pytest.fixture(scope="module")
def gpu_usage() -> Any:
    spec = importlib.util.spec_from_file_location("gpu_usage", SAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_usage"] = module  # Where its dataclass looks for itself.
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pages() -> tuple[str, str]:
    return (RECORDED / "dcgm.txt").read_text(), (RECORDED / "kube_state_metrics.txt").read_text()


def test_labels_say_who_pays_for_which_gpu(gpu_usage: Any, pages: tuple[str, str]) -> None:
    assert [(use.customer, use.gpu, use.data["gpu"], use.data.get("project")) for use in gpu_usage.uses(*pages)] == [
        ("acme", "GPU-11111111-aaaa-bbbb-cccc-000000000000", "h100", "research"),
        # Idle, and held all the same.
        ("acme", "GPU-22222222-aaaa-bbbb-cccc-000000000000", "h100", "research"),
        ("globex", "GPU-33333333-aaaa-bbbb-cccc-000000000000/7", "a100", None),
    ]


def test_a_minute_of_a_gpu_is_one_event(gpu_usage: Any, pages: tuple[str, str], ante: Ante, billing: Billing) -> None:
    billing.wallets["globex"] = Decimal(1)
    for _ in range(2):  # A second collector, or the same one after a restart.
        assert gpu_usage.report(ante, gpu_usage.uses(*pages), MINUTE) == 3
    assert gpu_usage.report(ante, gpu_usage.uses(*pages), MINUTE + 1) == 3

    assert len(billing.events) == 6
    first = next(iter(billing.events.values()))
    assert (first["type"], first["subject"], first["time"]) == ("gpu.session", "acme", "2026-01-05T11:30:00+00:00")
    assert first["id"] == f"GPU-11111111-aaaa-bbbb-cccc-000000000000@{MINUTE}"
    assert first["data"] == {
        "gpu": "h100",
        "seconds": 60,
        "pod": "training-7",
        "namespace": "jobs",
        "project": "research",
    }


def test_labels_may_have_any_characters(gpu_usage: Any) -> None:
    page = 'kube_pod_labels{pod="a\\"b",namespace="c\\\\d",label_ante_customer="e,f=g}"} 1\nkube_pod_labels 1\n'
    assert list(gpu_usage.samples(page, "kube_pod_labels")) == [
        {"pod": 'a"b', "namespace": "c\\d", "label_ante_customer": "e,f=g}"}
    ]
