import sys
from typing import Any

from django.core.management.base import BaseCommand, OutputWrapper

from billing.gateways import anchors
from billing.management.progress import Progress
from billing.selectors.ledger import seals as chain
from billing.services.ledger import seals


class Command(BaseCommand):
    help = "Seal what was committed since the last time, and note the newest seal in seals.log of the data directory."

    def handle(self, *args: Any, **options: Any) -> None:
        with Progress(OutputWrapper(sys.stderr), total=chain.unsealed_rows(), unit="rows") as bar:
            head = seals.seal(done=bar.advance)
        if head is None:
            self.stdout.write("Nothing to seal.")
            return
        anchors.note(head)
        self.stdout.write(f"Seal {head.number}  {bytes(head.hash).hex()}")
