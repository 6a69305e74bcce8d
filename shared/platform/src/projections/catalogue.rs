//! `meters`, `plan_versions`, `invoice_settings`, `topic_partitions`: what holds for all tenants. A version, once written,
//! never changes.

use super::last_of_each;
use crate::journal::Recorded;
use crate::postgres::DatabaseError;
use sqlx::PgConnection;
use talea_domain::journal::JournalEvent;

pub(super) async fn project(connection: &mut PgConnection, recorded: &[Recorded]) -> Result<(), DatabaseError> {
    meters(connection, recorded).await?;
    plans(connection, recorded).await?;
    for decision in recorded {
        match &decision.event {
            JournalEvent::InvoiceSettingsChanged(_) => settings(connection, decision).await?,
            JournalEvent::TopicCreated(topic) => {
                partitions(connection, decision, &topic.topic, topic.partitions).await?;
            }
            _ => {}
        }
    }
    Ok(())
}

async fn meters(connection: &mut PgConnection, recorded: &[Recorded]) -> Result<(), DatabaseError> {
    const DEFINE: &str = "INSERT INTO meters (key, version, event_type, document, position) \
        SELECT * FROM unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::bigint[]) \
        ON CONFLICT (key, version) DO NOTHING";
    let defined = recorded.iter().filter_map(|r| match &r.event {
        JournalEvent::MeterDefined(meter) => Some((r, meter)),
        _ => None,
    });
    let defined = last_of_each(defined, |(_, meter)| (&meter.key, meter.version));
    if defined.is_empty() {
        return Ok(());
    }
    sqlx::query(DEFINE)
        .bind(defined.iter().map(|(_, m)| m.key.as_str()).collect::<Vec<_>>())
        .bind(defined.iter().map(|(_, m)| m.version as i32).collect::<Vec<_>>())
        .bind(defined.iter().map(|(_, m)| m.event_type.as_str()).collect::<Vec<_>>())
        .bind(defined.iter().map(|(r, _)| r.payload.as_str()).collect::<Vec<_>>())
        .bind(defined.iter().map(|(r, _)| r.position).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

async fn plans(connection: &mut PgConnection, recorded: &[Recorded]) -> Result<(), DatabaseError> {
    const PUBLISH: &str = "INSERT INTO plan_versions (key, version, document, position) \
        SELECT * FROM unnest($1::text[], $2::integer[], $3::text[], $4::bigint[]) \
        ON CONFLICT (key, version) DO NOTHING";
    let published = recorded.iter().filter_map(|r| match &r.event {
        JournalEvent::PlanPublished(plan) => Some((r, plan)),
        _ => None,
    });
    let published = last_of_each(published, |(_, plan)| (&plan.key, plan.version));
    if published.is_empty() {
        return Ok(());
    }
    sqlx::query(PUBLISH)
        .bind(published.iter().map(|(_, p)| p.key.as_str()).collect::<Vec<_>>())
        .bind(published.iter().map(|(_, p)| p.version as i32).collect::<Vec<_>>())
        .bind(published.iter().map(|(r, _)| r.payload.as_str()).collect::<Vec<_>>())
        .bind(published.iter().map(|(r, _)| r.position).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

async fn settings(connection: &mut PgConnection, decision: &Recorded) -> Result<(), DatabaseError> {
    const SET: &str = "INSERT INTO invoice_settings (id, document, position) VALUES (1, $1, $2) \
        ON CONFLICT (id) DO UPDATE SET document = excluded.document, position = excluded.position";
    sqlx::query(SET).bind(&decision.payload).bind(decision.position).execute(connection).await?;
    Ok(())
}

async fn partitions(
    connection: &mut PgConnection,
    decision: &Recorded,
    topic: &str,
    count: u32,
) -> Result<(), DatabaseError> {
    const CREATE: &str = "INSERT INTO topic_partitions (topic, partitions, position) VALUES ($1, $2, $3) \
        ON CONFLICT (topic) DO UPDATE SET partitions = excluded.partitions, position = excluded.position";
    sqlx::query(CREATE).bind(topic).bind(count as i32).bind(decision.position).execute(connection).await?;
    Ok(())
}
