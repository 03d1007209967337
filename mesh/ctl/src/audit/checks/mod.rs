//! The rules, one file each. Pure: facts in, figures and findings out.

mod consumed;
mod dead_letters;
mod ledger;
mod money;
mod processor;
mod published;
mod replay;
mod reservations;
mod sagas;
mod stock;
mod views;

use shop::money::{Currency, Money};
use uuid::Uuid;

use super::facts::{Facts, Motion};
use super::{InMotion, Options, Report};

/// Applies every rule.
pub fn all(facts: &Facts, options: &Options) -> Report {
    let mut moving = orders_in_motion(facts);
    let money = money::check(facts);
    let processor = processor::check(facts, &mut moving);
    let ledger = ledger::check(facts);
    let stock = stock::check(facts);
    let published = published::check(facts, options, &mut moving);
    let (consumed, shipping_lags) = consumed::check(facts, options, &mut moving);
    let reservations = reservations::check(facts, shipping_lags, &mut moving);
    let dead_letters = dead_letters::check(facts, options);
    let sagas = sagas::check(facts, options);
    let replay = replay::check(facts);
    let views = views::check(facts, options, &mut moving);
    let checks = vec![
        money,
        processor,
        ledger,
        stock,
        reservations,
        published,
        consumed,
        dead_letters,
        sagas,
        replay,
        views,
    ];
    Report::new(checks, moving)
}

fn orders_in_motion(facts: &Facts) -> Vec<InMotion> {
    let moves = facts
        .orders
        .iter()
        .filter(|(_, order, motion)| *motion != Motion::Settled || order.awake_for.is_some());
    moves
        .map(|(id, order, motion)| InMotion {
            what: order_name(id),
            state: if motion == Motion::Settled {
                format!("{}, its saga at work", order.state)
            } else {
                order.state.clone()
            },
            age_seconds: order.age.as_secs_f64(),
            parked: motion == Motion::Parked,
        })
        .collect()
}

fn order_name(id: Uuid) -> String {
    format!("order {id}")
}

/// An amount as people write it.
fn amount(minor: impl Into<i128>, currency: &str) -> String {
    let minor = minor.into();
    match (Currency::parse(currency), i64::try_from(minor)) {
        (Some(currency), Ok(minor)) => Money::new(currency, minor).to_string(),
        // More than an amount can be.
        _ => format!("{minor} minor units of {currency}"),
    }
}
