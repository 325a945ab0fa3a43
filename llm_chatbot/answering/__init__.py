"""The one service that answers questions: a queue, threads, sessions, models in memory, other servers.

The page, the API and the cluster are its three faces. Each hands it a `Question` and follows the `PendingAnswer`.
"""
