"""The load test sees what it is there to see."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from serve_load import fault_of, slope

ROOT = Path(__file__).resolve().parents[2]


def test_memory_that_grows_has_its_slope_and_an_interval_without_zero():
    noise = np.random.default_rng(0).normal(0, 1, 1000)
    per, half = slope([500 + 0.004 * number + noise[number] for number in range(1000)])
    assert abs(per - 4) < half < 3 and per > half


def test_memory_that_wobbles_around_one_figure_is_flat():
    per, half = slope(list(500 + np.random.default_rng(1).normal(0, 2, 1000)))
    assert abs(per) < half


def test_an_error_and_another_clients_poster_count_as_lost():
    assert "status 500" in fault_of(httpx.Response(500, text="no"), 1, 64)


@pytest.mark.slow
def test_sixty_requests_meet_a_full_queue_and_none_is_lost():
    command = [sys.executable, "benchmarks/serve_load.py", "--requests", "60", "--clients", "12", "--queue", "4"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "60 answered rightly, 0 lost or wrong; server ended with 0" in ran.stdout
    assert int(ran.stdout.split(" answers were 429")[0].split()[-1]) > 0
