import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper
from django.db import transaction
from django.db.models import Sum
from psycopg import sql

from billing.bench import closing, history, neighbours, profile, reads, report, shop
from billing.bench.ceilings import Ceilings
from billing.bench.load import Sample
from billing.bench.measures import FIGURES, Runner, as_dict, chosen
from billing.bench.traffic import Traffic
from billing.engine.money import amount_string
from billing.management.progress import Progress
from billing.models import Balance, Customer, LedgerEntry, UsageEvent
from billing.selectors.ledger import books

SECONDS_MAX = 120
ROUNDS_MAX = 20
CUSTOMERS_MAX = 20_000
ROWS_MAX = 100_000_000
PROFILE_REPEATS = 300

_INDEXES = """
SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i
 WHERE i.indrelid = ANY(%s::regclass[]) AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid)
"""


class Command(BaseCommand):
    help = (
        "Measure how fast usage is charged, each figure beside what the same machine could do at most, on servers that "
        "are started for this and removed afterwards. Exits with 1 where an answer was wrong or the books are."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--seconds", type=float, default=3.0, help="For each figure in each round (default: 3).")
        parser.add_argument("--rounds", type=int, default=3, help="Of which the medians are shown (default: 3).")
        parser.add_argument("--customers", type=int, default=1000, help="How many wallets are many (default: 1,000).")
        parser.add_argument("--workers", help="How many web processes (default: as many as `up` starts).")
        parser.add_argument("--only", help=f"With commas, of: {', '.join(FIGURES)}. Their ceilings come along.")
        parser.add_argument("--profile", action="store_true", help="Show where the time of one event goes, instead.")
        parser.add_argument(
            "--reads", action="store_true", help="Measure pages at 10,000 ledger entries and at --rows, instead."
        )
        parser.add_argument(
            "--close", action="store_true", help="Measure closing a day with --rows ledger entries, instead."
        )
        parser.add_argument(
            "--neighbours", action="store_true", help="Measure a few callers beside ten at their limit, instead."
        )
        parser.add_argument(
            "--rows",
            type=int,
            default=10_000_000,
            help="How many entries are many, for --reads and --close (default: 10,000,000).",
        )
        parser.add_argument("--json", action="store_true", help="Everything as JSON on standard output.")

    def handle(self, *args: Any, **options: Any) -> None:
        only = [name.strip() for name in (options["only"] or "").split(",") if name.strip()]
        if unknown := sorted(set(only) - set(FIGURES)):
            raise CommandError(f"There is no figure {', '.join(unknown)}; there are {', '.join(FIGURES)}.")
        for name, most in (("seconds", SECONDS_MAX), ("rounds", ROUNDS_MAX), ("customers", CUSTOMERS_MAX)):
            if not 0 < options[name] <= most:
                raise CommandError(f"--{name} must be more than 0 and at most {most:,}.")
        owner = os.environ.get("DATABASE_OWNER_URL")
        if not owner or Customer.objects.exists():
            # What is recorded stays for ever, so never beside anybody's.
            raise CommandError("This needs an empty database of its own; `manage.py bench` starts one.")

        if not reads.SMALL_ROWS < options["rows"] <= ROWS_MAX:
            raise CommandError(f"--rows must be more than {reads.SMALL_ROWS:,} and at most {ROWS_MAX:,}.")
        for instead in (self._reads, self._close, self._neighbours):
            if options[instead.__name__.removeprefix("_")]:
                instead(owner, options)
                return
        progress = OutputWrapper(sys.stderr)
        with Progress(progress, total=options["customers"] + 1, unit="customers") as bar:
            names = shop.make(options["customers"], made=bar.advance)
        address = urlsplit(settings.BASE_URL)
        traffic = Traffic(host=address.netloc, key=shop.key(), customers=names)
        result: dict[str, Any] = {"machine": _machine(), "options": _shown(options)}
        samples: dict[str, list[Sample]] = {}
        with ExitStack() as stack:
            ceilings = stack.enter_context(Ceilings(owner))
            result["postgresql"] = ceilings.versions()
            if options["profile"]:
                found = profile.stages(traffic.single(), repeats=PROFILE_REPEATS)
                result["profile_microseconds"] = found
            else:
                runner = Runner(
                    host=address.hostname or "",
                    port=address.port or 80,
                    seconds=options["seconds"],
                    traffic=traffic,
                    ceilings=ceilings,
                )
                samples = runner.rounds(chosen(only), options["rounds"], say=progress.write)
                result["figures"] = report.as_list(report.lines(samples))
                ceilings.analyze()
                result["rounds"] = {name: [as_dict(sample) for sample in rounds] for name, rounds in samples.items()}

        progress.write("Checking the books …")
        started = time.monotonic()
        with transaction.atomic():
            books.freeze()
            wrong = [*_wrong_answers(samples), *_wrong_books(traffic)]
            result["books"] = {"events": traffic.events, "entries": LedgerEntry.objects.count(), "wrong": wrong}
        result["books"]["seconds"] = time.monotonic() - started
        if options["json"]:
            self.stdout.write(json.dumps(result, indent=2))
        else:
            self._show(result, samples)
        if wrong:
            sys.exit(1)

    def _reads(self, owner: str, options: Mapping[str, Any]) -> None:
        progress = OutputWrapper(sys.stderr)
        # Pages name their static files by what is in them.
        call_command("collectstatic", interactive=False, verbosity=0)
        template = reads.prepare(shop.make(1, made=lambda count: None)[0])
        few, many = reads.groups(options["rows"])

        def grow() -> None:
            with psycopg.connect(owner, autocommit=True) as connection:
                # Indexes that are made at the end are as good as those that grew, and sooner there.
                indexes = connection.execute(_INDEXES, [list(history.LONG_TABLES)]).fetchall()
                for name, _ in indexes:
                    connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
                with Progress(progress, total=many.events, unit="events") as bar:
                    history.make(many, template, done=bar.advance)
                connection.execute("SET maintenance_work_mem = '512MB'")
                for _, definition in indexes:
                    progress.write(definition)
                    connection.execute(definition)

        def copy(name: str) -> None:
            schema = sql.Identifier(name)
            with psycopg.connect(owner) as connection:
                connection.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
                for (found,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
                    table = sql.Identifier(found)
                    for statement in (
                        "CREATE TABLE {schema}.{table} (LIKE public.{table} INCLUDING ALL)",
                        "INSERT INTO {schema}.{table} OVERRIDING SYSTEM VALUE SELECT * FROM public.{table}",
                    ):
                        connection.execute(sql.SQL(statement).format(schema=schema, table=table))
                role = sql.Identifier(settings.DATABASE_APP_ROLE)
                for statement in (
                    "GRANT USAGE ON SCHEMA {schema} TO {role}",
                    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}",
                ):
                    connection.execute(sql.SQL(statement).format(schema=schema, role=role))

        def tidy() -> None:
            with psycopg.connect(owner, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")

        history.make(few, template, done=lambda count: None)
        found = reads.measure(few, many, copy=copy, grow=grow, tidy=tidy, say=progress.write)
        progress.write(reads.table(found, options["rows"]))
        progress.write("Sealing and verifying …")
        with Progress(progress, total=options["rows"] * 6, unit="rows") as bar:
            sealed = reads.seal_and_verify(template.customer, done=bar.advance, say=progress.write)
        if options["json"]:
            result = {"machine": _machine(), "rows": options["rows"], "reads": list(map(asdict, found)), **sealed}
            self.stdout.write(json.dumps(result, indent=2))
        else:
            self.stdout.write(
                f"{sealed['rows']:,} rows sealed in {sealed['seal_seconds']:,.0f} s, one more event in "
                f"{sealed['seal_again_seconds']:.2f} s, all hashed again in "
                f"{sealed['verify_seals_seconds']:,.0f} s, invariants in {sealed['invariants_seconds']:,.0f} s, "
                f"{sealed['peak_memory_mb']:,.0f} MB of memory at most."
            )
        for what in sealed["wrong"]:
            self.stdout.write(self.style.ERROR(f"WRONG  {what}"))
        if sealed["wrong"]:
            sys.exit(1)

    def _neighbours(self, owner: str, options: Mapping[str, Any]) -> None:
        address, progress = urlsplit(settings.BASE_URL), OutputWrapper(sys.stderr)
        names = shop.make(neighbours.NOISY + neighbours.MEASURED, made=lambda count: None)
        bench = neighbours.Neighbours(
            host=address.hostname or "", port=address.port or 80, netloc=address.netloc, names=names
        )
        quiet, noisy = bench.rounds(options["rounds"], options["seconds"], say=progress.write)
        found = neighbours.as_dict(quiet, noisy, options["seconds"])
        with transaction.atomic():
            books.freeze()
            found["wrong"] += map(str, books.differences())
        found["machine"] = _machine()
        self.stdout.write(json.dumps(found, indent=2) if options["json"] else neighbours.table(found))
        if found["wrong"]:
            raise CommandError(f"WRONG  {found['wrong'][0]}")

    def _close(self, owner: str, options: Mapping[str, Any]) -> None:
        template = reads.prepare(shop.make(1, made=lambda count: None)[0])
        progress, rows = OutputWrapper(sys.stderr), options["rows"]

        def tidy() -> None:
            with psycopg.connect(owner, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")

        entries = rows * 11 // 10
        with (
            Progress(progress, total=entries // reads.ENTRIES_AN_EVENT, unit="events") as making,
            Progress(progress, total=entries, unit="entries") as bar,
        ):
            found = closing.measure(template, rows, made=making.advance, tidy=tidy, done=bar.advance)
        self.stdout.write(json.dumps(found, indent=2) if options["json"] else closing.table(found))
        for what in found["wrong"]:
            self.stdout.write(self.style.ERROR(f"WRONG  {what}"))
        if found["wrong"]:
            sys.exit(1)

    def _show(self, result: Mapping[str, Any], samples: Mapping[str, Sequence[Sample]]) -> None:
        machine, postgresql, options = result["machine"], result["postgresql"], result["options"]
        self.stdout.write(
            f"{machine['processors']} processors ({machine['processor']}), load {machine['load']:.1f} at the start; "
            f"Python {machine['python']}, PostgreSQL {postgresql['server_version']}, fsync {postgresql['fsync']}, "
            f"synchronous_commit {postgresql['synchronous_commit']}"
        )
        if "profile_microseconds" in result:
            self.stdout.write("\n" + profile.table(result["profile_microseconds"]) + "\n")
        else:
            rounds = f"medians of {options['rounds']} rounds of {options['seconds']:g} s"
            self.stdout.write(f"{options['customers']:,} customers; {rounds}\n")
            self.stdout.write(report.table(report.lines(samples)) + "\n")
        counted = result["books"]
        self.stdout.write(f"{counted['events']:,} events charged, {counted['entries']:,} ledger entries.")
        for what in counted["wrong"]:
            self.stdout.write(self.style.ERROR(f"WRONG  {what}"))
        if not counted["wrong"]:
            self.stdout.write(self.style.SUCCESS("Every answer was right, and so are the books."))


def _wrong_answers(samples: Mapping[str, Sequence[Sample]]) -> list[str]:
    return [
        f"{name}: {sample.wrong_count} wrong answers, the first: {sample.wrong[0]}"
        for name, rounds in samples.items()
        for sample in rounds
        if sample.wrong
    ]


def _wrong_books(traffic: Traffic) -> list[str]:
    """Whether what was answered is what was recorded, to the last digit, and every invariant of the ledger."""
    wrong = []
    charged = UsageEvent.objects.filter(status=UsageEvent.Status.CHARGED).count()
    if charged != traffic.events:
        wrong.append(f"{traffic.events:,} events were answered as charged, and {charged:,} are recorded")
    spent = Balance.objects.aggregate(total=Sum("lifetime_spent"))["total"] or Decimal(0)
    if spent != traffic.cost:
        wrong.append(f"The answers come to {amount_string(traffic.cost)} usd, the wallets to {amount_string(spent)}")
    return [*wrong, *map(str, books.differences())]


def _machine() -> dict[str, Any]:
    return {
        "processors": os.cpu_count(),
        "processor": _processor(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def _shown(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in ("seconds", "rounds", "customers", "only")}
