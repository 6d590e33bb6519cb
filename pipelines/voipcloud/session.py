"""What one source keeps between its runs: rows of unfinished days, and which lists still have days to load."""

from collections.abc import Collection, Mapping

from pipelines.errors import SettingsError
from pipelines.voipcloud.client import Client
from pipelines.voipcloud.list_state import ListState
from pipelines.voipcloud.reader import Held, ListReader, continued
from pipelines.voipcloud.run import Outcome, ReadOptions, Run
from pipelines.voipcloud.settings import Account


class Session:
    """One source's runs, one after another."""

    def __init__(self, options: ReadOptions) -> None:
        self.options = options
        self.readers: dict[str, ListReader] = {}  # of the run under way, by endpoint
        self._held: dict[str, Held] = {}

    def begin(
        self,
        account: Account,
        client: Client,
        stored: Mapping[str, ListState],
        outcome: Outcome,
        *,
        load_id: str,
        others: Collection[str] = (),
    ) -> Run:
        """A new run of the lists whose states are `stored`, and of `others` that send requests.

        While one list is in the middle of a read, those that have been read to their end wait for it: they would
        otherwise begin anew in each run, and use up its pages. Raises `SettingsError` for a list read twice in one
        package, which would double its calls.
        """
        if any(state.load_id == load_id for state in stored.values() if state.load_id):
            raise SettingsError(
                f"{account.name}: two sources of this account stand in one run, which would double its calls. Run them "
                "one after the other."
            )
        run = Run(account, client, self.options, [*stored, *others], outcome)
        # taken out: a run that is broken off has moved what it holds, and days of its package are not loaded
        held, self._held = self._held, {}
        reads = {name: continued(run, name, state, held.get(name)) for name, state in stored.items()}
        is_midway = any(read is not None and read.ranges for read in reads.values())
        self.readers = {
            name: ListReader(run, name, state, reads[name] if is_midway else None) for name, state in stored.items()
        }
        return run

    def end(self, run: Run, load_id: str) -> None:
        """Completes the outcome after the last resource. Raises what the run met if no day has become whole."""
        readers = self.readers
        run.outcome.lists_left = tuple(name for name, reader in readers.items() if reader.has_more)
        covered = {name: reader for name, reader in readers.items() if reader.is_covered}
        run.outcome.rows = {name: reader.package.rows for name, reader in covered.items()}
        run.outcome.unplaced = {name: reader.unplaced for name, reader in covered.items() if reader.is_at_end}
        for name, number in run.outcome.unplaced.items():
            if number:
                run.warn(f"{name}: records without a start that can be read: {number}. See raw.unplaced_records.")
        # a list that failed begins anew, so that no other list waits for it
        self._held = {
            name: reader.hold(load_id) for name, reader in readers.items() if name not in run.outcome.list_errors
        }
        run.conclude()
