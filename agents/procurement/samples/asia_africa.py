"""Publishers of Asia and Africa: Chinese award notices in a shape of their own, English plans."""

from __future__ import annotations

from collections.abc import Iterator

from agents.procurement.samples.parts import (
    Release,
    day,
    frame,
    money,
    plant,
    stamp,
    varied,
)


def formosa() -> Iterator[Release]:
    """One object for the awards, suppliers below the items, fields with names of their own."""
    methods = ("公開招標", "公開取得報價單或企劃書", "限制性招標(未經公開評選或公開徵求)")
    firms = ("立新營造有限公司", "大同文化股份有限公司", "禾豐企業有限公司")
    for index in range(7):
        amount = 985_000 if index == 4 else int(varied(640_000, index))
        works = {"scheme": "CPC", "id": "541", "description": "建築工程"}
        winner = {
            "identifier": {"legalName": firms[index % 3], "id": f"5337{index % 3}962"},
            "awardValue": money(amount, "TWD"),
        }
        tender = {
            "procurementMethod": methods[index % 3],
            "numberOfBids": 1 if index in (0, 3) else 3,
            "budget": {"value": money(amount + 40_000, "TWD")},
            "tederPeriod": {"startDate": day(10, 2014), "endDate": day(28 if index else 14, 2014)},
            "items": [{"number": 1, "classification": works}],
        }
        awards = {
            "id": f"{index}-awards",
            "awardDate": day(35, 2014),
            "totalAwardValue": money(amount, "TWD"),
            "items": [{"number": 1, "suppliers": [winner], "classification": works}],
        }
        release = frame(
            f"ocid-fm5-{5_118_000 + index}",
            day(40 + index, 2014),
            "zh",
            "awardNotice",
            name="圖書館修繕工程",
            buyer={"id": "b", "identifier": {"legalName": "南山鄉公所", "id": "3.76.48.1"}},
            tender=tender,
            awards=awards,
        )
        planted: dict[int, tuple[str, ...]] = {
            0: ("review", "single-bidder", "short-tender-period", "field-alias"),
            2: ("review", "no-rationale"),
            4: ("clear", "just-below-threshold"),
        }
        yield plant(release, *planted[index]) if index in planted else release


def nilotia() -> Iterator[Release]:
    """Plans for direct awards, with absurd lengths in days and reasons that are left out."""
    needs = ("Rehabilitation of parking yard", "Supply of generators", "Court stationery")
    for index in range(6):
        buyer = {"name": "Nilotia Courts Administration", "id": 19 + index}
        tender = {
            "title": needs[index % 3],
            "status": "planned",
            "procurementMethod": "direct" if index < 4 else "open",
            "procurementMethodRationale": "Sole manufacturer of the installed set"
            if index == 1
            else None,
            "value": money(54_803_600 + index * 9_400_000, "UGX"),
            "tenderPeriod": {"startDate": None, "durationInDays": 736_903},
            "procuringEntity": buyer,
        }
        release = frame(
            f"ocds-nil092-15081{index}",
            stamp(288, rest="T13:59:38+00:00"),
            "en",
            ["planning"],
            planning={
                "rationale": None,
                "budget": {"amount": money(54_803_600 + index * 9_400_000, "UGX")},
            },
            parties=[{**buyer, "id": str(buyer["id"]), "roles": ["buyer"]}],
            buyer=buyer,
            tender=tender,
        )
        planted: dict[int, tuple[str, ...]] = {
            0: ("review", "no-rationale", "count-implausible"),
            1: ("clear", "count-implausible"),
            4: ("clear", "count-implausible"),
        }
        yield plant(release, *planted[index]) if index in planted else release
