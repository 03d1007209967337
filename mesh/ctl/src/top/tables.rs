//! A view as tables of words, for a terminal of any width.

use super::{Row, Sagas, View};

/// How a word stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// As it is.
    Plain,
    /// A heading.
    Faint,
    /// A name.
    Strong,
    /// As it should be.
    Good,
    /// Not quite.
    Doubtful,
    /// Not at all.
    Bad,
}

/// A word of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The word.
    pub text: String,
    /// How it stands out.
    pub look: Look,
}

/// Rows of words under a heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// What each column is.
    pub titles: Vec<&'static str>,
    /// As many words each.
    pub rows: Vec<Vec<Cell>>,
    /// How wide each column is.
    pub widths: Vec<usize>,
}

/// Columns of processes, by what gives way first on a narrow terminal: the highest.
const COLUMNS: [(&str, u8); 16] = [
    ("service", 0),
    ("state", 0),
    ("pid", 6),
    ("up", 5),
    ("cpu %", 3),
    ("MiB", 4),
    ("calls/s", 0),
    ("err %", 1),
    ("p50 ms", 2),
    ("p99 ms", 1),
    ("made/s", 7),
    ("err %", 7),
    ("open", 5),
    ("relay", 4),
    ("inbox", 4),
    ("dead", 2),
];
/// Between columns.
const GAP: usize = 2;

impl View {
    /// The tables of processes and of sagas, no wider than this: what matters least is left out.
    pub fn tables(&self, width: usize) -> Vec<Table> {
        let rows = self.services.iter().map(line).collect();
        let mut tables = vec![Table::fitting(&COLUMNS, rows, width)];
        if !self.sagas.is_empty() {
            let columns =
                [("sagas of", 0), ("awake", 0), ("parked", 0), ("oldest", 1), ("steps/s", 2)];
            let rows = self.sagas.iter().map(sagas).collect();
            tables.push(Table::fitting(&columns, rows, width));
        }
        tables
    }
}

impl Table {
    fn fitting(columns: &[(&'static str, u8)], mut rows: Vec<Vec<Cell>>, width: usize) -> Table {
        let mut columns = columns.to_vec();
        loop {
            let widths: Vec<usize> = (0..columns.len())
                .map(|column| {
                    let words = rows.iter().filter_map(|row| row.get(column));
                    let widest = words.map(|cell| cell.text.chars().count()).max().unwrap_or(0);
                    widest.max(columns[column].0.chars().count())
                })
                .collect();
            let needed = widths.iter().map(|width| width + GAP).sum::<usize>();
            let least = (0..columns.len()).max_by_key(|column| columns[*column].1);
            match least.filter(|least| needed > width && columns[*least].1 > 0) {
                Some(least) => {
                    columns.remove(least);
                    rows.iter_mut().for_each(|row| _ = row.remove(least));
                }
                None => {
                    let titles = columns.iter().map(|(title, _)| *title).collect();
                    return Table { titles, rows, widths };
                }
            }
        }
    }
}

fn line(row: &Row) -> Vec<Cell> {
    let name = match row.replica {
        0 => row.service.clone(),
        replica => format!("{} {replica}", row.service),
    };
    let (state, look) = match (row.ready, row.up_seconds) {
        (true, _) => ("ready", Look::Good),
        (false, Some(_)) => ("not ready", Look::Doubtful),
        (false, None) => ("down", Look::Bad),
    };
    let bad_above = |value: Option<f64>, limit: f64| match value {
        Some(value) if value > limit => Look::Bad,
        _ => Look::Plain,
    };
    vec![
        cell(name, Look::Strong),
        cell(state.to_owned(), look),
        cell(row.pid.to_string(), Look::Faint),
        cell(row.up_seconds.map_or_else(dash, age), Look::Plain),
        number(row.cpu_percent, 0, Look::Plain),
        number(row.rss_mib, 0, Look::Plain),
        number(row.calls_per_second, 1, Look::Plain),
        number(row.error_percent, 1, bad_above(row.error_percent, 0.0)),
        number(row.p50_ms, 2, Look::Plain),
        number(row.p99_ms, 2, Look::Plain),
        number(row.made_per_second, 1, Look::Plain),
        number(row.made_error_percent, 1, bad_above(row.made_error_percent, 5.0)),
        number(row.breakers_open, 0, bad_above(row.breakers_open, 0.0)),
        number(row.relay_lag, 0, bad_above(row.relay_lag, 1000.0)),
        number(row.consumer_lag, 0, bad_above(row.consumer_lag, 1000.0)),
        number(row.dead_letters, 0, bad_above(row.dead_letters, 0.0)),
    ]
}

fn sagas(sagas: &Sagas) -> Vec<Cell> {
    let parked = if sagas.parked > 0.0 { Look::Bad } else { Look::Plain };
    let oldest = if sagas.oldest_seconds > 60.0 { Look::Doubtful } else { Look::Plain };
    vec![
        cell(sagas.service.clone(), Look::Strong),
        number(Some(sagas.awake), 0, Look::Plain),
        number(Some(sagas.parked), 0, parked),
        cell(age(sagas.oldest_seconds), oldest),
        number(Some(sagas.steps_per_second), 1, Look::Plain),
    ]
}

fn cell(text: String, look: Look) -> Cell {
    Cell { text, look }
}

fn number(value: Option<f64>, digits: usize, look: Look) -> Cell {
    let text = value.map_or_else(dash, |value| format!("{value:.digits$}"));
    cell(text, if value.is_none() { Look::Faint } else { look })
}

fn dash() -> String {
    "-".to_owned()
}

/// Seconds for people.
fn age(seconds: f64) -> String {
    match seconds {
        ..120.0 => format!("{seconds:.0} s"),
        ..7200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}
