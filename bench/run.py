"""Measures Riverrun, MLflow and FastTrackML side by side and writes docs/benchmarks.md.

    python bench/run.py                                              everything
    python bench/run.py --quick                                      a rough picture
    python bench/run.py --servers riverrun --scenarios log_metric    one figure, in seconds

Only a run of everything rewrites the document. Raw results go to .bench/.
"""

import argparse
import signal
from collections.abc import Callable

import uvloop

import report
import servers
from contest import Contest, Plan
from footprint import EXTRAS
from registry import REGISTRY_SCENARIOS
from scenarios import SCENARIOS
from servers import KINDS

ALL = (*SCENARIOS, *REGISTRY_SCENARIOS)


def main() -> None:
    plan = _plan(_arguments())
    # Ends as Ctrl-C does, so that no server is left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    servers.prepare(plan.kinds)
    contest = Contest(plan)
    try:
        uvloop.run(contest.run())
    finally:
        report.save(contest.results)
    report.write(contest.results, plan)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [scenario.name for scenario in ALL]
    parser.add_argument("--servers", type=_listed(list(KINDS)), help=", ".join(KINDS))
    parser.add_argument(
        "--scenarios", type=_listed([*names, *EXTRAS]), help=", ".join([*names, *EXTRAS])
    )
    parser.add_argument("--rounds", type=int, help="rounds a scenario (3; 1 when quick)")
    parser.add_argument("--duration", type=float, help="seconds a round (3; 1 when quick)")
    parser.add_argument("--quick", action="store_true", help="one short round of what is fast")
    return parser.parse_args()


def _listed(known: list[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := [name for name in chosen if name not in known]:
            raise argparse.ArgumentTypeError(
                f"unknown: {', '.join(unknown)}; known: {', '.join(known)}"
            )
        return chosen

    return names


def _plan(arguments: argparse.Namespace) -> Plan:
    quick = bool(arguments.quick)
    chosen = arguments.scenarios or [each.name for each in ALL if each.quick or not quick] + (
        [] if quick else list(EXTRAS)
    )
    return Plan(
        kinds=[KINDS[name] for name in arguments.servers or KINDS],
        scenarios=[scenario for scenario in ALL if scenario.name in chosen],
        extras=[name for name in EXTRAS if name in chosen],
        rounds=arguments.rounds or (1 if quick else 3),
        duration_s=arguments.duration or (1 if quick else 3),
        everything=not (quick or arguments.servers or arguments.scenarios),
    )


if __name__ == "__main__":
    main()
