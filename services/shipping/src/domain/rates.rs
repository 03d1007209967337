//! What bringing a parcel costs.

use shop::money::{Currency, Money};

use super::{Country, Refusal, Zone};

const GRAMS_PER_KILOGRAM: i32 = 1000;

/// How fast a parcel goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speed {
    Standard,
    Express,
}

/// What is to be brought, and how fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parcel {
    pub speed: Speed,
    pub grams: i32,
}

/// On which terms a parcel is brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    pub parcel: Parcel,
    pub zone: Zone,
    pub price: Money,
}

impl Speed {
    /// As it stands in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
            Self::Express => "EXPRESS",
        }
    }
}

/// The terms of today; refused if nobody brings parcels to `country`.
pub fn quote(country: Country, parcel: Parcel) -> Result<Terms, Refusal> {
    let zone = country.zone().ok_or(Refusal::AddressNotServed { country })?;
    Ok(Terms { parcel, zone, price: price(zone, parcel) })
}

/// The first kilogram has one price, every further one that has begun another.
fn price(zone: Zone, parcel: Parcel) -> Money {
    let (first, further) = match (zone, parcel.speed) {
        (Zone::Near, Speed::Standard) => (4_90, 60),
        (Zone::Near, Speed::Express) => (9_90, 90),
        (Zone::Union, Speed::Standard) => (7_90, 1_10),
        (Zone::Union, Speed::Express) => (16_90, 1_80),
        (Zone::Europe, Speed::Standard) => (11_90, 1_90),
        (Zone::Europe, Speed::Express) => (23_90, 2_80),
        (Zone::Overseas, Speed::Standard) => (19_90, 4_50),
        (Zone::Overseas, Speed::Express) => (39_90, 7_50),
    };
    let kilograms = i64::from((parcel.grams - 1).max(0) / GRAMS_PER_KILOGRAM);
    Money::new(Currency::EUR, first + further * kilograms)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ZONES: [Zone; 4] = [Zone::Near, Zone::Union, Zone::Europe, Zone::Overseas];

    #[test]
    fn a_kilogram_that_has_begun_counts() {
        let cents = |grams| price(Zone::Near, Parcel { speed: Speed::Standard, grams }).minor;

        assert_eq!([1, 999, 1000].map(cents), [490; 3]);
        assert_eq!([1001, 2000].map(cents), [550; 2]);
        assert_eq!([2001, 30_000].map(cents), [610, 490 + 29 * 60]);
    }

    #[test]
    fn nobody_quotes_for_a_country_that_nobody_serves() {
        let country = Country::parse("AQ").unwrap();
        let parcel = Parcel { speed: Speed::Express, grams: 1 };

        assert_eq!(quote(country, parcel), Err(Refusal::AddressNotServed { country }));
    }

    proptest! {
        #[test]
        fn heavier_faster_and_farther_is_never_cheaper(grams in 1..=30_000, more in 0..=30_000) {
            let cents = |zone, speed, grams| price(zone, Parcel { speed, grams }).minor;
            for (n, zone) in ZONES.into_iter().enumerate() {
                for speed in [Speed::Standard, Speed::Express] {
                    let light = cents(zone, speed, grams);
                    prop_assert!(light > 0);
                    prop_assert!(light <= cents(zone, speed, grams + more));
                    if let Some(farther) = ZONES.get(n + 1) {
                        prop_assert!(light < cents(*farther, speed, grams));
                    }
                }
                prop_assert!(
                    cents(zone, Speed::Standard, grams) < cents(zone, Speed::Express, grams)
                );
            }
        }
    }
}
