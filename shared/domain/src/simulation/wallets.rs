//! The wallets of a document: what they hold, and every movement so far. What decides is [`crate::credit`]; this only
//! remembers, as the stores do for real.

use super::course::at_command;
use super::document::{GrantInput, SimulationDocument, TopUpInput, WalletInput};
use super::prepare::Tenant;
use super::result::WalletView;
use crate::credit::{
    CreditError, DEFAULT_PRIORITY, GrantKind, LedgerTransaction, NewGrant, Wallet, WalletState, WalletUnit, create,
    evolve, expire, grant, movement, pay,
};
use crate::error::FieldError;
use crate::id::{GrantId, TenantId, WalletId};
use crate::invoice::Invoice;
use crate::journal::JournalEvent;
use chrono::{DateTime, Utc};
use std::cell::LazyCell;
use std::collections::{BTreeMap, HashMap};

/// The most wallets of one document.
pub const MAX_WALLETS: usize = 1000;

#[derive(Clone, Default)]
pub(super) struct Wallets {
    states: Vec<WalletState>,
    /// Of each wallet, in their order.
    ledgers: Vec<Vec<LedgerTransaction>>,
}

/// A grant that ends, by its places.
#[derive(Clone, Copy)]
pub(super) struct Ending {
    wallet: usize,
    grant: usize,
    pub at: DateTime<Utc>,
}

/// The wallets of a document, as they are before anything happened.
pub(super) fn prepare(
    document: &mut SimulationDocument,
    tenants: &BTreeMap<TenantId, Tenant>,
    faults: &mut Vec<FieldError>,
) -> Wallets {
    let mut wallets = Wallets::default();
    for (index, input) in std::mem::take(&mut document.wallets).into_iter().enumerate() {
        let below = |field: &str| format!("/wallets/{index}{field}");
        let Some(tenant) = tenants.get(&input.tenant) else {
            let reason = format!("{} is not a tenant of the document", input.tenant);
            faults.push(FieldError::new(below("/tenant"), reason, "add it to tenants, or check its id"));
            continue;
        };
        let existing = wallets.find(&input.id).map(|place| &wallets.states[place]);
        let created = create(existing, wallet(input, document, tenant)).and_then(|event| evolve(None, &event));
        match created {
            Ok(state) => {
                wallets.states.extend(state);
                wallets.ledgers.push(Vec::new());
            }
            Err(CreditError::Field(fault)) => {
                faults.push(FieldError { field: below(&fault.field), ..fault });
            }
            Err(_) => faults.push(FieldError::new(below("/id"), "is used twice", "give each its own")),
        }
    }
    wallets
}

fn wallet(input: WalletInput, document: &SimulationDocument, tenant: &Tenant) -> Wallet {
    Wallet {
        name: input.name.unwrap_or_else(|| "Prepaid credits".to_owned()),
        unit: input.unit.unwrap_or(WalletUnit::Currency(document.currency)),
        id: input.id,
        tenant: input.tenant,
        prices: input.prices,
        zone: tenant.zone,
        auto_top_up: input.auto_top_up,
        created_at: DateTime::UNIX_EPOCH,
    }
}

impl Wallets {
    fn find(&self, id: &WalletId) -> Option<usize> {
        self.states.iter().position(|state| state.wallet.id == *id)
    }

    pub fn grant(&mut self, place: usize, input: &GrantInput, now: DateTime<Utc>) -> Result<(), FieldError> {
        let wallet = self.named(place, "/grant_credit", &input.wallet)?;
        let asked = NewGrant {
            id: input.id.clone().map_or_else(|| id_at(place), Ok)?,
            amount: input.amount,
            kind: input.kind.unwrap_or(GrantKind::Paid),
            cost: input.cost,
            priority: input.priority.unwrap_or(DEFAULT_PRIORITY),
            effective_at: input.effective_at.unwrap_or(now),
            expires_at: input.expires_at,
            rollover: input.rollover,
            answers: None,
        };
        self.put(place, "/grant_credit", wallet, asked, now)
    }

    /// Answers the open order with a paid grant of what it ordered.
    pub fn top_up(&mut self, place: usize, input: &TopUpInput, now: DateTime<Utc>) -> Result<(), FieldError> {
        let wallet = self.named(place, "/top_up", &input.wallet)?;
        let order = self.states[wallet].open_order.clone().ok_or_else(|| {
            let way_out = "grant_credit puts credits into a wallet without an order";
            FieldError::new(format!("/timeline/{place}/top_up"), "has no open order to answer", way_out)
        })?;
        let asked = NewGrant {
            id: id_at(place)?,
            amount: order.amount,
            kind: GrantKind::Paid,
            cost: input.cost,
            priority: DEFAULT_PRIORITY,
            effective_at: now,
            expires_at: input.expires_at,
            rollover: None,
            answers: Some(order.id),
        };
        self.put(place, "/top_up", wallet, asked, now)
    }

    fn named(&self, place: usize, below: &str, id: &WalletId) -> Result<usize, FieldError> {
        self.find(id).ok_or_else(|| {
            let reason = format!("{id} is not a wallet of the document");
            FieldError::new(format!("/timeline/{place}{below}/wallet"), reason, "add it to wallets, or check its id")
        })
    }

    fn put(
        &mut self,
        place: usize,
        below: &str,
        wallet: usize,
        asked: NewGrant,
        now: DateTime<Utc>,
    ) -> Result<(), FieldError> {
        let granted = grant(&self.states[wallet], asked, now).and_then(|event| {
            let state = evolve(Some(self.states[wallet].clone()), &event)?;
            Ok((event, state))
        });
        let (event, state) = granted.map_err(|error| match error {
            CreditError::Field(fault) => {
                FieldError { field: format!("/timeline/{place}{below}{}", fault.field), ..fault }
            }
            error => at_command(place, below, error),
        })?;
        if let Some(state) = state {
            self.states[wallet] = state;
        }
        self.record(&[event]);
        Ok(())
    }

    /// Pays an invoice that is issued, or that is about to be shown.
    pub fn pay(&mut self, invoice: &mut Invoice, at: DateTime<Utc>) -> Result<(), CreditError> {
        let events = pay(invoice, &mut self.states, at)?;
        self.record(&events);
        Ok(())
    }

    /// How much has to be looked through to find one grant.
    pub fn weight(&self) -> usize {
        self.states.iter().map(|state| 1 + state.grants.len()).sum()
    }

    /// How many movements there were.
    pub fn movements(&self) -> usize {
        self.ledgers.iter().map(Vec::len).sum()
    }

    /// The grant that ends next: at its expiry, or, where something of its tenant that it may pay is not billed by then, as
    /// soon as that is. `unbilled_from` is asked once, if at all: by tenant the first moment that is not billed.
    pub fn next_ending<'t>(
        &self,
        now: Option<DateTime<Utc>>,
        unbilled_from: impl FnOnce() -> HashMap<&'t TenantId, DateTime<Utc>>,
    ) -> Option<Ending> {
        let mut first: Option<Ending> = None;
        let unbilled_from = LazyCell::new(unbilled_from);
        let waits = |tenant: &TenantId, expiry| {
            unbilled_from.get(tenant).is_some_and(|moment: &DateTime<Utc>| *moment <= expiry)
        };
        for (wallet, state) in self.states.iter().enumerate() {
            for (grant, held) in state.grants.iter().enumerate().filter(|(_, held)| held.remaining.is_positive()) {
                let Some(expiry) = held.grant.expires_at else { continue };
                let at = now.map_or(expiry, |now| expiry.max(now));
                if first.is_none_or(|first| at < first.at) && !waits(&state.wallet.tenant, expiry) {
                    first = Some(Ending { wallet, grant, at });
                }
            }
        }
        first
    }

    pub fn end(&mut self, ending: Ending) -> Result<(), CreditError> {
        let state = &mut self.states[ending.wallet];
        let id: GrantId = state.grants[ending.grant].grant.id.clone();
        let events = expire(state, &id, ending.at)?;
        self.record(&events);
        Ok(())
    }

    fn record(&mut self, events: &[JournalEvent]) {
        for transaction in events.iter().filter_map(movement) {
            if let Some(place) = self.find(&transaction.wallet) {
                self.ledgers[place].push(transaction.clone());
            }
        }
    }

    pub fn views(&self, as_of: DateTime<Utc>) -> Vec<WalletView> {
        let views = self.states.iter().zip(&self.ledgers).map(|(state, ledger)| WalletView {
            wallet: state.wallet.clone(),
            balance: state.balance(as_of),
            grants: state.grants.clone(),
            open_order: state.open_order.clone(),
            ledger: ledger.clone(),
        });
        views.collect()
    }
}

/// Grants that name no id are known by their command.
fn id_at(place: usize) -> Result<GrantId, FieldError> {
    GrantId::parse(&format!("grn_{place}"))
}
