"""The publisher as in production: its loop in a process of its own; each line on standard input rings its bell.

Started by `bench.publisher` with the settings in its environment. It ends when standard input does.
"""

from __future__ import annotations

import sys

from gatehouse.cli.common import settings_from_environment
from gatehouse.wiring import build, build_publisher
from gatehouse.worker.publisher import PublisherLoop


def main() -> None:
    """Publish until standard input ends."""
    settings = settings_from_environment()
    gatehouse = build(settings)
    loop = PublisherLoop(
        publisher=build_publisher(gatehouse),
        clock=gatehouse.clock,
        delay=settings.publish_delay,
        bell=gatehouse.publisher_bell,
        steal=True,
    )
    loop.start()
    print("ready", flush=True)
    for _ in sys.stdin:
        gatehouse.publisher_bell()
    loop.stop()
    gatehouse.close()


if __name__ == "__main__":
    main()
