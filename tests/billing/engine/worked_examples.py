"""Figures that other systems' tests and manuals give for their pricing models, as one table.

Each entry is a price in our terms, where the figures are from, and what they say: ``totals`` are (quantity, amount) of
a whole period, before what is missing to its minimum; ``steps`` are (before, quantity, amount) of an event in its
middle; ``events`` are (quantities, amount) of events that are each priced by themselves.

Left out: what a period without usage costs. Lago and OpenMeter charge the first tier's flat amount for it; here it is
due once a unit falls in the tier, and F(0) = 0. Percentages, which they write as 1.3, are shares here: 0.013.
"""

from typing import Any

LAGO = "github.com/getlago/lago-api@1b1c24a6a spec/services/charge_models/"
OPENMETER = "github.com/openmeterio/openmeter openmeter/billing/rating/service/rate/"
FLEXPRICE = "github.com/flexprice/flexprice internal/ee/service/price_test.go"
VALYX = "docs.valyx.com/documentation/billing/components/rate-card"
ZUPLO = "zuplo.com/docs/articles/monetization/pricing-models"
INTACCT = "intacct.com usage-based-item-pricing-examples"


def tiers(*steps: tuple[str | None, str] | tuple[str | None, str, str], rate: bool = False) -> list[dict[str, Any]]:
    """(up_to, amount) or (up_to, amount, flat amount)."""
    names = ("up_to", "rate" if rate else "unit_amount", "flat_amount")
    return [dict(zip(names, step, strict=False)) for step in steps]


EXAMPLES: list[dict[str, Any]] = [
    {
        "source": LAGO + "graduated_service_spec.rb",
        "price": {"model": "graduated", "tiers": tiers(("10", "10", "2"), ("20", "5", "3"), (None, "5", "3"))},
        "totals": [("1", "12"), ("10", "102"), ("11", "110"), ("12", "115"), ("21", "163")],
    },
    {
        "source": LAGO + "graduated_service_spec.rb, fractions of units",
        "price": {"model": "graduated", "tiers": tiers(("0.1", "10"), ("1", "5"), (None, "2"))},
        "totals": [("0.05", "0.5"), ("0.5", "3")],
    },
    {
        "source": LAGO + "graduated_percentage_service_spec.rb",
        "price": {
            "model": "graduated_percentage",
            "tiers": tiers(("10", "0.01", "200"), ("20", "0.02", "300"), (None, "0.03", "400"), rate=True),
        },
        "totals": [("1", "200.01"), ("10", "200.1"), ("11", "500.12"), ("12", "500.14"), ("21", "900.33")],
    },
    {
        "source": "getlago.com/docs/guide/plans/charges/charge-models/graduated-percentage",
        "price": {
            "model": "graduated_percentage",
            "tiers": tiers(("1000", "0.01", "200"), ("10000", "0.02", "300"), (None, "0.03", "400"), rate=True),
        },
        "steps": [("0", "500", "205"), ("500", "550", "306"), ("1050", "4000", "80")],
    },
    {
        "source": LAGO + "package_service_spec.rb",
        "price": {"model": "package", "unit_amount": "100", "per": "10"},
        "totals": [("121", "1300")],
    },
    {
        "source": LAGO + "package_service_spec.rb, ten units free",
        "price": {"model": "package", "unit_amount": "100", "per": "10", "free_units": "10"},
        "totals": [("121", "1200")],
    },
    {
        "source": LAGO + "package_service_spec.rb, more free than used",
        "price": {"model": "package", "unit_amount": "100", "per": "10", "free_units": "200"},
        "totals": [("121", "0")],
    },
    {
        "source": LAGO + "volume_service_spec.rb",
        "price": {"model": "volume", "tiers": tiers(("100", "2", "10"), ("200", "1"), (None, "0.5", "50"))},
        "totals": [
            ("1", "12"),
            ("100", "210"),
            ("100.5", "100.5"),
            ("101", "101"),
            ("200", "200"),
            ("210", "155"),
            ("300", "200"),
        ],
    },
    {
        "source": "getlago.com/docs/guide/plans/charges/charge-models/volume",
        "price": {
            "model": "volume",
            "tiers": tiers(
                ("10000", "0.0010", "10"), ("50000", "0.0008", "10"), ("100000", "0.0006", "10"), (None, "0.0004", "10")
            ),
        },
        "totals": [("65000", "49")],
    },
    {
        "source": LAGO + "standard_service_spec.rb",
        "price": {"model": "per_unit", "unit_amount": "5.12345"},
        "totals": [("10", "51.2345")],
    },
    {
        "source": LAGO + "standard_service_spec.rb, a fixed charge",
        "price": {"model": "per_unit", "unit_amount": "10"},
        "totals": [("10", "100")],
    },
    {
        "source": LAGO + "percentage_service_spec.rb, a small amount",
        "price": {"model": "percentage", "rate": "0.029"},
        "totals": [("4", "0.116")],
    },
    {
        "source": LAGO + "percentage_service_spec.rb, no units free",
        "price": {"model": "percentage", "rate": "0.013", "fixed_amount": "2"},
        "events": [(("50", "100", "250", "400"), "18.4")],
    },
    {
        "source": LAGO + "percentage_service_spec.rb, a fixed amount alone",
        "price": {"model": "percentage", "rate": "0", "fixed_amount": "2"},
        "events": [(("50", "100", "250", "400"), "8")],
    },
    {
        "source": LAGO + "percentage_service_spec.rb, no limits",
        "price": {"model": "percentage", "rate": "0.0299", "fixed_amount": "0"},
        "events": [(("10", "80", "10000"), "301.691")],
    },
    {
        "source": LAGO + "percentage_service_spec.rb, limits for each transaction",
        "price": {"model": "percentage", "rate": "0.0299", "minimum": "1.75", "maximum": "12"},
        "events": [(("10", "80", "10000"), "16.142")],
    },
    {
        "source": LAGO + "percentage_service_spec.rb, limits and a fixed amount",
        "price": {"model": "percentage", "rate": "0.0299", "fixed_amount": "2", "minimum": "1.75", "maximum": "12"},
        "events": [(("10", "80", "10000"), "18.691")],
    },
    {
        "source": OPENMETER + "tieredgraduated_test.go, lines",
        "price": {
            "model": "graduated",
            "tiers": tiers(("5", "0", "100"), ("10", "0", "50"), ("15", "5"), (None, "1")),
        },
        "totals": [("22", "182")],
        "steps": [("7", "1", "0"), ("12", "10", "22")],
    },
    {
        "source": OPENMETER + "tieredgraduated_test.go, maximum",
        "price": {
            "model": "graduated",
            "tiers": tiers(("5", "0", "100"), ("10", "0", "50"), ("15", "5"), (None, "1")),
            "maximum_amount": "170",
        },
        "steps": [("12", "10", "10")],
    },
    {
        "source": OPENMETER + "tieredgraduated_test.go, minimum",
        "price": {
            "model": "graduated",
            "tiers": tiers(("5", "0", "100"), ("10", "0", "50"), ("15", "5"), (None, "1")),
            "minimum_amount": "1000",
        },
        "totals": [("2", "100")],
    },
    {
        "source": OPENMETER + "tieredgraduated_test.go, totals",
        "price": {
            "model": "graduated",
            "tiers": tiers(("5", "0", "100"), ("10", "0", "50"), ("15", "10"), (None, "5")),
        },
        "totals": [("3", "100"), ("5", "100"), ("5.001", "150"), ("7", "150"), ("12", "170"), ("22", "235")],
    },
    {
        "source": OPENMETER + "tieredvolume_test.go",
        "price": {
            "model": "volume",
            "tiers": tiers(("5", "0", "100"), ("10", "0", "150"), ("15", "10"), (None, "5")),
        },
        "totals": [("3", "100"), ("5", "100"), ("14", "140"), ("15", "150"), ("100", "500")],
    },
    {
        "source": OPENMETER + "tieredvolume_test.go, minimum of 150",
        "price": {
            "model": "volume",
            "tiers": tiers(("5", "0", "100"), ("10", "0", "150"), ("15", "10"), (None, "5")),
            "minimum_amount": "150",
        },
        "totals": [("5", "100")],
    },
    {
        "source": OPENMETER + "tieredvolume_test.go, maximum of 125",
        "price": {
            "model": "volume",
            "tiers": tiers(("5", "0", "100"), ("10", "0", "150"), ("15", "10"), (None, "5")),
            "maximum_amount": "125",
        },
        "totals": [("5", "100"), ("7", "125")],
    },
    {
        "source": OPENMETER + "package_test.go",
        "price": {"model": "package", "unit_amount": "15", "per": "10"},
        "totals": [("10", "15"), ("5", "15")],
        "steps": [("17", "5", "15")],
    },
    {
        "source": OPENMETER + "package_test.go, number of packages",
        "price": {"model": "package", "unit_amount": "1", "per": "10"},
        "totals": [("0", "0"), ("1", "1"), ("9", "1"), ("10", "1"), ("11", "2")],
    },
    {
        "source": OPENMETER + "package_test.go, minimum and maximum",
        "price": {
            "model": "package",
            "unit_amount": "15",
            "per": "10",
            "minimum_amount": "100",
            "maximum_amount": "100",
        },
        "totals": [("10", "15")],
        "steps": [("60", "50", "10")],
    },
    {
        "source": OPENMETER + "unit_test.go",
        "price": {"model": "per_unit", "unit_amount": "100"},
        "totals": [("0", "0"), ("10", "1000")],
    },
    {
        "source": OPENMETER + "unit_test.go, minimum and maximum",
        "price": {"model": "per_unit", "unit_amount": "10", "minimum_amount": "100", "maximum_amount": "100"},
        "totals": [("10", "100")],
        "steps": [("7", "5", "30")],
    },
    {
        "source": FLEXPRICE + " FlatFee",
        "price": {"model": "per_unit", "unit_amount": "100"},
        "totals": [("5", "500")],
    },
    {
        "source": FLEXPRICE + " Package",
        "price": {"model": "package", "unit_amount": "50", "per": "10"},
        "totals": [("25", "150")],
    },
    {
        "source": FLEXPRICE + " TieredVolume",
        "price": {"model": "volume", "tiers": tiers(("10", "50"), ("20", "40"), (None, "30"))},
        "totals": [("5", "250"), ("15", "600"), ("25", "750")],
    },
    {
        "source": FLEXPRICE + " TieredSlab",
        "price": {"model": "graduated", "tiers": tiers(("10", "50"), ("20", "40"), (None, "30"))},
        "totals": [("5", "250"), ("15", "700"), ("25", "1050")],
    },
    {
        "source": FLEXPRICE + " PackageScenarios",
        "price": {"model": "package", "unit_amount": "1", "per": "100"},
        "totals": [
            ("0", "0"),
            ("2", "1"),
            ("50", "1"),
            ("99", "1"),
            ("100", "1"),
            ("101", "2"),
            ("150", "2"),
            ("250", "3"),
            ("300", "3"),
        ],
    },
    {
        "source": FLEXPRICE + " PackageRoundingModes",
        "price": {"model": "package", "unit_amount": "1", "per": "100", "rounding": "down"},
        "totals": [("50", "0"), ("250", "2")],
    },
    {
        "source": INTACCT,
        "price": {"model": "graduated", "tiers": tiers(("3", "10.00"), ("7", "9.50"), (None, "9.00"))},
        "totals": [("3", "30"), ("7", "68"), ("11", "104")],
    },
    {
        "source": "docs.zuora.com example-tiered-pricing-mode",
        "price": {"model": "graduated", "tiers": tiers(("100", "0"), (None, "2"))},
        "totals": [("130", "60")],
    },
    {
        "source": "docs.useautumn.com/documentation/modelling-pricing/graduated-pricing",
        "price": {"model": "graduated", "tiers": tiers(("1000", "0.01"), ("10000", "0.008"), (None, "0.005"))},
        "totals": [("15000", "107")],
    },
    {"source": ZUPLO, "price": {"model": "per_unit", "unit_amount": "0.001"}, "totals": [("100000", "100")]},
    {
        "source": ZUPLO,
        "price": {"model": "graduated", "tiers": tiers(("1000", "0.10"), ("10000", "0.05"), (None, "0.01"))},
        "totals": [("15000", "600")],
    },
    {
        "source": ZUPLO,
        "price": {"model": "volume", "tiers": tiers(("1000", "0.10"), ("10000", "0.05"), (None, "0.01"))},
        "totals": [("15000", "150")],
    },
    {"source": VALYX, "price": {"model": "per_unit", "unit_amount": "10"}, "totals": [("42", "420"), ("89", "890")]},
    {
        "source": VALYX,
        "price": {"model": "graduated", "tiers": tiers(("50", "10"), ("100", "9"), (None, "8"))},
        "totals": [("40", "400"), ("60", "590"), ("120", "1110")],
    },
    {
        "source": VALYX,
        "price": {"model": "volume", "tiers": tiers(("50", "10"), ("100", "9"), (None, "8"))},
        "totals": [("40", "400"), ("60", "540"), ("120", "960")],
    },
]
