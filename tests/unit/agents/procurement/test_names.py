"""Company names in many languages and legal forms."""

from __future__ import annotations

import pytest

from agents.procurement.domain.names import numerals, parse_name

# ruff: noqa: RUF001
# Cyrillic letters that look like Latin ones are meant.


@pytest.mark.parametrize(
    ("name", "core", "form"),
    [
        ("COMUNICACIÓN & Consulting, S. A. de C. V.", "comunicacion consulting", "sa de cv"),
        ("Comunicacion y Consulting SA DE CV", "comunicacion consulting", "sa de cv"),
        ("Jet Bus, S. de R.L. de C.V.", "jet bus", "s de rl de cv"),
        ("PANATEX MEXICO, S.A. DE C .V.", "panatex mexico", "sa de cv"),
        ("S.C. ELINATCONS S.R.L.", "elinatcons", "srl"),
        ("Elinatcons SRL", "elinatcons", "srl"),
        ("Rielco Ltda.", "rielco", "ltda"),
        ("Acme Pty. Ltd.", "acme", "pty ltd"),
        ("ACME Limited", "acme", "ltd"),
        ("Smith and Sons Inc.", "smith sons", "inc"),
        ("Müller GmbH & Co. KG", "muller", "gmbh co kg"),
        ("Müller G.m.b.H.", "muller", "gmbh"),
        ("Société Générale S.A.S.", "societe generale", "sas"),
        ("9079-3068 QUÉBEC INC.", "9079 3068 quebec", "inc"),
        ("普羅文化股份有限公司", "普羅文化", "股份有限公司"),
        ("集揚營造有限公司", "集揚營造", "有限公司"),
        ("株式会社 日立", "日立", "株式会社"),
        ("ТОВ «Будсервіс»", "будсервіс", "тов"),
        ("ООО Ромашка", "ромашка", "ооо"),
        ("ＡＣＭＥ　Ｌｔｄ", "acme", "ltd"),
        ("MARTHA ZULENY TORRES BEJARANO", "martha zuleny torres bejarano", ""),
        ("Ltd", "ltd", ""),
        ("ООО", "ооо", ""),
        ("S.C. S.R.L.", "sc", "srl"),
        ("SC SRL", "sc", "srl"),
        ("S.C. B&B S.R.L.", "bb", "srl"),
        ("B & B SRL", "bb", "srl"),
        ("A. B. C. Holdings S A", "abc holdings", "sa"),
        ("E S.A.", "e", "sa"),
        ("有限公司", "有限公司", ""),
        ("...", "...", ""),
    ],
)
def test_a_name_is_taken_apart(name: str, core: str, form: str) -> None:
    assert parse_name(name) == (core, form)


def test_numbers_in_a_name_tell_companies_apart() -> None:
    first, second = parse_name("9079-3068 Québec inc."), parse_name("9079-3069 Québec inc.")
    assert numerals(first.core) != numerals(second.core)
