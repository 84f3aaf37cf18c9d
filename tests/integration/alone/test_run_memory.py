"""Memory of real workers: a model of known size is seen in every phase, over an empty worker.

The share of libraries' pages depends on who maps them too, so it runs alone.
"""

import pytest
from bench import EAGER, INPUT, ONE_THREAD, Bench

pytestmark = pytest.mark.slow

MIB = 1 << 20
HELD, SLACK = 96, 16


def test_a_known_amount_of_weights_is_seen_over_the_empty_worker(bench: Bench) -> None:
    models = {
        name: {
            "torch": "run_factories:heavy",
            "inputs": INPUT,
            "kwargs": {"mib": mib},
            "dataset": "run_factories:data",
        }
        for name, mib in {"light": 1, "heavy": 1 + HELD}.items()
    }
    suite = bench.suite(models, EAGER, measure={"trials": 1}, **ONE_THREAD)
    bench.harness("run", str(suite))
    run = bench.run()
    cells = run.cells[run.cells["arm"] != "control"].set_index("model")
    light, heavy = cells.loc["light"], cells.loc["heavy"]
    assert abs(heavy["rss_empty_bytes"] - light["rss_empty_bytes"]) < SLACK * MIB
    for phase in ("first_call", "steady"):
        column = f"over_empty_{phase}_bytes"
        assert HELD - SLACK < (heavy[column] - light[column]) / MIB < HELD + SLACK, column
    assert heavy["over_empty_load_bytes"] > HELD * MIB
    # weights are mapped from their file, and the baseline shares them with its control, which is alive too
    assert HELD / 2 - SLACK < (heavy["pss_bytes"] - light["pss_bytes"]) / MIB < HELD + SLACK
    assert heavy["weight_bytes"] - light["weight_bytes"] == HELD * MIB
