"""What the models of one family accept, whoever serves them and in whatever dialect.

One module per family: rows of `traits.Family`, each with its source and the day it was read. `lookup.family_of` finds
the row of a model by its name. To add a family, add its module and one line in `lookup.FAMILIES`.
"""
