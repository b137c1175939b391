"""The values of the sandbox: its limits, the layers in force, and the error when there are none.

The child's limits are these. `memory` is RLIMIT_AS above what the zygote has mapped when it forks: of the limits
that Linux offers a process without root it alone counts everything that can be mapped, at the moment of asking,
so that a bomb ends as a MemoryError in its own child and not as a choice of the kernel's among all processes
(RLIMIT_RSS does nothing on Linux; RLIMIT_DATA leaves out shared and read-only mappings).
Measured: wheels of 500 kB of files are screened within 32 MiB, of 18 MB within 64 MiB; the zygote maps 38 MiB.
"""

from __future__ import annotations

from dataclasses import dataclass

from gatehouse.core.errors import OperatorError

MIB = 1024 * 1024


class SandboxUnavailable(OperatorError):
    """Children cannot be run, or could be run only with a network."""

    code = "sandbox"


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxLimits:
    """What one job may use.

    Attributes:
        seconds: wall clock, from the job's hand-over to its answer.
        cpu_seconds: processor time, whole seconds.
        memory: bytes of address space above the zygote's own.
        answer: bytes of the answer.
    """

    seconds: float = 30.0
    cpu_seconds: int = 20
    memory: int = 256 * MIB
    answer: int = 8 * MIB


@dataclass(frozen=True, kw_only=True, slots=True)
class Isolation:
    """Which layers hold a child, as a trial child found them.

    Attributes:
        namespaces: it has a network of its own, without any device that is up, and message queues of its own.
        landlock: the Landlock ABI that denies it every path; 0 without.
        syscalls: a seccomp filter lets through what computing needs and nothing else.
        faults: why a layer is missing, one sentence each.
    """

    namespaces: bool
    landlock: int
    syscalls: bool
    faults: tuple[str, ...] = ()

    @property
    def network(self) -> bool:
        """Whether at least one layer keeps the network away; without, no job is run."""
        return self.namespaces or self.syscalls
