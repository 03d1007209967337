//! The rules of reservations, case by case; `property` lets them run at random.

mod property;
mod shelf;

use std::collections::BTreeMap;

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::*;

const ID: Uuid = Uuid::from_u128(1);
const ORDER: Uuid = Uuid::from_u128(2);

#[test]
fn a_reservation_holds_all_lines_or_none() {
    let mut ledger = ledger(&[("MUG", 5), ("TEA", 1)]);

    let refused = ledger.apply(&reserve(1, &[("MUG", 2), ("TEA", 2)]));

    assert_eq!(refused, Err(Refusal::OutOfStock { sku: sku("TEA") }));
    assert!(ledger.into_writes().is_empty(), "a refused reservation leaves no trace");
}

#[test]
fn a_sku_that_nobody_delivered_is_unknown() {
    let refused = ledger(&[("MUG", 5)]).apply(&reserve(1, &[("CUP", 1), ("MUG", 9)]));
    assert_eq!(refused, Err(Refusal::SkuUnknown { sku: sku("CUP") }));
}

#[test]
fn pieces_go_from_the_shelf_to_the_carrier() {
    let mut ledger = reserved(&[("MUG", 2)]);
    assert_eq!(buckets(&ledger), [-5, 3, 2, 0, 0, 0]);

    assert_eq!(step(&mut ledger, Change::Commit), Ok(State::Committed));
    assert_eq!(buckets(&ledger), [-5, 3, 0, 2, 0, 0]);

    assert_eq!(step(&mut ledger, Change::Ship), Ok(State::Shipped));
    assert_eq!(buckets(&ledger), [-5, 3, 0, 0, 2, 0]);

    let lost = ledger.apply(&Command::Transfer { order_id: ORDER, transfer: Transfer::WriteOff });
    assert_eq!(lost, Ok(Answer::Transferred(1)));
    assert_eq!(buckets(&ledger), [-5, 3, 0, 0, 0, 2]);
}

#[test]
fn every_change_of_every_state_is_decided() {
    use Change::{Commit, Expire, Release, Restock, Ship};
    use State::{Committed, Expired, Released, Reserved, Restocked, Shipped};
    let gone = Err(Refusal::CancelledBeforeArrival);
    let left = Err(Refusal::ReservationShipped);
    let unsold = |state| Err(Refusal::ReservationNotCommitted { state });
    let table = [
        (&[][..], [Ok(Committed), Ok(Released), Ok(Restocked), unsold(Reserved), Ok(Expired)]),
        (&[Expire], [Ok(Committed), Ok(Released), Ok(Restocked), unsold(Expired), Ok(Expired)]),
        (&[Commit], [Ok(Committed), Ok(Released), Ok(Restocked), Ok(Shipped), Ok(Committed)]),
        (&[Release], [gone.clone(), Ok(Released), Ok(Released), unsold(Released), Ok(Released)]),
        (&[Restock], [gone, Ok(Restocked), Ok(Restocked), unsold(Restocked), Ok(Restocked)]),
        (&[Commit, Ship], [left.clone(), left.clone(), left, Ok(Shipped), Ok(Shipped)]),
    ];
    for (path, expected) in table {
        for (change, expected) in [Commit, Release, Restock, Ship, Expire].into_iter().zip(expected)
        {
            let mut ledger = reserved(&[("MUG", 2)]);
            for change in path {
                step(&mut ledger, *change).unwrap();
            }
            assert_eq!(step(&mut ledger, change), expected, "{change:?} after {path:?}");
            assert_eq!(buckets(&ledger).iter().sum::<i64>(), 0, "{change:?} after {path:?}");
        }
    }
}

#[test]
fn committing_an_expired_hold_takes_the_pieces_again_or_is_refused() {
    let mut free = reserved(&[("MUG", 4)]);
    step(&mut free, Change::Expire).unwrap();
    assert_eq!(step(&mut free, Change::Commit), Ok(State::Committed));
    assert_eq!(buckets(&free), [-5, 1, 0, 4, 0, 0]);

    let mut taken = reserved(&[("MUG", 4)]);
    step(&mut taken, Change::Expire).unwrap();
    taken.apply(&reserve(9, &[("MUG", 3)])).unwrap();
    assert_eq!(step(&mut taken, Change::Commit), Err(Refusal::OutOfStock { sku: sku("MUG") }));
    assert_eq!(buckets(&taken), [-5, 2, 3, 0, 0, 0]);
}

#[test]
fn a_reservation_that_was_given_up_before_it_arrived_is_refused() {
    for (change, state) in [(Change::Release, State::Released), (Change::Restock, State::Restocked)]
    {
        let mut ledger = ledger(&[("MUG", 5)]);

        assert_eq!(step(&mut ledger, change), Ok(state));
        let late = ledger.apply(&reserve(1, &[("MUG", 2)]));

        assert_eq!(late, Err(Refusal::CancelledBeforeArrival));
        assert_eq!(buckets(&ledger), [-5, 5, 0, 0, 0, 0]);
        assert!(ledger.announcements().is_empty(), "a mark moves nothing, so it tells nothing");
    }
}

#[test]
fn nothing_but_giving_up_makes_a_reservation_known() {
    for change in [Change::Commit, Change::Ship, Change::Expire] {
        let refused = step(&mut ledger(&[("MUG", 5)]), change);
        assert_eq!(refused, Err(Refusal::ReservationNotFound), "{change:?}");
    }
}

#[test]
fn a_repeated_reservation_is_answered_as_the_first_was() {
    let mut ledger = ledger(&[("MUG", 5)]);
    let first = ledger.apply(&reserve(1, &[("MUG", 2)])).unwrap();
    step(&mut ledger, Change::Commit).unwrap();

    assert_eq!(ledger.apply(&reserve(1, &[("MUG", 2)])), Ok(first));
    let other = ledger.apply(&reserve(1, &[("MUG", 3)]));
    assert_eq!(other, Err(Refusal::RequestContentDiffers));
    assert_eq!(buckets(&ledger), [-5, 3, 0, 2, 0, 0]);
}

#[test]
fn a_repeated_delivery_is_answered_as_the_first_was() {
    let mut ledger = ledger(&[]);
    let receive = |digest: u8, quantity| Command::Receive {
        id: ID,
        digest: [digest; 16],
        sku: sku("MUG"),
        quantity,
    };
    let first = ledger.apply(&receive(1, 5)).unwrap();
    ledger.apply(&reserve(9, &[("MUG", 2)])).unwrap();

    assert_eq!(ledger.apply(&receive(1, 5)), Ok(first));
    assert_eq!(ledger.apply(&receive(2, 6)), Err(Refusal::RequestContentDiffers));
    assert_eq!(buckets(&ledger), [-5, 3, 2, 0, 0, 0]);
}

#[test]
fn a_carrier_cannot_take_what_was_not_sold() {
    let ship = Command::Transfer { order_id: ORDER, transfer: Transfer::Ship };
    let lose = Command::Transfer { order_id: ORDER, transfer: Transfer::WriteOff };

    assert_eq!(ledger(&[]).apply(&ship), Err(Refusal::OrderUnknown));
    let mut ledger = reserved(&[("MUG", 1)]);
    let state = State::Reserved;
    assert_eq!(ledger.apply(&ship), Err(Refusal::ReservationNotCommitted { state }));
    assert_eq!(ledger.apply(&lose), Err(Refusal::ReservationNotShipped { state }));

    step(&mut ledger, Change::Commit).unwrap();
    assert_eq!(ledger.apply(&ship), Ok(Answer::Transferred(1)));
    assert_eq!(ledger.apply(&ship), Ok(Answer::Transferred(0)), "it left already");
}

#[test]
fn giving_up_an_expired_hold_moves_nothing() {
    let mut ledger = reserved(&[("MUG", 2)]);
    step(&mut ledger, Change::Expire).unwrap();
    step(&mut ledger, Change::Release).unwrap();

    let told = ledger.announcements();

    let moved = |told: &Announcement| match told {
        Announcement::Reservation { version, state, lines, .. } => (*version, *state, lines.len()),
        Announcement::Stock { .. } => panic!("nothing is new about the shelf: {told:?}"),
    };
    let moved: Vec<_> = told.iter().map(moved).collect();
    assert_eq!(moved, [(1, State::Reserved, 1), (2, State::Expired, 1), (3, State::Released, 0)]);
}

#[test]
fn lines_are_few_sorted_and_of_different_skus() {
    let lines = |names: &[&str]| Lines::new(names.iter().map(|name| line(name, 1)).collect());

    let sorted = lines(&["TEA", "CUP", "MUG"]).unwrap();
    let names: Vec<_> = sorted.as_slice().iter().map(|line| line.sku.as_str()).collect();
    assert_eq!(names, ["CUP", "MUG", "TEA"]);
    assert_eq!(lines(&["TEA", "CUP", "TEA"]), Err(LinesError::Repeated { line: 2 }));
    assert_eq!(lines(&[]), Err(LinesError::Count));
    let many: Vec<_> = (0..=MAX_LINES).map(|n| format!("MUG-{n}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert_eq!(lines(&many), Err(LinesError::Count));
    assert!(lines(&many[1..]).is_ok());
}

/// A ledger in which `ID` holds these pieces of five mugs.
fn reserved(lines: &[(&str, i64)]) -> Ledger {
    let mut ledger = ledger(&[("MUG", 5)]);
    ledger.apply(&reserve(1, lines)).unwrap();
    ledger
}

/// A ledger with so many pieces on hand, and a few ids that nobody used.
fn ledger(delivered: &[(&str, i64)]) -> Ledger {
    let free = (1..=9).map(|n| (Uuid::from_u128(n), Slot::Fresh(OffsetDateTime::UNIX_EPOCH)));
    let mut ledger = Ledger::new([], BTreeMap::from_iter(free), [], []);
    for (name, quantity) in delivered {
        let id = Uuid::from_u128(1000);
        let delivery =
            Command::Receive { id, digest: [0; 16], sku: sku(name), quantity: *quantity };
        ledger.apply(&delivery).unwrap();
        let stock = ledger.stock.values().cloned().collect::<Vec<_>>();
        let slots = std::mem::take(&mut ledger.slots);
        ledger = Ledger::new(stock, slots, [], []);
    }
    ledger
}

fn reserve(id: u128, lines: &[(&str, i64)]) -> Command {
    let quantity: i64 = lines.iter().map(|(_, quantity)| quantity).sum();
    let lines = lines.iter().map(|(name, quantity)| line(name, *quantity)).collect();
    Command::Reserve {
        id: Uuid::from_u128(id),
        digest: [u8::try_from(quantity).unwrap(); 16],
        order_id: ORDER,
        lines: Lines::new(lines).unwrap(),
        hold: Duration::MINUTE,
    }
}

fn step(ledger: &mut Ledger, change: Change) -> Result<State, Refusal> {
    match ledger.apply(&Command::Change { reservation: ID, change })? {
        Answer::Reservation(reservation) => Ok(reservation.state()),
        other => panic!("a change answers with its reservation, not {other:?}"),
    }
}

/// Supplier, on hand, reserved, committed, shipped, lost.
fn buckets(ledger: &Ledger) -> [i64; 6] {
    let stock = &ledger.stock[&sku("MUG")];
    [stock.supplier, stock.on_hand, stock.reserved, stock.committed, stock.shipped, stock.lost]
}

fn line(name: &str, quantity: i64) -> Line {
    Line { sku: sku(name), quantity }
}

fn sku(name: &str) -> Sku {
    Sku::parse(name).unwrap()
}
