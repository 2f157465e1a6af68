"""What calls cost, computed by the package that the table of prices comes from, and by ours: every model, to the nano-dollar."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from pathlib import Path
from typing import Any

import pytest
from daemon import BINARIES

from genai_prices import Usage, types
from genai_prices.data_snapshot import get_snapshot

# Three calls at random times of every model, and one at each edge of its periods and tiers.
RANDOM_CALLS = 3
BUCKETS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "audio_input", "output", "reasoning", "audio_output")
# What a price must have for tokens or calls to be charged for: see LETTERS in src/domain/price/generate.py.
CHARGED = (
    "input_mtok",
    "cache_read_mtok",
    "cache_write_mtok",
    "cache_write_5m_mtok",
    "cache_write_1h_mtok",
    "input_audio_mtok",
    "output_mtok",
    "output_reasoning_mtok",
    "output_audio_mtok",
    "requests_kcount",
)
NANO = Decimal("1e-9")
Call = dict[str, Any]


def usage(tokens: list[int]) -> Usage:
    """The tokens as the package counts them: what includes others has the sum."""
    named = dict(zip(BUCKETS, tokens, strict=True))
    return Usage(
        input_tokens=sum(tokens[:5]),
        cache_read_tokens=named["cache_read"],
        cache_write_tokens=named["cache_write_5m"] + named["cache_write_1h"],
        cache_write_5m_tokens=named["cache_write_5m"],
        cache_write_1h_tokens=named["cache_write_1h"],
        input_audio_tokens=named["audio_input"],
        cache_audio_read_tokens=0,
        output_tokens=sum(tokens[5:]),
        output_reasoning_tokens=named["reasoning"],
        output_audio_tokens=named["audio_output"],
    )


def nano_dollars(dollars: Decimal) -> int:
    return int((dollars.quantize(NANO, ROUND_HALF_EVEN) / NANO).to_integral_exact())


def by_package(call: Call) -> dict[str, int] | None:
    """What the package says: `None` where it knows no model, or where none of what we count is charged for."""
    snapshot = get_snapshot()
    at = datetime.fromtimestamp(0, timezone.utc) + timedelta(microseconds=call["time"])
    context = dict(call["properties"])
    try:
        provider, model = snapshot.find_provider_model(call["model"], None, call["provider"], None)
    except LookupError:
        return None
    price = model.get_prices(at, context if any(model is own for own in provider.models) else None)
    if all(getattr(price, key) is None for key in CHARGED):
        return None
    with localcontext(prec=80):
        found = snapshot.calc(usage(call["tokens"]), call["model"], call["provider"], None, at, context)
        parts = {"total": found.total_price, "input": found.input_price, "output": found.output_price}
        return {name: nano_dollars(dollars) for name, dollars in parts.items()}


def by_ours(calls: list[Call]) -> list[dict[str, Any]]:
    lines = "".join(json.dumps(call) + "\n" for call in calls)
    program = BINARIES / "examples" / "price"
    ended = subprocess.run([program], input=lines, stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    return [json.loads(line) for line in ended.stdout.splitlines()]


def prices_of(model: types.ModelInfo) -> list[types.ModelPrice]:
    usual = model.prices if isinstance(model.prices, list) else [types.ConditionalPrice(prices=model.prices)]
    return [one.prices for one in [*usual, *(model.price_variants or [])]]


def thresholds(model: types.ModelInfo) -> set[int]:
    values = [value for price in prices_of(model) for value in vars(price).values()]
    return {tier.start for value in values if isinstance(value, types.TieredPrices) for tier in value.tiers}


def edges(model: types.ModelInfo) -> set[datetime]:
    """The points in time at which prices of a model change."""
    found: set[datetime] = set()
    periods = [*(model.prices if isinstance(model.prices, list) else []), *(model.price_variants or [])]
    for period in periods:
        match period.constraint:
            case types.StartDateConstraint(start):
                found.add(datetime(start.year, start.month, start.day, tzinfo=timezone.utc))
            case types.TimeOfDateConstraint(start, end):
                for edge in (start, end):
                    found.add(datetime.combine(datetime(2026, 3, 4), edge.replace(tzinfo=edge.tzinfo or timezone.utc)))
    return found


def calls_of_every_model(draw: random.Random) -> list[Call]:
    calls: list[Call] = []
    for provider in get_snapshot().providers:
        for model in provider.models:
            names = [model.id, model.id.upper(), f"{model.id}-20260203", "no-such-model"]
            contexts: list[dict[str, str]] = [{}, *(variant.when for variant in model.price_variants or [])]

            def add(at: datetime, tokens: list[int], name: str = model.id, alone: bool = False) -> None:
                calls.append(
                    {
                        "model": name,
                        "provider": None if alone else provider.id,
                        "time": (at - datetime.fromtimestamp(0, timezone.utc)) // timedelta(microseconds=1),
                        "tokens": tokens,
                        "properties": list(draw.choice(contexts).items()),
                    }
                )

            for _ in range(RANDOM_CALLS):
                at = datetime(2022, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=draw.randrange(6 * 365 * 86_400))
                add(at, any_tokens(draw))
                add(at, any_tokens(draw), draw.choice(names), draw.random() < 0.5)
            for edge in edges(model):
                for at in (edge - timedelta(microseconds=1), edge):
                    for context in contexts:
                        add(at, any_tokens(draw))
                        calls[-1]["properties"] = list(context.items())
            for threshold in thresholds(model):
                for total in (threshold, threshold + 1):
                    cached = draw.randrange(total)
                    add(datetime(2026, 11, 1, tzinfo=timezone.utc), [total - cached, cached, 0, 0, 0, 1_001, 0, 0])
    return calls


def any_tokens(draw: random.Random) -> list[int]:
    """Numbers of every size, many of them zero, and odd ones among them: halves of a nano-dollar need those."""
    return [draw.choice([0, draw.randrange(10), draw.randrange(2_000), draw.randrange(1_000_000)]) for _ in BUCKETS]


def differences(calls: list[Call]) -> list[str]:
    found = []
    for call, ours in zip(calls, by_ours(calls), strict=True):
        theirs = by_package(call)
        if theirs != ({part: ours[part] for part in theirs} if theirs and "total" in ours else None) or (
            theirs is None and "unknown" not in ours
        ):
            found.append(f"{call}: {theirs}, and by ours {ours}")
    return found


def test_every_model_costs_what_the_package_says(report: Callable[[str], None]) -> None:
    seed = os.environ.get("BARISTA_TEST_SEED") or str(random.randrange(2**32))
    print(f"BARISTA_TEST_SEED={seed}")
    calls = calls_of_every_model(random.Random(seed))
    assert len(calls) > 10_000
    known = sum(by_package(call) is not None for call in calls)
    assert known > 10_000, "most calls have a price"
    wrong = differences(calls)
    assert not wrong, f"{len(wrong)} of {len(calls)} differ:\n" + "\n".join(wrong[:10])
    start = time.monotonic()
    by_ours(calls)
    report(f"{len(calls)} calls, {known} with a price, priced in {time.monotonic() - start:.2f} s with a process and its JSON")


def test_one_changed_price_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """That the comparison can fail: the package is told another price."""
    snapshot = get_snapshot()
    _, model = snapshot.find_provider_model("claude-haiku-4-5", None, "anthropic", None)
    call = {"model": "claude-haiku-4-5", "provider": "anthropic", "time": 1_780_000_000_000_000, "properties": []}
    calls = [{**call, "tokens": [1_000, 0, 0, 0, 0, 0, 0, 0]}]
    assert differences(calls) == []
    price = prices_of(model)[-1] if isinstance(model.prices, list) else model.prices
    assert isinstance(price, types.ModelPrice)
    monkeypatch.setitem(vars(price), "input_mtok", price.input_mtok + Decimal("0.001"))
    assert len(differences(calls)) == 1


def test_the_embedded_table_is_what_the_generator_writes() -> None:
    source = Path(__file__).resolve().parents[2] / "src/domain/price"
    written = subprocess.run([sys.executable, source / "generate.py"], stdout=subprocess.PIPE, text=True, check=True)
    assert written.stdout == (source / "genai-prices.txt").read_text()
