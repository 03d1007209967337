//! The ledger sums to zero, and says what the payments say. Both were read at one moment.

use std::collections::BTreeMap;

use super::super::Check;
use super::super::facts::{Amounts, Facts};
use super::amount;

/// What all payments of a currency sum to.
#[derive(Clone, Copy, Debug, Default)]
struct Paid {
    held: i128,
    kept: i128,
}

impl Paid {
    fn add(&mut self, amounts: &Amounts) {
        self.held += i128::from(amounts.authorized);
        self.kept += i128::from(amounts.captured) - i128::from(amounts.refunded);
    }
}

pub fn check(facts: &Facts) -> Check {
    let mut check = Check::new("ledger", "accounts");
    check.checked = facts.ledger.len();
    let mut books: BTreeMap<&str, BTreeMap<&str, i128>> = BTreeMap::new();
    for account in &facts.ledger {
        let book = books.entry(&account.currency).or_default();
        *book.entry(&account.name).or_default() += account.amount;
    }
    let mut paid: BTreeMap<&str, Paid> = BTreeMap::new();
    for payment in &facts.payments {
        paid.entry(&payment.currency).or_default().add(&payment.amounts);
        books.entry(&payment.currency).or_default();
    }
    for (currency, book) in &books {
        let sum: i128 = book.values().sum();
        if sum != 0 {
            let problem = || format!("sums to {}, not to zero", amount(sum, currency));
            check.find(|| format!("ledger in {currency}"), problem);
        }
        let paid = paid.get(currency).copied().unwrap_or_default();
        let expected = [("held", paid.held), ("shop", paid.kept)];
        for (name, expected) in expected {
            let held = book.get(name).copied().unwrap_or_default();
            if held != expected {
                let (held, expected) = (amount(held, currency), amount(expected, currency));
                let problem = || format!("holds {held}; the payments sum to {expected}");
                check.find(|| format!("account {name} in {currency}"), problem);
            }
        }
    }
    let figure = |(currency, book): (&&str, &BTreeMap<&str, i128>)| {
        let has = book.get("shop").copied().unwrap_or_default();
        format!("the shop has {}", amount(has, currency))
    };
    check.figures = books.iter().map(figure).collect::<Vec<_>>().join("; ");
    check
}
