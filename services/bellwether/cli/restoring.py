"""`bellwether restore` and `bellwether profile`: a state, or what is declared, from a backup."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from bellwether.cli.backup_choice import Context, Id, Namespace, SessionDay, Which, found_backup, of_system, say, words
from bellwether.cli.client import CommandError
from bellwether.cli.options import confirm, target_of


@of_system
def restore(
    which: Which,
    backup: Id = None,
    *,
    session: SessionDay = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="NAME", help="In a cluster: print what restores TradingBackup ID under this name."
        ),
    ] = None,
    handles: Annotated[
        bool, typer.Option("--handles", help="With --as: by handles, for when the namespace of the backup is gone.")
    ] = False,
    namespace: Namespace = None,
    cluster: Annotated[
        str | None,
        typer.Option("--system", help="A system in a cluster, which is restored in place: NAME or NAMESPACE/NAME."),
    ] = None,
    context: Context = None,
    yes: Annotated[
        bool, typer.Option("-y", "--yes", help="Take the newest, without ID or --session, unasked.")
    ] = False,
) -> None:
    """Put a backup in the place of a system's state: checked first, then trading stops; it starts halted.

    What was there is kept aside. Where the state is gone, name the TradingSystem
    with -f, which says where its backups are, and an empty folder with --data;
    with --systemd deploy it first.

        bellwether restore 20261129T231500Z
        bellwether restore --session 2026-11-27
        bellwether restore --session 2026-11-27 -f system.yaml --data .bellwether/again

    In a cluster the operator does it, of a backup in a folder or a bucket; it
    ends with 0 once the restored system is up, halted:

        bellwether restore 20261129T231500Z --system trading/demo

    Or a new system is declared that is restored from a TradingBackup:

        bellwether restore friday --as again | kubectl apply -f -
    """
    if cluster is not None:
        from bellwether.cli.restoring_in_place import restore_in_place

        if name is not None or handles:
            raise typer.BadParameter("--system restores that system in place: leave out --as and --handles")
        target = target_of(None, None, cluster, namespace, context)
        restore_in_place(target, backup, session, which.location, yes=yes)
        return
    if name is not None:
        _print_restoring(backup, name, namespace, handles=handles)
        return
    if handles or namespace is not None or context is not None:
        raise typer.BadParameter(
            "--handles, --namespace and --context are of a cluster: name the new system with --as, or the one that is "
            "to be restored with --system"
        )
    _restore_here(which, backup, session, yes=yes)


def _restore_here(which: Which, backup: str | None, session: str | None, *, yes: bool) -> None:
    """Restore a system of this machine."""
    with words():
        import asyncio
        from functools import partial

        from bellwether.cli.manage.programs import run
        from bellwether.local import restoring

        place, system = which.system()
        repository, _, key = found_backup(place, system, which.location, backup, session)
        newest = f"Restore {key}, the newest, in place of {place.root}?"
        confirm(newest, yes=yes or backup is not None or session is not None)
        with place.records.held():
            stop = partial(run, ["systemctl", "stop", "trading*"]) if which.systemd else None
            found = asyncio.run(restoring.restore(place, repository, system.metadata.name, key, say, stop_units=stop))
        lines = [f"restored {key} of {found.manifest.cut:%Y-%m-%d %H:%M} UTC to {found.root}; it starts halted"]
        if found.aside is not None:
            lines.append(f"what was there is in {found.aside}: delete it when all is as it should be")
        again = (
            "systemctl start trading.target" if which.systemd else f"bellwether run {found.file} --data {found.root}"
        )
        lines.append(f"go on with: {again}; then: bellwether resume --reason ...")
        sys.stdout.write("\n".join(lines) + "\n")


def profile(
    system: Annotated[str, typer.Argument(metavar="SYSTEM", help="The TradingSystem, of a cluster.")],
    to: Annotated[Literal["compact", "standard"], typer.Option("--to", help="The profile of the new system.")],
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="The new system's name.")],
    context: Annotated[str | None, typer.Option("--context", help="The cluster, of those in KUBECONFIG.")] = None,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="The system's.")] = None,
) -> None:
    """Print what makes a system of another profile from a backup of this one: the backup, and the new system.

    The operator makes the backup, then the new system's volumes from it, and
    starts it halted. The former one is left as it is: halt it before, since
    what it trades after the backup is not in the new one; delete it once the
    new one is as it should be.

        bellwether profile demo --to standard --as demo-2 | kubectl apply -f -
    """
    import yaml

    from bellwether.cli.kubectl import Kubectl
    from bellwether.cli.restored import documents_with_profile

    kubectl = Kubectl(context, namespace)
    found = kubectl.get("tradingsystems.bellwether.dev", system)
    if found is None:
        raise CommandError(f"there is no TradingSystem {system} in namespace {kubectl.namespace}")
    documents = documents_with_profile(found, to, name)
    for one in documents:
        kind, wanted = one["kind"], one["metadata"]["name"]
        if kubectl.get(f"{kind.lower()}s.bellwether.dev", wanted) is not None:
            raise CommandError(f"there is a {kind} {wanted} already: delete it, or name another system with --as")
    sys.stdout.write(yaml.safe_dump_all(documents, sort_keys=False))
    say(f"{name} starts halted: compare it with {system}, then bellwether resume, and delete {system}")


def _print_restoring(backup: str | None, name: str, namespace: str | None, *, handles: bool) -> None:
    import yaml

    from bellwether.cli.kubectl import Kubectl
    from bellwether.cli.restored import contents_of, documents_by_handles, restoring_documents

    if backup is None:
        raise typer.BadParameter("name the TradingBackup: kubectl get tbackup lists them")
    kubectl = Kubectl(None, namespace)
    found = kubectl.get("tradingbackups.bellwether.dev", backup)
    if found is None:
        raise CommandError(f"there is no TradingBackup {backup} in namespace {kubectl.namespace}")
    if handles:
        kind = "volumesnapshotcontents.snapshot.storage.k8s.io"
        contents = {one: content for one in contents_of(found) if (content := kubectl.get(kind, one)) is not None}
        documents = documents_by_handles(found, contents, name)
    else:
        documents = restoring_documents(found, name)
    sys.stdout.write(yaml.safe_dump_all(documents, sort_keys=False))
    say("it starts halted: compare, then bellwether resume")
