"""`gatehouse user create | set-password | reset-mfa | list | disable`: who may log in to the administration."""

from __future__ import annotations

import sys

import click

from gatehouse.cli.common import moment
from gatehouse.cli.opened import opened
from gatehouse.core.errors import CallerError
from gatehouse.gate.staff import MAX_PASSWORD, Enrolment, check_name

password_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from the first line of standard input; ask nothing."
)


@click.group()
def user() -> None:
    """Make, list and disable the users of the administration.

    Example: gatehouse user list
    """


@user.command()
@click.argument("name")
@password_stdin
def create(name: str, password_stdin: bool) -> None:  # noqa: FBT001 - click hands options over so
    """Make a user. The secret of the second factor is printed now and never again.

    Example: gatehouse user create alice
    """
    check_name(name)
    with opened() as gatehouse:
        enrolment = gatehouse.staff.create(name, _password(from_stdin=password_stdin))
        click.echo(_words(enrolment, gatehouse.settings.port))


@user.command(name="set-password")
@click.argument("name")
@password_stdin
def set_password(name: str, password_stdin: bool) -> None:  # noqa: FBT001 - click hands options over so
    """Give a user a new password, end their sessions and any lock.

    Example: gatehouse user set-password alice
    """
    with opened() as gatehouse:
        gatehouse.staff.set_password(name, _password(from_stdin=password_stdin))
    click.echo("The password is set; all sessions have ended.")


@user.command(name="reset-mfa")
@click.argument("name")
def reset_mfa(name: str) -> None:
    """Give a user a new second factor, end their sessions and any lock. The secret is printed now and never again.

    Example: gatehouse user reset-mfa alice
    """
    with opened() as gatehouse:
        click.echo(_words(gatehouse.staff.reset_mfa(name), gatehouse.settings.port))


@user.command(name="list")
def list_users() -> None:
    """List all users, by name.

    Example: gatehouse user list
    """
    with opened() as gatehouse:
        now = gatehouse.clock.now()
        members = gatehouse.staff.list()
        if not members:
            click.echo("There are no users; make one with: gatehouse user create NAME")
        for member in members:
            if member.disabled_at is not None:
                state = f"disabled {moment(member.disabled_at)}"
            elif member.locked_until is not None and member.locked_until > now:
                state = f"locked until {moment(member.locked_until)}"
            else:
                state = "active"
            click.echo(f"{member.name}  {state}  made {moment(member.created_at)}")


@user.command()
@click.argument("name")
def disable(name: str) -> None:
    """Let a user no longer log in, and end their sessions. The name stays taken.

    Example: gatehouse user disable alice
    """
    with opened() as gatehouse:
        gatehouse.staff.disable(name)
    click.echo("The user may no longer log in; all sessions have ended.")


def _password(*, from_stdin: bool) -> str:
    if not from_stdin:
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    try:
        # One more than is taken, so that a password is refused and never cut off.
        line = sys.stdin.readline(MAX_PASSWORD + 2)
    except UnicodeDecodeError as error:
        raise CallerError("The password on standard input is not valid text.") from error
    return line.rstrip("\r\n")


def _words(enrolment: Enrolment, port: int) -> str:
    return "\n".join(
        [
            f"Log in at   http://localhost:{port}/admin/ as {enrolment.name} (or at the port given to serve)",
            f"Secret      {enrolment.secret}",
            f"otpauth     {enrolment.uri}",
            "Give the secret to an authenticator app now (time-based, 6 digits); it is not shown again.",
        ]
    )
