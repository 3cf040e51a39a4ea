"""``manage.py import_model_costs``: what models cost, from a list."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts.services.audit import SYSTEM
from billing.engine import cost_lists
from billing.engine.cost_lists import BadList, Listed
from billing.gateways import model_prices
from billing.models import ProviderCost
from billing.services.catalog import costs

SHIPPED = Path(__file__).resolve().parents[2] / "data" / "model_costs.json"
PROVIDERS = (
    *("anthropic", "aws", "azure", "cerebras", "cohere", "deepseek", "fireworks", "google", "groq", "meta"),
    *("minimax", "mistral", "moonshotai", "openai", "perplexity", "together", "voyageai", "x-ai", "zai"),
)
"""Who makes models, and the clouds they are mostly bought from: resellers' names would be thousands more."""


class Command(BaseCommand):
    help = (
        "Take over what models cost from a list: from the package genai-prices where it is installed, otherwise from "
        "the dated list that comes with Ante; or from a file. Only what has changed makes new rows, dated today, and "
        "what was set by hand goes before it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--file", type=Path, help="A file of the form of LiteLLM's model_prices_and_context_window."
        )
        parser.add_argument("--shipped", action="store_true", help="The list that comes with Ante, in any case.")
        parser.add_argument("--if-none", action="store_true", help="Only where no cost has been imported yet.")
        parser.add_argument(
            "--write", type=Path, help="Write the list to this file, in our own form, and import nothing."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["if_none"] and ProviderCost.objects.filter(source=ProviderCost.Source.IMPORTED).exists():
            self.stdout.write("There are imported costs already.")
            return
        found, source = self._read(options)
        if options["write"]:
            taken_on = f"{timezone.now():%Y-%m-%d}"
            options["write"].write_text(cost_lists.to_own(found, source=source, taken_on=taken_on), encoding="utf-8")
            self.stdout.write(f"Wrote {len(found):,} costs to {options['write']}.")
            return
        done = costs.import_list(actor=SYSTEM, costs=found, source=source)
        self.stdout.write(
            f"{source}: {done.added:,} added, {done.changed:,} changed from today on, {done.unchanged:,} as they were."
        )

    def _read(self, options: dict[str, Any]) -> tuple[list[Listed], str]:
        file: Path | None = options["file"]
        try:
            if file is not None:
                return cost_lists.from_litellm(file.read_text(encoding="utf-8")), file.name
            if not options["shipped"]:
                try:
                    found, source = model_prices.costs(timezone.now().date())
                    return [cost for cost in found if cost.provider in PROVIDERS], source
                except model_prices.NotInstalled:
                    pass
            return cost_lists.from_own(SHIPPED.read_text(encoding="utf-8"))
        except OSError as error:
            raise CommandError(f"{error.filename} cannot be read: {error.strerror}.") from error
        except (BadList, UnicodeDecodeError) as error:
            raise CommandError(f"{file or SHIPPED}: {error}.") from error
