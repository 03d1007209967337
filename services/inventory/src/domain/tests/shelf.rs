//! Corrections of the books, and when the shelf counts as low or empty.

use uuid::Uuid;

use super::{super::*, ORDER, buckets, ledger, reserve, reserved, sku, step};

#[test]
fn pieces_come_from_outside_and_leave_to_where_their_reason_says() {
    for (reason, quantity, after) in [
        (AdjustmentReason::Counted, 2, [-7, 7, 0, 0, 0, 0]),
        (AdjustmentReason::Counted, -2, [-5, 3, 0, 0, 0, 2]),
        (AdjustmentReason::Found, 2, [-7, 7, 0, 0, 0, 0]),
        (AdjustmentReason::Damaged, -2, [-5, 3, 0, 0, 0, 2]),
        (AdjustmentReason::ReturnedToSupplier, -2, [-3, 3, 0, 0, 0, 0]),
    ] {
        let mut ledger = ledger(&[("MUG", 5)]);

        let answer = ledger.apply(&adjust(1, "MUG", quantity, reason)).unwrap();

        assert_eq!(buckets(&ledger), after, "{reason:?}");
        let Answer::Adjusted(adjustment) = answer else { panic!("{answer:?}") };
        assert_eq!(adjustment.stock.on_hand, after[1]);
        let adjustment = Uuid::from_u128(1);
        let on_hand = after[1];
        assert_eq!(news(&ledger), [News::Adjusted { adjustment, quantity, reason, on_hand }]);
        let writes = ledger.into_writes();
        assert_eq!((writes.adjustments.len(), writes.movements.len()), (1, 1));
        assert_eq!(writes.movements[0].cause, Cause::Adjustment(adjustment));
    }
}

#[test]
fn an_adjustment_takes_no_more_than_is_on_hand() {
    let mut ledger = reserved(&[("MUG", 2)]);

    let refused = ledger.apply(&adjust(1, "MUG", -4, AdjustmentReason::Damaged));
    let unknown = ledger.apply(&adjust(2, "CUP", 1, AdjustmentReason::Found));

    assert_eq!(refused, Err(Refusal::OutOfStock { sku: sku("MUG") }));
    assert_eq!(unknown, Err(Refusal::StockNotFound { sku: sku("CUP") }));
    assert_eq!(buckets(&ledger), [-5, 3, 2, 0, 0, 0]);
    assert!(news(&ledger).is_empty());
}

#[test]
fn a_repeated_adjustment_is_answered_as_the_first_was() {
    let mut ledger = ledger(&[("MUG", 5)]);
    let first = ledger.apply(&adjust(1, "MUG", -2, AdjustmentReason::Damaged)).unwrap();
    ledger.apply(&reserve(9, &[("MUG", 2)])).unwrap();

    assert_eq!(ledger.apply(&adjust(1, "MUG", -2, AdjustmentReason::Damaged)), Ok(first));
    let other = ledger.apply(&adjust(1, "MUG", -3, AdjustmentReason::Damaged));
    assert_eq!(other, Err(Refusal::RequestContentDiffers));
    assert_eq!(buckets(&ledger), [-5, 1, 2, 0, 0, 2]);
}

#[test]
fn a_shelf_is_low_once_on_the_way_down() {
    let mut ledger = ledger(&[("MUG", 9)]);
    set(&mut ledger, 5, None).unwrap();

    let low = |on_hand| News::Low { on_hand, threshold: 5 };
    ledger.apply(&reserve(1, &[("MUG", 3)])).unwrap();
    assert!(news(&ledger).is_empty(), "six are left");
    ledger.apply(&reserve(2, &[("MUG", 1)])).unwrap();
    assert_eq!(news(&ledger), [low(5)]);
    ledger.apply(&reserve(3, &[("MUG", 1)])).unwrap();
    assert_eq!(news(&ledger), [low(5)], "it was low already");
    step(&mut ledger, Change::Release).unwrap();
    assert_eq!(news(&ledger), [low(5)], "seven are there again");
    ledger.apply(&reserve(4, &[("MUG", 7)])).unwrap();
    assert_eq!(news(&ledger), [low(5), low(0), News::Depleted]);

    let versions = ledger.announcements().iter().filter_map(|told| match told {
        Announcement::Stock { version, .. } => Some(*version),
        Announcement::Reservation { .. } => None,
    });
    assert_eq!(versions.collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn an_expired_hold_that_is_sold_can_empty_the_shelf() {
    let mut ledger = reserved(&[("MUG", 5)]);
    step(&mut ledger, Change::Expire).unwrap();
    step(&mut ledger, Change::Commit).unwrap();

    assert_eq!(news(&ledger), [News::Depleted, News::Depleted]);
    let ship = Command::Transfer { order_id: ORDER, transfer: Transfer::Ship };
    ledger.apply(&ship).unwrap();
    assert_eq!(news(&ledger).len(), 2, "what leaves was not on the shelf");
}

#[test]
fn a_threshold_is_set_over_the_one_that_was_seen() {
    let mut ledger = ledger(&[("MUG", 5)]);

    assert_eq!(set(&mut ledger, 9, Some(0)), Ok(1), "it is low now, but nothing fell");
    assert_eq!(set(&mut ledger, 8, Some(0)), Err(Refusal::ThresholdChanged));
    assert_eq!(set(&mut ledger, 9, None), Ok(1), "it is set already");
    assert_eq!(set(&mut ledger, 0, Some(1)), Ok(2));
    ledger.apply(&reserve(1, &[("MUG", 4)])).unwrap();

    assert!(news(&ledger).is_empty(), "nobody wants to be warned");
    let unknown =
        ledger.apply(&Command::SetThreshold { sku: sku("CUP"), threshold: 1, expected: None });
    assert_eq!(unknown, Err(Refusal::StockNotFound { sku: sku("CUP") }));
}

#[test]
fn a_reason_allows_one_direction() {
    let allows =
        |reason: AdjustmentReason| [-1, 1].map(|quantity| reason.range().contains(&quantity));

    assert_eq!(allows(AdjustmentReason::Counted), [true, true]);
    assert_eq!(allows(AdjustmentReason::Found), [false, true]);
    assert_eq!(allows(AdjustmentReason::Damaged), [true, false]);
    assert_eq!(allows(AdjustmentReason::ReturnedToSupplier), [true, false]);
}

fn adjust(id: u128, name: &str, quantity: i64, reason: AdjustmentReason) -> Command {
    let (id, digest) = (Uuid::from_u128(id), [quantity.to_le_bytes()[0]; 16]);
    Command::Adjust(Adjust { id, digest, sku: sku(name), quantity, reason, note: String::new() })
}

/// Sets the threshold of mugs; its version afterwards.
fn set(ledger: &mut Ledger, threshold: i64, expected: Option<i32>) -> Result<i32, Refusal> {
    match ledger.apply(&Command::SetThreshold { sku: sku("MUG"), threshold, expected })? {
        Answer::Threshold(threshold) => Ok(threshold.version),
        other => panic!("a threshold answers with itself, not {other:?}"),
    }
}

/// What is told about the shelf.
fn news(ledger: &Ledger) -> Vec<News> {
    let news = |told: &Announcement| match told {
        Announcement::Stock { news, .. } => Some(*news),
        Announcement::Reservation { .. } => None,
    };
    ledger.announcements().iter().filter_map(news).collect()
}
