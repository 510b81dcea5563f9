"""One table of all that was measured, at the end of the run; a missed goal fails nothing."""

import pandas as pd
import pytest

ROW = "row of the benchmarks' table"


@pytest.fixture
def put(record_property):
    """Adds a row to the table: `put(what, value, unit)`, with `least` or `most` as its goal."""

    def add(what, value, unit, *, least=None, most=None):
        goals = {"at least": least, "at most": most}
        goal = " and ".join(f"{how} {bound}" for how, bound in goals.items() if bound is not None)
        met = (least is None or value >= least) and (most is None or value <= most)
        row = {"measured": what, "value": f"{value:.3g}", "unit": unit, "goal": goal}
        record_property(ROW, row | {"met": ("yes" if met else "no") if goal else ""})

    return add


def pytest_terminal_summary(terminalreporter):
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    rows = [row for report in reports for name, row in report.user_properties if name == ROW]
    if rows:
        terminalreporter.section("measured on this machine")
        terminalreporter.write_line(pd.DataFrame(rows).to_string(index=False))
