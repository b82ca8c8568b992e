"""Publishers of the Americas: Mexican in OCDS 1.0, Colombian from a damaged export, Québécois."""

from __future__ import annotations

from collections.abc import Iterator

from agents.procurement.samples.parts import (
    Release,
    award,
    contract,
    documents,
    frame,
    money,
    plant,
    span,
    stamp,
    varied,
)

MEXICO = "T00:00:00-06:00"
NAMES = ("SERVICIOS INTEGRALES LA MORENITA SA DE CV", "Papelería El Águila, S. de R.L. de C.V.")
COLUMN = 32
"""Characters that the award's column has for a name."""


def ciudad_norte() -> Iterator[Release]:
    """OCDS 1.0: no parties, cut names, payments under their old names, two currencies."""
    planted: dict[int, tuple[str, ...]] = {
        1: ("review", "short-tender-period", "single-bidder"),
        2: ("review", "short-tender-period", "signed-before-deadline"),
        3: ("review", "paid-over-contract", "single-bidder"),
        4: ("clear", "spelled-differently"),
        6: ("clear", "several-currencies"),
        8: ("review", "paid-to-another"),
    }
    for index in range(10):
        release = _rental(index)
        yield plant(release, *planted[index]) if index in planted else release


def _rental(index: int) -> Release:
    price, name, number = varied(480_000, index), NAMES[index % 2], f"RFC{index % 2}10101AB1"
    value = money(24_350.5, "USD") if index == 6 else money(price, "MXN")
    paid = value["amount"] * (1.4 if index == 3 else 1)
    payee = "TRANSPORTES DEL GOLFO SA" if index == 8 else name
    payments = [
        {
            "id": f"CLC-{part}",
            "date": stamp(90 + 60 * part, 2016, MEXICO),
            "amount": money(round(paid / 2, 2), value["currency"]),
            "receiverOrganization": {"legalName": payee},
        }
        for part in range(2)
    ]
    tender = {
        "title": ("SERVICIO DE LIMPIEZA", "ARRENDAMIENTO DE EQUIPO")[index % 2],
        "status": "complete",
        "procurementMethod": "selective" if index < 5 else "limited",
        "procurementMethodRationale": "ARTÍCULO 54 FRACCIÓN II",
        "numberOfTenderers": 1 if index in (1, 3) else 3,
        "tenderers": [{"name": name, "identifier": {"id": number}}],
        "tenderPeriod": span(20, 21 if index in (1, 2) else 40, 2016, MEXICO),
        "value": money(round(price * 1.08, 2), "MXN"),
        "documents": documents(2, "biddingDocuments"),
    }
    winner = {"name": name[:COLUMN], "identifier": {"id": number}}
    deal = contract(
        "1", "1", value, span(50, 300, 2016, MEXICO), implementation={"transactions": payments}
    )
    deal["dateSigned"] = stamp(15 if index == 2 else 46, 2016, MEXICO)
    return frame(
        f"OCDS-NTE9-AD-{index + 1:03}-2016",
        stamp(10 + index, 2016, MEXICO),
        "es",
        ["contract"],
        buyer={"name": "SECRETARÍA DE ADMINISTRACIÓN", "identifier": {"id": "SAD850101AB1"}},
        planning={"budget": {"amount": money(round(price * 1.1, 2), "MXN")}},
        tender=tender,
        awards=[award("1", value, winner, date=stamp(45, 2016, MEXICO))],
        contracts=[deal],
    )


def valle() -> Iterator[Release]:
    """Lost accents, awards published three times, classes without codes, numbers as ids."""
    people = ("ROSALBA PE\ufffdA MONTOYA", "HERNANDO CASTA\ufffdEDA", "LUZ DARY OSPINA")
    for index in range(8):
        value = money(96_000_000.0 if index == 5 else 4_200_000.0 + 150_000 * index, "COP")
        label = "Servicios de personal temporal"
        line = {"id": 801116, "classification": {"scheme": "UNSPSC", "description": label}}
        won = award(
            481_700 + index, value, {"id": f"h{index}", "name": people[index % 3]}, items=[line]
        )
        deal = contract(f"{270 + index}-2016", str(481_700 + index), value, span(178, 225, 2016))
        if index == 2:
            deal["status"] = label
        copies = 3 if index % 2 else 1
        tender = {
            "title": f"{270 + index}-2016",
            "status": "complete",
            "procurementMethod": "limited",
            "value": value,
            "items": [line],
            "documents": documents(1, "technicalSpecifications"),
        }
        release = frame(
            f"ocds-val202-16-12-{7000 + index}",
            stamp(181, 2016, "T05:00:00.000000Z"),
            "es",
            ["contract"],
            buyer={
                "name": "ALCALD\ufffdA MUNICIPIO DE SAN TELMO",
                "identifier": {"scheme": "NIT", "id": "890.555.01-7"},
            },
            tender=tender,
            awards=[won] * copies,
            contracts=[deal] * copies,
        )
        planted: dict[int, tuple[str, ...]] = {
            2: ("clear", "status-not-a-code", "no-rationale", "text-damaged"),
            3: ("clear", "award-repeated", "contract-repeated"),
            5: ("review", "price-unusually-high", "no-rationale"),
        }
        yield plant(release, *planted[index]) if index in planted else release


def rive_sud() -> Iterator[Release]:
    """A text as tag, no method, numbered companies, an amount as text and one unreadable."""
    for index in range(8):
        odd = {2: "12500.00", 5: "12 500,00 $"}
        value = money(odd.get(index, varied(9_400, index)), "CAD")
        firm = {
            "name": f"9160-44{20 + index} QUÉBEC INC.",
            "identifier": {"id": f"9160-44{20 + index}-quebec-inc"},
        }
        bought = {"id": "", "description": "Pièces de fonte", "quantity": 1}
        when = stamp(150 + index, rest="T00:00:00-04:00")
        release = frame(
            f"ocds-rvs300-{index:04}",
            when,
            "fr",
            "award",
            buyer={"name": "Service de l'eau", "identifier": {"id": "service-de-leau"}},
            tender={"status": "complete", "procurementMethodRationale": "contract"},
            awards=[award(str(1_210_000 + index), value, firm, date=when, items=[bought])],
        )
        planted: dict[int, tuple[str, ...]] = {
            2: ("incomplete", "number-as-text", "not-a-list"),
            5: ("incomplete", "number-malformed"),
        }
        yield plant(release, *planted[index]) if index in planted else release
