"""How checks and their runs stand, read at each scrape: every process that shares the database says the same."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gatehouse.core.errors import GatehouseError
from gatehouse.gate.lifecycle import Lifecycle
from gatehouse.gate.ports import RunState
from gatehouse.malware.lifecycle import State

_RUNS = 1000


class CheckMetrics(Collector):
    """Checks by state, and runs that are not over; nothing where the database cannot say."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle

    def collect(self) -> Iterator[Metric]:
        """All of it; `gatehouse_readable` says where it is missing."""
        try:
            with self._lifecycle.database.read() as transaction:
                plan = self._lifecycle.plan(transaction)
                runs = transaction.runs.recent(limit=_RUNS)
        except GatehouseError:
            return
        checks = GaugeMetricFamily("gatehouse_checks", "Checks that are here, by state.", labels=["state"])
        for state in State:
            checks.add_metric([state.value], len(plan.named(state)))
        yield checks
        under_way = GaugeMetricFamily(
            "gatehouse_check_runs", "Runs over what the index holds that are not over.", labels=["state"]
        )
        for word in (RunState.RUNNING, RunState.PAUSED):
            under_way.add_metric([word.value], sum(run.state is word for run in runs))
        yield under_way
