"""`riverrun gc`: what was deleted goes for good, rows and files."""

import asyncio
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import click

from riverrun.auth.viewer import DEFAULT_WORKSPACE, Viewer
from riverrun.cli.beside import require_ready
from riverrun.errors import InvalidParameterValue, InvalidState
from riverrun.services.garbage import Asked, Garbage, Outcome, Plan
from riverrun.services.retention import Retention, read_age
from riverrun.services.storage import Size, Storage
from riverrun.settings import Settings, process_environment
from riverrun.settings_values import SettingsError, local_path, root_scheme
from riverrun.store.databases import open_engine
from riverrun.store.pool import PoolRules

CONNECTIONS = 4
OPERATOR = Viewer(name="", workspace=DEFAULT_WORKSPACE, all_powerful=True)

PLURALS = {
    "run": "runs",
    "logged model": "logged models",
    "experiment": "experiments",
    "orphan": "orphaned folders",
}


def command() -> click.Command:
    return gc


def ids(ctx: click.Context, param: click.Parameter, given: str | None) -> tuple[str, ...]:
    del ctx, param
    found = (each.strip() for each in (given or "").split(","))
    return tuple(dict.fromkeys(filter(None, found)))


@click.command()
@click.option(
    "--older-than",
    metavar="AGE",
    help="Only what was deleted so long ago, such as 90d or 1d2h3m4s. [default: RIVERRUN_RETENTION,"
    " or else everything that is deleted]",
)
@click.option(
    "--dry-run", is_flag=True, help="Only say what would go, and what its experiments take."
)
@click.option(
    "--orphans",
    is_flag=True,
    help="Also remove files of runs, logged models and experiments that do not exist any more.",
)
@click.option("--run-ids", metavar="IDS", callback=ids, help="Only these runs, with commas.")
@click.option("--experiment-ids", metavar="IDS", callback=ids, help="Only these experiments.")
@click.option("--logged-model-ids", metavar="IDS", callback=ids, help="Only these logged models.")
@click.option("--workspace", metavar="NAME", help="Only what is in this one. [default: in all]")
@click.option("--all-workspaces", is_flag=True, hidden=True, help="Of MLflow's command.")
@click.option("--backend-store-uri", metavar="URL", help="The server's database.")
@click.option("--artifacts-destination", metavar="URI", help="The server's artifact store.")
@click.option("--default-artifact-root", metavar="URI", help="The server's artifact root.")
@click.option("--tracking-uri", hidden=True, help="Of MLflow's command; nothing is asked of it.")
def gc(  # noqa: PLR0913 - The command's options.
    *,
    older_than: str | None,
    dry_run: bool,
    orphans: bool,
    run_ids: tuple[str, ...],
    experiment_ids: tuple[str, ...],
    logged_model_ids: tuple[str, ...],
    workspace: str | None,
    all_workspaces: bool,
    tracking_uri: str | None,
    **places: str | None,
) -> None:
    """Remove deleted runs, logged models and experiments for good, with their files.

    Give the server's own variables, or the options for its database and its artifacts. The server
    may go on meanwhile. What is interrupted goes on with the next call.
    """
    del tracking_uri
    environ = process_environment({})
    settings = Settings.load(places, environ)
    if workspace and all_workspaces:
        raise InvalidParameterValue("--workspace and --all-workspaces exclude each other.")
    asked = Asked(
        Retention(age_of(older_than, settings)),
        run_ids,
        logged_model_ids,
        experiment_ids,
        workspace or "",
    )
    if orphans and (asked.names_something or asked.workspace):
        raise InvalidParameterValue(
            "--orphans looks everywhere, so name no ids and no workspace with it."
        )
    asyncio.run(collect(settings, asked, orphans=orphans, dry_run=dry_run))


def age_of(older_than: str | None, settings: Settings) -> int:
    """In milliseconds. Raises SettingsError."""
    if older_than is None:
        return settings.retention_ms or 0
    try:
        return read_age(older_than)
    except ValueError as error:
        raise SettingsError(f"--older-than cannot be '{older_than}': {error}.") from None


@dataclass(frozen=True, slots=True)
class Household:
    """What the command works with."""

    garbage: Garbage
    storage: Storage


@asynccontextmanager
async def household(settings: Settings) -> AsyncGenerator[Household]:
    from riverrun.wiring import stores_of  # noqa: PLC0415 - After all that can go wrong cheaply.

    await require_ready(settings.database, uri=settings.backend_store_uri)
    rules = PoolRules(CONNECTIONS, settings.database_wait_s, settings.pool_recycle_s)
    engine = await open_engine(settings.database, rules, upgrade=False, beside=True)
    try:
        stores = stores_of(settings, process_environment({}))
        yield Household(Garbage(engine, stores), Storage(engine, stores))
    finally:
        await engine.close()


@dataclass(slots=True)
class Tally:
    """What went, or would."""

    gone: Counter[str] = field(default_factory=Counter[str])
    size: Size = field(default_factory=Size)
    of_experiments: defaultdict[int, Size] = field(default_factory=lambda: defaultdict(Size))

    def add(self, outcome: Outcome) -> None:
        if not outcome.kept:
            self.gone[outcome.kind] += 1
            self.size += outcome.size
            if outcome.experiment_id is not None:
                self.of_experiments[outcome.experiment_id] += outcome.size

    def told(self, *, dry_run: bool) -> str:
        verb = "Would remove" if dry_run else "Removed"
        counts = [
            f"{count} {kind if count == 1 else PLURALS[kind]}" for kind, count in self.gone.items()
        ]
        if not counts:
            return f"{verb} nothing."
        listed = ", ".join(counts[:-1]) + " and " * (len(counts) > 1) + counts[-1]
        return f"{verb} {listed}: {amount(self.size)}."


async def collect(settings: Settings, asked: Asked, *, orphans: bool, dry_run: bool) -> None:
    tally = Tally()
    async with household(settings) as house:
        plan = await house.garbage.plan(asked)
        if plan.count or orphans:
            require_artifacts(settings)
        if dry_run:
            async for outcome in house.garbage.carry_out(plan, dry_run=True):
                tally.add(outcome)
                click.echo(line_of(outcome))
            await tell_storage(house.storage, plan, tally)
        else:
            await carry_out(house.garbage, plan, tally)
        if orphans:
            async for outcome in house.garbage.orphans(dry_run=dry_run):
                tally.add(outcome)
                click.echo(line_of(outcome))
    click.echo(tally.told(dry_run=dry_run))


def require_artifacts(settings: Settings) -> None:
    """Rows without their files would leave the files for good. Raises InvalidState."""
    destination = settings.artifact_destination
    is_local = root_scheme(destination) in {"", "file"}
    if settings.serves_artifacts and is_local and not local_path(destination).is_dir():
        raise InvalidState(
            f"The folder {destination} does not exist: give --artifacts-destination as the server"
            " has it, and make the folder if nothing was ever kept there."
        )


async def carry_out(garbage: Garbage, plan: Plan, tally: Tally) -> None:
    """With a bar on a terminal; what stays is told when the bar is full."""
    told: list[str] = []
    if not sys.stderr.isatty():
        async for outcome in garbage.carry_out(plan, dry_run=False):
            tally.add(outcome)
            if outcome.kept or outcome.note:
                click.echo(line_of(outcome))
        return
    with click.progressbar(length=plan.count, label="Removing", file=sys.stderr) as bar:
        async for outcome in garbage.carry_out(plan, dry_run=False):
            tally.add(outcome)
            bar.update(1)
            if outcome.kept or outcome.note:
                told.append(line_of(outcome))
    for line in told:
        click.echo(line)


async def tell_storage(storage: Storage, plan: Plan, tally: Tally) -> None:
    for share in plan.shares:
        experiment_id = share.experiment.experiment_id
        try:
            viewer = replace(OPERATOR, workspace=share.experiment.workspace)
            used = await storage.used(str(experiment_id), viewer=viewer)
        except InvalidParameterValue:  # Its files are somewhere else.
            continue
        freed = tally.of_experiments[experiment_id]
        click.echo(f"experiment {experiment_id} takes {amount(used)}; would free {amount(freed)}")


def line_of(outcome: Outcome) -> str:
    where = "" if outcome.kind in {"experiment", "orphan"} else f" of {outcome.experiment_id}"
    size = "itself" if outcome.kind == "experiment" else amount(outcome.size)
    said = f"stays, {outcome.kept}" if outcome.kept else size
    note = f" ({outcome.note})" if outcome.note else ""
    return f"{outcome.kind} {outcome.name}{where}: {said}{note}"


def amount(size: Size) -> str:
    """`1 file, 12.3 MiB`."""
    files = "1 file" if size.files == 1 else f"{size.files} files"
    number, unit = float(size.size_bytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if number < 1024:
            break
        number, unit = number / 1024, larger
    return f"{files}, {number:.0f} B" if unit == "B" else f"{files}, {number:.1f} {unit}"
