//! What a database has, as its migrations say: tables, columns with their types, and what else has a
//! name.

use std::collections::BTreeMap;

use super::tokens::{Kind, Token};

/// Words that begin what a column is besides its type.
const BESIDE_TYPE: [&str; 11] = [
    "not",
    "null",
    "default",
    "check",
    "primary",
    "unique",
    "references",
    "generated",
    "constraint",
    "collate",
    "storage",
];
/// Words that begin an item of a table that is no column.
const NO_COLUMN: [&str; 7] =
    ["constraint", "check", "unique", "primary", "foreign", "exclude", "like"];
/// Words between CREATE or DROP and what is made or dropped.
const ADJECTIVES: [&str; 10] = [
    "or",
    "replace",
    "temp",
    "temporary",
    "unlogged",
    "unique",
    "materialized",
    "recursive",
    "constraint",
    "foreign",
];

/// The objects of a database.
#[derive(Clone, Debug, Default)]
pub(super) struct Schema {
    tables: BTreeMap<String, Table>,
    /// Views, indexes, functions and so on, and whether they are new.
    others: BTreeMap<String, bool>,
}

#[derive(Clone, Debug, Default)]
struct Table {
    is_new: bool,
    columns: BTreeMap<String, Column>,
}

#[derive(Clone, Debug)]
struct Column {
    is_new: bool,
    kind: String,
}

impl Schema {
    /// Whether no published release knows this table.
    pub fn is_new(&self, table: &str) -> bool {
        self.tables.get(table).is_some_and(|it| it.is_new)
    }

    /// The same of one of its columns.
    pub fn is_new_column(&self, table: &str, column: &str) -> bool {
        let table = self.tables.get(table);
        table.is_some_and(|it| it.is_new || it.columns.get(column).is_some_and(|it| it.is_new))
    }

    /// The same of anything else that has a name.
    pub fn is_new_other(&self, name: &str) -> bool {
        self.others.get(name).copied().unwrap_or_default()
    }

    /// Whether words name a column of the table that a published release knows.
    pub fn names_known_column(&self, table: &str, words: &[Token]) -> bool {
        let Some(table) = self.tables.get(table) else { return true };
        let is_known = |name: &str| table.columns.get(name).is_some_and(|it| !it.is_new);
        words.iter().filter_map(Token::name).any(is_known)
    }

    /// The type of a column, if it is known.
    pub fn kind(&self, table: &str, column: &str) -> Option<&str> {
        Some(&self.tables.get(table)?.columns.get(column)?.kind)
    }

    /// Notes what a statement makes or takes away; `is_new` if no published release has run it.
    pub fn learn(&mut self, statement: &[Token], is_new: bool) {
        let mut words = Words::of(statement);
        if words.eat(&["create"]) {
            self.create(words, is_new);
        } else if words.eat(&["drop"]) {
            words.skip(&ADJECTIVES);
            words.one();
            words.skip(&["concurrently", "if", "exists"]);
            while let Some(name) = words.name() {
                self.tables.remove(&name);
                self.others.remove(&name);
                if !words.eat(&[","]) {
                    return;
                }
            }
        } else if words.eat(&["alter", "table"]) {
            words.skip(&["if", "exists", "only"]);
            let Some(name) = words.name() else { return };
            for action in items(words.rest()) {
                self.alter(&name, action, is_new);
            }
        }
    }

    fn create(&mut self, mut words: Words<'_>, is_new: bool) {
        words.skip(&ADJECTIVES);
        let is_table = words.eat(&["table"]);
        if !is_table {
            words.one();
        }
        words.skip(&["concurrently", "if", "not", "exists"]);
        let Some(name) = words.name() else { return };
        if !is_table {
            self.others.entry(name).or_insert(is_new);
            return;
        }
        let mut table = Table { is_new, columns: BTreeMap::new() };
        if let Some(inner) = within(words.rest()) {
            for item in items(inner) {
                let is_column =
                    item.first().is_some_and(|it| !NO_COLUMN.iter().any(|no| it.is(no)));
                let column = Words::of(item).name().filter(|_| is_column);
                if let Some(column) = column {
                    table.columns.insert(column, Column { is_new, kind: kind(&item[1..]) });
                }
            }
        }
        self.tables.entry(name).or_insert(table);
    }

    fn alter(&mut self, table: &str, action: &[Token], is_new: bool) {
        let mut words = Words::of(action);
        let columns = &mut self.tables.entry(table.to_owned()).or_default().columns;
        if words.eat(&["add"]) && words.is_column() {
            words.skip(&["column", "if", "not", "exists"]);
            if let Some(column) = words.name() {
                columns.insert(column, Column { is_new, kind: kind(words.rest()) });
            }
        } else if words.eat(&["drop"]) && !words.eat(&["constraint"]) {
            words.skip(&["column", "if", "exists"]);
            words.name().map(|column| columns.remove(&column));
        } else if words.eat(&["alter"]) {
            words.skip(&["column"]);
            let Some(column) = words.name() else { return };
            words.skip(&["set", "data"]);
            if words.eat(&["type"])
                && let Some(known) = columns.get_mut(&column)
            {
                known.kind = kind(words.rest());
            }
        }
    }
}

/// Words of a statement, one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    rest: &'a [Token],
}

impl<'a> Words<'a> {
    pub fn of(rest: &'a [Token]) -> Words<'a> {
        Words { rest }
    }

    pub fn rest(&self) -> &'a [Token] {
        self.rest
    }

    /// Takes these words, if they come next.
    pub fn eat(&mut self, words: &[&str]) -> bool {
        let comes = self.rest.len() >= words.len();
        let comes = comes && self.rest.iter().zip(words).all(|(token, word)| token.is(word));
        if comes {
            self.rest = &self.rest[words.len()..];
        }
        comes
    }

    /// Takes whatever of these words come next.
    pub fn skip(&mut self, words: &[&str]) {
        while self.rest.first().is_some_and(|token| words.iter().any(|word| token.is(word))) {
            self.rest = &self.rest[1..];
        }
    }

    pub fn one(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// Takes a name, of which only what stands behind the last dot counts: a service has one schema.
    pub fn name(&mut self) -> Option<String> {
        let mut name = self.rest.first()?.name()?.to_owned();
        self.rest = &self.rest[1..];
        while self.eat(&["."]) {
            name = self.one()?.name()?.to_owned();
        }
        Some(name)
    }

    /// Whether it is a column that follows behind ADD.
    pub fn is_column(&self) -> bool {
        self.rest.first().is_some_and(|token| !NO_COLUMN.iter().any(|no| token.is(no)))
    }
}

/// What stands between the first parenthesis and the one that closes it.
pub(super) fn within(tokens: &[Token]) -> Option<&[Token]> {
    let from = tokens.iter().position(|token| token.is("("))?;
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        depth = if token.is("(") { depth + 1 } else { depth };
        depth = if token.is(")") { depth - 1 } else { depth };
        if depth == 0 {
            return Some(&tokens[from + 1..at]);
        }
    }
    None
}

/// What commas part that stand in no parentheses.
pub(super) fn items(tokens: &[Token]) -> Vec<&[Token]> {
    let mut depth = 0_usize;
    let parts = tokens.split(|token| {
        depth = if token.is("(") || token.is("[") { depth + 1 } else { depth };
        depth = if token.is(")") || token.is("]") { depth.saturating_sub(1) } else { depth };
        depth == 0 && token.is(",")
    });
    parts.filter(|part| !part.is_empty()).collect()
}

/// The type that a column's words begin with.
pub(super) fn kind(tokens: &[Token]) -> String {
    let is_end = |token: &Token| {
        token.is("using")
            || BESIDE_TYPE.iter().any(|word| token.is(word))
            || token.is("compression")
    };
    let mut text = String::new();
    for token in tokens.iter().take_while(|token| !is_end(token)) {
        let joins = token.kind == Kind::Word && text.ends_with(|c: char| c.is_alphanumeric());
        text += if joins { " " } else { "" };
        text += &token.text;
    }
    text
}
