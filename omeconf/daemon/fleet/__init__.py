"""A fleet: what makes a daemon a member of a group that runs one configuration.

What is decided, and why, is in `core/rollout.py`; here it is carried out. `mirror` knows what the
group has on record, `presence` tells the group that we are there, `meeting` has our history and the
group's go together, `part` is our own part in a rollout, `drive` is what the one that holds the
lease does, `waiting` are those who asked for a rollout to end, `standing` is how things are, and
`fleet` is all of it together.
"""
