"""`mesh broker`: a real Kafka on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.failures import not_found
from mesh.cli.options import Session, command

if TYPE_CHECKING:
    from mesh.transport.broker import BrokerStatus

EXAMPLES = """
mesh broker start
mesh broker start --directory other --port 29092 --scram
mesh broker status
mesh broker stop
"""
Directory = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="Where it keeps everything.", show_default="the user's own"),
]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    for function in (start, stop, status):
        command(group, function.__name__, examples=EXAMPLES)(function)
    app.add_typer(group, name="broker", short_help="A real Kafka on this machine.")
    group.callback()(_group)


def _group() -> None:
    """Run a real Kafka on this machine, one node, for development and tests."""


def start(
    session: Session,
    directory: Directory = None,
    port: Annotated[int, typer.Option(min=0, help="0 takes a free one, and keeps it.")] = 0,
    scram: Annotated[
        bool, typer.Option("--scram", help="Ask clients for a user, and check permissions.")
    ] = False,
) -> None:
    """Start Apache Kafka, from KAFKA_HOME, else from jars that Maven fetches once.

    It goes on after this command, keeps its address and data, and is saved as context `local`.
    """
    from mesh.bootstrap import start_broker

    found = start_broker(_folder(directory), port=port, scram=scram, progress=session.out.say)
    _save(found)
    session.out.say("use it here:  mesh context use local   (or --context local)")
    _tell(session, found)


def stop(session: Session, directory: Directory = None) -> None:
    """Stop it in order; its data stay."""
    from mesh.bootstrap import stop_broker

    _tell(session, _there(stop_broker(_folder(directory), progress=session.out.say), directory))


def status(session: Session, directory: Directory = None) -> None:
    """Tell whether it runs, and where."""
    from mesh.bootstrap import broker_status

    _tell(session, _there(broker_status(_folder(directory)), directory))


def _folder(directory: Path | None) -> Path:
    from mesh.cli.brokers import broker_folder

    return broker_folder() if directory is None else directory


def _there(found: BrokerStatus | None, directory: Path | None) -> BrokerStatus:
    if found is None:
        raise not_found(
            f"there is no broker in {_folder(directory)}; `mesh broker start` makes one"
        )
    return found


def _save(found: BrokerStatus) -> None:
    from mesh.config import Contexts, config_folder, environment

    context: dict[str, Any] = {"bootstrap": found.bootstrap}
    own = found.security
    if own.mechanism:
        context["security"] = {
            "protocol": own.protocol,
            "mechanism": own.mechanism,
            "username": own.username,
            "password": own.password,
        }
    Contexts(config_folder(environment())).add("local", context)


def _tell(session: Session, found: BrokerStatus) -> None:
    shape = {
        "running": found.running,
        "pid": found.pid,
        "bootstrap": found.bootstrap,
        "directory": str(found.directory),
        "security": found.security.protocol,
        "origin": found.origin,
    }
    state = f"runs, process {found.pid}" if found.running else "is stopped"
    text = f"{found.bootstrap} {state}, in {found.directory} ({found.origin})"
    session.out.data(shape, lambda: text)
