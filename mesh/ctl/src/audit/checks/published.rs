//! Every public event is in its stream, once, in log order, and nothing else is.

use std::time::Duration;

use super::super::facts::{Facts, LogRow, Message, Publication};
use super::super::{Check, InMotion, Options};

pub fn check(facts: &Facts, options: &Options, moving: &mut Vec<InMotion>) -> Check {
    let mut check = Check::new("published", "public events");
    for publication in &facts.publications {
        check.checked += publication.log.len();
        let (seen, last) = read_messages(publication, &mut check);
        missing(publication, &seen, last, options.grace, &mut check, moving);
    }
    let figure = |it: &Publication| format!("{} {}", it.messages.len(), it.service);
    let figures: Vec<_> = facts.publications.iter().map(figure).collect();
    check.figures = format!("in streams: {}", figures.join(", "));
    check
}

/// Finds each message's row. Returns which rows were found, and the last position in the stream.
fn read_messages(publication: &Publication, check: &mut Check) -> (Vec<bool>, i64) {
    let mut seen = vec![false; publication.log.len()];
    let mut last = 0;
    for message in &publication.messages {
        let name = || format!("message {} of stream {}", message.sequence, publication.service);
        let Some(position) = message.position else {
            check.find(name, || format!("a {} without a place in the log", message.subject));
            continue;
        };
        let Ok(n) = publication.log.binary_search_by_key(&position, |row| row.seq) else {
            check.find(name, || format!("its row {position} is not in the log"));
            continue;
        };
        if seen[n] {
            check.find(name, || format!("its row {position} was published before"));
        } else if position < last {
            check.find(name, || format!("its row {position} comes after row {last}"));
        }
        if let Some(field) = difference(message, &publication.log[n]) {
            check.find(name, || format!("its {field} is not that of row {position}"));
        }
        seen[n] = true;
        last = last.max(position);
    }
    (seen, last)
}

fn difference(message: &Message, row: &LogRow) -> Option<&'static str> {
    let pairs = [
        ("message id", message.message_id == Some(row.id)),
        ("event id", message.id == Some(row.id)),
        ("subject", message.subject == row.kind),
        ("key", message.key == Some(row.key)),
        ("version", message.version == Some(row.version)),
    ];
    pairs.into_iter().find(|(_, same)| !same).map(|(field, _)| field)
}

/// What the stream does not hold was lost; behind its end it may be on its way.
fn missing(
    publication: &Publication,
    seen: &[bool],
    last: i64,
    grace: Duration,
    check: &mut Check,
    moving: &mut Vec<InMotion>,
) {
    let unseen = publication.log.iter().zip(seen).filter(|(_, seen)| !**seen);
    let (mut on_the_way, mut oldest) = (0_usize, Duration::ZERO);
    for (row, _) in unseen.filter(|(row, _)| !publication.has_expired(row)) {
        if row.seq > last && row.age < grace {
            on_the_way += 1;
            oldest = oldest.max(row.age);
            continue;
        }
        let name = || format!("row {} of the log of {}", row.seq, publication.service);
        let what = || format!("{} of {} is not in the stream", row.kind, row.key);
        check.find(name, what);
    }
    if on_the_way > 0 {
        moving.push(InMotion {
            what: format!("{on_the_way} events of {}", publication.service),
            state: "not yet published".to_owned(),
            age_seconds: oldest.as_secs_f64(),
            parked: false,
        });
    }
}
