//! What the release before would not survive. A statement is fine because a rule here says so: what no
//! rule knows is refused as well, so that nobody has to think of everything that can go wrong.

use super::schema::{Schema, Words, items, kind, within};
use super::tokens::Token;

/// Statements that change nothing that is there, whatever they say.
const HARMLESS: [&str; 12] = [
    "analyze", "begin", "comment", "commit", "grant", "insert", "lock", "reindex", "select", "set",
    "show", "vacuum",
];
/// What can be made beside what is there, without changing what that does.
const MADE: [&str; 12] = [
    "aggregate",
    "collation",
    "domain",
    "extension",
    "function",
    "index",
    "materialized",
    "procedure",
    "sequence",
    "statistics",
    "table",
    "type",
];
/// What of a table or a column can be changed without anybody noticing.
const UNNOTICED: [&str; 5] = ["cluster", "replica", "reset", "set", "validate"];

/// What of a statement the release before would not survive, in words that follow its place.
pub(super) fn faults(statement: &[Token], schema: &Schema) -> Vec<String> {
    let mut words = Words::of(statement);
    if words.eat(&["alter", "table"]) {
        words.skip(&["if", "exists", "only"]);
        let Some(table) = words.name() else { return vec![unknown(statement)] };
        if schema.is_new(&table) {
            return Vec::new();
        }
        words.skip(&["*"]);
        let actions = items(words.rest());
        return actions.iter().filter_map(|action| altered(&table, action, schema)).collect();
    }
    let fault = if words.eat(&["create"]) {
        created(words, schema, statement)
    } else if words.eat(&["drop"]) {
        dropped(words, schema)
    } else if words.eat(&["alter", "type"]) {
        let adds = statement.windows(2).any(|two| two[0].is("add") && two[1].is("value"));
        (!adds).then(|| unknown(statement))
    } else if words.eat(&["truncate"]) || words.eat(&["delete", "from"]) {
        words.skip(&["table", "only"]);
        let table = words.name().unwrap_or_default();
        (!schema.is_new(&table)).then(|| format!("deletes rows of `{table}`"))
    } else if words.eat(&["update"]) {
        updated(words, schema)
    } else if statement.first().is_some_and(|first| HARMLESS.iter().any(|it| first.is(it))) {
        None
    } else {
        Some(unknown(statement))
    };
    fault.into_iter().collect()
}

fn unknown(statement: &[Token]) -> String {
    let words: Vec<_> = statement.iter().take(4).map(|token| token.text.as_str()).collect();
    format!("says `{} …`, of which no rule knows what it takes away", words.join(" "))
}

fn created(mut words: Words<'_>, schema: &Schema, statement: &[Token]) -> Option<String> {
    words.skip(&["or", "replace", "temp", "temporary", "unlogged", "recursive"]);
    if words.eat(&["unique"]) {
        words.skip(&["index", "concurrently", "if", "not", "exists"]);
        let on = words.rest().iter().position(|token| token.is("on"))?;
        let mut words = Words::of(&words.rest()[on + 1..]);
        words.skip(&["only"]);
        let table = words.name()?;
        let columns = within(words.rest()).unwrap_or_default();
        let is_narrow = !schema.is_new(&table) && schema.names_known_column(&table, columns);
        return is_narrow.then(|| narrowed(&table, "UNIQUE"));
    }
    // A view that is replaced keeps its columns, their order and their types: PostgreSQL sees to it.
    let is_fine = words.eat(&["view"]) || MADE.iter().any(|it| words.eat(&[it]));
    (!is_fine).then(|| unknown(statement))
}

fn dropped(mut words: Words<'_>, schema: &Schema) -> Option<String> {
    words.skip(&["materialized", "foreign"]);
    let what = words.one()?.text.clone();
    words.skip(&["concurrently", "if", "exists"]);
    loop {
        let name = words.name().unwrap_or_default();
        let is_new =
            if what == "table" { schema.is_new(&name) } else { schema.is_new_other(&name) };
        if !is_new {
            return Some(format!("drops the {what} `{name}`"));
        }
        if !words.eat(&[","]) {
            return None;
        }
    }
}

/// Rows are filled in, in columns that only newer releases read.
fn updated(mut words: Words<'_>, schema: &Schema) -> Option<String> {
    words.skip(&["only"]);
    let table = words.name()?;
    let rest = words.rest();
    let set = rest.iter().position(|token| token.is("set"))?;
    let is_end = |token: &Token| token.is("from") || token.is("where") || token.is("returning");
    // What a question in parentheses says is no end.
    let rest = &rest[set + 1..];
    let mut depth = 0_i32;
    let end = rest.iter().position(|token| {
        depth += i32::from(token.is("(")) - i32::from(token.is(")"));
        depth == 0 && is_end(token)
    });
    for assignment in items(&rest[..end.unwrap_or(rest.len())]) {
        let target = assignment.split(|token| token.is("=")).next().unwrap_or_default();
        for column in target.iter().filter_map(Token::name) {
            if !schema.is_new_column(&table, column) {
                return Some(format!("changes what `{column}` of `{table}` says"));
            }
        }
    }
    None
}

fn narrowed(table: &str, by: &str) -> String {
    format!("refuses by a {by} what could be written to `{table}`")
}

/// One action of ALTER TABLE on a table that a published release knows.
fn altered(table: &str, action: &[Token], schema: &Schema) -> Option<String> {
    let mut words = Words::of(action);
    if words.eat(&["add"]) {
        return added(table, words, schema);
    }
    if words.eat(&["drop", "constraint"]) {
        words.skip(&["if", "exists"]);
        let name = words.name()?;
        // PostgreSQL's own names say what a constraint is. What is unique is relied on by ON CONFLICT.
        let only_refuses = ["_check", "_fkey"].iter().any(|end| name.ends_with(end));
        return (!only_refuses).then(|| format!("drops the constraint `{name}` of `{table}`"));
    }
    if words.eat(&["drop"]) {
        words.skip(&["column", "if", "exists"]);
        let column = words.name()?;
        let is_new = schema.is_new_column(table, &column);
        return (!is_new).then(|| format!("drops the column `{column}` of `{table}`"));
    }
    if words.eat(&["rename"]) {
        let is_column =
            !["to", "constraint"].iter().any(|it| words.rest().first().is_some_and(|t| t.is(it)));
        words.skip(&["column"]);
        let column = words.name().filter(|_| is_column);
        let is_new = column.as_ref().is_some_and(|column| schema.is_new_column(table, column));
        let what = column.map_or_else(|| format!("`{table}`"), |it| format!("`{it}` of `{table}`"));
        return (!is_new).then(|| format!("renames {what}"));
    }
    if words.eat(&["alter"]) {
        words.skip(&["column"]);
        let column = words.name()?;
        let is_new = schema.is_new_column(table, &column);
        return changed(table, &column, words, schema).filter(|_| !is_new);
    }
    let moves =
        words.rest().windows(2).next().is_some_and(|two| two[0].is("set") && two[1].is("schema"));
    let is_fine = !moves && UNNOTICED.iter().any(|it| words.eat(&[it]));
    (!is_fine).then(|| unknown(action))
}

/// A column, or a constraint.
fn added(table: &str, mut words: Words<'_>, schema: &Schema) -> Option<String> {
    if words.is_column() {
        words.skip(&["column", "if", "not", "exists"]);
        let column = words.name()?;
        let says = |word: &str| words.rest().iter().any(|token| token.is(word));
        let pairs = words.rest().windows(2);
        let mut pairs = pairs.map(|two| (two[0].text.as_str(), two[1].text.as_str()));
        let is_needed = pairs.any(|two| two == ("not", "null") || two == ("primary", "key"));
        let fills_itself =
            says("default") || says("generated") || kind(words.rest()).ends_with("serial");
        return (is_needed && !fills_itself).then(|| {
            format!("adds to `{table}` the column `{column}`, NOT NULL and without a DEFAULT")
        });
    }
    let what = words.rest().iter().find(|token| {
        ["check", "unique", "primary", "foreign", "exclude"].iter().any(|it| token.is(it))
    });
    let what = what.map_or_else(|| "constraint".to_owned(), |token| token.text.to_uppercase());
    let columns = within(words.rest());
    // About new columns alone it refuses nothing that who does not know them writes: PostgreSQL has seen
    // that it holds of what they are by default.
    let is_narrow = columns.is_none_or(|columns| schema.names_known_column(table, columns));
    is_narrow.then(|| narrowed(table, &what))
}

/// What ALTER COLUMN does.
fn changed(table: &str, column: &str, mut words: Words<'_>, schema: &Schema) -> Option<String> {
    let of = format!("`{column}` of `{table}`");
    if words.eat(&["set", "not", "null"]) {
        return Some(format!("makes {of} NOT NULL"));
    }
    if words.eat(&["drop", "default"]) {
        return Some(format!("drops the DEFAULT of {of}"));
    }
    if words.eat(&["drop", "not", "null"]) {
        return None;
    }
    let mut typed = words;
    typed.skip(&["set", "data"]);
    if typed.eat(&["type"]) {
        let (from, to) = (schema.kind(table, column).unwrap_or("?"), kind(typed.rest()));
        return (!widens(from, &to)).then(|| format!("changes {of} from {from} to {to}"));
    }
    let first = words.one().is_some_and(|it| it.is("set") || it.is("reset"));
    (!first || words.eat(&["generated"]))
        .then(|| format!("changes {of} in a way that no rule knows"))
}

/// Whether whoever reads and writes the one type can go on doing so with the other. An `int` that becomes
/// a `bigint` is none: a driver that is to read four bytes refuses eight.
fn widens(from: &str, to: &str) -> bool {
    let text = |kind: &str| {
        let kind = kind.replace("character varying", "varchar");
        let length = kind.strip_prefix("varchar").map(|it| it.trim_matches(['(', ')']).to_owned());
        match length {
            Some(length) if length.is_empty() => Some(u32::MAX),
            Some(length) => length.parse().ok(),
            None => (kind == "text").then_some(u32::MAX),
        }
    };
    let number = |kind: &str| {
        let inner = kind.strip_prefix("numeric(")?.strip_suffix(')')?;
        let (digits, scale) = inner.split_once(',').unwrap_or((inner, "0"));
        Some((digits.trim().parse::<u32>().ok()?, scale.trim().parse::<u32>().ok()?))
    };
    let longer = text(from).zip(text(to)).is_some_and(|(from, to)| to >= from);
    let of_number = number(from).is_some_and(|(digits, scale)| {
        to == "numeric"
            || number(to).is_some_and(|(more, finer)| {
                finer >= scale && more.saturating_sub(finer) >= digits.saturating_sub(scale)
            })
    });
    from == to || longer || of_number
}
