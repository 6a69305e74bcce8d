-- The list of credit notes, the latest first.

CREATE INDEX credit_notes_issued ON credit_notes (issued_at, tenant_id, id);
