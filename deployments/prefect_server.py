"""What Prefect's server is told wherever Headgate starts it."""

# In memory, the default, leases are lost with the server, and an endpoint that a run held then stays held (docs/decisions/0033).
LEASES_ON_DISK = {"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem"}
LEASES_LOCK = "concurrency_leases/expirations.lock"  # under PREFECT_HOME
