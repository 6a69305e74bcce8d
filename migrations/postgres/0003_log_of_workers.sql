-- The log holds the records of all tenants and knows no row-level security, so the role of requests has no part in it:
-- ingest, too, writes through the worker's pool. Before this, talea_app had the same rights here as talea_worker.

REVOKE ALL ON ALL TABLES IN SCHEMA log FROM talea_app;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA log FROM talea_app;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA log FROM talea_app;
REVOKE ALL ON SCHEMA log FROM talea_app;
