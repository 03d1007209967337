//! Money as every service reckons it: an ISO 4217 currency and whole minor units. Pure.
//!
//! On the wire it is `shop.common.v1.Money`; [`from_wire`] and [`to_wire`] are the only way
//! between the two, so that one place decides what an amount may look like.

use std::{error, fmt, str::FromStr};

use crate::common::v1 as wire;

/// What a currency's smallest unit is: 2 digits make a cent.
const CURRENCIES: [(&str, u32); 22] = [
    ("AUD", 2),
    ("BGN", 2),
    ("BHD", 3),
    ("BRL", 2),
    ("CAD", 2),
    ("CHF", 2),
    ("CNY", 2),
    ("CZK", 2),
    ("DKK", 2),
    ("EUR", 2),
    ("GBP", 2),
    ("HUF", 2),
    ("INR", 2),
    ("JPY", 0),
    ("KRW", 0),
    ("KWD", 3),
    ("NOK", 2),
    ("NZD", 2),
    ("PLN", 2),
    ("RON", 2),
    ("SEK", 2),
    ("USD", 2),
];

/// A nano is a billionth: a unit has this many digits of them.
const NANO_DIGITS: u32 = 9;
const NANOS_PER_UNIT: i32 = 1_000_000_000;

/// A currency whose minor unit is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency {
    code: &'static str,
    minor_digits: u32,
}

impl Currency {
    pub const EUR: Self = Self { code: "EUR", minor_digits: 2 };
    pub const USD: Self = Self { code: "USD", minor_digits: 2 };

    /// The currency with this code of three upper-case letters, if it is one we know.
    pub fn parse(code: &str) -> Option<Self> {
        let &(code, minor_digits) = CURRENCIES.iter().find(|(known, _)| *known == code)?;
        Some(Self { code, minor_digits })
    }

    /// Every currency that [`Currency::parse`] knows.
    pub fn all() -> impl Iterator<Item = Self> {
        CURRENCIES.iter().map(|&(code, minor_digits)| Self { code, minor_digits })
    }

    pub fn as_str(self) -> &'static str {
        self.code
    }

    /// How many decimal digits one unit divides into: 2 for EUR, 0 for JPY.
    pub fn minor_digits(self) -> u32 {
        self.minor_digits
    }

    fn minor_per_unit(self) -> i64 {
        10_i64.pow(self.minor_digits)
    }

    fn nanos_per_minor(self) -> i32 {
        10_i32.pow(NANO_DIGITS - self.minor_digits)
    }
}

impl FromStr for Currency {
    type Err = Malformed;

    fn from_str(code: &str) -> Result<Self, Malformed> {
        Self::parse(code).ok_or(UNKNOWN_CURRENCY)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

/// An amount: `minor` is in cents, or whatever the currency's smallest unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Money {
    pub currency: Currency,
    pub minor: i64,
}

impl Money {
    pub fn new(currency: Currency, minor: i64) -> Self {
        Self { currency, minor }
    }

    pub fn zero(currency: Currency) -> Self {
        Self { currency, minor: 0 }
    }

    /// The sum; `None` if the currencies differ or it is too large.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.combine(other, i64::checked_add)
    }

    /// The difference; `None` if the currencies differ or it is too large.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.combine(other, i64::checked_sub)
    }

    /// `quantity` times this amount; `None` if it is too large.
    pub fn checked_mul(self, quantity: i64) -> Option<Self> {
        Some(Self { minor: self.minor.checked_mul(quantity)?, ..self })
    }

    fn combine(self, other: Self, with: fn(i64, i64) -> Option<i64>) -> Option<Self> {
        if self.currency != other.currency {
            return None;
        }
        Some(Self { minor: with(self.minor, other.minor)?, ..self })
    }
}

/// As people read it: `12.34 EUR`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_unit = self.currency.minor_per_unit().unsigned_abs();
        let (units, rest) =
            (self.minor.unsigned_abs() / per_unit, self.minor.unsigned_abs() % per_unit);
        let sign = if self.minor < 0 { "-" } else { "" };
        match self.currency.minor_digits as usize {
            0 => write!(f, "{sign}{units} {}", self.currency),
            digits => write!(f, "{sign}{units}.{rest:0digits$} {}", self.currency),
        }
    }
}

/// Why a `shop.common.v1.Money` is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The field within the message: `currency_code`, `units` or `nanos`.
    pub field: &'static str,
    pub problem: &'static str,
}

const UNKNOWN_CURRENCY: Malformed =
    Malformed { field: "currency_code", problem: "not an ISO 4217 currency that is dealt in here" };

impl Malformed {
    /// Stable cause for callers, and what the field of an amount above zero must be.
    pub fn blame(&self) -> (&'static str, &'static str) {
        match self.field {
            "currency_code" => ("CURRENCY_UNKNOWN", "must be a currency that is dealt in here"),
            "nanos" => ("AMOUNT_MALFORMED", "must make whole minor units, of the sign of units"),
            _ => ("AMOUNT_OUT_OF_RANGE", "must make an amount above zero that can be reckoned"),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

impl error::Error for Malformed {}

/// Reads an amount, of either sign.
pub fn from_wire(money: &wire::Money) -> Result<Money, Malformed> {
    let currency = Currency::parse(&money.currency_code).ok_or(UNKNOWN_CURRENCY)?;
    let bad_nanos = |problem| Malformed { field: "nanos", problem };
    if money.nanos <= -NANOS_PER_UNIT || money.nanos >= NANOS_PER_UNIT {
        return Err(bad_nanos("a whole unit or more"));
    }
    if i64::from(money.nanos.signum()) * money.units.signum() < 0 {
        return Err(bad_nanos("of another sign than units"));
    }
    if money.nanos % currency.nanos_per_minor() != 0 {
        return Err(bad_nanos("not a whole number of the currency's minor units"));
    }
    let minor = money
        .units
        .checked_mul(currency.minor_per_unit())
        .and_then(|minor| minor.checked_add((money.nanos / currency.nanos_per_minor()).into()))
        .ok_or(Malformed { field: "units", problem: "too large" })?;
    Ok(Money { currency, minor })
}

/// Reads an amount that must be more than zero, as most requests want it.
pub fn positive_from_wire(money: &wire::Money) -> Result<Money, Malformed> {
    match from_wire(money)? {
        amount if amount.minor > 0 => Ok(amount),
        _ if money.nanos < 0 => Err(Malformed { field: "nanos", problem: "must not be negative" }),
        _ => Err(Malformed { field: "units", problem: "the amount must be more than zero" }),
    }
}

/// Writes an amount.
pub fn to_wire(money: Money) -> wire::Money {
    let per_unit = money.currency.minor_per_unit();
    let rest = i32::try_from(money.minor % per_unit).expect("less than one unit");
    wire::Money {
        currency_code: money.currency.code.to_owned(),
        units: money.minor / per_unit,
        nanos: rest * money.currency.nanos_per_minor(),
    }
}
