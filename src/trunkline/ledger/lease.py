"""Leases: the part of a key's limit that one process may spend on its own.

Processes that share a key take parts of its limit from a common store. For each key the store knows the spending of
the databases, and what each process holds. Nothing is granted unless afterwards

    spending of the databases + what all processes hold ≤ limit.

What a process holds covers three amounts: what its running calls have reserved, the cost of ended calls that the
database does not have yet (`pending`), and what is free for further calls. When the database has an ended call, the
process holds so much less, and tells the store both numbers, the spending and what it holds, together. Both are
absolute, so a report that arrives twice changes nothing. A cost is counted twice between the two moments, and never not
at all.

A lease that was not confirmed for some time may have been granted to others, because its process seemed dead. Its free
part is then given up (`Lease.expire`); calls under way go on.
"""

from msgspec import Struct

from trunkline.model.money import Pico

IDLE_S = 2.0
"""Seconds after the last reservation after which a process gives its free part back."""


class LeaseRequest(Struct, frozen=True, kw_only=True, gc=False):
    """What a process tells the store about one key, and how much more it wants. Amounts are pico-dollars."""

    key_id: str
    limit: Pico
    seq: int
    """Grows with every request of the process. A store ignores a request that is older than the last one."""
    held: Pico
    spent: Pico
    """The spending in the process's database; all ended calls that are not part of it are part of `held`."""
    least: Pico = 0
    """The grant must be at least this; 0 asks for nothing, as a report."""
    wanted: Pico = 0
    """What calls that wait would use together."""


class LeaseAnswer(Struct, frozen=True, kw_only=True, gc=False):
    """What the store answers. Amounts are pico-dollars."""

    granted: Pico = 0
    """In addition to what is held; 0 where less than the least is left."""
    spent: Pico
    """The spending of all databases, as far as the store knows."""
    others: Pico
    """What other processes hold."""
    elsewhere: Pico = 0
    """The part of `spent` that is not in the process's own database."""
    wait_s: float = 0.0
    """Where not zero, nothing is granted for so long: the store was emptied, and holders have yet to report."""
    epoch: str = ""
    """Changes when the store has lost its data."""


class Lease:
    """One process's part of one key's limit, in pico-dollars. Times are monotonic seconds."""

    __slots__ = (
        "chunk",
        "elsewhere",
        "held",
        "limit",
        "pending",
        "reported",
        "reported_at",
        "spent",
        "used_at",
        "valid_until",
        "waiting",
    )

    def __init__(self, limit: Pico) -> None:
        self.limit = limit
        self.held: Pico = 0
        """What the process holds: reserved, pending and free."""
        self.pending: Pico = 0
        """The cost of ended calls that were not in the database when `spent` was read."""
        self.spent: Pico = 0
        """The spending in the database."""
        self.elsewhere: Pico = 0
        """The spending in other databases."""
        self.chunk: Pico = 0
        """What may stay free while the key is in use."""
        self.waiting: Pico = 0
        """What calls that wait for a grant would reserve."""
        self.reported: Pico = 0
        """What the store believes is held, or less."""
        self.reported_at = float("-inf")
        self.valid_until = float("-inf")
        """When the free part expires."""
        self.used_at = float("-inf")

    def observe(self, spent: Pico, pending: Pico) -> None:
        """The database's spending is *spent*; it does not include *pending* of this process's ended calls."""
        self.held += pending - self.pending
        self.spent, self.pending = spent, pending

    def cover(self, reserved: Pico) -> None:
        """Hold at least what is pending and *reserved*: calls may have cost more than they had reserved."""
        self.held = max(self.held, self.pending + reserved)

    def expire(self, reserved: Pico) -> None:
        """Give up what is free."""
        self.held = self.pending + reserved

    def trim(self, reserved: Pico, now: float) -> None:
        """Give back what is free beyond `chunk`; all of it where the key is idle."""
        keep = 0 if self.idle(reserved, now) else self.chunk
        self.held = min(self.held, self.pending + reserved + keep)

    def idle(self, reserved: Pico, now: float) -> bool:
        """Whether no call runs, and none began for a while."""
        return not reserved and not self.waiting and now - self.used_at >= IDLE_S

    def request(self, key_id: str, seq: int, least: Pico) -> LeaseRequest:
        """What to tell the store now, where *least* is missing."""
        return LeaseRequest(
            key_id=key_id,
            limit=self.limit,
            seq=seq,
            held=self.held,
            spent=self.spent,
            least=max(least, 0),
            wanted=self.waiting if least > 0 else 0,
        )

    def apply(self, request: LeaseRequest, answer: LeaseAnswer, sent_at: float, valid_s: float) -> None:
        """The store has answered *request*, which was sent at *sent_at*."""
        self.held += answer.granted
        self.chunk = max(answer.granted, request.least) if request.least else self.chunk
        self.elsewhere = answer.elsewhere
        self.reported, self.reported_at = request.held + answer.granted, sent_at
        self.valid_until = sent_at + valid_s


def grant(request: LeaseRequest, *, spent: Pico, others: Pico, share: int) -> Pico:
    """How much a store grants, where *spent* is in the databases and *others* hold so much.

    All that is missing, or nothing. More than that where it is left: what waiting calls would use, or one part in
    *share* of what is left, so that most calls need no grant.
    """
    left = request.limit - spent - others - request.held
    if request.least <= 0 or left < request.least:
        return 0
    return min(left, max(request.least, request.wanted, left // share))
