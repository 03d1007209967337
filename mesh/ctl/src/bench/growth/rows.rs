//! The statement that writes a table's rows again, with other ids and earlier times.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use uuid::Uuid;

/// Days ago: the history begins and ends here. Older than what a stream keeps (30 days), so no
/// relay has anything to publish and no auditor misses it in a stream.
const HISTORY: (i64, i64) = (400, 40);
/// What inboxes remember begins here: as much as they may ever hold.
const REMEMBERED: i64 = 29;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A column of a table.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub name: String,
    pub kind: String,
    /// Numbered by the database itself.
    pub identity: bool,
}

/// A table, and what the samples left in it.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub name: String,
    pub columns: Vec<Column>,
    /// Values as PostgreSQL writes them.
    pub rows: Vec<Vec<Option<String>>>,
}

impl Table {
    /// The uuids in uuid columns.
    pub fn ids(&self) -> impl Iterator<Item = Uuid> {
        self.rows.iter().flat_map(|row| {
            let pairs = self.columns.iter().zip(row).filter(|(column, _)| column.kind == "uuid");
            pairs.filter_map(|(_, value)| value.as_ref()?.parse().ok())
        })
    }

    /// The statement that writes all rows again for every `n` from `$1` to `$2`; the history
    /// consists of `repeats`.
    pub fn statement(&self, ids: &[Uuid], repeats: u64) -> String {
        let mut used = BTreeSet::new();
        let mut rows = Vec::new();
        for (place, row) in self.rows.iter().enumerate() {
            rows.push(format!("({})", self.values(place, row, ids, repeats, &mut used)));
        }
        let mut names = String::new();
        for k in &used {
            let _ = write!(names, "{} AS i{k}, ", id(*k, ids[*k], repeats));
        }
        let columns: Vec<_> = self.written().map(|(_, column)| column.name.as_str()).collect();
        format!(
            "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE
             SELECT v.* FROM generate_series($1::bigint, $2::bigint) AS n,
                  LATERAL (SELECT {names} 0 AS none OFFSET 0) AS ids,
                  LATERAL (VALUES {}) AS v",
            self.name,
            columns.join(", "),
            rows.join(", ")
        )
    }

    /// The log is numbered here: its history comes before what is there already.
    fn written(&self) -> impl Iterator<Item = (usize, &Column)> {
        let numbered = self.name == "log";
        self.columns.iter().enumerate().filter(move |(_, column)| numbered || !column.identity)
    }

    fn values(
        &self,
        place: usize,
        row: &[Option<String>],
        ids: &[Uuid],
        repeats: u64,
        used: &mut BTreeSet<usize>,
    ) -> String {
        let value = |(index, column): (usize, &Column)| {
            if column.identity {
                return format!("n * {} + {}", self.rows.len(), place + 1);
            }
            let Some(text) = &row[index] else { return format!("NULL::{}", column.kind) };
            match column.kind.as_str() {
                "uuid" => match text.parse().ok().and_then(|id: Uuid| place_of(ids, id)) {
                    Some(k) => {
                        used.insert(k);
                        format!("i{k}")
                    }
                    None => format!("'{text}'::uuid"),
                },
                "bytea" => bytes(text, ids, used),
                "timestamp with time zone" => earlier(text, self.name == "inbox", repeats),
                kind => format!("'{}'::{kind}", text.replace('\'', "''")),
            }
        };
        self.written().map(value).collect::<Vec<_>>().join(", ")
    }
}

fn place_of(ids: &[Uuid], id: Uuid) -> Option<usize> {
    ids.binary_search(&id).ok()
}

/// An id for every `n`. One that carries its time carries an earlier one, so that indexes grow as
/// they did; others are scattered as before.
fn id(k: usize, id: Uuid, repeats: u64) -> String {
    let digits = format!("md5('{k}:' || n)");
    if id.get_version_num() != 7 {
        return format!("overlay(overlay({digits} placing '5' from 13) placing '8' from 17)::uuid");
    }
    let millis = i64::from_str_radix(&id.simple().to_string()[..12], 16).unwrap_or_default();
    let begin = millis - HISTORY.0 * DAY_MS;
    let step = (HISTORY.0 - HISTORY.1) * DAY_MS / i64::try_from(repeats.max(1)).unwrap_or(1);
    format!(
        "(lpad(to_hex({begin} + n * {step}), 12, '0') || '7' || substr({digits}, 1, 3) || '8'
          || substr({digits}, 4, 15))::uuid"
    )
}

/// The same bytes, with other ids where they hold one, as text or as it is.
fn bytes(text: &str, ids: &[Uuid], used: &mut BTreeSet<usize>) -> String {
    let hex = text.trim_start_matches("\\x");
    let mut parts = Vec::new();
    let (mut from, mut at) = (0, 0);
    while at < hex.len() {
        let Some((k, length, part)) = id_at(&hex[at..], ids) else {
            at += 2;
            continue;
        };
        used.insert(k);
        parts.push(format!("'\\x{}'::bytea", &hex[from..at]));
        parts.push(part);
        at += length;
        from = at;
    }
    parts.push(format!("'\\x{}'::bytea", &hex[from..]));
    parts.join(" || ")
}

/// The id that these hexadecimal digits begin with.
fn id_at(hex: &str, ids: &[Uuid]) -> Option<(usize, usize, String)> {
    let own = hex.get(..32).and_then(|digits| Uuid::parse_str(digits).ok());
    if let Some(k) = own.and_then(|id| place_of(ids, id)) {
        return Some((k, 32, format!("uuid_send(i{k})")));
    }
    let text: Option<String> = hex.get(..72).map(|digits| {
        let pair = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap_or_default();
        (0..72).step_by(2).map(|at| char::from(pair(at))).collect()
    });
    // Only as it is written: another form would not be as long.
    let id = text.filter(|text| text.is_ascii()).and_then(|text| Uuid::parse_str(&text).ok());
    let k = id.and_then(|id| place_of(ids, id))?;
    Some((k, 72, format!("convert_to(i{k}::text, 'UTF8')")))
}

fn earlier(text: &str, remembered: bool, repeats: u64) -> String {
    let (begin, end) = if remembered { (REMEMBERED, 0) } else { HISTORY };
    let step = (begin - end) as f64 * DAY_MS as f64 / 1000.0 / repeats.max(1) as f64;
    format!("'{text}'::timestamptz - interval '{begin} days' + n * interval '{step:.6} seconds'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_in_bytes_are_found_in_both_forms() {
        let id = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
        let digits = id.simple().to_string();
        let text: String = id.to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
        let mut used = BTreeSet::new();

        let both = bytes(&format!("\\x0a10{digits}1224{text}ff"), &[id], &mut used);

        assert_eq!(
            both,
            "'\\x0a10'::bytea || uuid_send(i0) || '\\x1224'::bytea \
             || convert_to(i0::text, 'UTF8') || '\\xff'::bytea"
        );
        assert_eq!(used.len(), 1);
    }

    #[test]
    fn only_the_log_is_numbered_by_the_statement() {
        let id = Uuid::from_u128(7);
        let column = |name: &str, kind: &str, identity| Column {
            name: name.to_owned(),
            kind: kind.to_owned(),
            identity,
        };
        let table = |name: &str| Table {
            name: name.to_owned(),
            columns: vec![column("seq", "bigint", true), column("key", "uuid", false)],
            rows: vec![vec![Some("9".to_owned()), Some(id.to_string())]],
        };

        assert!(table("log").statement(&[id], 5).contains("(n * 1 + 1, i0)"));
        assert!(table("movements").statement(&[id], 5).contains("(VALUES (i0))"));
    }
}
