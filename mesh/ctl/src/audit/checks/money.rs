//! What customers paid is what their orders say, and nothing stays reserved on a card.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::super::Check;
use super::super::facts::{Amounts, Facts, Motion, OrderRow};
use super::{amount, order_name};

pub fn check(facts: &Facts) -> Check {
    let mut check = Check::new("money", "settled orders");
    let mut paid: HashMap<Uuid, BTreeMap<&str, Amounts>> = HashMap::new();
    for payment in &facts.payments {
        let of_order = paid.entry(payment.order).or_default();
        of_order.entry(&payment.currency).or_default().add(&payment.amounts);
    }
    let mut totals: BTreeMap<&str, Amounts> = BTreeMap::new();
    for (id, order, motion) in facts.orders.iter() {
        let mut currencies = paid.remove(&id).unwrap_or_default();
        if motion != Motion::Settled {
            continue;
        }
        check.checked += 1;
        let own = currencies.remove(order.currency.as_str()).unwrap_or_default();
        totals.entry(&order.currency).or_default().add(&own);
        if let Some(problem) = problem(order, &own) {
            check.find(|| format!("{} ({})", order_name(id), order.state), || problem);
        }
        for (currency, held) in currencies.iter().filter(|(_, held)| !held.hold_nothing()) {
            let problem = || format!("{}, not its currency", describe(held, currency));
            check.find(|| order_name(id), problem);
        }
    }
    for (id, currencies) in &paid {
        for (currency, held) in currencies.iter().filter(|(_, held)| !held.hold_nothing()) {
            let problem = || format!("orders does not know it, but {}", describe(held, currency));
            check.find(|| order_name(*id), problem);
        }
    }
    let figure = |(currency, sum): (&&str, &Amounts)| {
        let (taken, returned) = (amount(sum.captured, currency), amount(sum.refunded, currency));
        format!("captured {taken}, refunded {returned}")
    };
    check.figures = totals.iter().map(figure).collect::<Vec<_>>().join("; ");
    check
}

/// How the payments of an order differ from what its state demands.
fn problem(order: &OrderRow, paid: &Amounts) -> Option<String> {
    let currency = &order.currency;
    let (captured, refunded) = match order.state.as_str() {
        "REJECTED" | "CANCELLED" => (paid.captured, paid.captured),
        _ => (order.total, order.refund_due),
    };
    let expected = Amounts { authorized: 0, captured, refunded };
    (*paid != expected).then(|| {
        format!("{}; should be {}", describe(paid, currency), describe(&expected, currency))
    })
}

fn describe(paid: &Amounts, currency: &str) -> String {
    format!(
        "captured {}, refunded {}, still authorized {}",
        amount(paid.captured, currency),
        amount(paid.refunded, currency),
        amount(paid.authorized, currency)
    )
}
