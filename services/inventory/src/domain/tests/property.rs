//! Whatever is asked, in whatever order: pieces only move, and every movement is on record.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::super::*;

const SKUS: [&str; 3] = ["CUP", "MUG", "TEA"];
/// The one that is set, if any.
const THRESHOLD: i64 = 4;
const BUCKETS: [Bucket; 6] = [
    Bucket::Supplier,
    Bucket::OnHand,
    Bucket::Reserved,
    Bucket::Committed,
    Bucket::Shipped,
    Bucket::Lost,
];

proptest! {
    #[test]
    fn pieces_only_move(commands in prop::collection::vec(command(), 1..120)) {
        let mut ledger = empty();
        for command in &commands {
            let changes = ledger.changes();
            let before = ledger.stock.clone();
            let told = news(&ledger);

            let refused = ledger.apply(command).is_err();

            if refused {
                prop_assert_eq!(ledger.changes(), changes, "{:?} was refused", command);
                prop_assert_eq!(&ledger.stock, &before, "{:?} was refused", command);
            }
            prop_assert_eq!(news(&ledger) - told, falls(&before, &ledger), "{:?}", command);
            for stock in ledger.stock.values() {
                let all: i64 = BUCKETS.iter().map(|bucket| stock.quantity(*bucket)).sum();
                prop_assert_eq!(all, 0, "{:?} after {:?}", stock, command);
                let owned = BUCKETS[1..].iter().all(|bucket| stock.quantity(*bucket) >= 0);
                prop_assert!(owned && stock.supplier <= 0, "{:?} after {:?}", stock, command);
            }
        }
        prop_assert_eq!(held(&ledger), replayed(&ledger.movements, true));
        prop_assert_eq!(balances(&ledger), replayed(&ledger.movements, false));
    }

    #[test]
    fn a_batch_ends_as_its_commands_one_by_one(commands in prop::collection::vec(command(), 1..60)) {
        let mut together = empty();
        let mut alone = empty();
        for command in &commands {
            let answer = together.apply(command);
            prop_assert_eq!(alone.apply(command), answer);
            alone = reloaded(alone);
        }
        prop_assert_eq!(balances(&alone), balances(&together));
    }

    #[test]
    fn a_command_that_succeeded_changes_nothing_again(
        commands in prop::collection::vec(command(), 1..60),
    ) {
        let mut ledger = empty();
        for command in &commands {
            if ledger.apply(command).is_ok() {
                let changes = ledger.changes();
                prop_assert!(ledger.apply(command).is_ok());
                prop_assert_eq!(ledger.changes(), changes, "{:?}", command);
            }
        }
    }
}

/// Few ids and orders, so that commands meet.
fn command() -> impl Strategy<Value = Command> {
    let changes =
        [Change::Commit, Change::Release, Change::Ship, Change::Restock, Change::Expire].to_vec();
    let transfers = vec![Transfer::Ship, Transfer::WriteOff];
    let lines = prop::collection::btree_map(prop::sample::select(SKUS.to_vec()), 1..6i64, 1..=3);
    prop_oneof![
        2 => (0..20u128, prop::sample::select(SKUS.to_vec()), 1..10i64).prop_map(receive),
        2 => (20..40u128, prop::sample::select(SKUS.to_vec()), -6..6i64).prop_map(adjust),
        1 => prop::sample::select(SKUS.to_vec()).prop_map(watch),
        4 => (0..8u128, lines).prop_map(reserve),
        8 => (0..8u128, prop::sample::select(changes)).prop_map(|(id, change)| {
            Command::Change { reservation: Uuid::from_u128(id), change }
        }),
        2 => (0..4u128, prop::sample::select(transfers)).prop_map(|(order, transfer)| {
            Command::Transfer { order_id: Uuid::from_u128(order), transfer }
        }),
    ]
}

fn receive((id, name, quantity): (u128, &str, i64)) -> Command {
    let sku = Sku::parse(name).unwrap();
    let digest = [u8::try_from(quantity).unwrap(); 16];
    Command::Receive { id: Uuid::from_u128(id), digest, sku, quantity }
}

fn adjust((id, name, quantity): (u128, &str, i64)) -> Command {
    let (quantity, reason) = match quantity {
        ..-3 => (quantity, AdjustmentReason::ReturnedToSupplier),
        -3..0 => (quantity, AdjustmentReason::Damaged),
        0.. => (quantity + 1, AdjustmentReason::Found),
    };
    let (id, digest, note) = (Uuid::from_u128(id), [quantity.to_le_bytes()[0]; 16], String::new());
    let sku = Sku::parse(name).unwrap();
    Command::Adjust(Adjust { id, digest, sku, quantity, reason, note })
}

fn watch(name: &str) -> Command {
    let (sku, threshold) = (Sku::parse(name).unwrap(), THRESHOLD);
    Command::SetThreshold { sku, threshold, expected: None }
}

fn reserve((id, lines): (u128, BTreeMap<&str, i64>)) -> Command {
    let line = |(name, quantity): (&str, i64)| Line { sku: Sku::parse(name).unwrap(), quantity };
    let digest = [u8::try_from(lines.values().sum::<i64>()).unwrap(); 16];
    let lines = Lines::new(lines.into_iter().map(line).collect()).unwrap();
    let (order_id, hold) = (Uuid::from_u128(id / 2), Duration::MINUTE);
    Command::Reserve { id: Uuid::from_u128(id), digest, order_id, lines, hold }
}

fn empty() -> Ledger {
    let free = (0..8).map(|n| (Uuid::from_u128(n), Slot::Fresh(OffsetDateTime::UNIX_EPOCH)));
    Ledger::new([], BTreeMap::from_iter(free), [], [])
}

/// The ledger that the next transaction would load.
fn reloaded(ledger: Ledger) -> Ledger {
    let Ledger { stock, slots, deliveries, adjustments, .. } = ledger;
    let (stock, deliveries) = (stock.into_values(), deliveries.into_values());
    Ledger::new(stock, slots, deliveries, adjustments.into_values())
}

type Balances = HashMap<(String, Bucket), i64>;

fn balances(ledger: &Ledger) -> Balances {
    let mut sums = zeroes();
    for stock in ledger.stock.values() {
        for bucket in BUCKETS {
            sums.insert((stock.sku.to_string(), bucket), stock.quantity(bucket));
        }
    }
    sums
}

/// What the reservations say is where.
fn held(ledger: &Ledger) -> Balances {
    let mut sums = zeroes();
    for slot in ledger.slots.values() {
        let Slot::Known(reservation) = slot else { continue };
        for line in &reservation.lines {
            let place = (line.sku.to_string(), reservation.state().bucket());
            *sums.entry(place).or_default() += line.quantity;
        }
    }
    sums.retain(|(_, bucket), _| !matches!(bucket, Bucket::Supplier | Bucket::OnHand));
    sums
}

/// How often a shelf was told to be low or empty.
fn news(ledger: &Ledger) -> usize {
    let is_fall = |told: &&Announcement| match told {
        Announcement::Stock { news, .. } => !matches!(news, News::Adjusted { .. }),
        Announcement::Reservation { .. } => false,
    };
    ledger.announcements().iter().filter(is_fall).count()
}

/// How many shelves became low, how many empty, since they were like this.
fn falls(before: &HashMap<Sku, Stock>, ledger: &Ledger) -> usize {
    let fell = |stock: &Stock| {
        let then = before.get(&stock.sku).map_or(0, |then| then.on_hand);
        let low = then > stock.threshold && stock.on_hand <= stock.threshold && stock.threshold > 0;
        let empty = then > 0 && stock.on_hand == 0;
        usize::from(low) + usize::from(empty)
    };
    ledger.stock.values().map(fell).sum()
}

/// What the movements add up to; only what is held for orders if `held`.
fn replayed(movements: &[Movement], held: bool) -> Balances {
    let mut sums = zeroes();
    let of_orders = |movement: &&Movement| !held || !matches!(movement.cause, Cause::Adjustment(_));
    for movement in movements.iter().filter(of_orders) {
        *sums.entry((movement.sku.to_string(), movement.from)).or_default() -= movement.quantity;
        *sums.entry((movement.sku.to_string(), movement.to)).or_default() += movement.quantity;
    }
    if held {
        sums.retain(|(_, bucket), _| !matches!(bucket, Bucket::Supplier | Bucket::OnHand));
    }
    sums
}

fn zeroes() -> Balances {
    let places = SKUS.iter().flat_map(|sku| BUCKETS.map(|bucket| ((*sku).to_owned(), bucket)));
    places.map(|place| (place, 0)).collect()
}
