//! The lifecycle of an issued invoice: every stage answers every command, and nothing is lost or invented on the way.

use super::decide::MAX_PAYMENT_MINOR;
use super::*;
use crate::credit_note::{CreditLine, CreditNote, draft};
use crate::journal::JournalEvent;
use crate::money::Currency;
use proptest::prelude::*;

fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::parse("USD").unwrap())
}

fn at(day: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_770_000_000 + day * 86_400, 0).unwrap()
}

/// An issued invoice of one line.
fn issued(total: i64) -> Invoice {
    let text = include_str!("../../../../../schemas/golden/journal/invoice.finalized.v1.json");
    let mut invoice: Invoice = serde_json::from_str(text).unwrap();
    invoice.lines.truncate(1);
    invoice.lines[0].amount = usd(total);
    (invoice.subtotal, invoice.total) = (usd(total), usd(total));
    (invoice.taxes, invoice.tax) = (Vec::new(), usd(0));
    invoice
}

/// An account of one invoice: its state, its notes and the tenant's open credit.
struct Account {
    invoice: Invoice,
    state: InvoiceState,
    notes: Vec<CreditNote>,
    credit: i64,
}

impl Account {
    fn of(total: i64) -> Self {
        let invoice = issued(total);
        let state = InvoiceState::of(&invoice).unwrap();
        Self { invoice, state, notes: Vec::new(), credit: (-total).max(0) }
    }

    fn apply(&mut self, command: &InvoiceCommand) -> Result<JournalEvent, StateError> {
        let event = self.state.decide(command, at(50))?;
        self.credit += super::super::credit_entry(&event).map_or(0, |entry| entry.amount.minor);
        self.state = self.state.clone().evolve(&event)?;
        if let JournalEvent::CreditNoteIssued(note) = &event {
            assert_eq!(note.adds_up(), Ok(true), "{note:?}");
            self.notes.push(note.clone());
        }
        assert!(self.state.adds_up(), "{:?}", self.state);
        Ok(event)
    }

    fn pay(&mut self, reference: &str, minor: i64) -> Result<JournalEvent, StateError> {
        let (reference, method) = (reference.to_owned(), None);
        self.apply(&InvoiceCommand::RecordPayment { reference, amount: usd(minor), received_at: at(50), method })
    }

    fn settle(&mut self, reference: &str, amount: Option<i64>) -> Result<JournalEvent, StateError> {
        let (amount, available) = (amount.map(usd), usd(self.credit));
        self.apply(&InvoiceCommand::SettleFromCredit { reference: reference.to_owned(), amount, available })
    }

    fn reverse(&mut self, reference: &str) -> Result<JournalEvent, StateError> {
        let reason = "chargeback".to_owned();
        self.apply(&InvoiceCommand::ReversePayment { reference: reference.to_owned(), reason })
    }

    fn note(&mut self, amount: Option<i64>) -> Result<(), String> {
        let amount = amount.map(|minor| usd(minor).to_decimal());
        let line = CreditLine { line: self.invoice.lines[0].number, quantity: None, amount };
        let place = self.notes.len() as u64 + 1;
        let note = draft(&self.invoice, &self.notes, Some(&[line]), "agreed", place, at(50));
        let note = note.map_err(|error| error.to_string())?;
        let command = InvoiceCommand::IssueCreditNote(Box::new(note));
        self.apply(&command).map(drop).map_err(|error| error.to_string())
    }

    fn void(&mut self) -> Result<JournalEvent, StateError> {
        self.apply(&InvoiceCommand::Void { reason: "wrong".into(), reissue: false })
    }

    fn write_off(&mut self) -> Result<JournalEvent, StateError> {
        self.apply(&InvoiceCommand::MarkUncollectible { reason: "insolvent".into() })
    }

    /// Stage, open, paid, credited, credit.
    fn check(&self, expect: (InvoiceStage, i64, i64, i64, i64)) {
        let state = &self.state;
        let found = (state.stage, state.open.minor, state.paid.minor, state.credited.minor, self.credit);
        assert_eq!(found, expect);
    }
}

#[test]
fn payments_settle_an_invoice_and_what_is_too_much_becomes_credit() {
    use InvoiceStage::*;
    let mut account = Account::of(1000);
    account.check((Finalized, 1000, 0, 0, 0));
    account.pay("a", 400).unwrap();
    account.check((PartiallyPaid, 600, 400, 0, 0));
    account.pay("b", 700).unwrap();
    account.check((Paid, 0, 1000, 0, 100));
    // Money that comes again is taken, as credit.
    account.pay("c", 50).unwrap();
    account.check((Paid, 0, 1000, 0, 150));
    account.reverse("b").unwrap();
    account.check((PartiallyPaid, 600, 400, 0, 50));
    account.settle("s", None).unwrap();
    account.check((PartiallyPaid, 550, 450, 0, 0));
    // What was settled with it is not there any more: the tenant owes it, and nothing can be settled with that.
    account.reverse("c").unwrap();
    account.check((PartiallyPaid, 550, 450, 0, -50));
    assert!(matches!(account.settle("t", None), Err(StateError::CreditShort { .. })));
    account.reverse("s").unwrap();
    account.check((PartiallyPaid, 600, 400, 0, 0));
}

#[test]
fn what_owes_nothing_is_paid_at_once() {
    Account::of(0).check((InvoiceStage::Paid, 0, 0, 0, 0));
    Account::of(-300).check((InvoiceStage::Paid, 0, -300, 0, 300));
    assert!(Account::of(0).void().is_ok());
    assert_eq!(Account::of(-300).void(), Err(StateError::NotUntouched));
}

#[test]
fn a_reference_is_one_payment() {
    let mut account = Account::of(1000);
    account.pay("a", 400).unwrap();
    assert_eq!(account.pay("a", 400), Err(StateError::Repeated { reference: "a".into() }));
    assert_eq!(account.pay("a", 500), Err(StateError::ReferenceTaken { reference: "a".into() }));
    account.reverse("a").unwrap();
    assert_eq!(account.reverse("a"), Err(StateError::DoneAlready), "told twice");
    assert_eq!(account.reverse("b"), Err(StateError::UnknownPayment { reference: "b".into() }));
    assert_eq!(account.pay("b", 0), Err(StateError::NotPositive));
    assert!(matches!(account.pay("4242 4242 4242 4242", 1), Err(StateError::Field(_))));
}

#[test]
fn what_was_reversed_is_not_taken_for_paid_when_it_is_sent_again() {
    let mut account = Account::of(10_000);
    account.pay("A", 10_000).unwrap();
    account.reverse("A").unwrap();
    assert!(matches!(account.pay("A", 10_000), Err(StateError::ReversedAlready { .. })));
    account.check((InvoiceStage::Finalized, 10_000, 0, 0, 0));
}

#[test]
fn an_absurd_payment_is_refused_with_the_way_out() {
    let mut account = Account::of(10_000);
    assert_eq!(account.pay("A", MAX_PAYMENT_MINOR).unwrap_err(), StateError::TooLarge);
    account.pay("A", MAX_PAYMENT_MINOR - 1).unwrap();
}

#[test]
fn a_note_lowers_what_is_open_and_gives_back_what_was_paid() {
    use InvoiceStage::*;
    let mut account = Account::of(1000);
    account.pay("a", 700).unwrap();
    account.note(Some(500)).unwrap();
    account.check((Paid, 0, 500, 500, 200));
    // 700 came in, 500 are charged: the chargeback takes the credit and opens the rest.
    account.reverse("a").unwrap();
    account.check((Finalized, 500, 0, 500, 0));
    account.note(None).unwrap();
    account.check((Paid, 0, 0, 1000, 0));
    assert!(account.note(Some(1)).is_err());
    let mut unpaid = Account::of(1000);
    unpaid.note(None).unwrap();
    unpaid.check((Paid, 0, 0, 1000, 0));
}

#[test]
fn what_is_written_off_can_still_be_paid() {
    use InvoiceStage::*;
    let mut account = Account::of(1000);
    account.pay("a", 100).unwrap();
    account.write_off().unwrap();
    account.check((Uncollectible, 900, 100, 0, 0));
    assert_eq!(account.write_off(), Err(StateError::DoneAlready));
    account.pay("b", 300).unwrap();
    account.check((Uncollectible, 600, 400, 0, 0));
    account.pay("c", 600).unwrap();
    account.check((Paid, 0, 1000, 0, 0));
    assert_eq!(account.write_off(), Err(StateError::NothingOpen));
}

/// An account in each stage.
fn in_stage(stage: InvoiceStage) -> Account {
    let mut account = Account::of(1000);
    match stage {
        InvoiceStage::Draft => account.state.stage = InvoiceStage::Draft,
        InvoiceStage::Finalized => {}
        InvoiceStage::PartiallyPaid => drop(account.pay("first", 100).unwrap()),
        InvoiceStage::Paid => drop(account.pay("first", 1200).unwrap()),
        InvoiceStage::Voided => drop(account.void().unwrap()),
        InvoiceStage::Uncollectible => drop(account.write_off().unwrap()),
    }
    assert_eq!(account.state.stage, stage);
    account
}

#[test]
fn every_stage_answers_every_command_or_names_the_way_out() {
    use InvoiceStage::*;
    let note = |account: &Account| {
        let mut issued = account.invoice.clone();
        issued.status = InvoiceStatus::Finalized;
        InvoiceCommand::IssueCreditNote(Box::new(draft(&issued, &[], None, "all", 1, at(50)).unwrap()))
    };
    let commands = |account: &Account| {
        let available = usd(account.credit);
        let reference = "new".to_owned();
        [
            InvoiceCommand::RecordPayment {
                reference: reference.clone(),
                amount: usd(5),
                received_at: at(1),
                method: None,
            },
            InvoiceCommand::SettleFromCredit { reference, amount: None, available },
            InvoiceCommand::ReversePayment { reference: "first".into(), reason: "back".into() },
            InvoiceCommand::Void { reason: "wrong".into(), reissue: true },
            InvoiceCommand::MarkUncollectible { reason: "gone".into() },
            note(account),
        ]
    };
    // A letter for each command: the stage it leads to, or `-` for an error.
    let expect = [
        (Draft, "------"),
        (Finalized, "r--vup"),
        (PartiallyPaid, "r-f-up"),
        (Paid, "p-f--p"),
        (Voided, "------"),
        (Uncollectible, "u--v-p"),
    ];
    for (stage, expect) in expect {
        let found: String = (0..6)
            .map(|index| {
                let mut account = in_stage(stage);
                let command = commands(&account)[index].clone();
                match account.apply(&command) {
                    Ok(_) => match account.state.stage {
                        Draft => 'd',
                        Finalized => 'f',
                        PartiallyPaid => 'r',
                        Paid => 'p',
                        Voided => 'v',
                        Uncollectible => 'u',
                    },
                    Err(error) => {
                        let text = error.to_string();
                        assert!(text.contains("; "), "{text} names no way out");
                        '-'
                    }
                }
            })
            .collect();
        assert_eq!(found, expect, "{stage:?}");
    }
}

/// An account of an invoice of which prepaid credits paid a part.
fn prepaid(total: i64, credits: i64) -> Account {
    let mut account = Account::of(total);
    account.invoice.credits = vec![crate::credit::CreditApplied {
        grant: crate::id::GrantId::parse("g").unwrap(),
        wallet: crate::id::WalletId::parse("w").unwrap(),
        description: "Prepaid".into(),
        amount: usd(credits),
        units: None,
        unit: None,
    }];
    account.invoice.amount_due = Some(usd(total - credits));
    account.state = InvoiceState::of(&account.invoice).unwrap();
    account
}

#[test]
fn what_wallets_paid_goes_back_to_them_and_never_becomes_money() {
    use InvoiceStage::*;
    let mut account = prepaid(1000, 600);
    account.pay("a", 400).unwrap();
    account.check((Paid, 0, 1000, 0, 0));
    // Money goes back first, then credits.
    account.note(Some(700)).unwrap();
    account.check((Paid, 0, 300, 700, 400));
    let note = account.notes.last().unwrap();
    assert_eq!((note.credit_owed, note.prepaid_returned), (usd(400), Some(usd(300))));
    // The chargeback takes the credit that the note had made of it, and opens nothing that a wallet paid.
    account.reverse("a").unwrap();
    account.check((Paid, 0, 300, 700, 0));
    assert_eq!(account.state.prepaid, usd(300));
    let mut account = prepaid(1000, 600);
    let Ok(JournalEvent::InvoiceVoided(voided)) = account.void() else { panic!("no void") };
    assert_eq!((voided.prepaid_returned, account.state.prepaid), (Some(usd(600)), usd(0)));
    account.check((Voided, 0, 0, 0, 0));
}

#[test]
fn a_void_says_what_becomes_of_what_was_billed_and_is_told_once() {
    let void =
        |account: &mut Account, reissue| account.apply(&InvoiceCommand::Void { reason: "wrong".into(), reissue });
    let mut account = Account::of(1000);
    void(&mut account, true).unwrap();
    assert_eq!(account.state.voided, Some(Voided::Owed));
    assert_eq!(void(&mut account, true), Err(StateError::DoneAlready));
    assert_eq!(void(&mut account, false), Err(StateError::Voided));
    let mut account = Account::of(1000);
    void(&mut account, false).unwrap();
    assert_eq!(account.state.voided, Some(Voided::Forgiven));
    assert_eq!(void(&mut account, false), Err(StateError::DoneAlready));
    for voided in Voided::ALL {
        assert_eq!(Voided::parse(voided.as_str()), Some(voided));
    }
}

#[test]
fn names_read_back() {
    for stage in InvoiceStage::ALL {
        assert_eq!(InvoiceStage::parse(stage.as_str()), Some(stage));
    }
    assert_eq!(InvoiceStage::parse("lost"), None);
}

proptest! {
    /// Whatever comes in whatever order: open, paid and credited are the total, and nothing is below zero. And what the
    /// customer gave is what it paid and what it has as credit.
    #[test]
    fn no_sequence_loses_or_invents_money(
        total in 0..2_000_i64,
        steps in prop::collection::vec((0..6_u8, 0..4_u8, 1..1_500_i64), 0..50),
    ) {
        let mut account = Account::of(total);
        for (kind, reference, amount) in steps {
            let reference = format!("r{reference}");
            // Refusals are answers too.
            match kind {
                0 | 1 => drop(account.pay(&reference, amount)),
                2 => drop(account.settle(&format!("s{reference}"), (amount % 2 == 0).then_some(amount))),
                3 => drop(account.reverse(if amount % 3 == 0 { "sr1" } else { &reference })),
                4 => drop(account.note((amount % 4 != 0).then_some(amount))),
                _ if amount % 9 == 0 => drop(account.void()),
                _ => drop(account.write_off()),
            }
            prop_assert!(account.state.adds_up(), "{:?}", account.state);
            let external = account.state.payments.iter().filter(|it| it.source == PaymentSource::External);
            let came: i64 = external.filter(|it| it.reversed_at.is_none()).map(|it| it.amount.minor).sum();
            prop_assert_eq!(came, account.state.paid.minor + account.credit);
        }
    }
}
