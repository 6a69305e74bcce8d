//! `plan_migrations`: how far each migration of a plan is, by the domain's own fold.

use crate::journal::Recorded;
use crate::postgres::DatabaseError;
use sqlx::PgConnection;
use std::collections::BTreeMap;
use talea_domain::journal::JournalEvent;
use talea_domain::subscription::PlanMigration;

struct Row {
    state: PlanMigration,
    version: i64,
    /// Of its start.
    position: i64,
}

pub(super) async fn project(connection: &mut PgConnection, recorded: &[Recorded]) -> Result<(), DatabaseError> {
    let about: Vec<(&Recorded, &str)> = recorded.iter().filter_map(|it| Some((it, migration(&it.event)?))).collect();
    if about.is_empty() {
        return Ok(());
    }
    let mut rows = stored(connection, &about.iter().map(|(_, id)| *id).collect::<Vec<_>>()).await?;
    for (decision, id) in about {
        let before = rows.remove(id);
        let position = before.as_ref().map_or(decision.position, |row| row.position);
        if let Some(state) = PlanMigration::evolve(before.map(|row| row.state), &decision.event) {
            rows.insert(id.to_owned(), Row { state, version: decision.version, position });
        }
    }
    write(connection, &rows).await
}

fn migration(event: &JournalEvent) -> Option<&str> {
    match event {
        JournalEvent::PlanMigrationStarted(started) => Some(started.id.as_str()),
        JournalEvent::PlanMigrationAdvanced(advanced) => Some(advanced.migration_id.as_str()),
        _ => None,
    }
}

async fn stored(connection: &mut PgConnection, ids: &[&str]) -> Result<BTreeMap<String, Row>, DatabaseError> {
    let found: Vec<(String, String, i64, i64)> =
        sqlx::query_as("SELECT id, document, version, position FROM plan_migrations WHERE id = ANY($1)")
            .bind(ids)
            .fetch_all(connection)
            .await?;
    let row = |(id, document, version, position): (String, String, i64, i64)| {
        let state = serde_json::from_str(&document).map_err(unreadable)?;
        Ok((id, Row { state, version, position }))
    };
    found.into_iter().map(row).collect()
}

async fn write(connection: &mut PgConnection, rows: &BTreeMap<String, Row>) -> Result<(), DatabaseError> {
    const WRITE: &str = "INSERT INTO plan_migrations (id, plan_key, is_done, document, version, position) \
        SELECT * FROM unnest($1::text[], $2::text[], $3::boolean[], $4::text[], $5::bigint[], $6::bigint[]) \
        ON CONFLICT (id) DO UPDATE SET is_done = excluded.is_done, document = excluded.document, version = excluded.version";
    let documents: Vec<String> =
        rows.values().map(|row| serde_json::to_string(&row.state).map_err(unreadable)).collect::<Result<_, _>>()?;
    sqlx::query(WRITE)
        .bind(rows.keys().map(String::as_str).collect::<Vec<_>>())
        .bind(rows.values().map(|row| row.state.started.terms.plan.as_str()).collect::<Vec<_>>())
        .bind(rows.values().map(|row| row.state.is_done).collect::<Vec<_>>())
        .bind(documents)
        .bind(rows.values().map(|row| row.version).collect::<Vec<_>>())
        .bind(rows.values().map(|row| row.position).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

fn unreadable(source: serde_json::Error) -> DatabaseError {
    DatabaseError::Document { table: "plan_migrations", source }
}
