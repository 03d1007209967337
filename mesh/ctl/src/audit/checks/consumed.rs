//! Every event took effect once at everybody who takes it, and nobody lags behind.

use std::time::Duration;

use super::super::facts::{Consumption, Facts, LogRow, Publication};
use super::super::{Check, InMotion, Options};

/// Also tells whether some consumer of shipping's events may not have applied one yet.
pub fn check(facts: &Facts, options: &Options, moving: &mut Vec<InMotion>) -> (Check, bool) {
    let mut check = Check::new("consumed", "deliveries");
    let mut shipping_lags = false;
    for consumption in &facts.consumptions {
        let mut publications = facts.publications.iter();
        let Some(source) = publications.find(|it| it.service == consumption.stream) else {
            check.find(|| name(consumption), || "nobody publishes this stream".to_owned());
            continue;
        };
        let lags = consume(consumption, source, options.grace, &mut check, moving);
        shipping_lags |= lags && consumption.stream == "shipping";
    }
    let figure = |it: &Consumption| format!("{} by {}", it.inbox.len(), it.service);
    let figures: Vec<_> = facts.consumptions.iter().map(figure).collect();
    check.figures = format!("taken: {}", figures.join(", "));
    (check, shipping_lags)
}

/// One consumer. True if it may not have applied everything yet.
fn consume(
    consumption: &Consumption,
    source: &Publication,
    grace: Duration,
    check: &mut Check,
    moving: &mut Vec<InMotion>,
) -> bool {
    let wanted =
        source.log.iter().filter(|row| takes(consumption, row) && !source.has_expired(row));
    let (mut young, mut missing, mut on_the_way) = (false, false, 0_usize);
    for row in wanted {
        check.checked += 1;
        young |= row.age < grace;
        if consumption.inbox.contains_key(&row.id) {
            continue;
        }
        if row.age < grace {
            on_the_way += 1;
            continue;
        }
        missing = true;
        let event = || format!("{} {} at {}", row.kind, row.id, consumption.service);
        check.find(event, || format!("of {}; is not in the inbox", row.key));
    }
    for id in &consumption.strangers {
        let event = || format!("event {id} at {}", consumption.service);
        check.find(event, || format!("is in the inbox, and not in the log of {}", source.service));
    }
    let mut standing = String::new();
    match consumption.standing {
        None => check.find(|| name(consumption), || "does not exist".to_owned()),
        Some(it) if it.pending + it.unacknowledged > 0 => {
            let (pending, open) = (it.pending, it.unacknowledged);
            standing = format!("{pending} to deliver, {open} to acknowledge");
            if !young {
                check.find(|| name(consumption), || format!("lags behind: {standing}"));
            }
        }
        Some(_) => {}
    }
    if on_the_way > 0 || (young && !standing.is_empty()) {
        moving.push(InMotion {
            what: name(consumption),
            state: format!("{on_the_way} events not yet applied {standing}").trim_end().to_owned(),
            age_seconds: 0.0,
            parked: false,
        });
    }
    young || missing
}

fn takes(consumption: &Consumption, row: &LogRow) -> bool {
    consumption.subjects.iter().any(|subject| match subject.strip_suffix('>') {
        Some(prefix) => row.kind.starts_with(prefix),
        None => *row.kind == **subject,
    })
}

fn name(consumption: &Consumption) -> String {
    format!("consumer {} of stream {}", consumption.service, consumption.stream)
}
