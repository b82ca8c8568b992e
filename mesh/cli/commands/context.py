"""`mesh context`: named meshes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mesh.cli.options import Session, command
from mesh.errors import UsageError

EXAMPLES = """
mesh context add staging --bootstrap kafka-1:9092,kafka-2:9092 --mesh orders
mesh context add prod --bootstrap kafka:9093 --security SASL_SSL --username ops --password-file pw
mesh context use staging
mesh context ls
"""


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    for name, function in (("add", add), ("use", use), ("ls", ls)):
        command(group, name, examples=EXAMPLES)(function)
    app.add_typer(group, name="context", short_help="Named meshes.")
    group.callback()(_group)


def _group() -> None:
    """Name meshes, so that no command needs their address."""


def add(  # noqa: PLR0913 - the options of one command
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    security: Annotated[str, typer.Option(metavar="PROTOCOL", help="PLAINTEXT, SASL_SSL ...")] = "",
    mechanism: Annotated[str, typer.Option(help="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.")] = "",
    username: Annotated[str, typer.Option(help="Of the SASL user.")] = "",
    password_file: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Its password, in a file.")
    ] = None,
    ca: Annotated[str, typer.Option(metavar="PATH", help="Certificate authorities to trust.")] = "",
    certificate: Annotated[
        str, typer.Option(metavar="PATH", help="Our own certificate, for mutual TLS.")
    ] = "",
    key: Annotated[str, typer.Option(metavar="PATH", help="The certificate's private key.")] = "",
    artifacts: Annotated[
        Path | None, typer.Option(metavar="PATH", help="The store of large bodies.")
    ] = None,
) -> None:
    """Save a mesh under a name; --bootstrap and --mesh say which.

    The file is readable by its user alone.
    """
    context: dict[str, Any] = {}
    if session.shared.bootstrap is None:
        raise UsageError("--bootstrap: say where the brokers are")
    context["bootstrap"] = session.shared.bootstrap
    if session.shared.mesh is not None:
        context["mesh"] = session.shared.mesh
    if artifacts is not None:
        context["artifacts"] = str(artifacts.resolve())
    given = {
        "protocol": security,
        "mechanism": mechanism or ("SCRAM-SHA-256" if username else ""),
        "username": username,
        "password": _password(password_file),
        "ca_location": ca,
        "certificate_location": certificate,
        "key_location": key,
    }
    if not security and (username or certificate):
        given["protocol"] = "SASL_SSL" if username else "SSL"
    own = {key: value for key, value in given.items() if value}
    if own:
        context["security"] = own
    contexts = _contexts()
    contexts.add(name, context)
    session.out.say(f"saved in {contexts.path}; use it with: mesh context use {name}")


def use(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="`none` for none of them.")],
) -> None:
    """Use a mesh from now on, where neither flag nor environment says otherwise."""
    _contexts().use("" if name == "none" else name)
    session.out.say(f"context {name} is in use")


def ls(session: Session) -> None:
    """List the named meshes; the one in use has a star."""
    from mesh.cli.output import table

    used, contexts = _contexts().read()
    shape = [
        {
            "name": name,
            "in_use": name == used,
            "mesh": own.get("mesh", ""),
            "bootstrap": own.get("bootstrap", ""),
            "security": own.get("security", {}).get("protocol", "PLAINTEXT"),
        }
        for name, own in sorted(contexts.items())
    ]
    rows = (
        ("*" if own["in_use"] else "", *list(own.values())[:1], *list(own.values())[2:])
        for own in shape
    )
    session.out.data(shape, lambda: table(("", "name", "mesh", "bootstrap", "security"), rows))


def _password(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text("utf-8").rstrip("\n")
    except OSError as error:
        raise UsageError(f"--password-file: {path}: {error.strerror}") from error


def _contexts() -> Any:
    from mesh.config import Contexts, config_folder, environment

    return Contexts(config_folder(environment()))
