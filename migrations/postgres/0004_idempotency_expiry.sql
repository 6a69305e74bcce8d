-- Answers that were kept for an Idempotency-Key expire: a worker takes the old ones away, and reads nothing else of them.

GRANT DELETE ON idempotency_keys TO talea_worker;
GRANT SELECT (created_at) ON idempotency_keys TO talea_worker;
CREATE POLICY worker_expires ON idempotency_keys TO talea_worker USING (true) WITH CHECK (false);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);
