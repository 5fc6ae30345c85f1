"""What the client of a slot's Job asks for, and when it ends with which code."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bellwether.messages import envelope
from bellwether.messages.scheduling import ExecuteSlot, Job
from bellwether.render.keys import derive_seed
from bellwether.runtime import job_calls
from bellwether.runtime.bus import Bus, LocalMessage
from bellwether.runtime.memory_bus import MemoryBroker
from bellwether.scheduling import client
from bellwether.scheduling.client import DONE, GAVE_UP, WRONG, execute, run, wanted
from harness.nats import free_port
from harness.until import DEADLINE

SLOT = "morning_analysis-20261123"


def job(status: str) -> dict[str, Any]:
    return {"result": Job(SLOT, "morning_analysis", "", {}, status, None, None, None, None)}  # type: ignore[arg-type]


def refusal(code: str, **detail: Any) -> dict[str, Any]:
    return {"error": envelope.ErrorBody(code, f"{code} in words", detail)}


@dataclass
class Scheduler:
    """Answers with what the test wrote down, one after the other; the last one stays."""

    answers: list[Any]
    asked: list[dict[str, Any]] = field(default_factory=list)

    def arrived(self, message: LocalMessage) -> None:
        request = envelope.decode_request(message.body)
        assert request.source == "job"
        self.asked.append(msgspec.json.decode(request.params))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is not None:
            task = asyncio.ensure_future(message.respond(_encoded(answer, request.request_id)))
            task.add_done_callback(lambda done: done.result())


def _encoded(answer: Any, request_id: str) -> bytes:
    if isinstance(answer, bytes):
        return answer
    if "error" in answer:
        return envelope.encode(envelope.Reply("error", request_id, 0.0, error=answer["error"]))
    result = msgspec.Raw(envelope.encode(answer["result"]))
    return envelope.encode(envelope.Reply("success", request_id, 0.0, result=result))


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAUSES", (0.001, 0.002))
    monkeypatch.setattr(client, "ASK_SECONDS", 0.05)
    monkeypatch.setattr(job_calls, "REPLY_SECONDS", 0.0)


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    broker = MemoryBroker()
    found = broker.connect("job")
    await found.start()
    yield found
    await found.close()


async def asking(bus: Any, *answers: Any, timeout: float = 20.0) -> tuple[int, Scheduler]:
    scheduler = Scheduler(list(answers))
    subscription = await bus.subscribe("bw.rpc.scheduler.execute_slot", scheduler.arrived, queue="scheduler")
    code = await execute(bus, ExecuteSlot(SLOT), timeout=timeout)
    await subscription.stop()
    return code, scheduler


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (job("completed"), DONE),
        (job("missed"), DONE),
        (refusal("NOT_A_SLOT"), DONE),
        (refusal("REPLAY_CONDUCTS"), GAVE_UP),
        (refusal("INVALID_PARAMS"), GAVE_UP),
    ],
    ids=["completed", "missed", "no slot", "a replay", "wrongly asked"],
)
async def test_what_does_not_change_by_asking_again_ends_it(
    bus: Bus, answer: dict[str, Any], code: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        found, scheduler = await asking(bus, answer)
    assert (found, len(scheduler.asked)) == (code, 1)
    assert SLOT in caplog.messages[-1]
    word = answer["result"].status if "result" in answer else answer["error"].message
    assert word in caplog.messages[-1]


@pytest.mark.parametrize(
    "answer",
    [
        refusal("UNAVAILABLE"),
        refusal("INTERNAL"),
        refusal("DEADLINE_EXCEEDED"),
        refusal("NO_DECLARATION"),
        refusal("MODEL_NOT_READY"),
        refusal("NOT_DUE_YET", seconds=0.01),
        refusal("NOT_DUE_YET"),
        job("running"),
        b"not JSON",
        None,
    ],
    ids=["peer", "crash", "works", "declaration", "model", "soon", "some time", "running", "unreadable", "silent"],
)
async def test_it_asks_again_until_there_is_an_end(bus: Bus, answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        found, scheduler = await asking(bus, answer, answer, job("completed"))
    assert (found, len(scheduler.asked)) == (DONE, 3)
    # The same reason is said once.
    assert len([line for line in caplog.messages if "waits" in line]) == 1


async def test_it_gives_up_when_its_time_is_over_and_says_what_was_last(
    bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    found, scheduler = await asking(bus, refusal("UNAVAILABLE"), timeout=1.0)
    assert found == GAVE_UP
    assert len(scheduler.asked) > 1
    assert caplog.messages[-1].endswith("last was UNAVAILABLE")


async def test_a_slot_that_is_due_far_ahead_is_not_waited_for_beyond_its_time(bus: Bus) -> None:
    found, scheduler = await asking(bus, refusal("NOT_DUE_YET", seconds=3600.0), timeout=DEADLINE)
    assert (found, len(scheduler.asked)) == (GAVE_UP, 1)


async def test_a_scheduler_that_is_not_there_yet_is_waited_for(bus: Bus) -> None:
    work = asyncio.create_task(execute(bus, ExecuteSlot(SLOT), timeout=DEADLINE))
    await asyncio.sleep(0)
    scheduler = Scheduler([job("completed")])
    await bus.subscribe("bw.rpc.scheduler.execute_slot", scheduler.arrived)  # type: ignore[arg-type]
    async with asyncio.timeout(DEADLINE):
        assert await work == DONE


async def test_a_task_is_asked_for_by_the_minute_in_the_name_of_its_job(bus: Bus) -> None:
    asked = wanted(
        {"BELLWETHER_TASK": "morning_analysis", "BELLWETHER_JOB": "demo-morning-analysis-202611-0930-29922790"}
    )
    assert asked == ExecuteSlot("", "morning_analysis", datetime(2026, 11, 22, 17, 10, tzinfo=UTC))
    scheduler = Scheduler([job("completed")])
    await bus.subscribe("bw.rpc.scheduler.execute_slot", scheduler.arrived)  # type: ignore[arg-type]
    assert await execute(bus, asked, timeout=DEADLINE) == DONE
    assert scheduler.asked == [{"task": "morning_analysis", "minute": "2026-11-22T17:10:00Z"}]


def test_a_slot_is_asked_for_by_its_name() -> None:
    assert wanted({"BELLWETHER_SLOT": SLOT}) == ExecuteSlot(SLOT)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "give either the name of a slot, or a task and the name of the Job"),
        ({"TASK": "morning_analysis"}, "give either"),
        ({"SLOT": SLOT, "TASK": "morning_analysis", "JOB": "x-1"}, "give either"),
        (
            {"TASK": "morning_analysis", "JOB": "demo"},
            "BELLWETHER_JOB='demo': 'demo' is not the name of a scheduled Job",
        ),
        ({"TASK": "morning_analysis", "JOB": "demo-9999999999"}, "BELLWETHER_JOB='demo-9999999999'"),
    ],
)
def test_what_it_is_given_wrongly_is_named(
    said: dict[str, str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {f"BELLWETHER_{name}": value for name, value in said.items()}
    assert run(environ, timeout=1.0) == WRONG
    assert words in capsys.readouterr().err


def test_a_key_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run({"BELLWETHER_SLOT": SLOT, "BELLWETHER_KEYS_DIR": str(tmp_path)}, timeout=1.0) == WRONG
    assert str(tmp_path / "job.nk") in capsys.readouterr().err


SEED = derive_seed(b"of tests only, never of a system", "test", "job")


@pytest.mark.parametrize(
    "content",
    ["", "SU", "garbage!", SEED[:-9], SEED[:20] + ("A" if SEED[20] != "A" else "B") + SEED[21:], SEED + SEED, "\xff"],
    ids=["empty", "started", "no key", "cut off", "one letter", "twice", "no text"],
)
def test_a_damaged_key_is_named_without_its_content(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    file = tmp_path / "job.nk"
    file.write_text(content, encoding="latin-1")
    assert run({"BELLWETHER_SLOT": SLOT, "BELLWETHER_KEYS_DIR": str(tmp_path)}, timeout=1.0) == WRONG
    err = capsys.readouterr().err
    assert f"{file}: what it holds is damaged or no key" in err
    assert len(content) < 3 or content not in err


def test_a_whole_key_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "job.nk").write_text(f"{SEED}\n")
    said = {"SLOT": SLOT, "KEYS_DIR": str(tmp_path), "NATS_URL": f"nats://127.0.0.1:{free_port()}"}
    assert run({f"BELLWETHER_{name}": value for name, value in said.items()}, timeout=0.05) == GAVE_UP


@pytest.mark.parametrize("timeout", [float("nan"), -1.0, float("inf")])
def test_a_time_that_is_none_is_refused_with_words(timeout: float, capsys: pytest.CaptureFixture[str]) -> None:
    assert run({"BELLWETHER_SLOT": SLOT}, timeout=timeout) == WRONG
    assert f"--timeout: {timeout:g} must be a number of seconds, 0 or more" in capsys.readouterr().err
