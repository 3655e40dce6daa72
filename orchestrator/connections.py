"""How many connections to the database a process may hold. The pools are made of these figures, and the checks of k8s/
add them up against the server's max_connections."""

POOL = 10
"""What a pool has where nobody says otherwise."""

CANCELLING = 2
"""An API process's own pool for the queue: only cancelling a job asks it, everything else goes by the request's own
transaction."""

HOUSE = 1
"""What an API process tells of the whole house: one query after the other."""

LISTENING = 1
"""An API process's connection that job events are announced on; it is of no pool."""

OTHERS = 30
"""Of no process of ours that lasts: the three that PostgreSQL keeps for superusers, migrations and those who wait for
them, KEDA, an exporter of metrics, the operator of the database, a shell."""


def of_api(pool: int) -> int:
    """The most of an API process with so many connections in its pool (OCTAVIA_DATABASE_POOL)."""
    return pool + CANCELLING + HOUSE + LISTENING


def of_worker(pool: int) -> int:
    """The most of a worker: a pool of its own, and one of the same size for the queue, which also listens by it."""
    return 2 * pool
