"""Results as text on the terminal, as a file in .bench, and as a part of docs/benchmarks.md."""

import json
import os
import platform
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import msgspec

import plot
from access import CALLS, SEARCHING
from contest import Results
from loadgen import Measurement
from plan import Plan
from scenarios import MIB, Scenario
from servers import KINDS, ROOT, Kind

DOCUMENT = ROOT / "docs" / "benchmarks.md"
PLOT = ROOT / "docs" / "growth.svg"
BEGIN = "<!-- bench:begin {database}, written by bench/run.py -->"
END = "<!-- bench:end -->"
IDLE_BYTES_MAX = 80e6
PEAK_BYTES_MAX = 150e6
EXISTING_START_S = 0.6
EXISTING_START_CPU_S = 0.4
EMPTY_START_S = 3
DISK_BYTES_MAX = 12e6
GROWTH_MAX = 2
PAGE_MS_MAX = 50
BARE_LEAST = 0.4
S3_PEER_LEAST = 1.2
S3_BARE_LEAST = 0.6
COPYING_LEAST = 0.6
GUARDED_LEAST = 0.9
GUARDED_TIMES = 40
"""How many times upstream's rate with its access control."""
TRANSFER_GROWTH_MIB = 64

Table = list[list[str]]


def write(results: Results, plan: Plan) -> None:
    """Print what was found; after a run of everything, put it into the database's part."""
    text = "\n\n".join(part for part in _parts(results, plan) if part)
    print(f"\n{text}\n")
    if not plan.everything:
        return
    _replace_generated(text, BEGIN.format(database=plan.database.name))
    if "growth" in results.extras:
        PLOT.write_text(plot.plot(results.extras["growth"]))


def save(results: Results, plan: Plan) -> None:
    """Also what an interrupted run has found."""
    name = f"results-{plan.database.name}-{time.strftime('%Y%m%d-%H%M%S')}.json"
    raw = ROOT / ".bench" / name
    raw.parent.mkdir(exist_ok=True)
    raw.write_text(json.dumps(asdict(results), indent=1))
    print(f"raw results: {raw.relative_to(ROOT)}")


def load(path: Path, plan: Plan) -> Results:
    """What an earlier run has found beside that which the plan measures."""
    results = msgspec.json.decode(path.read_bytes(), type=Results)
    for name in (*(each.name for each in plan.scenarios), *plan.extras):
        for found in (results.rounds, results.refused, results.extras):
            found.pop(name, None)
    return results


def _replace_generated(text: str, begin: str) -> None:
    before, found, rest = DOCUMENT.read_text().partition(begin)
    assert found, f"{DOCUMENT.name} has no {begin}"
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{begin}\n\n{text}\n\n{END}{after}")


def _parts(results: Results, plan: Plan) -> list[str]:
    parts = [_machine(plan), _ratios(results, plan), _medians(results, plan), _refused(results)]
    parts += [_processor(results, plan), _memory(results), _cold_start(results), _disk(results)]
    parts += [_growth(results), _growth_million(results), _registry_growth(results)]
    parts += [_bare(results), _soak(results, plan)]
    parts += [_access(results), _s3_transfers(results), _small_files(results)]
    parts += [_transfer_memory(results), _listing(results)]
    return [*parts, _ceiling(results), _commands(plan)]


def _ratios(results: Results, plan: Plan) -> str:
    peers = [kind for kind in plan.kinds if kind.name != "riverrun"]
    if KINDS["riverrun"] not in plan.kinds or not peers:
        return ""
    rows = [["scenario", *(f"against {kind.title}" for kind in peers)]]
    for scenario in plan.scenarios:
        cells = [_ratio(results, scenario, kind.name) for kind in peers]
        if any(cells):
            rows.append([scenario.title, *cells])
    return "### How many times faster\n\n" + _table(rows)


def _ratio(results: Results, scenario: Scenario, peer: str) -> str:
    """The ratio of the medians, the target in brackets, and whether it is reached."""
    ours, theirs = (_rate(results, scenario, name) for name in ("riverrun", peer))
    target = scenario.targets.get(peer)
    if not ours or not theirs:
        return f"? (≥ {target:g}×)" if target else ""
    ratio = ours / theirs
    text = f"{ratio:.1f}×" if ratio < 10 else f"{ratio:.0f}×"
    return f"{text} (≥ {target:g}×{_mark(reached=ratio >= target)})" if target else text


def _medians(results: Results, plan: Plan) -> str:
    rows = [["scenario", "unit", *(kind.title for kind in plan.kinds)]]
    for scenario in plan.scenarios:
        rounds = results.rounds.get(scenario.name, {})
        cells = [_cell(scenario, rounds.get(kind.name, [])) for kind in plan.kinds]
        rows.append([scenario.title, scenario.unit, *cells])
    legend = "Median rate; in brackets median and 99th percentile of a call in milliseconds."
    return f"### Medians\n\n{legend}\n\n{_table(rows)}" if len(rows) > 1 else ""


def _cell(scenario: Scenario, rounds: list[Measurement]) -> str:
    if not rounds:
        return "–"
    rate = _number(_median(rounds, lambda each: each.rate) * scenario.items)
    p50 = _number(_median(rounds, lambda each: each.p50_ms))
    p99 = _number(_median(rounds, lambda each: each.p99_ms))
    failed = sum(each.failed for each in rounds)
    calls = failed + sum(each.calls for each in rounds)
    note = f", **{failed} of {calls} calls failed**" if failed else ""
    return f"{rate} ({p50}, {p99}){note}"


def _refused(results: Results) -> str:
    lines = [
        f"* {scenario}, {KINDS[server].title}: {what}"
        for scenario, servers in results.refused.items()
        for server, what in servers.items()
    ]
    return "Not measured:\n\n" + "\n".join(lines) if lines else ""


def _processor(results: Results, plan: Plan) -> str:
    """Says on a database server where the time goes."""
    if not plan.database.command:
        return ""
    rows = [["scenario", *(kind.title for kind in plan.kinds)]]
    for scenario in plan.scenarios:
        rounds = results.rounds.get(scenario.name, {})
        rows.append([scenario.title, *(_cpu(rounds.get(kind.name, [])) for kind in plan.kinds)])
    legend = f"Milliseconds a call: the server's own + {plan.database.title}'s for it."
    title = "### Processor time"
    return f"{title}\n\n{legend}\n\n{_table(rows)}" if len(rows) > 1 else ""


def _cpu(rounds: list[Measurement]) -> str:
    if not rounds:
        return "–"
    own = _median(rounds, lambda each: each.cpu_ms)
    return f"{_number(own)} + {_number(_median(rounds, lambda each: each.database_cpu_ms))}"


def _memory(results: Results) -> str:
    rows = [["server", "processes", "idle, MB", "peak, MB"]]
    for name, memory in results.memory.items():
        idle, peak = f"{memory.idle_bytes / 1e6:.0f}", f"{memory.peak_bytes / 1e6:.0f}"
        if name == "riverrun":
            idle += _goal("< 80", reached=memory.idle_bytes < IDLE_BYTES_MAX)
            peak += _goal("< 150", reached=memory.peak_bytes < PEAK_BYTES_MAX)
        rows.append([KINDS[name].title, str(memory.processes), idle, peak])
    return "### Memory (proportional set size)\n\n" + _table(rows) if len(rows) > 1 else ""


def _cold_start(results: Results) -> str:
    rows = [["server", "existing database, s", "its CPU, s", "empty database, s", "its CPU, s"]]
    for name, figures in results.extras.get("cold_start", {}).items():
        row = [f"{figures[key]:.2f}" for key in ("wall_s", "cpu_s", "empty_wall_s", "empty_cpu_s")]
        if name == "riverrun":
            row[0] += _goal("< 0.6", reached=figures["wall_s"] < EXISTING_START_S)
            row[1] += _goal("< 0.4", reached=figures["cpu_s"] < EXISTING_START_CPU_S)
            row[2] += _goal("< 3", reached=figures["empty_wall_s"] < EMPTY_START_S)
        rows.append([KINDS[name].title, *row])
    title = "### Cold start, from spawn to the first 200 on `/health`\n\n"
    return title + _table(rows) if len(rows) > 1 else ""


def _disk(results: Results) -> str:
    rows = [["server", "in use, MB", "files, MB"]]
    for name, figures in results.extras.get("disk", {}).items():
        used = f"{figures['used_bytes'] / 1e6:.1f}"
        if name == "riverrun":
            used += _goal("< 12", reached=figures["used_bytes"] < DISK_BYTES_MAX)
        rows.append([KINDS[name].title, used, f"{figures['file_bytes'] / 1e6:.1f}"])
    title = "### Disk per million points, after compaction\n\n"
    return title + _table(rows) if len(rows) > 1 else ""


def _growth(results: Results) -> str:
    found = results.extras.get("growth", {})
    if not found:
        return ""
    image = f"![Search latency by number of runs]({PLOT.name})"
    title = "### Growth: median latency of a search page"
    return f"{title}\n\n{_grown(found, 'search', 'runs')}\n\n{image}"


def _growth_million(results: Results) -> str:
    found = results.extras.get("growth_million", {})
    if not found:
        return ""
    slowest = max(list(found.values())[-1].values())
    goal = _goal(f"< {PAGE_MS_MAX} ms", reached=slowest < PAGE_MS_MAX)
    title = "### A page of 100 runs among a million: median latency"
    return f"{title}\n\n{_grown(found, 'search', 'runs')}\n\nThe slowest: {slowest:.2f} ms{goal}."


def _bare(results: Results) -> str:
    found = results.extras.get("bare", {})
    if not found:
        return ""
    ours, one, eight, latest = (
        found[key]["metrics"] for key in ("riverrun", "one", "eight", "eight_and_latest")
    )
    goal = _goal(f"≥ {BARE_LEAST}", reached=ours / one >= BARE_LEAST)
    rows = [["what writes 1000 metrics at a time", "metrics/s", "Riverrun's share"]]
    rows.append(["log-batch, 8 clients", _number(ours), ""])
    rows.append(["a loop of asyncpg: the packed row", _number(one), f"{ours / one:.2f}{goal}"])
    rows.append(["eight such loops at once", _number(eight), f"{ours / eight:.2f}"])
    rows.append(["eight, and ten latest values", _number(latest), f"{ours / latest:.2f}"])
    return f"### Beside a bare loop\n\n{_table(rows)}"


def _access(results: Results) -> str:
    found = results.extras.get("access", {})
    if not found:
        return ""
    shown = {who: rates for who, rates in found.items() if who != SEARCHING}
    free, ours = found["nobody logs in"], found["riverrun, password"]
    rows = [["8 clients", *(f"{call}, calls/s" for call in CALLS), *CALLS]]
    for who, rates in shown.items():
        shares = ["", ""]
        if who.startswith("riverrun"):
            shares = [_share(rates[call] / free[call], GUARDED_LEAST) for call in CALLS]
        elif who.startswith("upstream"):
            shares = [_times(ours[call] / rates[call], GUARDED_TIMES) for call in CALLS]
        rows.append([who, *(_number(rates[call]) for call in CALLS), *shares])
    searching = found[SEARCHING]
    admin_ms, viewer_ms = searching["admin_ms"], searching["viewer_ms"]
    goal = _goal("<= 2", reached=viewer_ms <= 2 * admin_ms)
    search = (
        f"The first page of {searching['experiments']:.0f} experiments: the admin {admin_ms:.2f} "
        f"ms, a user who may see ten of them {viewer_ms:.2f} ms, {viewer_ms / admin_ms:.2f}×{goal}."
    )
    legend = (
        "Share of the rate without access control; beside upstream's, how many times it Riverrun "
        "answers with passwords."
    )
    return f"### Access control\n\n{legend}\n\n{_table(rows)}\n\n{search}"


def _times(ratio: float, least: float) -> str:
    return f"{ratio:.0f}×{_goal(f'{least:.0f}', reached=ratio >= least)}"


def _s3_transfers(results: Results) -> str:
    found = results.extras.get("s3_transfers", {})
    if not found:
        return ""
    ours = found.get("riverrun", {})
    rows = [["what moves 512 MiB", "up, MiB/s", "Riverrun's", "down, MiB/s", "Riverrun's"]]
    for name, figures in found.items():
        kind = KINDS.get(name)
        least = S3_PEER_LEAST if kind else S3_BARE_LEAST
        row = [kind.title if kind else f"a bare loop of {name}"]
        for way in ("up", "down"):
            share = _share(ours.get(way, 0) / figures[way], least) if name != "riverrun" else ""
            row += [_number(figures[way]), share]
        rows.append(row)
    return f"### Artifacts on a server of S3\n\n{_table(rows)}"


def _small_files(results: Results) -> str:
    found = results.extras.get("small_files", {})
    if not found:
        return ""
    rows = [["100 files of 1 MiB, 8 clients", "Riverrun", "an app that only copies", "share"]]
    for way in ("up", "down"):
        ours, theirs = found["riverrun"][way], found["copying"][way]
        share = _share(ours / theirs, COPYING_LEAST) if way == "up" else f"{ours / theirs:.2f}×"
        rows.append([f"{way}, MiB/s", _number(ours), _number(theirs), share])
    return f"### Beside an app that only copies files\n\n{_table(rows)}"


def _transfer_memory(results: Results) -> str:
    found = results.extras.get("transfer_memory", {})
    if not found:
        return ""
    mib = next(iter(found.values()))["file_mib"]
    rows = [["where", "before, MiB", "peak, MiB", "growth, MiB"]]
    for name, figures in found.items():
        before, peak, growth = (
            figures[f"{key}_bytes"] / MIB for key in ("before", "peak", "growth")
        )
        goal = _goal(f"< {TRANSFER_GROWTH_MIB}", reached=growth < TRANSFER_GROWTH_MIB)
        rows.append([name, f"{before:.0f}", f"{peak:.0f}", f"{growth:.0f}{goal}"])
    title = f"### Memory of Riverrun while four files of {mib:.0f} MiB pass at once"
    return f"{title}\n\n{_table(rows)}"


def _listing(results: Results) -> str:
    found = results.extras.get("listing", {})
    if not found:
        return ""
    files = next(iter(found.values()))["files"]
    rows = [["server and place", "first byte, s", "all, s", "growth of memory, MiB"]]
    for name, figures in found.items():
        server, _, place = name.partition(" ")
        growth = f"{figures['growth_bytes'] / MIB:.0f}"
        times = [f"{figures[key]:.2f}" for key in ("first_s", "total_s")]
        rows.append([f"{KINDS[server].title}, {place}", *times, growth])
    return f"### Listing a directory of {files:,.0f} files\n\n{_table(rows)}"


def _share(ratio: float, least: float) -> str:
    return f"{ratio:.2f}×{_goal(f'≥ {least:g}', reached=ratio >= least)}"


def _soak(results: Results, plan: Plan) -> str:
    found = results.extras.get("soak", {})
    if not found:
        return ""
    rows = [["calls", "clients", "calls/s", "median, ms", "99th percentile, ms", "failed"]]
    for name, figures in found.items():
        clients, p50, p99 = (_number(figures[key]) for key in ("clients", "p50_ms", "p99_ms"))
        failed = f"{figures['failed']:.0f} of {figures['calls'] + figures['failed']:.0f}"
        if figures["wrong"]:
            failed += ", **and another history than was answered**"
        rows.append([name, clients, _number(figures["rate"]), p50, p99, failed])
    failed = sum(figures["failed"] + figures["wrong"] for figures in found.values())
    goal = _goal("no error", reached=failed == 0)
    title = f"### Three servers, 32 clients each, {plan.soak_minutes:g} minutes{goal}"
    return f"{title}\n\n{_table(rows)}"


def _registry_growth(results: Results) -> str:
    found = results.extras.get("registry_growth", {})
    title = "### Growth: median latency with many versions of one model\n\n"
    return title + _grown(found, "call", "versions") if found else ""


def _grown(found: dict[str, dict[str, float]], what: str, unit: str) -> str:
    rows = [[what, *(f"{int(size):,} {unit}, ms" for size in found), "last to first"]]
    for name in next(iter(found.values())):
        values = [figures[name] for figures in found.values()]
        ratio = values[-1] / values[0]
        goal = _goal("≤ 2×", reached=ratio <= GROWTH_MAX)
        rows.append([name, *(f"{value:.2f}" for value in values), f"{ratio:.2f}×{goal}"])
    return _table(rows)


def _ceiling(results: Results) -> str:
    rates = results.extras.get("ceiling", {}).get("generator", {})
    listed = ", ".join(
        f"{_number(rate)} with {name.removeprefix('clients_')}" for name, rate in rates.items()
    )
    return f"The generator's own ceiling, calls/s by clients: {listed}." if rates else ""


def _machine(plan: Plan) -> str:
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores ({cpu[1] if cpu else platform.machine()}), {memory:.0f} GiB,"
        f" Linux {platform.release().partition('-')[0]}, Python {platform.python_version()};"
        f" {time.strftime('%Y-%m-%d')}, {plan.rounds} rounds of {plan.duration_s:g} s;"
        f" load average at the end {os.getloadavg()[2]:.1f} over 15 minutes."
    )


def _commands(plan: Plan) -> str:
    database = plan.database
    lines = {database.title: " ".join(database.command)} if database.command else {}
    for kind in plan.kinds:
        lines[kind.title] = _command(database.attach(kind, kind.name))
    text = "\n".join(f"{title + ':':26}{command}" for title, command in lines.items())
    return f"Commands, each in an empty folder:\n\n```\n{text}\n```".replace(f"{ROOT}/", "")


def _command(kind: Kind) -> str:
    words = [f"{name}={value}" for name, value in kind.variables.items()]
    words += kind.command(5000, Path("FOLDER"), kind.store.uri if kind.store else "")
    return " ".join(words)


def _rate(results: Results, scenario: Scenario, server: str) -> float:
    rounds = results.rounds.get(scenario.name, {}).get(server, [])
    return _median(rounds, lambda each: each.rate) if rounds else 0


def _median(rounds: list[Measurement], figure: Callable[[Measurement], float]) -> float:
    return statistics.median(map(figure, rounds))


def _goal(text: str, *, reached: bool) -> str:
    return f" ({text}{_mark(reached=reached)})"


def _mark(*, reached: bool) -> str:
    return ", reached" if reached else ", **not reached**"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _table(rows: Table) -> str:
    head, *rest = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *rest])
