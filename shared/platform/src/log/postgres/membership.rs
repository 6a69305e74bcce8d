//! Membership of a consumer group, kept by leases in the database.
//!
//! Every member renews its lease in short intervals and, under the group's lock, compares what it owns with what it should
//! own (see [`super::balance`]). The database's clock alone judges leases: the clock that is given to the log may be a test
//! clock that jumps. A commit names owner and generation, so that a member that lost its partition cannot move its offset.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::{PgConnection, PgPool, Row};

use super::balance::balance;
use super::wakeups::{CHANNEL, Wakeups};
use crate::log::report_unread_expired;

const LOCK_GROUP: &str = "SELECT 1 FROM log.groups WHERE group_name = $1 AND topic = $2 FOR UPDATE";
const RENEW: &str = "
    INSERT INTO log.members (group_name, topic, member, lease_until)
    VALUES ($1, $2, $3, clock_timestamp() + make_interval(secs => $4::int8 / 1000.0))
    ON CONFLICT (group_name, topic, member) DO UPDATE SET lease_until = excluded.lease_until
    RETURNING xmax = 0 AS joined";
const BURY: &str = "DELETE FROM log.members WHERE group_name = $1 AND topic = $2 AND lease_until < clock_timestamp()";
const MEMBERS: &str = "SELECT member FROM log.members WHERE group_name = $1 AND topic = $2 ORDER BY member";
const OWNERS: &str = "
    SELECT owner, generation FROM log.group_partitions
    WHERE group_name = $1 AND topic = $2 ORDER BY partition FOR UPDATE";
const RELEASE: &str = "
    UPDATE log.group_partitions SET owner = NULL
    WHERE group_name = $1 AND topic = $2 AND owner = $3 AND partition = ANY($4)";
const TAKE: &str = "
    UPDATE log.group_partitions g SET owner = $3, generation = g.generation + 1
    FROM log.partitions p
    WHERE g.group_name = $1 AND g.topic = $2 AND g.partition = ANY($4) AND p.topic = g.topic AND p.partition = g.partition
    RETURNING g.partition, g.generation, greatest(g.next_offset, p.start_offset) AS next_offset, g.next_offset AS committed";
const LEAVE: &str = "
    WITH freed AS (UPDATE log.group_partitions SET owner = NULL WHERE group_name = $1 AND topic = $2 AND owner = $3)
    DELETE FROM log.members WHERE group_name = $1 AND topic = $2 AND member = $3";
const COMMIT: &str = "
    UPDATE log.group_partitions SET next_offset = $6
    WHERE group_name = $1 AND topic = $2 AND partition = $3 AND owner = $4 AND generation = $5";
const JOIN: &str = "
    WITH made AS (INSERT INTO log.groups (group_name, topic) VALUES ($1, $2) ON CONFLICT DO NOTHING)
    INSERT INTO log.group_partitions (group_name, topic, partition)
    SELECT $1, $2, partition FROM log.partitions WHERE topic = $2 ON CONFLICT DO NOTHING";

/// A partition that was taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    pub partition: u32,
    pub generation: i64,
    pub next_offset: u64,
}

/// What one renewal changed for this member.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub lost: Vec<u32>,
    pub taken: Vec<Taken>,
}

#[derive(Clone)]
pub(super) struct Membership {
    pool: PgPool,
    group: String,
    topic: String,
    member: i64,
    lease: Duration,
}

impl Membership {
    /// Makes the group if it is new. The member owns nothing before its first [`Membership::renew`].
    pub async fn join(pool: PgPool, group: &str, topic: &str, lease: Duration) -> Result<Self, sqlx::Error> {
        sqlx::query(JOIN).bind(group).bind(topic).execute(&pool).await?;
        let member = sqlx::query_scalar("SELECT nextval('log.member_numbers')").fetch_one(&pool).await?;
        Ok(Membership { pool, group: group.to_owned(), topic: topic.to_owned(), member, lease })
    }

    /// Renews the lease and settles who owns what. `held` is what this member believes to own, with generations. Must run
    /// to its end: call it in a task of its own.
    pub async fn renew(&self, held: &BTreeMap<u32, i64>) -> Result<Changes, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(LOCK_GROUP).bind(&self.group).bind(&self.topic).execute(&mut *transaction).await?;
        let members_changed = self.renew_lease(&mut transaction).await?;
        let plan = self.plan(&mut transaction, held).await?;
        if !plan.release.is_empty() {
            let release = sqlx::query(RELEASE).bind(&self.group).bind(&self.topic).bind(self.member);
            release.bind(&plan.release).execute(&mut *transaction).await?;
        }
        let taken = if plan.take.is_empty() { Vec::new() } else { self.take(&mut transaction, &plan.take).await? };
        if members_changed || !plan.release.is_empty() {
            self.notify(&mut transaction).await?;
        }
        transaction.commit().await?;
        Ok(Changes { lost: plan.lost, taken })
    }

    /// Stores the offset. Answers false when this member does not own the partition under that generation.
    pub async fn commit(&self, partition: u32, generation: i64, next_offset: u64) -> Result<bool, sqlx::Error> {
        let query = sqlx::query(COMMIT).bind(&self.group).bind(&self.topic).bind(partition.cast_signed());
        let query = query.bind(self.member).bind(generation).bind(next_offset.cast_signed());
        Ok(query.execute(&self.pool).await?.rows_affected() == 1)
    }

    /// Leaves at once. Must run to its end: call it in a task of its own.
    pub async fn leave(&self) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(LOCK_GROUP).bind(&self.group).bind(&self.topic).execute(&mut *transaction).await?;
        let leave = sqlx::query(LEAVE).bind(&self.group).bind(&self.topic).bind(self.member);
        leave.execute(&mut *transaction).await?;
        self.notify(&mut transaction).await?;
        transaction.commit().await
    }

    /// Answers whether the set of living members changed.
    async fn renew_lease(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let lease = i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX);
        let renew = sqlx::query_scalar(RENEW).bind(&self.group).bind(&self.topic).bind(self.member).bind(lease);
        let joined: bool = renew.fetch_one(&mut *connection).await?;
        let buried = sqlx::query(BURY).bind(&self.group).bind(&self.topic).execute(connection).await?;
        Ok(joined || buried.rows_affected() > 0)
    }

    async fn plan(&self, connection: &mut PgConnection, held: &BTreeMap<u32, i64>) -> Result<Plan, sqlx::Error> {
        let query = sqlx::query_scalar(MEMBERS).bind(&self.group).bind(&self.topic);
        let members: Vec<i64> = query.fetch_all(&mut *connection).await?;
        let rows = sqlx::query(OWNERS).bind(&self.group).bind(&self.topic).fetch_all(connection).await?;
        let mut owners = Vec::with_capacity(rows.len());
        let mut generations = Vec::with_capacity(rows.len());
        for row in rows {
            owners.push(row.try_get::<Option<i64>, _>("owner")?.filter(|owner| members.contains(owner)));
            generations.push(row.try_get::<i64, _>("generation")?);
        }
        Ok(plan(self.member, held, &members, &owners, &generations))
    }

    async fn take(&self, connection: &mut PgConnection, partitions: &[i32]) -> Result<Vec<Taken>, sqlx::Error> {
        let query = sqlx::query(TAKE).bind(&self.group).bind(&self.topic).bind(self.member).bind(partitions);
        let rows = query.fetch_all(connection).await?;
        let taken = rows.iter().map(|row| {
            let taken = Taken {
                partition: row.try_get::<i32, _>("partition")?.cast_unsigned(),
                generation: row.try_get("generation")?,
                next_offset: row.try_get::<i64, _>("next_offset")?.cast_unsigned(),
            };
            let committed = row.try_get::<i64, _>("committed")?.cast_unsigned();
            // A group that never had the partition starts at the earliest record, wherever that is.
            if taken.generation > 1 && committed < taken.next_offset {
                report_unread_expired(&self.topic, taken.partition, committed, taken.next_offset);
            }
            Ok(taken)
        });
        taken.collect()
    }

    async fn notify(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let key = Wakeups::group_key(&self.group, &self.topic);
        sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(key).execute(connection).await?;
        Ok(())
    }
}

#[derive(Default)]
struct Plan {
    release: Vec<i32>,
    take: Vec<i32>,
    lost: Vec<u32>,
}

/// What this member does next. A row that names it under another generation than it holds is taken anew: an earlier answer
/// was not heard.
fn plan(me: i64, held: &BTreeMap<u32, i64>, members: &[i64], owners: &[Option<i64>], generations: &[i64]) -> Plan {
    let mut plan = Plan::default();
    for (partition, rightful) in (0_u32..).zip(balance(members, owners)) {
        let at = partition as usize;
        let valid = owners[at] == Some(me) && held.get(&partition) == Some(&generations[at]);
        let mine = rightful == Some(me);
        if held.contains_key(&partition) && !(valid && mine) {
            plan.lost.push(partition);
        }
        if owners[at] == Some(me) && !mine {
            plan.release.push(partition.cast_signed());
        }
        let takeable = owners[at].is_none() || owners[at] == Some(me);
        if mine && takeable && !valid {
            plan.take.push(partition.cast_signed());
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_acts_only_on_what_is_its_own() {
        let held = BTreeMap::from([(0, 5), (1, 5), (2, 4)]);
        // Member 2 joined; partition 2 was taken anew while this member was not heard; partition 3 is held by member 2.
        let plan = plan(1, &held, &[1, 2], &[Some(1), Some(1), Some(1), Some(2)], &[5, 5, 6, 1]);
        assert_eq!((plan.release, plan.take, plan.lost), (vec![2], vec![], vec![2]));
    }

    #[test]
    fn free_partitions_are_taken_and_foreign_ones_are_waited_for() {
        let plan = plan(2, &BTreeMap::new(), &[1, 2], &[Some(1), Some(1), None, Some(1)], &[1, 1, 1, 1]);
        assert_eq!((plan.release, plan.take, plan.lost), (vec![], vec![2], vec![]));
    }
}
