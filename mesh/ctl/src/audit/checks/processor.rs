//! Payments and the card processor tell the same, key by key.

use std::collections::HashMap;

use super::super::facts::{Amounts, Charge, Facts, Motion, Payment};
use super::super::{Check, InMotion};
use super::amount;

pub fn check(facts: &Facts, moving: &mut Vec<InMotion>) -> Check {
    let mut check = Check::new("processor", "payments");
    check.checked = facts.payments.len();
    let mut charges: HashMap<_, _> =
        facts.charges.iter().map(|charge| (charge.key, charge)).collect();
    for payment in &facts.payments {
        let charge = charges.remove(&payment.key);
        if agree(payment, charge) {
            continue;
        }
        let told = || {
            let theirs = charge.map_or_else(|| "nothing".to_owned(), of_charge);
            let own = describe(&payment.amounts, &payment.currency);
            format!("payments has {own}; processor has {theirs}")
        };
        match facts.orders.get(payment.order) {
            Some((order, motion @ (Motion::Moving | Motion::Parked))) => moving.push(InMotion {
                what: format!("payment {} of order {}", payment.key, payment.order),
                state: told(),
                age_seconds: order.age.as_secs_f64(),
                parked: motion == Motion::Parked,
            }),
            _ => check.find(|| format!("payment {} of order {}", payment.key, payment.order), told),
        }
    }
    // The processor was read first: whatever it holds, payments has meant before.
    for charge in charges.values().filter(|charge| charge.amounts != Amounts::default()) {
        let problem = || format!("payments has nothing; processor has {}", of_charge(charge));
        check.find(|| format!("charge {}", charge.key), problem);
    }
    check.figures = format!("{} charges", facts.charges.len());
    check
}

/// A charge without money on it is as good as none: the processor may never have been asked.
fn agree(payment: &Payment, charge: Option<&Charge>) -> bool {
    match charge {
        Some(charge) => payment.amounts == charge.amounts && payment.currency == charge.currency,
        None => payment.amounts == Amounts::default(),
    }
}

fn of_charge(charge: &Charge) -> String {
    describe(&charge.amounts, &charge.currency)
}

fn describe(amounts: &Amounts, currency: &str) -> String {
    let Amounts { authorized, captured, refunded } = *amounts;
    format!(
        "{} authorized, {} captured, {} refunded",
        amount(authorized, currency),
        amount(captured, currency),
        amount(refunded, currency)
    )
}
