//! Whether two answers in JSON say the same, and where they do not.

use serde_json::Value;

/// Differences that are named; of answers that have nothing in common the first are enough.
const MOST: usize = 20;
/// Names of fields are no longer; what is may be somebody's.
const LONGEST: usize = 64;

/// Places of an answer that may differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ignored(Vec<Vec<String>>);

impl Ignored {
    /// Adds a place and all below it: a JSON pointer (RFC 6901), in which `*` is any name or number.
    pub(super) fn add(&mut self, pointer: &str) -> Result<(), String> {
        let Some(rest) = pointer.strip_prefix('/').filter(|rest| !rest.is_empty()) else {
            return Err(format!(
                "`{pointer}` is no place of an answer: expected a JSON pointer such as /product/etag"
            ));
        };
        let tokens = rest.split('/').map(|token| token.replace("~1", "/").replace("~0", "~"));
        self.0.push(tokens.collect());
        Ok(())
    }

    fn has(&self, place: &[String]) -> bool {
        let fits = |pattern: &[String]| {
            let mut pairs = pattern.iter().zip(place);
            pattern.len() == place.len() && pairs.all(|(a, b)| a == "*" || a == b)
        };
        self.0.iter().any(|pattern| fits(pattern))
    }
}

/// The places at which `a` and `b` differ, as JSON pointers; never what stands there.
pub(super) fn differences(a: &Value, b: &Value, ignored: &Ignored) -> Vec<String> {
    let mut walk = Walk { ignored, place: Vec::new(), found: Vec::new() };
    walk.compare(a, b);
    walk.found
}

struct Walk<'a> {
    ignored: &'a Ignored,
    place: Vec<String>,
    found: Vec<String>,
}

impl Walk<'_> {
    fn compare(&mut self, a: &Value, b: &Value) {
        match (a, b) {
            (Value::Object(a), Value::Object(b)) => {
                for (name, value) in a {
                    self.below(name, Some(value), b.get(name));
                }
                for (name, value) in b.iter().filter(|(name, _)| !a.contains_key(*name)) {
                    self.below(name, None, Some(value));
                }
            }
            (Value::Array(a), Value::Array(b)) => {
                for at in 0..a.len().max(b.len()) {
                    self.below(&at.to_string(), a.get(at), b.get(at));
                }
            }
            _ if is_same(a, b) => {}
            _ => self.note(),
        }
    }

    fn below(&mut self, name: &str, a: Option<&Value>, b: Option<&Value>) {
        if self.found.len() >= MOST {
            return;
        }
        self.place.push(name.to_owned());
        if !self.ignored.has(&self.place) {
            match (a, b) {
                (Some(a), Some(b)) => self.compare(a, b),
                _ => self.note(),
            }
        }
        self.place.pop();
    }

    fn note(&mut self) {
        let tokens = self.place.iter().map(|token| format!("/{}", shown(token)));
        self.found.push(tokens.collect());
    }
}

/// Numbers are the same however they are written.
fn is_same(a: &Value, b: &Value) -> bool {
    let is_number = |value: &Value| value.is_f64() || value.is_i64() || value.is_u64();
    a == b
        || (is_number(a) && is_number(b) && a.as_f64() == b.as_f64() && (a.is_f64() || b.is_f64()))
}

/// A name, unless it looks like a value: the keys of a map are somebody's words.
fn shown(token: &str) -> &str {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins = token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_number = token.len() < 10 && token.chars().all(|c| c.is_ascii_digit());
    let is_field = begins && token.len() <= LONGEST && token.chars().all(is_name);
    if is_number || is_field { token } else { "*" }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(a: &Value, b: &Value, ignore: &[&str]) -> Vec<String> {
        let mut ignored = Ignored::default();
        ignore.iter().for_each(|pointer| ignored.add(pointer).unwrap());
        differences(a, b, &ignored)
    }

    #[test]
    fn what_says_the_same_is_equal_however_it_is_written() {
        let a = json!({ "product": { "sku": "MUG", "price": { "units": "12", "nanos": 5 } } });
        let b = json!({ "product": { "price": { "nanos": 5.0, "units": "12" }, "sku": "MUG" } });

        assert!(found(&a, &b, &[]).is_empty());
        let large = [9_007_199_254_740_993_u64, 9_007_199_254_740_992].map(|it| json!({ "n": it }));
        assert_eq!(found(&large[0], &large[1], &[]), ["/n"], "whole numbers are compared whole");
    }

    #[test]
    fn places_that_differ_are_named_and_never_what_stands_there() {
        let a = json!({ "name": "Ada", "lines": [{ "sku": "A" }, { "sku": "B" }], "gone": 1,
                        "by": { "ada@example.com": 1, "0123456789": 2, "plain": 3 } });
        let b = json!({ "name": "Bob", "lines": [{ "sku": "A" }, { "sku": "C" }, {}], "new": null,
                        "by": { "ada@example.com": 2, "0123456789": 3, "plain": 4 } });

        let mut places = found(&a, &b, &[]);
        places.sort();
        assert_eq!(
            places,
            ["/by/*", "/by/*", "/by/plain", "/gone", "/lines/1/sku", "/lines/2", "/name", "/new"]
        );
        assert_eq!(found(&json!("a"), &json!("b"), &[]), [""], "the whole");
    }

    #[test]
    fn what_may_differ_is_passed_over_with_all_below_it() {
        let a = json!({ "products": [{ "etag": "1", "at": { "s": 1 } }, { "etag": "2", "n": 1 }] });
        let b = json!({ "products": [{ "etag": "3", "at": { "s": 2 } }, { "etag": "4", "n": 2 }] });

        let ignore = ["/products/*/etag", "/products/0/at"];
        assert_eq!(found(&a, &b, &ignore), ["/products/1/n"]);
        assert!(found(&a, &b, &["/products"]).is_empty());
        let tilde = [json!({ "a/b": 1 }), json!({ "a/b": 2 })];
        assert!(found(&tilde[0], &tilde[1], &["/a~1b"]).is_empty());
        for bad in ["", "/", "etag"] {
            assert!(Ignored::default().add(bad).unwrap_err().contains("/product/etag"), "{bad}");
        }
    }

    #[test]
    fn of_many_differences_the_first_are_enough() {
        let of = |n: i32| json!((0..1000).map(|at| json!({ "n": at + n })).collect::<Vec<_>>());
        assert_eq!(found(&of(0), &of(1), &[]).len(), MOST);
    }
}
