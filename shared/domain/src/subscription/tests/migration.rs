//! Whom a migration moves, when, and why others stay.

use super::*;
use crate::id::PlanMigrationId;
use crate::journal::JournalEvent;

const ASKED: &str = "2024-01-10T12:00:00Z";

fn versions() -> Vec<PlanVersion> {
    let yearly = Interval { unit: crate::period::IntervalUnit::Year, every: 1 };
    let version = |version, interval| PlanVersion { version, interval, ..committed() };
    let other = PlanVersion { key: PlanKey::parse("other").unwrap(), version: 1, ..committed() };
    vec![
        version(1, Interval::MONTHLY),
        version(2, Interval::MONTHLY),
        version(3, Interval::MONTHLY),
        version(4, yearly),
        other,
    ]
}

/// To version 3, from any older one.
fn migration() -> MigrationTerms {
    serde_json::from_str(r#"{"plan": "committed", "to_version": 3}"#).unwrap()
}

fn running() -> Subscription {
    started(terms("2024-01-01T00:00:00Z", None), &versions()[0])
}

fn changed(state: Subscription, what: Alteration, when: &str) -> Subscription {
    let effective = EffectiveAt::try_from(when.to_owned()).unwrap().0;
    let (proration, invoice) = (Proration::BySecond, InvoiceTiming::Next);
    let (terms, plans) = (ChangeTerms { what, effective, proration, invoice }, versions());
    let command = SubscriptionCommand::Change { terms, plans: &plans, billed_until: None };
    let event = decide(Some(&state), &command, at("2024-01-05T00:00:00Z")).unwrap();
    evolve(Some(state), &event).unwrap()
}

fn to(plan: &str, plan_version: u32) -> Alteration {
    let (plan, interval) = (PlanKey::parse(plan).unwrap(), Interval::MONTHLY);
    Alteration::PlanChanged { plan, plan_version, interval, quantities: Quantities::default() }
}

/// When it is on the new version, or why it stays; nothing where the migration is not about it.
fn outcome(state: &Subscription, migration: &MigrationTerms) -> Option<Result<String, String>> {
    if !migration.is_about(state, at(ASKED)) {
        return None;
    }
    let billed = Some(at("2024-01-01T00:00:00Z"));
    let moved = migration.migrate(state, &versions(), billed, at(ASKED), at(ASKED));
    Some(
        moved
            .map(|moved| {
                assert_eq!(
                    moved.after.plan_before(DateTime::<Utc>::MAX_UTC),
                    (migration.plan.clone(), migration.to_version)
                );
                assert!(!migration.is_about(&moved.after, at(ASKED)), "it would be moved again");
                moved.at.to_rfc3339()
            })
            .map_err(|error| error.to_string()),
    )
}

#[test]
fn each_moves_as_if_it_were_changed_alone_or_stays_for_a_reason() {
    let check = |name: &str, state: &Subscription, migration: &MigrationTerms, expect: Option<Result<&str, &str>>| {
        let outcome = outcome(state, migration);
        match (outcome, expect) {
            (None, None) => {}
            (Some(Ok(at)), Some(Ok(expect))) => assert_eq!(at, expect, "{name}"),
            (Some(Err(reason)), Some(Err(expect))) => assert!(reason.contains(expect), "{name}: {reason}"),
            (other, _) => panic!("{name}: {other:?}"),
        }
    };
    let renewal = migration();
    let first = Some(Ok("2024-02-01T00:00:00+00:00"));
    check("at renewal", &running(), &renewal, first);
    let now = MigrationTerms { when: MigrateWhen(Effective::Now), ..migration() };
    check("now", &running(), &now, Some(Ok("2024-01-10T12:00:00+00:00")));
    let date = |text: &str| MigrationTerms { when: MigrateWhen(Effective::At(at(text))), ..migration() };
    check("at a date", &running(), &date("2024-03-15T00:00:00Z"), Some(Ok("2024-03-15T00:00:00+00:00")));
    let later = started(terms("2024-04-05T00:00:00Z", None), &versions()[0]);
    check("from its start", &later, &date("2024-03-15T00:00:00Z"), Some(Ok("2024-04-05T00:00:00+00:00")));
    check("paused", &changed(running(), Alteration::Paused, "now"), &renewal, first);
    let cancelled = changed(running(), Alteration::Ended, "period_end");
    check("cancelled before", &cancelled, &renewal, Some(Err("does not run at 2024-02-01")));
    check("cancelled after", &cancelled, &now, Some(Ok("2024-01-10T12:00:00+00:00")));
    check("ended", &changed(running(), Alteration::Ended, "2024-01-08T00:00:00Z"), &renewal, None);
    check("on the version", &started(terms("2024-01-01T00:00:00Z", None), &versions()[2]), &renewal, None);
    let leaving = changed(running(), to("other", 1), "2024-03-01T00:00:00Z");
    check("leaves the plan", &leaving, &renewal, None);
    let coming = changed(
        started(terms("2024-01-01T00:00:00Z", None), &versions()[4]),
        to("committed", 1),
        "2024-03-01T00:00:00Z",
    );
    check("comes to the plan later", &coming, &renewal, Some(Err("it is on plan other version 1")));
    check("comes to the plan before", &coming, &date("2024-03-01T00:00:00Z"), Some(Ok("2024-03-01T00:00:00+00:00")));
    let scheduled = changed(running(), to("committed", 2), "2024-03-01T00:00:00Z");
    check("would be taken back", &scheduled, &renewal, Some(Err("holds from 2024-03-01 00:00:00 UTC on")));
    let billed = MigrationTerms { to_version: 4, ..date("2023-12-01T00:00:00Z") };
    check("longer periods in billed time", &running(), &billed, Some(Err("its periods are fixed")));
    let named = MigrationTerms { tenants: vec![TenantId::parse("other").unwrap()], ..migration() };
    check("another tenant", &running(), &named, None);
    let from = MigrationTerms { from_versions: vec![2], ..migration() };
    check("another version", &running(), &from, None);
}

#[test]
fn a_wrong_migration_names_its_member() {
    let check = |change: fn(&mut MigrationTerms), expect: &[&str]| {
        let mut terms = migration();
        change(&mut terms);
        let faults: Vec<String> = terms.check(&versions()).into_iter().map(|fault| fault.field).collect();
        assert_eq!(faults, expect);
    };
    check(|_| {}, &[]);
    check(|terms| terms.to_version = 9, &["/to_version"]);
    check(|terms| terms.from_versions = vec![1, 9], &["/from_versions/1"]);
    check(|terms| terms.from_versions = vec![3], &["/from_versions/0"]);
    check(|terms| terms.tenants = vec![TenantId::parse("acme").unwrap(); 1001], &["/tenants"]);
    for (text, expect) in [("at_renewal", true), ("now", true), ("2026-10-01T00:00:00Z", true), ("period_end", false)] {
        assert_eq!(MigrateWhen::try_from(text.to_owned()).is_ok(), expect, "{text}");
    }
}

#[test]
fn a_migration_counts_what_became_of_its_subscriptions() {
    let id = PlanMigrationId::parse("mig_1").unwrap();
    let started = PlanMigrationStarted { id: id.clone(), terms: migration(), asked_at: at(ASKED) };
    let state = PlanMigration::evolve(None, &JournalEvent::PlanMigrationStarted(started)).unwrap();
    let (tenant, subscription) = (TenantId::parse("acme").unwrap(), SubscriptionId::parse("sub_1").unwrap());
    let blocked =
        BlockedSubscription { tenant: tenant.clone(), subscription: subscription.clone(), reason: "r".into() };
    let page = |moved, blocked, after| {
        let migration_id = id.clone();
        JournalEvent::PlanMigrationAdvanced(PlanMigrationAdvanced { migration_id, moved, blocked, after })
    };
    let after = Some(MigrationPlace { tenant, subscription });
    let state = PlanMigration::evolve(Some(state), &page(499, vec![blocked.clone()], after.clone())).unwrap();
    assert_eq!((state.moved, state.blocked_count, &state.after, state.is_done), (499, 1, &after, false));
    let state = PlanMigration::evolve(Some(state), &page(0, vec![blocked; 1200], None)).unwrap();
    assert_eq!((state.moved, state.blocked_count, state.blocked.len(), state.is_done), (499, 1201, 1000, true));
}
