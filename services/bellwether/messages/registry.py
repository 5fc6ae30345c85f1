"""How ml-model's registry is filled, changed and looked at, and the orders for models that it keeps."""

from __future__ import annotations

from datetime import date, datetime

import msgspec


class PutArtifact(msgspec.Struct, frozen=True):
    """Upload a part of one file of a model: a candidate, that nothing serves until the registry's book says so."""

    version: str
    name: str
    offset: int
    total: int
    content: bytes


class GetArtifact(msgspec.Struct, frozen=True):
    """Ask for a part of one file of a model, from `offset` on."""

    version: str
    name: str
    offset: int = 0


class GetRegistry(msgspec.Struct, frozen=True):
    """Ask for a part of the registry's book, from a byte on."""

    offset: int = 0


class RegistryBook(msgspec.Struct, frozen=True):
    """A part of the book as canonical JSON, the length of the whole in bytes, and its SHA-256.

    A change says by the hash what it is a change of. Where it differs from part to part the book was changed meanwhile.
    """

    content: bytes
    total: int
    hash: str


class SetRegistry(msgspec.Struct, frozen=True):
    """Change the book of hash `before`; models that this puts into service serve from then on.

    `change` is canonical JSON: the entries that are new or differ, and the trials that are new.
    """

    before: str
    change: str


class RegistryChanged(msgspec.Struct, frozen=True):
    """The hash of the book after a change."""

    hash: str


class ListRegistry(msgspec.Struct, frozen=True):
    """Ask for models of the registry, or those of one recipe: what serves or is in shadow, and the newest others.

    `limit` bounds the others, from 1 to 500.
    """

    model_name: str | None = None
    limit: int = 500


class RegisteredModel(msgspec.Struct, frozen=True):
    """One model of the registry: `stage` is candidate, shadow, serving or retired; `gate` what the gate said."""

    version: str
    model_name: str
    symbol: str | None
    stage: str
    since: datetime
    reason: str
    passed: bool | None
    """None: nobody judged it."""
    gate: str
    demoted: str = ""
    """Why its live outcomes took it out of service."""


class RegisteredModels(msgspec.Struct, frozen=True):
    """Models of the registry, the newest last, how many trials were counted, and how many models there are in all."""

    models: list[RegisteredModel]
    trials: int
    total: int = 0


class PromoteModel(msgspec.Struct, frozen=True):
    """Let a model serve; `version` may be the beginning of one."""

    version: str
    reason: str


class RollbackModel(msgspec.Struct, frozen=True):
    """Let the model serve again that served before; without a symbol, the general one."""

    model_name: str
    reason: str
    symbol: str | None = None


class ModelTrained(msgspec.Struct, frozen=True):
    """A model was made and judged."""

    model: RegisteredModel


class ModelPromoted(msgspec.Struct, frozen=True):
    """A model serves from now on; `before` is the version that served until then."""

    model: RegisteredModel
    before: str | None


class ShadowCandidate(msgspec.Struct, frozen=True):
    """Put a candidate into shadow, or with `end` take it out again; `version` may be the beginning of one."""

    version: str
    reason: str
    end: bool = False


class LiveDay(msgspec.Struct, frozen=True):
    """Sums over the realised decisions of one newest bar: `rows` of them, log losses, squared errors of the model and
    of the base rate beside it."""

    session: date
    rows: int
    model: float
    base: float
    brier: float
    base_brier: float


class LiveRecord(msgspec.Struct, frozen=True):
    """What came of the decisions that a version made, or that it was asked beside as a shadow, oldest session first."""

    version: str
    model_name: str
    role: str
    """serving or shadow."""
    horizon_sessions: int
    days: list[LiveDay]


class GetLiveRecords(msgspec.Struct, frozen=True):
    """Ask for the live records of versions."""

    versions: list[str]


class LiveRecords(msgspec.Struct, frozen=True):
    """The records of those versions that have any."""

    records: list[LiveRecord]


class LiveSummary(msgspec.Struct, frozen=True):
    """A live record in figures: per decision, beside the base rate's; `verdict` is what the declared rule says."""

    role: str
    decisions: int
    sessions: int
    first: date
    last: date
    brier: float
    base_brier: float
    log_loss: float
    base_log_loss: float
    verdict: str


class ShowModel(msgspec.Struct, frozen=True):
    """Ask for a model of the registry with its live record; `version` may be the beginning of one."""

    version: str


class ShownModel(msgspec.Struct, frozen=True):
    """A model with its live records: as what served, and as a shadow."""

    model: RegisteredModel
    live: list[LiveSummary]


class ModelDemoted(msgspec.Struct, frozen=True):
    """A model's live outcomes took it out of service; `instead` serves from now on, None: decisions are HOLD."""

    model: RegisteredModel
    instead: str | None


class TrainingOrder(msgspec.Struct, frozen=True):
    """Models to be made of one recipe. `targets` is frozen: target n belongs to index n of the Job (None: all symbols).

    Nothing in it changes after it was placed, and its id is its hash.
    """

    recipe: str
    recipe_hash: str
    targets: list[str | None]
    snapshot: str
    """SHA-256 of the bars by symbol, as canonical JSON."""
    created: datetime
    deadline: datetime
    """After this instant (UTC) the gate judges what there is."""
    rival: str | None = None
    """The recipe that serves, where it is another one."""
    serving: list[str] = []
    """Versions of this recipe that serve."""
    reason: str = ""


class TargetResult(msgspec.Struct, frozen=True):
    """What became of a target: the version of its candidate, or None and why there is none."""

    version: str | None
    words: str


class OrderState(msgspec.Struct, frozen=True):
    """An order, and what became of its targets so far, by index."""

    id: str
    order: TrainingOrder
    results: dict[str, TargetResult] = {}
    closed: bool = False
    """Whether the gate has judged what there is: nobody works on it any more."""

    @property
    def complete(self) -> bool:
        """Whether every target has a result."""
        return len(self.results) == len(self.order.targets)


class PutSnapshot(msgspec.Struct, frozen=True):
    """Upload a part of a snapshot of bars; `id` is the SHA-256 of the whole."""

    id: str
    offset: int
    total: int
    content: bytes


class GetSnapshot(msgspec.Struct, frozen=True):
    """Ask for a part of a snapshot of bars, from `offset` on."""

    id: str
    offset: int = 0


class PlaceOrder(msgspec.Struct, frozen=True):
    """Place an order; its snapshot has to be there. The same order again changes nothing."""

    order: TrainingOrder


class ListOrders(msgspec.Struct, frozen=True):
    """Ask for the orders that are kept, the newest last."""


class TrainingOrders(msgspec.Struct, frozen=True):
    """Orders of models."""

    orders: list[OrderState]


class FinishTarget(msgspec.Struct, frozen=True):
    """Say what became of a target; a version has to be uploaded before. The first answer counts."""

    id: str
    index: int
    version: str | None
    words: str


class CloseOrder(msgspec.Struct, frozen=True):
    """Say that the gate has judged what there is."""

    id: str
