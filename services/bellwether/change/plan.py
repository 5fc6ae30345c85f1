"""What applying a declaration would do, and when: the prediction that `bellwether plan` shows. Pure.

It asks the operator's own stages of a pass (`layouts`, `release`) what is to be there at each instant at which
something changes, so it says what the operator will do and not what somebody once wrote down about it. First comes what
happens at once, then what waits for the end of a pause, then what waits for the close.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from bellwether.change import world
from bellwether.change.hold import holding_now
from bellwether.change.layouts import laid_out, of_other_profile, sources_of
from bellwether.change.predicted import Effects, Plan, Restart, SlotChange, effects_of
from bellwether.change.release import Circumstances, Release, release
from bellwether.change.steps import Drift, Phase, Step, Wait, step_through
from bellwether.market.declared import calendar_of, fit, slots_of
from bellwether.market.sessions import CalendarError
from bellwether.render.kubernetes import Manifest, RenderContext, image_of, release_of, render
from bellwether.render.kubernetes.configmaps import spec_document
from bellwether.render.kubernetes.context import AHEAD, CLOSED, Period, declaration_name, period_of
from bellwether.spec.created_with import ANNOTATION_CREATED_WITH
from bellwether.spec.fields import parse_duration, parse_instant
from bellwether.spec.models import TradingSystem, TradingSystemSpec
from bellwether.spec.validate import Problem, validate


def plan(
    before: TradingSystem | None,
    after: TradingSystem,
    now: datetime,
    installation: world.Installation,
    observed: Iterable[Manifest] | None = None,
) -> Plan:
    """Return what applying `after` over `before` would do at this instant.

    Args:
        before: the stored system; None when there is none.
        after: the system as it will be stored, of the same namespace and name.
        now: an aware instant.
        installation: of the operator, what rendering needs.
        observed: the objects that are there, as the API server gives them, without Secrets; None supposes that
            everything is there as `before` declares it, with its pods ready.

    Raises:
        RulesUnavailable: when the rules between fields cannot be checked here.
    """
    after = _successor(before, after)
    empty = Plan(
        system=after.metadata.name, namespace=after.metadata.namespace, at=now, time_zone="UTC", created=before is None
    )
    refusals = [*validate(_document(after), None if before is None else _document(before)), *fit(after.spec)]
    if refusals:
        return replace(empty, refusals=tuple(refusals))
    try:
        there = None if observed is None else list(observed)
        planner = _Planner(before, after, now, installation, there)
    except CalendarError as error:
        return replace(empty, refusals=(Problem("spec.market.calendar", str(error)),))
    return planner.plan(empty)


def object_keys(system: TradingSystem, now: datetime, installation: world.Installation) -> list[world.Key]:
    """Return which objects a system has at this instant (aware), without Secrets; none where it has no calendar."""
    try:
        period = period_of(system.spec, now)
    except CalendarError:
        return []
    context = RenderContext(installation.image, installation.keyring, period=period)
    return [key for each in render(system, context) if (key := world.key_of(each)).kind != world.SECRET]


class _Planner:
    """What one plan is made from."""

    def __init__(
        self,
        before: TradingSystem | None,
        after: TradingSystem,
        now: datetime,
        installation: world.Installation,
        observed: list[Manifest] | None,
    ) -> None:
        self._before = before
        self._after = after
        self._now = now
        self._installation = installation
        self._observed = observed
        self._sources = sources_of(after, observed or [])
        self._begins = _begins(after, now)
        """When the operator begins: at once, or when a pause is over."""
        self._period = period_of(after.spec, self._begins)
        self._effects = Effects()
        if before is not None:
            instants = list(dict.fromkeys((now, self._begins)))
            self._effects = effects_of(before, after, lambda system: [self._laid_out(system, at) for at in instants])

    def plan(self, empty: Plan) -> Plan:
        after = self._after
        taken = _taken(self._observed or [], after, self._laid_out(after))
        if taken:
            return replace(empty, refusals=tuple(taken))
        holding = holding_now(after.spec, self._period)
        pause = Wait(self._begins, "paused") if self._begins > self._now else None
        phase = Phase(after, None, self._effects.causes)
        drift = self._begin(phase)
        steps = [] if pause is None else self._go_on(phase)
        phase.wait = pause
        steps += self._go(phase, holding=holding)
        if holding and self._period.session is not None:
            phase.wait = Wait(self._period.session.close, "session")
            steps += self._go(phase, holding=False)
        return replace(
            empty,
            time_zone=calendar_of(after.spec.market).timezone.key,
            session=period_of(after.spec, self._now).session,
            declared=self._effects.declared,
            steps=tuple(sorted(steps, key=_beginning)),
            restarts=tuple(_restarts(steps)),
            slots=tuple(self._slots()),
            drift=tuple(drift),
            notes=(*phase.notes, *self._preceded_by_a_backup()),
        )

    def _preceded_by_a_backup(self) -> list[str]:
        """Return in words that a backup is made before a new release, where one is."""
        before, backup, image = self._before, self._after.spec.backup, self._installation.image
        if before is None or backup is None or all(each.kind != "volumeSnapshots" for each in backup.locations):
            return []
        new = release_of(image_of(image, self._after.spec.version))
        if new == release_of(image_of(image, before.spec.version)) or not parse_duration(backup.before_upgrade):
            return []
        return [f"release {new} waits for a backup that is made first, for {backup.before_upgrade} at most"]

    def _go(self, phase: Phase, *, holding: bool) -> list[Step]:
        """Return what a pass of the operator does when it begins with the declaration, and take it as done."""
        found = self._release(self._after, self._begins, phase.workloads, holding=holding)
        return step_through(phase, found.objects, found.still_mounted)

    def _release(
        self,
        system: TradingSystem,
        at: datetime,
        there: Mapping[world.Key, Manifest],
        *,
        holding: bool = False,
        paused: bool = False,
    ) -> Release:
        """Return what the operator has there at an instant, by its own stage of a pass."""
        context = self._context(system, at)
        case = Circumstances(system, context, holding=holding, paused=paused)
        return release(case, laid_out(system, context, self._sources), there)

    def _begin(self, phase: Phase) -> list[Drift]:
        """Tell the phase what is there; return what of it is not as declared."""
        before = self._before
        if before is None or self._observed is None:
            phase.suppose([] if before is None else self._laid_out(before, self._now))
            return [] if self._observed is None else phase.observe(self._observed, [])
        there = self._workloads(self._observed)
        held = holding_now(before.spec, self._period_of(before, self._now))
        paused = _begins(before, self._now) > self._now
        return phase.observe(
            self._observed, self._release(before, self._now, there, holding=held, paused=paused).objects
        )

    def _workloads(self, observed: Iterable[Manifest]) -> dict[world.Key, Manifest]:
        """Return what keeps the system's pods running, as it is now."""
        return {
            world.key_of(each): each
            for each in observed
            if each["kind"] in world.WORKLOADS
            and world.owner_in(each, self._after)[0] is world.Owner.OURS
            and not world.is_going(each)
        }

    def _go_on(self, phase: Phase) -> list[Step]:
        """Return what is done at once although the system is paused; take it as done until the end of the pause.

        What a starting process reads is written, what has to do with time goes on, for the release that runs, and
        volumes get the owner that they are to have.
        """
        # Of a workload that is missing nobody knows which release runs, though it is made at the end of the pause.
        there = phase.workloads if self._observed is None else self._workloads(self._observed)
        after = self._after
        start_value = world.Key(world.CONFIG_MAP, declaration_name(after))

        def wanted(at: datetime) -> list[Manifest]:
            found = self._release(after, at, there, paused=True)
            return [
                each
                for each in found.objects
                if each["kind"] in (found.only or ()) or world.key_of(each) == start_value
            ]

        kinds = self._release(after, self._now, there, paused=True).only or frozenset()
        handed = self._handed_over(phase)
        now = {start_value, *map(world.key_of, handed)}
        part = replace(phase, there={})
        for key in list(phase.there):
            if key.kind in kinds or key in now:
                part.there[key] = phase.there.pop(key)
        steps = step_through(part, [*wanted(self._now), *handed])
        phase.suppose([*wanted(self._begins), *handed])
        return steps

    def _handed_over(self, phase: Phase) -> list[Manifest]:
        """Return the volumes that get another owner, and are else as they are."""
        found = []
        for each in self._laid_out(self._after):
            thing = phase.there.get(world.key_of(each))
            if thing is not None and each["kind"] == world.CLAIM:
                has = world.requested(thing.raw)
                found.append(world.handed_over(each, world.marks_of(thing.raw), has, self._after.metadata.uid))
        return [each for each in found if each is not None]

    def _laid_out(self, system: TradingSystem, at: datetime | None = None) -> list[Manifest]:
        """Return the objects of a system at an instant: when the operator begins, unless another one is said."""
        return laid_out(system, self._context(system, at), self._sources)

    def _context(self, system: TradingSystem, at: datetime | None) -> RenderContext:
        return RenderContext(
            image=self._installation.image,
            keyring=self._installation.keyring,
            image_pull_policy=self._installation.image_pull_policy,
            log_level=self._installation.log_level,
            period=self._period_of(system, at or self._begins),
        )

    def _period_of(self, system: TradingSystem, at: datetime) -> Period:
        try:
            return period_of(system.spec, at)
        except CalendarError:
            return CLOSED  # what is stored does not fit its calendar: nothing was made of it

    def _slots(self) -> list[SlotChange]:
        before, after = self._before, self._after
        if before is None or after.spec.clock.mode == "replay":
            return []
        old, new = (self._due(system.spec) for system in (before, after))
        found = [
            SlotChange(task, session, old.get((task, session)), new.get((task, session)))
            for task, session in old.keys() | new.keys()
            if old.get((task, session)) != new.get((task, session))
        ]
        return sorted(found, key=lambda change: (change.session, change.new or change.old, change.task))

    def _due(self, spec: TradingSystemSpec) -> dict[tuple[str, date], datetime]:
        """Return when each slot is due, as far ahead as schedules are made; a shorter time where the calendar ends."""
        for ahead in (AHEAD, timedelta(days=1)):
            try:
                found = slots_of(spec, self._now, self._now + ahead)
            except ValueError:
                continue
            return {(slot.task, slot.session): slot.due for slot in found}
        return {}


def _successor(before: TradingSystem | None, after: TradingSystem) -> TradingSystem:
    """Return the new system with what the API server will give it: the identity, and the next generation.

    Raises:
        ValueError: if it is another system.
    """
    if before is None:
        uid = after.metadata.uid or "(set by the API server)"
        return after.with_metadata(uid=uid, generation=1)
    old, new = before.metadata, after.metadata
    if (old.namespace, old.name) != (new.namespace, new.name):
        raise ValueError(f"the two are not the same system: {old.namespace}/{old.name} and {new.namespace}/{new.name}")
    generation = old.generation + (before.spec != after.spec)
    return after.with_metadata(uid=old.uid, generation=generation)


def _document(system: TradingSystem) -> dict[str, object]:
    """Return a system as the API server would store it, as far as it is judged."""
    metadata = {"name": system.metadata.name, "namespace": system.metadata.namespace}
    size = None if system.status is None else system.status.volume_size
    return {
        "apiVersion": system.api_version,
        "kind": system.kind,
        "metadata": metadata,
        "spec": spec_document(system),
        **({} if size is None else {"status": {"volumeSize": size}}),
    }


def _taken(observed: Iterable[Manifest], system: TradingSystem, wanted: Iterable[Manifest]) -> list[Problem]:
    """Return why the operator would start nothing: somebody else's objects, or volumes, have the names of ours."""
    by_key = {world.key_of(each): each for each in wanted}
    found = []
    there = list(observed)
    volumes = {world.key_of(raw).name for raw in there if raw["kind"] == world.CLAIM and _is_ours(raw, system)}
    if (words := of_other_profile(system, volumes)) is not None:
        found.append(Problem("spec.profile", words))
    for raw in there:
        owner, words = world.owner_in(raw, system)
        manifest, place = by_key.get(world.key_of(raw)), f"{raw['kind']} {raw['metadata']['name']}"
        if manifest is None:
            continue
        if owner is world.Owner.STRANGER:
            found.append(Problem(place, f"exists and {words}: rename it, or this system"))
        elif owner is not world.Owner.REMNANT:
            said = (raw["metadata"].get("annotations") or {}).get(ANNOTATION_CREATED_WITH)
            otherwise = world.not_its_volume(manifest, said)
            found += [] if otherwise is None else [Problem(place, otherwise)]
    return found


def _is_ours(raw: Manifest, system: TradingSystem) -> bool:
    return world.owner_in(raw, system)[0] in {world.Owner.OURS, world.Owner.RETAINED}


def _begins(system: TradingSystem, now: datetime) -> datetime:
    """Return when the operator begins with a system: at once, or when its pause is over."""
    pause = system.spec.paused
    return now if pause is None else max(now, parse_instant(pause.until))


def _beginning(step: Step) -> datetime:
    return datetime.min.replace(tzinfo=UTC) if step.wait is None else step.wait.until


def _restarts(steps: Iterable[Step]) -> list[Restart]:
    found = []
    for step in steps:
        if step.kind not in world.WORKLOADS:
            continue
        verb, pods = step.pods
        if verb is not None:
            found.append(Restart(verb, step.kind, step.name, pods, _why(step), step.wait))
    return found


def _why(step: Step) -> tuple[str, ...]:
    if step.because or step.action == "create":
        return step.because
    return tuple(change.path.removeprefix("spec.template.spec.") for change in step.fields)
