//! Money on the wire and inside: what may be written is read back, what means nothing is refused.

use proptest::prelude::*;
use shop::{
    common::v1 as wire,
    money::{Currency, Money, from_wire, positive_from_wire, to_wire},
};

fn currency() -> impl Strategy<Value = Currency> {
    proptest::sample::select(Currency::all().collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn every_amount_comes_back_from_the_wire(currency in currency(), minor: i64) {
        let money = Money::new(currency, minor);

        let written = to_wire(money);

        prop_assert!(written.units.signum() * i64::from(written.nanos.signum()) >= 0);
        prop_assert_eq!(from_wire(&written), Ok(money));
    }

    #[test]
    fn what_is_read_is_written_the_same(code in "(EUR|JPY|KWD|XXX)", units: i64, nanos: i32) {
        let money = wire::Money { currency_code: code, units, nanos };

        if let Ok(read) = from_wire(&money) {
            prop_assert_eq!(to_wire(read), money);
        }
    }

    #[test]
    fn only_more_than_zero_is_positive(currency in currency(), minor: i64) {
        let money = Money::new(currency, minor);

        prop_assert_eq!(positive_from_wire(&to_wire(money)).is_ok(), minor > 0);
    }

    #[test]
    fn sums_are_exact_or_none(currency in currency(), a: i64, b: i64, times in -9_i64..9) {
        let (x, y) = (Money::new(currency, a), Money::new(currency, b));

        prop_assert_eq!(x.checked_add(y).map(|sum| sum.minor), a.checked_add(b));
        prop_assert_eq!(x.checked_sub(y).map(|rest| rest.minor), a.checked_sub(b));
        prop_assert_eq!(x.checked_mul(times).map(|all| all.minor), a.checked_mul(times));
    }
}

#[test]
fn the_field_that_is_wrong_is_named() {
    let refused = |code: &str, units, nanos| {
        let money = wire::Money { currency_code: code.to_owned(), units, nanos };
        positive_from_wire(&money).unwrap_err().field
    };

    assert_eq!(refused("", 1, 0), "currency_code");
    assert_eq!(refused("eur", 1, 0), "currency_code");
    assert_eq!(refused("EURO", 1, 0), "currency_code");
    assert_eq!(refused("EUR", 1, 5_000_000), "nanos"); // half a cent
    assert_eq!(refused("JPY", 1, 10_000_000), "nanos"); // a yen has no cents
    assert_eq!(refused("EUR", 1, -10_000_000), "nanos"); // signs differ
    assert_eq!(refused("EUR", 1, 1_000_000_000), "nanos"); // a whole unit
    assert_eq!(refused("EUR", i64::MAX, 0), "units");
    assert_eq!(refused("EUR", 0, 0), "units");
    assert_eq!(refused("EUR", -1, 0), "units");
    assert_eq!(refused("EUR", 0, -10_000_000), "nanos");
}

#[test]
fn amounts_read_as_people_write_them() {
    let shown = |code, minor| Money::new(Currency::parse(code).unwrap(), minor).to_string();

    assert_eq!(shown("EUR", 1_205), "12.05 EUR");
    assert_eq!(shown("EUR", -5), "-0.05 EUR");
    assert_eq!(shown("JPY", 1_205), "1205 JPY");
    assert_eq!(shown("KWD", 1_205), "1.205 KWD");
}

#[test]
fn currencies_do_not_mix() {
    let (euro, dollar) = (Money::new(Currency::EUR, 1), Money::new(Currency::USD, 1));

    assert_eq!(euro.checked_add(dollar), None);
    assert_eq!(euro.checked_sub(dollar), None);
}
