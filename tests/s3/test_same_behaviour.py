"""What the unit lane expects of a lake in a folder and on moto, expected of the real S3: the same tests, with this lane's `lake`."""

import inspect
from types import ModuleType

import test_data_history
import test_data_ingest
import test_data_landing
import test_data_retention
import test_data_table
import test_feedback_collection
import test_lake
import test_lake_check
import test_quarantine_decisions
import test_shipping


def take(module: ModuleType) -> int:
    """The module's tests that take any lake, under names of this module; how many there are."""
    found = {name: test for name, test in vars(module).items() if name.startswith("test_") and inspect.isfunction(test)}
    chosen = {name: test for name, test in found.items() if "lake" in inspect.signature(test).parameters}
    fixtures = {name: one for name, one in vars(module).items() if type(one).__name__ == "FixtureFunctionDefinition"}
    assert not (chosen | fixtures).keys() & globals().keys()
    globals().update(chosen | fixtures)
    return len(chosen)


taken = sum(
    take(module)
    for module in (
        test_lake,
        test_lake_check,
        test_data_table,
        test_data_ingest,
        test_data_landing,
        test_data_history,
        test_data_retention,
        test_quarantine_decisions,
        test_feedback_collection,
        test_shipping,
    )
)
assert taken > 30, taken
