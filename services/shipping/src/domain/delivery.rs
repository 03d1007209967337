//! When a parcel arrives: zone and speed say after how many working days.

use time::{Date, Weekday};

use super::{Speed, Zone};

/// Between which days a parcel arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Working days after the day from which is counted.
    pub earliest_days: u8,
    pub latest_days: u8,
    pub earliest: Date,
    pub latest: Date,
}

/// When a parcel arrives that leaves on the day `from`; the day itself does not count.
pub fn estimate(zone: Zone, speed: Speed, from: Date) -> Estimate {
    let (earliest_days, latest_days) = match (zone, speed) {
        (Zone::Near, Speed::Standard) => (1, 2),
        (Zone::Near, Speed::Express) => (1, 1),
        (Zone::Union, Speed::Standard) => (2, 4),
        (Zone::Union, Speed::Express) => (1, 2),
        (Zone::Europe, Speed::Standard) => (3, 5),
        (Zone::Europe, Speed::Express) => (2, 3),
        (Zone::Overseas, Speed::Standard) => (6, 10),
        (Zone::Overseas, Speed::Express) => (2, 4),
    };
    let (earliest, latest) = (working_day(from, earliest_days), working_day(from, latest_days));
    Estimate { earliest_days, latest_days, earliest, latest }
}

/// The working day that comes as the `nth` after `from`, which may be a day of a weekend.
fn working_day(from: Date, nth: u8) -> Date {
    let mut day = from;
    for _ in 0..nth {
        day = next(day);
        while is_weekend(day) {
            day = next(day);
        }
    }
    day
}

fn is_weekend(day: Date) -> bool {
    matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday)
}

/// The calendar ends on a Friday in the year 9999.
fn next(day: Date) -> Date {
    day.next_day().unwrap_or(day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::{Duration, macros::date};

    use super::*;

    #[test]
    fn weekends_are_skipped() {
        let days = [
            // From a Monday: Tuesday, and Friday.
            (date!(2026 - 11 - 23), 1, date!(2026 - 11 - 24)),
            (date!(2026 - 11 - 23), 4, date!(2026 - 11 - 27)),
            // A fifth day is the next Monday, a tenth the one after that.
            (date!(2026 - 11 - 23), 5, date!(2026 - 11 - 30)),
            (date!(2026 - 11 - 23), 10, date!(2026 - 12 - 07)),
            // From a Friday, a Saturday and a Sunday the next working day is Monday.
            (date!(2026 - 11 - 27), 1, date!(2026 - 11 - 30)),
            (date!(2026 - 11 - 28), 1, date!(2026 - 11 - 30)),
            (date!(2026 - 11 - 29), 1, date!(2026 - 11 - 30)),
            // Over the end of a year.
            (date!(2026 - 12 - 31), 1, date!(2027 - 01 - 01)),
            (date!(2026 - 12 - 31), 2, date!(2027 - 01 - 04)),
        ];
        for (from, nth, arrives) in days {
            assert_eq!(working_day(from, nth), arrives, "{nth} after {from}");
        }
    }

    #[test]
    fn an_express_parcel_is_there_before_a_standard_one() {
        for zone in [Zone::Near, Zone::Union, Zone::Europe, Zone::Overseas] {
            let from = date!(2026 - 11 - 23);
            let (standard, express) =
                (estimate(zone, Speed::Standard, from), estimate(zone, Speed::Express, from));

            assert!(express.latest < standard.latest, "{zone:?}");
            assert!(express.earliest <= standard.earliest, "{zone:?}");
        }
    }

    #[test]
    fn the_end_of_the_calendar_is_no_trap() {
        assert_eq!(working_day(Date::MAX, 10), Date::MAX);
    }

    proptest! {
        #[test]
        fn so_many_working_days_lie_between(start in 0..20_000_i64, nth in 1..=10_u8) {
            let from = date!(2000 - 01 - 01) + Duration::days(start);

            let arrives = working_day(from, nth);

            let mut between = 0;
            let mut day = from;
            while day < arrives {
                day = day.next_day().unwrap();
                between += u8::from(!is_weekend(day));
            }
            prop_assert_eq!(between, nth);
            prop_assert!(!is_weekend(arrives));
        }
    }
}
