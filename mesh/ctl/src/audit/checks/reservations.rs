//! Pieces are where their order is: held while it moves, sold once it is confirmed, gone with it.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::super::facts::{Facts, Motion, OrderRow, Reservation};
use super::super::{Check, InMotion};
use super::order_name;

/// `shipping_lags`: a parcel's event may be known to orders and not yet to inventory, or the other
/// way round.
pub fn check(facts: &Facts, shipping_lags: bool, moving: &mut Vec<InMotion>) -> Check {
    let mut check = Check::new("reservations", "orders");
    let mut held: HashMap<Uuid, Vec<&Reservation>> = HashMap::new();
    for reservation in &facts.reservations {
        held.entry(reservation.order).or_default().push(reservation);
    }
    for (id, order, motion) in facts.orders.iter() {
        let pieces = held.remove(&id).unwrap_or_default();
        if motion != Motion::Settled {
            continue;
        }
        check.checked += 1;
        let home = bucket(&order.state);
        let astray = pieces.iter().filter(|it| home != Some(it.at.name.as_str()));
        let astray: Vec<_> = astray.copied().collect();
        if order.state == "RETURNED" && astray.iter().all(|it| it.at.name != "reserved") {
            continue;
        }
        if !astray.is_empty() {
            let problem = describe(&astray);
            if shipping_lags && astray.iter().all(|it| is_sold(&it.at.name)) && home.is_some() {
                moving.push(lagging(id, order, problem));
            } else {
                check.find(|| format!("{} ({})", order_name(id), order.state), || problem);
            }
            continue;
        }
        if let (Some(home), Some(story)) = (home, facts.stories.get(&id)) {
            let mut has: BTreeMap<String, i64> = BTreeMap::new();
            for it in &pieces {
                *has.entry(it.at.sku.clone()).or_default() += it.quantity;
            }
            if has != story.lines {
                let problem =
                    || format!("has {} {home}; ordered {}", list(&has), list(&story.lines));
                check.find(|| format!("{} ({})", order_name(id), order.state), problem);
            }
        }
    }
    for (id, pieces) in &held {
        check.find(|| order_name(*id), || format!("orders does not know it; {}", describe(pieces)));
    }
    check.figures = format!("{} lines", facts.reservations.len());
    check
}

/// Where an order's pieces belong.
fn bucket(state: &str) -> Option<&'static str> {
    match state {
        "CONFIRMED" => Some("committed"),
        "SHIPPED" | "DELIVERED" => Some("shipped"),
        "LOST" => Some("lost"),
        _ => None,
    }
}

fn is_sold(bucket: &str) -> bool {
    matches!(bucket, "committed" | "shipped" | "lost")
}

fn lagging(id: Uuid, order: &OrderRow, problem: String) -> InMotion {
    InMotion {
        what: order_name(id),
        state: format!("{}; {problem}", order.state),
        age_seconds: order.age.as_secs_f64(),
        parked: false,
    }
}

fn describe(pieces: &[&Reservation]) -> String {
    let each = pieces.iter().map(|it| format!("{} of {} {}", it.quantity, it.at.sku, it.at.name));
    format!("inventory has {}", each.collect::<Vec<_>>().join(", "))
}

fn list(lines: &BTreeMap<String, i64>) -> String {
    if lines.is_empty() {
        return "nothing".to_owned();
    }
    let each = lines.iter().map(|(sku, quantity)| format!("{quantity} of {sku}"));
    each.collect::<Vec<_>>().join(", ")
}
