"""Faults on request: each names the calls it is for, what goes wrong, and how often."""

import threading
from dataclasses import dataclass, field
from typing import Any

KINDS = {
    "timeout_before": "no answer, and nothing was done",
    "timeout_after": "no answer, but it was done",
    "reset_before": "the connection breaks, and nothing was done",
    "reset_after": "the connection breaks, but it was done",
    "error_before": "500, and nothing was done",
    "error_after": "500, but it was done",
    "busy": "429, and nothing was done",
    "truncated": "half an answer, and it was done",
}


@dataclass(slots=True)
class Fault:
    """``call`` is the beginning of ``METHOD /path``. ``times`` counts down."""

    kind: str
    call: str
    times: int = 1


@dataclass(slots=True)
class Script:
    """What is to go wrong, in the order in which it was asked for."""

    _faults: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def replace(self, faults: list[dict[str, Any]]) -> None:
        read = [Fault(str(one["kind"]), str(one.get("call", "")), int(one.get("times", 1))) for one in faults]
        unknown = {one.kind for one in read} - KINDS.keys()
        if unknown:
            raise ValueError(f"No such fault: {', '.join(sorted(unknown))}. There are {', '.join(KINDS)}.")
        with self._lock:
            self._faults = read

    def next_for(self, call: str) -> str:
        """What is to go wrong with this call; empty for nothing."""
        with self._lock:
            for fault in self._faults:
                if fault.times > 0 and call.startswith(fault.call):
                    fault.times -= 1
                    return fault.kind
        return ""
