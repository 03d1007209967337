//! No piece comes from nowhere or goes nowhere. All of inventory was read at one moment.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::super::Check;
use super::super::facts::{Bucket, Facts};

/// The buckets whose pieces each belong to an order, but for those that were written off.
const OF_ORDERS: [&str; 4] = ["reserved", "committed", "shipped", "lost"];

pub fn check(facts: &Facts) -> Check {
    let mut check = Check::new("stock", "SKUs");
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for (bucket, quantity) in &facts.stock {
        *sums.entry(&bucket.sku).or_default() += quantity;
    }
    check.checked = sums.len();
    for (sku, sum) in sums.iter().filter(|(_, sum)| **sum != 0) {
        check.find(|| format!("SKU {sku}"), || format!("its buckets sum to {sum}, not to zero"));
    }
    let mut held: HashMap<&Bucket, i64> = HashMap::new();
    for reservation in &facts.reservations {
        *held.entry(&reservation.at).or_default() += reservation.quantity;
    }
    for (bucket, quantity) in &facts.write_offs {
        *held.entry(bucket).or_default() += quantity;
    }
    let accounted = held.keys().copied();
    let mut buckets: HashSet<&Bucket> = facts.stock.keys().chain(facts.movements.keys()).collect();
    buckets.extend(accounted);
    for bucket in buckets {
        compare(&mut check, facts, bucket, held.get(bucket).copied().unwrap_or_default());
    }
    let pieces = |name: &str| -> i64 {
        let of_name = facts.stock.iter().filter(|(bucket, _)| bucket.name == name);
        of_name.map(|(_, quantity)| quantity).sum()
    };
    let figure = |name: &str| format!("{} {}", pieces(name), name.replace('_', " "));
    check.figures = ["on_hand"]
        .iter()
        .chain(&OF_ORDERS)
        .map(|name| figure(name))
        .collect::<Vec<_>>()
        .join(", ");
    check
}

fn compare(check: &mut Check, facts: &Facts, bucket: &Bucket, accounted: i64) {
    let Bucket { sku, name } = bucket;
    let row = || format!("SKU {sku}, {name}");
    let balance = facts.stock.get(bucket).copied().unwrap_or_default();
    let moved = facts.movements.get(bucket).copied().unwrap_or_default();
    if balance != moved {
        check.find(row, || format!("the balance is {balance}; the movements sum to {moved}"));
    }
    if OF_ORDERS.contains(&name.as_str()) && balance != accounted {
        let problem =
            || format!("the balance is {balance}; orders and write-offs have {accounted}");
        check.find(row, problem);
    }
    let is_signed_wrong = if name == "supplier" { balance > 0 } else { balance < 0 };
    if is_signed_wrong {
        check.find(row, || format!("the balance is {balance}"));
    }
}
