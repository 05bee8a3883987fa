"""Cost of generations and budgets of keys. Pure: no clock, no I/O."""

from trunkline.ledger.budget import Budgets, LeaseNeeded, Reservation
from trunkline.ledger.cost import billable, cost, worst_case

__all__ = ["Budgets", "LeaseNeeded", "Reservation", "billable", "cost", "worst_case"]
