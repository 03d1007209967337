//! What people see: aligned, coloured only on a terminal.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write as _};
use std::process;

/// How this program was called: `cargo mesh` when cargo runs it.
pub fn program() -> &'static str {
    if std::env::var_os("CARGO").is_some() { "cargo mesh" } else { "meshctl" }
}

/// Prints an error and its causes.
pub fn error(error: &anyhow::Error) {
    let mark = if is_plain(&std::io::stderr()) { "error:" } else { "\x1b[1;31merror:\x1b[0m" };
    eprintln!("{mark} {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because {cause}");
    }
}

/// Prints to stdout. Ends the program in silence if the reader has seen enough.
pub fn put(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => process::exit(0),
        done => done,
    }
}

/// Prints JSON and nothing else.
pub fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    Ok(put(&format!("{}\n", serde_json::to_string_pretty(value)?))?)
}

/// How a word stands out on a terminal.
#[derive(Clone, Copy)]
pub enum Tone {
    /// As it is.
    Plain,
    /// A heading.
    Strong,
    /// Of less interest.
    Faint,
    /// As it should be.
    Good,
    /// Not quite as it should be.
    Doubtful,
    /// Not as it should be.
    Bad,
}

/// The text for stdout, coloured if that is a terminal.
pub fn toned(text: &str, tone: Tone) -> String {
    let code = match tone {
        Tone::Plain => return text.to_owned(),
        Tone::Strong => "1",
        Tone::Faint => "2",
        Tone::Good => "32",
        Tone::Doubtful => "33",
        Tone::Bad => "31",
    };
    if is_plain(&std::io::stdout()) {
        text.to_owned()
    } else {
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Lines with their columns aligned, two spaces in front.
pub fn table(rows: &[Vec<(String, Tone)>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|(text, _)| text.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (text, tone)) in row.iter().enumerate() {
            let padding = widths[column] - text.chars().count();
            let last = column + 1 == row.len();
            let gap = if last { 0 } else { padding + 2 };
            let _ = write!(line, "{}{}", toned(text, *tone), " ".repeat(gap));
        }
        let _ = writeln!(out, "  {}", line.trim_end());
    }
    out
}

fn is_plain(stream: &impl std::io::IsTerminal) -> bool {
    !stream.is_terminal()
        || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("CI").is_some()
}

#[cfg(test)]
mod tests {
    use super::{Tone, table};

    #[test]
    fn columns_are_aligned_and_lines_end_without_spaces() {
        let row = |a: &str, b: &str| vec![(a.to_owned(), Tone::Plain), (b.to_owned(), Tone::Bad)];

        assert_eq!(table(&[row("a", "x"), row("long", "")]), "  a     x\n  long\n");
    }
}
