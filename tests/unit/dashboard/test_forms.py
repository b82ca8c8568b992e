from __future__ import annotations

from mesh.dashboard.forms import COUNT, TEXT, made, maybe, page, ref


def test_an_object_has_all_of_its_members_and_no_others() -> None:
    schema = made("What it is.", name=TEXT, ended=maybe(COUNT))
    assert schema["required"] == ["name", "ended"]
    assert schema["additionalProperties"] is False
    assert schema["description"] == "What it is."
    assert "description" not in made(name=TEXT)


def test_a_page_holds_items_of_one_kind() -> None:
    schema = page("Task", left_out=COUNT)
    assert schema["properties"]["items"] == {"type": "array", "items": ref("Task")}
    assert "left_out" in schema["required"]
