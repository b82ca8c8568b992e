"""Reading the parts of a release: tender, bids, awards, contracts.

Where a publisher uses another name for a field, or another shape, the value is read from there and
the release is told so by a finding (`field-alias`, `not-a-list`).
"""

from __future__ import annotations

from agents.procurement.domain.amendments import original_value
from agents.procurement.domain.methods import read_method
from agents.procurement.domain.parties import Directory, read_parties, read_party
from agents.procurement.domain.reading import (
    Node,
    Notes,
    count,
    moment,
    money,
    number,
    period,
    status,
    string,
    text,
)
from agents.procurement.dossier import (
    Award,
    Bid,
    Classification,
    Contract,
    Line,
    Money,
    Party,
    Payment,
    Severity,
    Tender,
    Text,
)

TENDER_STATUSES = frozenset(
    {"planning", "planned", "active", "cancelled", "unsuccessful", "complete", "withdrawn"}
)
AWARD_STATUSES = frozenset({"pending", "active", "cancelled", "unsuccessful"})
CONTRACT_STATUSES = frozenset({"pending", "active", "cancelled", "terminated"})


def aliased(node: Node, notes: Notes, *names: str) -> Node:
    """Return the first of the members `names` that is given, else the first of them."""
    for name in names:
        if node[name].given:
            if name != names[0]:
                explanation = f'"{name}" is read as "{names[0]}", which OCDS calls it.'
                notes.add("field-alias", Severity.INFO, explanation, node[name].at)
            return node[name]
    return node[names[0]]


def entries(release: Node, name: str, notes: Notes) -> list[Node]:
    """Return the entries of a list of the release, where a lone object stands for its only one."""
    node = release[name]
    if isinstance(node.value, dict):
        notes.add("not-a-list", Severity.LOW, f'"{name}" is one object, not a list.', node.at)
    return [entry for entry in node.items() if isinstance(entry.value, dict)]


def read_tender(release: Node, book: Directory, notes: Notes) -> Tender | None:
    """Return the call for tenders; None where the release has none."""
    node = release["tender"]
    if not node.given:
        return None
    return Tender(
        title=text(node, "title") or text(node, "description") or _release_name(release),
        status=status(node["status"], TENDER_STATUSES, notes),
        category=string(node["mainProcurementCategory"]).casefold(),
        method=read_method(node, notes),
        rationale=_rationale(node),
        value=money(node["value"], notes),
        minimum=money(node["minValue"], notes),
        period=period(aliased(node, notes, "tenderPeriod", "tederPeriod"), notes),
        tenderer_count=count(
            aliased(node, notes, "numberOfTenderers", "numberOfTenders", "numberOfBids"), notes
        ),
        tenderers=tuple(read_parties(node["tenderers"].items(), "tenderer", book, notes)),
        lines=read_lines(node, notes),
        documents=_documents(node),
        at=node.at,
    )


def read_budget(release: Node, notes: Notes) -> Money | None:
    """Return what was set aside for it."""
    planned = release["planning"]["budget"]["amount"]
    if planned["amount"].given:
        return money(planned, notes)
    return money(release["tender"]["budget"]["value"], notes)


def read_bids(release: Node, book: Directory, notes: Notes) -> tuple[Bid, ...]:
    """Return the bids with their amounts (OCDS extension `bids`)."""
    return tuple(
        Bid(
            value=money(node["value"], notes),
            date=moment(node["date"], notes),
            bidders=tuple(read_parties(node["tenderers"].items(), "tenderer", book, notes)),
            status=string(node["status"]).casefold(),
            at=node.at,
        )
        for node in release["bids"]["details"].items()
    )


def read_awards(release: Node, book: Directory, notes: Notes) -> tuple[Award, ...]:
    """Return the awards; a repetition of an earlier one is marked as such."""
    awards: list[Award] = []
    first: dict[tuple[object, ...], Award] = {}
    for node in entries(release, "awards", notes):
        award = Award(
            id=string(node["id"]),
            status=status(node["status"], AWARD_STATUSES, notes),
            date=moment(aliased(node, notes, "date", "awardDate"), notes),
            value=money(aliased(node, notes, "value", "totalAwardValue"), notes),
            suppliers=tuple(_suppliers(node, book, notes)),
            lines=read_lines(node, notes),
            documents=_documents(node),
            at=node.at,
        )
        twin = first.setdefault(_same_award(award), award)
        if twin is not award:
            explanation = f'The award "{award.id}" is published more than once; it counts once.'
            notes.add("award-repeated", Severity.LOW, explanation, twin.at, award.at)
            award = award.model_copy(update={"duplicate_of": twin.at})
        awards.append(award)
    return tuple(awards)


def read_contracts(release: Node, book: Directory, notes: Notes) -> tuple[Contract, ...]:
    """Return the contracts; a repetition of an earlier one is marked as such."""
    contracts: list[Contract] = []
    first: dict[tuple[object, ...], Contract] = {}
    for node in entries(release, "contracts", notes):
        value = money(node["value"], notes)
        contract = Contract(
            id=string(node["id"]),
            award_id=string(node["awardID"]),
            status=status(node["status"], CONTRACT_STATUSES, notes),
            signed=moment(node["dateSigned"], notes),
            period=period(node["period"], notes),
            value=value,
            original=original_value(node, value, notes),
            suppliers=tuple(read_parties(node["suppliers"].items(), "supplier", book, notes)),
            lines=read_lines(node, notes),
            payments=_payments(node, book, notes),
            documents=_documents(node),
            at=node.at,
        )
        twin = first.setdefault(_same_contract(contract), contract)
        if twin is not contract:
            explanation = f'The contract "{contract.id}" is published more than once; once counts.'
            notes.add("contract-repeated", Severity.LOW, explanation, twin.at, contract.at)
            contract = contract.model_copy(update={"duplicate_of": twin.at})
        contracts.append(contract)
    return tuple(contracts)


def read_lines(section: Node, notes: Notes) -> tuple[Line, ...]:
    """Return the items of a section with their class, quantity and price for each unit."""
    return tuple(
        Line(
            description=_text(text(node, "description")),
            classification=_classification(node["classification"]),
            quantity=number(node["quantity"], notes),
            unit=_text(text(node["unit"], "name")),
            unit_price=money(node["unit"]["value"], notes),
            at=node.at,
        )
        for node in section["items"].items()
    )


def _classification(node: Node) -> Classification | None:
    code, label = string(node["id"]), _text(text(node, "description"))
    if not code and not label:
        return None
    scheme = string(node["scheme"]) or "unspecified"
    return Classification(scheme=scheme, code=code, label=label, at=node.at)


def _suppliers(award: Node, book: Directory, notes: Notes) -> list[Party]:
    direct = list(award["suppliers"].items())
    nested = [supplier for item in award["items"].items() for supplier in item["suppliers"].items()]
    if not direct and nested:
        explanation = "The suppliers stand below the items; they are read as the award's."
        notes.add("field-alias", Severity.INFO, explanation, *(node.at for node in nested))
    return read_parties(direct or nested, "supplier", book, notes)


def _payments(contract: Node, book: Directory, notes: Notes) -> tuple[Payment, ...]:
    return tuple(
        Payment(
            value=money(aliased(node, notes, "value", "amount"), notes),
            date=moment(node["date"], notes),
            payee=read_party(
                aliased(node, notes, "payee", "receiverOrganization"), "payee", book, notes
            ),
            at=node.at,
        )
        for node in contract["implementation"]["transactions"].items()
    )


def _rationale(tender: Node) -> Text | None:
    found = text(tender, "procurementMethodRationale")
    return found if found and found.text.casefold() not in ("no aplica", "n/a", "none") else None


def _release_name(release: Node) -> Text | None:
    return text(release, "name")


def _documents(section: Node) -> int:
    return sum(1 for node in section["documents"].items() if node["url"].given)


def _same_award(award: Award) -> tuple[object, ...]:
    """Return what two publications of one award agree in; without an id each is its own."""
    return (award.id or award.at, award.value and (award.value.amount, award.value.currency))


def _same_contract(contract: Contract) -> tuple[object, ...]:
    value = contract.value and (contract.value.amount, contract.value.currency)
    return (contract.id or contract.at, contract.award_id, value)


def _text(found: Text | None) -> str:
    return found.text if found else ""
