"""What crosses between the parent, the zygote and a child, and in which form.

- A *request* is one message on the control socket: nothing but four descriptors, in this order: the job (a memory
  file), the archive, the result pipe's writing end, and the job's own status socket.
- The *hello* is the zygote's first and only message on the control socket: its layers, or why it cannot serve.
- A *status* is one message on the job's status socket: the child's wait status and the seconds of processor time
  that it used, as `os.wait4` gives them. The parent shutting its end down asks for the child's death; the zygote's
  end closing without a status says that the zygote ended. So every job has a channel of its own, and nothing is
  matched by number.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict
from enum import IntEnum

from gatehouse.sandbox.model import Isolation, SandboxUnavailable

REQUEST = b"job"
REQUEST_DESCRIPTORS = 4
MAX_HELLO = 16384
STATUS = struct.Struct("=id")

#: Where a child finds its things, after everything else is closed.
JOB_FD, ARCHIVE_FD, RESULT_FD = 3, 4, 5


class Exit(IntEnum):
    """How a child ends of its own accord."""

    ANSWERED = 0  # its report stands in the pipe
    MEMORY = 3  # it ran into its memory limit
    UNCONFINED = 4  # a layer of isolation did not come; it read nothing
    FAULT = 5  # the checks raised; what and where stands in the pipe


def encode_hello(isolation: Isolation) -> bytes:
    """The message of a zygote that serves from now on."""
    return json.dumps(asdict(isolation)).encode()


def encode_refusal(reason: str) -> bytes:
    """The message of a zygote that cannot serve."""
    return json.dumps({"refusal": reason[:1000]}).encode()


def decode_hello(message: bytes) -> Isolation:
    """The layers that a zygote reports.

    Raises:
        SandboxUnavailable: it cannot serve, and says why.
    """
    said = json.loads(message)
    if "refusal" in said:
        raise SandboxUnavailable(f"the sandbox cannot be used: {said['refusal']}")
    return Isolation(
        namespaces=said["namespaces"],
        landlock=said["landlock"],
        syscalls=said["syscalls"],
        faults=tuple(said["faults"]),
    )
