#!/usr/bin/env python3
"""Writes genai-prices.txt, the table of prices that the daemon embeds, from the Python package `genai-prices`.

The package (https://github.com/pydantic/genai-prices, MIT, see LICENSE-genai-prices) collects what providers charge for their models, with
history. Its version is pinned in tests/requirements.txt, where it is also the oracle that prices are tested against. To take a newer
one: change that line, install it, and run

    python3 src/domain/price/generate.py >src/domain/price/genai-prices.txt

The table is text, one record in a line, fields separated by tabs; `parse.rs` reads it:

    T version                    names the table
    P id fallback,…              a provider; where its own models do not match, those of the fallbacks are tried
    m expression                 which models mean this provider when none is named
    p expression                 which names, beside its id, mean this provider
    M id expression              a model of the provider; without an expression it is known by its id in lower case
    R when rates                 what the model costs; the last that applies counts, and the first where none does
    V key=value when rates       rates that replace those of R where the call has this property (a batch, a service tier)

An expression stands in prefix notation, a token in each field: `=text` equals, `^text` begins with, `$text` ends with, `*text` contains,
`#text` equals where each `#` stands for a digit, `!` not (one operand), `&n` all of and `|n` any of the n operands that follow. Texts are in
lower case. `when` is empty (always), a date (from midnight UTC on) or two times of day in UTC with `-` between them.
Rates are separated by blanks: a letter from LETTERS, dollars for a million, and `>n:dollars` for each tier that applies to calls with more
than n input tokens. What is charged for nothing that we count (searches, pages, hours) is left out.
"""

import datetime
import importlib.metadata
import itertools
import random
import re
import sys
from decimal import Decimal
from re import _constants as sre
from re import _parser as parser

from genai_prices import types
from genai_prices.data import providers
from genai_prices.data_units import unit_data

LETTERS = {
    "input_mtok": "i",
    "cache_read_mtok": "r",
    "cache_write_mtok": "w",
    "cache_write_5m_mtok": "f",
    "cache_write_1h_mtok": "h",
    "input_audio_mtok": "a",
    "output_mtok": "o",
    "output_reasoning_mtok": "t",
    "output_audio_mtok": "u",
    "requests_kcount": "q",
}
PER = {unit["price_key"]: unit["per"] for unit in unit_data.values()}
MILLION = 1_000_000
DIGIT = "#"
# The one look-ahead that is no plain text: "not in a directory". What follows it never begins with a slash.
NO_SLASH = "(?![^/]+/)"
# A look-ahead for "-tts" as a word of the name.
NO_TTS = "(?!.*-[tT][tT][sS](?:$|-))"


def text(value: str) -> str:
    """A text as it may stand in an expression."""
    if set("\t\n" + DIGIT) & set(value):
        sys.exit(f"a text that the format cannot hold: {value!r}")
    return value.lower()


def any_of(operands: list[list[str]]) -> list[str]:
    """The expression for: one of `operands`."""
    return operands[0] if len(operands) == 1 else [f"|{len(operands)}", *itertools.chain(*operands)]


def expression(clause: object) -> list[str]:
    """The tokens of a clause of the package."""
    match clause:
        case types.ClauseEquals():
            return ["=" + text(clause.equals)]
        case types.ClauseStartsWith():
            return ["^" + text(clause.starts_with)]
        case types.ClauseEndsWith():
            return ["$" + text(clause.ends_with)]
        case types.ClauseContains():
            return ["*" + text(clause.contains)]
        case types.ClauseOr():
            return any_of([expression(part) for part in clause.or_])
        case types.ClauseAnd():
            parts = [expression(part) for part in clause.and_]
            return [f"&{len(parts)}", *itertools.chain(*parts)]
        case types.ClauseRegex():
            return from_regex(clause.regex)
    sys.exit(f"an unknown clause: {clause!r}")


def from_regex(regex: str) -> list[str]:
    """The expression that matches what `regex` does in lower-case text. The daemon needs no engine for the few forms that there are."""
    if regex == "^" + NO_TTS:
        found = ["!", "|2", "$-tts", "*-tts-"]
    else:
        rest = regex.replace(NO_SLASH, "")
        tree = list(parser.parse(rest))
        if not tree or tree[0] != (sre.AT, sre.AT_BEGINNING):
            sys.exit(f"a regular expression that is not anchored: {regex}")
        is_whole = tree[-1] == (sre.AT, sre.AT_END)
        texts = list(dict.fromkeys(strings(tree[1:-1] if is_whole else tree[1:])))
        if not is_whole and any(DIGIT in one for one in texts):
            # Prefixes end with a digit: one for each.
            texts = [one.replace(DIGIT, digit) for one in texts for digit in "0123456789"]
        mark = lambda one: ("#" if DIGIT in one else "=") if is_whole else "^"  # noqa: E731
        found = any_of([[mark(one) + one] for one in texts])
        if rest != regex:
            found = ["&2", "!", "*/", *found]
    compare(regex, found)
    return found


def strings(tree: list) -> list[str]:
    """Every text that a part of a regular expression matches, with DIGIT for any digit."""
    parts: list[list[str]] = []
    for operation, argument in tree:
        if operation is sre.LITERAL:
            parts.append([chr(argument).lower()])
        elif operation is sre.IN and argument == [(sre.CATEGORY, sre.CATEGORY_DIGIT)]:
            parts.append([DIGIT])
        elif operation is sre.IN and all(kind is sre.LITERAL for kind, _ in argument):
            parts.append([chr(value).lower() for _, value in argument])
        elif operation is sre.MAX_REPEAT:
            least, most, inner = argument
            if most > 9 or (most > 1 and least != most):
                sys.exit(f"a repetition that is not fixed: {argument}")
            once = strings(list(inner))
            counts = range(least, most + 1)
            parts.append(["".join(many) for count in counts for many in itertools.product(once, repeat=count)])
        elif operation is sre.SUBPATTERN:
            parts.append(strings(list(argument[-1])))
        elif operation is sre.BRANCH:
            parts.append([one for branch in argument[1] for one in strings(list(branch))])
        else:
            sys.exit(f"a regular expression that is not translated: {operation} {argument}")
    return ["".join(choice) for choice in itertools.product(*parts)]


def matches(tokens: list[str], value: str) -> bool:
    """Whether an expression matches, as `expression.rs` decides it."""

    def take() -> bool:
        token = tokens[next(position)]
        kind, rest = token[0], token[1:]
        if kind == "!":
            return not take()
        if kind in "&|":
            operands = [take() for _ in range(int(rest))]
            return all(operands) if kind == "&" else any(operands)
        if kind == "#":
            same = [mine == its or (mine == DIGIT and its in "0123456789") for mine, its in zip(rest, value)]
            return len(rest) == len(value) and all(same)
        return {"=": value == rest, "^": value.startswith(rest), "$": value.endswith(rest), "*": rest in value}[kind]

    position = itertools.count()
    return take()


def compare(regex: str, tokens: list[str]) -> None:
    """Ends with an error where the translation of `regex` decides differently on texts that are near to it."""
    draw = random.Random(regex)
    seeds = [token[1:] for token in tokens if token[0] in "=^$*#"] + ["x-tts", "a-tts-b", "mistral/mistral"]
    for _ in range(2_000):
        value = "".join(draw.choice("0123456789") if char == DIGIT else char for char in draw.choice(seeds))
        for _ in range(draw.randrange(3)):
            at = draw.randrange(len(value) + 1)
            value = value[:at] + draw.choice(["", "-", "/", "7", "x", "-tts", "@"]) + value[at + draw.randrange(2) :]
        if bool(re.search(regex, value)) != matches(tokens, value):
            sys.exit(f"{regex} is not the same as {tokens} for {value!r}")


def when(constraint: object) -> str:
    """The field that says when a price applies."""
    match constraint:
        case None:
            return ""
        case types.StartDateConstraint():
            return constraint.start_date.isoformat()
        case types.TimeOfDateConstraint():
            return f"{utc(constraint.start_time)}-{utc(constraint.end_time)}"
    sys.exit(f"an unknown constraint: {constraint!r}")


def utc(time: datetime.time) -> str:
    """A time of day in UTC."""
    if time.tzinfo is not None:
        day = datetime.datetime.combine(datetime.date(2000, 1, 2), time)
        time = day.astimezone(datetime.timezone.utc).time()
    return time.isoformat("seconds")


def dollars(price: Decimal, key: str) -> str:
    """A price as dollars for a million units, exactly."""
    scaled = price * (MILLION // PER[key])
    if -scaled.normalize().as_tuple().exponent > 18:
        sys.exit(f"a price with more than 18 decimals: {price}")
    plain = f"{scaled:f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def rates(price: types.ModelPrice) -> str:
    """The field with the rates of a price."""
    words = []
    for key, letter in LETTERS.items():
        value = getattr(price, key)
        if isinstance(value, types.TieredPrices):
            tiers = "".join(f">{tier.start}:{dollars(tier.price, key)}" for tier in value.tiers)
            words.append(letter + dollars(value.base, key) + tiers)
        elif value is not None:
            words.append(letter + dollars(value, key))
    return " ".join(words)


def records() -> list[list[str]]:
    """The records of the table."""
    table = [["T", f"genai-prices {importlib.metadata.version('genai-prices')}"]]
    for provider in providers:
        table.append(["P", provider.id, ",".join(provider.fallback_model_providers or [])])
        if provider.model_match:
            table.append(["m", *expression(provider.model_match)])
        if provider.provider_match:
            table.append(["p", *expression(provider.provider_match)])
        for model in provider.models:
            known_as = expression(model.match)
            table.append(["M", model.id, *([] if known_as == ["=" + model.id.lower()] else known_as)])
            prices = model.prices
            for price in prices if isinstance(prices, list) else [types.ConditionalPrice(prices=prices)]:
                table.append(["R", when(price.constraint), rates(price.prices)])
            for variant in model.price_variants or []:
                (name, value), *others = variant.when.items()
                if others:
                    sys.exit(f"a variant with several conditions: {variant.when}")
                table.append(["V", f"{name}={value}", when(variant.constraint), rates(variant.prices)])
    return table


if __name__ == "__main__":
    print("# Generated by generate.py, which explains the format, from the Python package genai-prices.")
    print("# MIT licence, Copyright (c) Pydantic Services Inc. 2025 to present: see LICENSE-genai-prices.")
    for record in records():
        print("\t".join(record).rstrip("\t"))
