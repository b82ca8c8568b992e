"""Publishers of Europe: English with nulls, Romanian with empty texts, German, Ukrainian."""
# ruff: noqa: RUF001
# Cyrillic letters that look like Latin ones are meant.

from __future__ import annotations

from collections.abc import Iterator

from agents.procurement.samples.parts import (
    Release,
    award,
    contract,
    day,
    documents,
    frame,
    item,
    money,
    plant,
    span,
    stamp,
    varied,
)

HOSPITAL = ("CPV", "33140000-3", "Consumabile medicale")
OFFICES = ("CPV", "90919200", "Büroreinigung")


def albion() -> Iterator[Release]:
    """Notices with nulls in place of what is not known; half of them without a method."""
    towns = ("Ashmere", "Brackley Vale", "Cold Norton", "Dunmarsh", "Eastholm")
    needs = ("Grounds maintenance", "School transport", "Roof repairs", "Payroll software")
    for index in range(10):
        called = 20 + index * 9
        buyer = {"id": "b1", "name": f"{towns[index % 5]} District Council"}
        bare = {"scheme": "", "id": "", "legalName": None, "uri": None}
        value = (94_000, 61_500, 160_500, 28_900)[index % 4] + index * 137
        known = index % 2 == 0
        period = span(called, called + 35, 2016)
        tender = {
            "id": f"t{index}",
            "title": f" {needs[index % 4]} ",
            "status": "active" if index % 3 else "unsuccessful",
            "procurementMethod": None,
            "procurementMethodDetails": "Open procedure" if known else None,
            "value": money(value, "GBP"),
            "minValue": money(value // 2, "GBP"),
            "tenderPeriod": period if known else {"endDate": period["endDate"]},
            "items": [item("CPV", "77310000", "Planting and maintenance services")],
            "documents": documents(1) if index % 4 else [],
            "submissionMethod": None,
            "awardCriteria": None,
        }
        yield frame(
            f"ocds-alb001-{4100 + index}",
            stamp(called, 2016, "T09:30:00Z"),
            "en-GB",
            ["tender"],
            version="1.1",
            parties=[{**buyer, "roles": ["buyer"], "identifier": bare}],
            buyer=buyer,
            tender=tender,
        )


def bessara() -> Iterator[Release]:
    """A bulletin with empty texts and lower-case currency; awards by lot, some of them small."""
    firms = ("S.C. ARTANIS S.R.L.", "Artanis SRL", "VELMORA-GRUP S.R.L.", "S.C. Codrul Nou S.A.")
    for index in range(12):
        lots = (0, 1, 1, 5, 1, 0, 3, 1, 1, 4, 1, 2)[index]
        amounts = [varied(260_000 if lot == 0 else 31_000, index + lot) for lot in range(lots)]
        if index == 8:
            amounts = [2_480_000]
        values = [money(amount, "mdl") for amount in amounts]
        buyer = {"id": "p1", "name": f"SPITALUL RAIONAL {index + 1}"}
        quotation = index % 2
        tender = {
            "id": str(20_500 + index),
            "title": f"Consumabile medicale, buletin {index + 1}",
            "description": "",
            "status": "Executarea contractului" if lots else "Primirea ofertelor",
            "value": money("", ""),
            "procurementMethod": ("Licitaţie publică", "Cerere a ofertelor de preţuri")[quotation],
            "procurementMethodRationale": "",
            "tenderPeriod": span(30 + index, 54 - 15 * quotation + index),
            "numberOfTenders": "",
            "tenderers": [{"id": "d41d8cd98f", "name": ""}],
            "documents": [{"id": "", "url": "", "title": ""}],
            "items": [item(*HOSPITAL, quantity="", unit={"name": "", "value": money("", "")})],
        }
        awards = [
            award(
                f"award-{index}-{lot}",
                value,
                {"id": f"s{(index + lot) % 4}", "name": firms[(index + lot) % 4]},
                date="",
                items=[item(*HOSPITAL)],
            )
            for lot, value in enumerate(values)
        ]
        contracts = [
            contract(f"{index}{lot}", f"award-{index}-{lot}", value, span(80 + index, 300 + index))
            for lot, value in enumerate(values)
        ]
        release = frame(
            f"ocds-bes777-{20_500 + index}",
            stamp(30 + index, rest="T00:00:00.000Z"),
            "ro",
            ["tender", "award", "contract"],
            version="1.1",
            parties=[{**buyer, "roles": ["buyer", "procuringEntity"]}],
            buyer=buyer,
            tender=tender,
            awards=awards,
            contracts=contracts,
        )
        planted: dict[int, tuple[str, ...]] = {
            0: ("incomplete", "party-unnamed", "documents-not-published"),
            3: ("clear", "documents-not-published"),
            8: ("review", "price-unusually-high", "documents-not-published"),
        }
        yield plant(release, *planted[index]) if index in planted else release


def hansestadt() -> Iterator[Release]:
    """Clean OCDS 1.1 with bids; what is wrong here is wrong in the procurement, not in the data."""
    firms = ("Nordlicht Gebäudedienste GmbH", "Kieler Reinigung GmbH & Co. KG", "Blankhaus AG")
    for index in range(9):
        estimate = round(varied(196_000, index))
        price = estimate - 21_000
        offers = [price, price if index == 2 else price + 9_500, price + 14_000]
        statuses = ["disqualified" if index == 3 and n == 0 else "valid" for n in range(3)]
        winner = 1 if index == 3 else 0
        names = list(firms)
        if index == 5:
            names[1] = "NORDLICHT Gebaudedienste G.m.b.H."
        bidders = [{"id": f"t{n}", "name": name} for n, name in enumerate(names)]
        signed = money(round(price * 1.35) if index == 4 else offers[winner], "EUR")
        amendment = {
            "date": stamp(200),
            "changes": [{"property": "value/amount", "former_value": price}],
        }
        deal = contract("c1", "a1", signed, span(70, 360))
        deal["amendment"] = amendment if index == 4 else {}
        deal["dateSigned"] = "14.03.2017" if index == 6 else stamp(68)
        buyer = {"id": "DE-1", "name": "Freie Stadt Travehafen, Hochbauamt"}
        tender = {
            "id": f"HH-{index}",
            "title": "Unterhaltsreinigung Schulen",
            "status": "complete",
            "procurementMethod": "open",
            "mainProcurementCategory": "services",
            "value": money(estimate, "EUR"),
            "tenderPeriod": span(1, 36),
            "numberOfTenderers": 3,
            "tenderers": bidders,
            "documents": documents(3, "biddingDocuments"),
            "items": [item(*OFFICES)],
        }
        bids = [
            {
                "id": f"bid{n}",
                "status": statuses[n],
                "date": stamp(40 if index == 7 and n == 0 else 30),
                "tenderers": [bidders[n]],
                "value": money(offer, "EUR"),
            }
            for n, offer in enumerate(offers)
        ]
        won = award("a1", money(offers[winner], "EUR"), bidders[winner], date=stamp(50))
        release = frame(
            f"ocds-trv010-{index:05}",
            stamp(72),
            "de",
            ["contract"],
            version="1.1",
            parties=[{**buyer, "roles": ["buyer"], "identifier": {"scheme": "DE-HR", "id": "B7"}}],
            buyer=buyer,
            tender=tender,
            bids={"details": bids},
            awards=[{**won, "items": [item(*OFFICES)], "documents": documents(1, "awardNotice")}],
            contracts=[deal],
        )
        planted: dict[int, tuple[str, ...]] = {
            0: ("clear",),
            1: ("clear",),
            2: ("review", "identical-bids"),
            3: ("clear", "lowest-bid-disqualified"),
            4: ("review", "grown-by-amendments", "contract-above-award"),
            5: ("review", "tenderers-are-one"),
            6: ("clear", "date-malformed"),
            7: ("review", "late-bid-won"),
        }
        yield plant(release, *planted[index]) if index in planted else release


def dnipro() -> Iterator[Release]:
    """Ukrainian purchases with unit prices; one pays four times as much for a litre."""
    for index in range(7):
        each = 118.0 if index == 4 else varied(27.5, index)
        litres = 4_000 + 250 * index
        total = money(round(each * litres, 2), "UAH")
        fuel = ("CPV", "09132000-3", "Бензин")
        line = item(*fuel, quantity=litres, unit={"name": "літр", "value": money(each, "UAH")})
        firm = {"name": "ТОВ «Степнафта»", "identifier": {"scheme": "UA-EDR", "id": "40123456"}}
        if index % 2:
            firm = {"name": "Степнафта ТОВ", "identifier": {"scheme": "UA-EDR", "id": "40123456"}}
        other = {"name": "ТОВ «Паливо-Схід»", "identifier": {"scheme": "UA-EDR", "id": "40999881"}}
        tender = {
            "title": "Бензин А-95",
            "status": "complete",
            "procurementMethod": "open",
            "mainProcurementCategory": "goods",
            "value": money(round(each * litres * 1.06, 2), "UAH"),
            "tenderPeriod": span(60, 78, 2021),
            "numberOfTenderers": 2,
            "tenderers": [firm, other],
            "documents": documents(2),
            "items": [line],
        }
        buyer = {"name": "Комунальне підприємство «Міськтранс»"}
        release = frame(
            f"ocds-dnp404-{index:04}",
            stamp(90, 2021, "T12:00:00+02:00"),
            "uk",
            ["award"],
            version="1.1",
            buyer=buyer,
            tender=tender,
            awards=[award(f"a{index}", total, firm, date=day(85, 2021), items=[line])],
        )
        yield plant(release, "review", "price-unusually-high") if index == 4 else release
