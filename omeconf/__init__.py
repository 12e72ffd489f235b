"""omeconf: the configuration manager for OvenMediaEngine.

The files are the truth. A **Snapshot** is all of them (Server.xml and what it includes) at one
instant, as bytes. A **Candidate** is a base revision and a list of **Edits**. **commit** checks a
candidate and makes a new **Revision**; nothing else makes anything new, whoever asked. The
daemon's other duty is to keep what the engine runs (**running**) equal to the newest revision
(**head**), by doing what the difference (a **Diff**, from which comes a **Plan**) asks for.

Layers, imports go down only::

    cli/      a table of commands               client   the API as calls
    server    settings into a running daemon    units    its units put in their places
    api/      HTTP; and the console, a page that uses it
    daemon/   keep the engine running what the repository says
    store/    one snapshot durably after another
    core/     pure: bytes in, values out
    errors                                      logs     one line an event

One edit over the API: ``api`` (who, what) -> ``daemon.service`` [on the one writer thread:
adopt a settled manual edit; ``core.edit`` splices, ``core.check`` judges, ``store.repository``
records and publishes, ``daemon.jobs`` reloads what ``core.plan`` says] -> ``api`` (envelope).

In a group (``daemon.fleet``) a commit is one transaction in etcd (``store.group``), head is the
group's newest revision, and a rollout (``core.rollout``) moves what lies on each member's disk
(``store.member``).

One edit by hand: ``daemon.watcher`` wakes ``daemon.service`` -> the folder's digest is head's?
stop -> check -> adopt -> the same reload.
"""

__version__ = "0.1.0"
