"""Facts cannot be changed; every one says who wrote it, and is judged and applied somewhere."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import get_args

import pytest

from mesh.core import facts as f
from mesh.core.changes import CHANGES

KINDS = [own for own in vars(f).values() if is_dataclass(own) and own.__module__ == f.__name__]


def test_the_union_names_every_fact() -> None:
    assert set(get_args(f.Fact)) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fact_is_frozen_and_says_who_wrote_it(kind: type) -> None:
    names = [field.name for field in fields(kind)]
    made = kind(**dict.fromkeys(names, 1))
    with pytest.raises(FrozenInstanceError):
        made.by = 2
    assert not hasattr(made, "__dict__")
    assert "by" in names
    assert ("authority" in names) is (kind is not f.LeaseRenewed), "renewal names many awards"


def test_what_is_not_the_ledgers_own_has_a_change() -> None:
    assert set(CHANGES) == set(KINDS) - {f.SupervisionTaken, f.LeaseRenewed}


def test_facts_about_tasks_name_task_and_workflow() -> None:
    for kind in {*get_args(f.SupervisorFact), *get_args(f.WorkerFact)}:
        assert {"workflow", "task"} <= {field.name for field in fields(kind)}
