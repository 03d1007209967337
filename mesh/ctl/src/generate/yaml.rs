//! Values as YAML that reads like a hand's: blocks, keys in alphabetical order, quotes only where a
//! reader could take a word for something else.

use std::fmt::Write as _;

use serde_json::Value;

/// A file of documents that are made from `source`.
pub(super) fn file(source: &str, documents: &[Value]) -> String {
    made_by("gen", source, documents)
}

/// The same, made by another command.
pub(super) fn made_by(command: &str, source: &str, documents: &[Value]) -> String {
    let mut text =
        format!("# Made by `cargo mesh {command}` from {source}: change that, not this.\n");
    for (n, document) in documents.iter().enumerate() {
        if n > 0 {
            text.push_str("---\n");
        }
        match is_block(document) {
            true => block(&mut text, document, 0),
            false => _ = writeln!(text, "{}", inline(document)),
        }
    }
    text
}

fn block(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(fields) => {
            for (n, (key, value)) in fields.iter().enumerate() {
                indent(text, depth, n);
                let _ = write!(text, "{}:", scalar(key));
                // A list stands no deeper than its key, as `kubectl` writes it.
                let deeper = if value.is_array() { depth } else { depth + 1 };
                below(text, value, deeper);
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                indent(text, depth, n);
                text.push('-');
                if is_block(item) {
                    text.push(' ');
                    block(text, item, depth + 1);
                } else {
                    let _ = writeln!(text, " {}", inline(item));
                }
            }
        }
        other => _ = writeln!(text, "{}", inline(other)),
    }
}

fn below(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::String(long) if long.contains('\n') => {
            let chomp = if long.ends_with('\n') { "" } else { "-" };
            let _ = writeln!(text, " |{chomp}");
            for line in long.lines() {
                let _ = writeln!(text, "{}{line}", "  ".repeat(depth));
            }
        }
        value if is_block(value) => {
            text.push('\n');
            // The first line is indented by whoever begins a block.
            text.push_str(&"  ".repeat(depth));
            block(text, value, depth);
        }
        value => _ = writeln!(text, " {}", inline(value)),
    }
}

/// Whoever began the block has indented its first line.
fn indent(text: &mut String, depth: usize, n: usize) {
    if n > 0 {
        text.push_str(&"  ".repeat(depth));
    }
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// A word as it is, if every reader takes it for a word; else in JSON's quotes, which YAML understands.
fn scalar(text: &str) -> String {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    // A colon within a word is a part of it.
    let chars = text.chars().all(|c| plain(c) || c == ':') && !text.ends_with(':');
    let is_word = begins && chars && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if is_word || is_quantity(text) { text.to_owned() } else { Value::from(text).to_string() }
}

/// `250m`, `64Mi`, `5s`: nobody's number.
fn is_quantity(text: &str) -> bool {
    const UNITS: [&str; 5] = ["Gi", "Mi", "ms", "m", "s"];
    let number = UNITS.iter().find_map(|unit| text.strip_suffix(unit));
    number.is_some_and(|it| !it.is_empty() && it.chars().all(|c| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::file;

    #[test]
    fn documents_are_blocks_in_alphabetical_order() {
        let document = json!({
            "kind": "Thing",
            "apiVersion": "v1",
            "spec": {
                "list": [{ "b": 1, "a": ["x", []] }, "word", { "only": { "deep": true } }],
                "empty": {},
                "script": "one\n  two\n",
                "cut": "one\ntwo",
            },
        });

        let text = file("somewhere", &[document, json!({})]);

        assert_eq!(
            text,
            "# Made by `cargo mesh gen` from somewhere: change that, not this.\n\
             apiVersion: v1\nkind: Thing\nspec:\n  cut: |-\n    one\n    two\n  empty: {}\n  list:\n  \
             - a:\n    - x\n    - []\n    b: 1\n  - word\n  - only:\n      deep: true\n  script: |\n    \
             one\n      two\n---\n{}\n"
        );
    }

    #[test]
    fn what_could_be_mistaken_is_quoted() {
        for (word, written) in [
            ("orders", "orders"),
            ("shop.orders.v1/Get", "shop.orders.v1/Get"),
            ("/shop.orders.v1.OrdersService/GetOrder", "/shop.orders.v1.OrdersService/GetOrder"),
            ("spiffe://a/b", "spiffe://a/b"),
            ("true", "\"true\""),
            ("No", "\"No\""),
            ("1", "\"1\""),
            ("1e3", "\"1e3\""),
            ("250m", "250m"),
            ("64Mi", "64Mi"),
            ("s", "s"),
            ("0.0.0.0:1", "\"0.0.0.0:1\""),
            ("a: b", "\"a: b\""),
            ("key:", "\"key:\""),
            ("*", "\"*\""),
            ("", "\"\""),
        ] {
            let text = file("x", &[json!({ "a": word })]);
            assert_eq!(text.lines().nth(1).unwrap(), format!("a: {written}"));
        }
    }
}
