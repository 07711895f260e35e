"""Measures Riverrun, MLflow and FastTrackML side by side and writes docs/benchmarks.md.

    python bench/run.py                                              everything on SQLite
    python bench/run.py --database postgresql                        everything on PostgreSQL
    python bench/run.py --quick                                      a rough picture
    python bench/run.py --servers riverrun --scenarios log_metric    one figure, in seconds

    python bench/run.py --scenarios soak --with .bench/RESULTS.json  one figure anew, the rest not

Only results of everything on a database rewrite its part of the document; raw ones go to .bench/.
"""

import argparse
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import uvloop

import report
import servers
from access import access
from bare import bare
from contest import Contest, Results
from databases import DATABASES
from footprint import ceiling, cold_start, disk
from growth import growth, growth_million, registry_growth
from listing import listing
from plan import Extra, Plan
from registry import REGISTRY_SCENARIOS
from scenarios import POSTGRESQL_TARGETS, SCENARIOS, Scenario
from servers import KINDS
from soak import soak
from transfer_memory import transfer_memory
from transfers import s3_transfers, small_files

ALL = {scenario.name: scenario for scenario in (*SCENARIOS, *REGISTRY_SCENARIOS)}
SCENARIOS_ON: Mapping[str, list[Scenario]] = {
    "sqlite": list(ALL.values()),
    "postgresql": [replace(ALL[name], targets=each) for name, each in POSTGRESQL_TARGETS.items()],
    "mariadb": [replace(ALL[name], targets={}) for name in POSTGRESQL_TARGETS],
}
EXTRAS_ON: Mapping[str, Mapping[str, Extra]] = {
    "sqlite": {
        "cold_start": cold_start,
        "access": access,
        "disk": disk,
        "growth": growth,
        "registry_growth": registry_growth,
        "s3_transfers": s3_transfers,
        "small_files": small_files,
        "transfer_memory": transfer_memory,
        "listing": listing,
        "ceiling": ceiling,
    },
    "postgresql": {
        "bare": bare,
        "growth_million": growth_million,
        "soak": soak,
        "ceiling": ceiling,
    },
    "mariadb": {"soak": soak, "ceiling": ceiling},
}


def main() -> None:
    plan, earlier = _plan()
    # Ends as Ctrl-C does, so that no server is left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    servers.prepare(plan.kinds)
    contest = Contest(plan, report.load(earlier, plan) if earlier else Results())
    try:
        uvloop.run(contest.run())
    finally:
        report.save(contest.results, plan)
    report.write(contest.results, _whole(plan, contest.results))


def _whole(plan: Plan, results: Results) -> Plan:
    """The plan of all that the results have."""
    scenarios, extras = SCENARIOS_ON[plan.database.name], EXTRAS_ON[plan.database.name]
    measured = {*results.rounds, *results.extras}
    return replace(
        plan,
        scenarios=[each for each in scenarios if each.name in results.rounds],
        everything=measured >= {*extras, *(each.name for each in scenarios)},
    )


def _plan() -> tuple[Plan, Path | None]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    extras = dict.fromkeys(name for each in EXTRAS_ON.values() for name in each)
    parser.add_argument("--database", choices=DATABASES, default="sqlite")
    parser.add_argument("--servers", type=_listed([*KINDS]), help=", ".join(KINDS))
    parser.add_argument(
        "--scenarios", type=_listed([*ALL, *extras]), help=", ".join([*ALL, *extras])
    )
    parser.add_argument("--rounds", type=int, help="rounds a scenario (3; 1 when quick)")
    parser.add_argument("--duration", type=float, help="seconds a round (3; 1 when quick)")
    parser.add_argument("--soak-minutes", type=float, default=10)
    parser.add_argument(
        "--with", dest="earlier", type=Path, help="results of an earlier run, for all else"
    )
    parser.add_argument("--quick", action="store_true", help="one short round of what is fast")
    arguments = parser.parse_args()
    quick, database = bool(arguments.quick), str(arguments.database)
    scenarios, extras = SCENARIOS_ON[database], EXTRAS_ON[database]
    chosen = arguments.scenarios or [each.name for each in scenarios if each.quick or not quick] + (
        [] if quick else list(extras)
    )
    kinds = [KINDS[name] for name in arguments.servers or KINDS]
    kinds = [kind for kind in kinds if database in kind.schemes]
    if not kinds:
        parser.error(f"these servers cannot use {database}")
    known = {*extras, *(each.name for each in scenarios)}
    if unknown := [name for name in chosen if name not in known]:
        parser.error(f"not measured on {database}: {', '.join(unknown)}")
    plan = Plan(
        database=DATABASES[database](),
        kinds=kinds,
        scenarios=[each for each in scenarios if each.name in chosen],
        extras={name: extra for name, extra in extras.items() if name in chosen},
        rounds=arguments.rounds or (1 if quick else 3),
        duration_s=arguments.duration or (1 if quick else 3),
        soak_minutes=arguments.soak_minutes,
        is_quick=quick,
        everything=not (quick or arguments.servers or arguments.scenarios),
    )
    return plan, arguments.earlier


def _listed(known: list[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := [name for name in chosen if name not in known]:
            raise argparse.ArgumentTypeError(
                f"unknown: {', '.join(unknown)}; known: {', '.join(known)}"
            )
        return chosen

    return names


if __name__ == "__main__":
    main()
