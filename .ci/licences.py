"""Reads `cargo metadata` from standard input and checks that every crate's licence is allowed."""

import json
import re
import sys

ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}


def allowed(expression: str) -> bool:
    """Whether an SPDX expression can be met with allowed licences alone. AND binds closer than OR."""
    # Before SPDX, Cargo separated alternatives by a slash.
    tokens = re.findall(r"\(|\)|[^()\s]+", expression.replace("/", " OR "))

    def alternatives() -> bool:
        met = parts()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            # Both sides are read, whatever the first one says.
            met = parts() or met
        return met

    def parts() -> bool:
        met = licence()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            met = licence() and met
        return met

    def licence() -> bool:
        name = tokens.pop(0)
        if name == "(":
            met = alternatives()
            tokens.pop(0)
            return met
        if tokens and tokens[0] == "WITH":
            tokens.pop(0)
            name = f"{name} WITH {tokens.pop(0)}"
        return name in ALLOWED

    return alternatives() and not tokens


# A check that cannot fail is a defect.
assert allowed("(MIT OR GPL-3.0) AND Unicode-3.0") and allowed("GPL-2.0/MIT")
assert not allowed("MIT AND GPL-3.0") and not allowed("GPL-3.0") and not allowed("GPL-3.0 WITH LLVM-exception")

packages = json.load(sys.stdin)["packages"]
wrong = [f"{p['name']} {p['version']}: {p['license'] or 'none named'}" for p in packages if not allowed(p["license"] or "none")]
if wrong:
    sys.exit("licences that are not on the list in .ci/licences.py:\n  " + "\n  ".join(wrong))
print(f"{len(packages)} crates, all under allowed licences")
