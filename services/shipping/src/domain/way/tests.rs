//! A way is one sequence, however it is read.

use proptest::prelude::*;
use time::Duration;

use super::*;
use crate::domain::{Country, Parcel, Report, Speed, quote};

proptest! {
    #[test]
    fn a_way_is_told_whole_whatever_its_pieces(
        count in 0..40_i32,
        ends in any::<bool>(),
        page in 1..10_usize,
    ) {
        let mut shipment = dispatched();
        for _ in 0..count {
            shipment.locate().unwrap();
        }
        if ends {
            shipment.report(Report::Delivered, at(9)).unwrap();
        }

        let mut told = Vec::new();
        while let Some(after) = i32::try_from(told.len()).ok().filter(|n| *n < shipment.last_sequence()) {
            let known = shipment.positions_until(after);
            let next = (known + 1..=shipment.positions).take(page).map(|n| (n, position(n)));
            let entries = shipment.way(after, next.collect());
            prop_assert!(!entries.is_empty());
            told.extend(entries);
        }

        let sequences: Vec<_> = told.iter().map(|entry| entry.sequence).collect();
        prop_assert_eq!(sequences, (1..=shipment.last_sequence()).collect::<Vec<_>>());
        let mut kinds: Vec<_> = told.iter().map(name).collect();
        let mut expected = vec!["HELD", "RELEASED", "DISPATCHED"];
        expected.extend((0..count).map(|_| "position"));
        expected.extend(ends.then_some("DELIVERED"));
        prop_assert_eq!(&mut kinds, &mut expected);
    }
}

#[test]
fn whoever_knows_more_than_there_is_hears_nothing() {
    let shipment = dispatched();

    for after in [3, 4, i32::MAX] {
        assert!(shipment.way(after, Vec::new()).is_empty(), "after {after}");
    }
}

#[test]
fn only_a_parcel_on_its_way_is_somewhere() {
    let mut held = held();
    assert_eq!(held.locate(), Err(Refusal::NotDispatched { state: State::Held }));
    held.cancel(at(1)).unwrap();
    assert_eq!(held.locate(), Err(Refusal::NotDispatched { state: State::Cancelled }));

    let mut lost = dispatched();
    assert_eq!(lost.locate(), Ok(Located::Stored { number: 1 }));
    lost.report(Report::Lost, at(4)).unwrap();
    assert_eq!(lost.locate(), Ok(Located::Late));
    assert_eq!(lost.last_sequence(), 5);
}

#[test]
fn positions_are_bounded() {
    let mut shipment = dispatched();
    shipment.positions = MOST_POSITIONS;

    assert_eq!(shipment.locate(), Err(Refusal::TooManyPositions { most: MOST_POSITIONS }));
}

fn name(entry: &Entry) -> &'static str {
    match &entry.what {
        What::State(shipment) => shipment.state.as_str(),
        What::Position(_) => "position",
    }
}

fn position(number: i32) -> Position {
    let place = Place::Named(number.to_string());
    Position { id: Uuid::nil(), time: at(0), place }
}

fn dispatched() -> Shipment {
    let mut shipment = held();
    shipment.release(at(1)).unwrap();
    shipment.report(Report::Dispatched, at(2)).unwrap();
    shipment
}

fn held() -> Shipment {
    let parcel = Parcel { speed: Speed::Standard, grams: 1000 };
    let terms = quote(Country::parse("DE").unwrap(), parcel).unwrap();
    Shipment::create(Uuid::from_u128(1), Uuid::from_u128(2), terms, at(0))
}

fn at(tick: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::seconds(tick)
}
