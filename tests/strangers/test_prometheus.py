"""Prometheus' own reader of its text format, on the page that the daemon serves over HTTP."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

from daemon import LIMIT, Daemon, barista
from prometheus_client.parser import text_string_to_metric_families


def test_prometheus_reads_the_page(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    (data_dir / "barista.toml").write_text('[metrics]\nlisten = "127.0.0.1:0"\n')
    with Daemon(data_dir) as daemon:
        barista(data_dir, "notify", "Counted")
        found = re.search(r"serving metrics on (http://\S+)", daemon.log())
        assert found is not None, daemon.log()
        with urllib.request.urlopen(found[1], timeout=LIMIT) as reply:
            page = reply.read().decode()
        families = {family.name: family for family in text_string_to_metric_families(page)}
        assert families["barista_notifications_created"].samples[0].value == 1
        assert families["barista_rpc_duration_seconds"].type == "histogram"
        assert all(family.documentation and family.type != "unknown" for family in families.values())
        printed = barista(data_dir, "status", "--metrics")
        assert {family.name for family in text_string_to_metric_families(printed + "\n")} == set(families)
