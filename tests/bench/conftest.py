"""A leaderboard whose runs are all there."""

import pytest

from ginets.bench.protocol import load
from ginets.bench.results import Results
from tests.bench.boards import fill, write


@pytest.fixture
def results(tmp_path):
    """A tuned leaderboard with all of CoLA and RTE."""
    found = Results(load(write(tmp_path)), tmp_path / "tiny")
    fill(found, found.leaderboard.tuning(found.folder).cells, "cola")
    for task in found.leaderboard.tasks:
        fill(found, found.leaderboard.task(found.folder, task, found.rates).cells, task)
    return found
