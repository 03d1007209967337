//! A row of `shipments`, read.

use shop::money::{Currency, Money};
use sqlx::{Row as _, postgres::PgRow};

use crate::domain::{Address, Parcel, Shipment, Speed, State, Terms, Zone};

/// The columns that a [`Row`] is read from.
macro_rules! columns {
    () => {
        "id, digest, order_id, customer_id, state, version, created_at, released_at, dispatched_at, ended_at,
         speed, weight_grams, zone, currency, price_minor, positions"
    };
}
pub(super) use columns;

/// What is kept of a shipment.
pub struct Row {
    pub shipment: Shipment,
    /// Digest of the request that created it; `None` in the mark of a cancel.
    pub digest: Option<[u8; 16]>,
    /// Set only by whoever creates the shipment; an address is never read with the rest.
    pub address: Option<Address>,
}

impl sqlx::FromRow<'_, PgRow> for Row {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let shipment = Shipment {
            id: row.try_get("id")?,
            order_id: row.try_get("order_id")?,
            customer_id: row.try_get("customer_id")?,
            state: state(row.try_get("state")?)?,
            version: row.try_get("version")?,
            created: row.try_get("created_at")?,
            released: row.try_get("released_at")?,
            dispatched: row.try_get("dispatched_at")?,
            ended: row.try_get("ended_at")?,
            terms: terms(row)?,
            positions: row.try_get("positions")?,
        };
        let digest: Option<Vec<u8>> = row.try_get("digest")?;
        let digest = digest.as_deref().map(sixteen).transpose()?;
        Ok(Self { shipment, digest, address: None })
    }
}

/// Reads a digest.
pub(super) fn sixteen(bytes: &[u8]) -> sqlx::Result<[u8; 16]> {
    bytes.try_into().map_err(|_| sqlx::Error::Decode("a digest has 16 bytes".into()))
}

fn terms(row: &PgRow) -> sqlx::Result<Option<Terms>> {
    let Some(speed) = row.try_get("speed")? else { return Ok(None) };
    let speed = match speed {
        "STANDARD" => Speed::Standard,
        "EXPRESS" => Speed::Express,
        other => return Err(unknown("speed", other)),
    };
    let zone = match row.try_get("zone")? {
        "NEAR" => Zone::Near,
        "UNION" => Zone::Union,
        "EUROPE" => Zone::Europe,
        "OVERSEAS" => Zone::Overseas,
        other => return Err(unknown("zone", other)),
    };
    let code: &str = row.try_get("currency")?;
    let currency = Currency::parse(code).ok_or_else(|| unknown("currency", code))?;
    let price = Money::new(currency, row.try_get("price_minor")?);
    let parcel = Parcel { speed, grams: row.try_get("weight_grams")? };
    Ok(Some(Terms { parcel, zone, price }))
}

fn state(text: &str) -> sqlx::Result<State> {
    Ok(match text {
        "HELD" => State::Held,
        "RELEASED" => State::Released,
        "DISPATCHED" => State::Dispatched,
        "DELIVERED" => State::Delivered,
        "LOST" => State::Lost,
        "CANCELLED" => State::Cancelled,
        other => return Err(unknown("state", other)),
    })
}

fn unknown(what: &str, value: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("unknown {what} {value}").into())
}
