//! Finds the binding of a method and a path.
//!
//! A path is read from left to right, and at each segment a literal goes before `*`, and `*` before
//! `**`; what leads nowhere is taken back. Two templates that could not be told apart by this are
//! refused when they are added. A last segment that ends in the verb of a template that fits is always
//! read as that verb, and never as a value with a colon in it.

use std::{borrow::Cow, collections::HashMap};

use http::Method;

use crate::{
    percent::{Place, decode},
    template::{Segment, Template},
};

/// Bindings by path.
#[derive(Debug, Default)]
pub(crate) struct Router {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<String, Node>,
    one: Option<Box<Node>>,
    many: Option<Box<Node>>,
    ends: Vec<End>,
}

#[derive(Debug)]
struct End {
    verb: Option<String>,
    method: Method,
    binding: usize,
}

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// A binding, and the path's segments, undecoded and without the verb.
    Binding(usize, Vec<&'a str>),
    /// Templates that fit, but not with this method; with these.
    Methods(Vec<Method>),
    Nothing,
}

/// One way to read a path.
struct Reading<'a, 'm> {
    raw: Vec<&'a str>,
    decoded: Vec<Option<Cow<'a, str>>>,
    verb: Option<&'a str>,
    method: &'m Method,
    /// Methods with which the path would have led somewhere.
    others: Vec<Method>,
}

impl Router {
    /// Adds a binding; the number of the one that has its place already is the error.
    pub(crate) fn add(
        &mut self,
        method: &Method,
        template: &Template,
        binding: usize,
    ) -> Result<(), usize> {
        let mut node = &mut self.root;
        for segment in template.segments() {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::One => node.one.get_or_insert_default(),
                Segment::Many => node.many.get_or_insert_default(),
            };
        }
        let verb = template.verb().map(str::to_owned);
        let twin = node.ends.iter().find(|end| end.verb == verb && end.method == *method);
        match twin {
            Some(twin) => Err(twin.binding),
            None => {
                node.ends.push(End { verb, method: method.clone(), binding });
                Ok(())
            }
        }
    }

    pub(crate) fn find<'a>(&self, method: &Method, path: &'a str) -> Found<'a> {
        let Some(path) = path.strip_prefix('/') else { return Found::Nothing };
        let plain: Vec<&str> = path.split('/').collect();
        let last = plain.last().and_then(|last| last.rsplit_once(':'));
        let with_verb = last.map(|(segment, verb)| {
            let mut segments = plain.clone();
            segments.pop();
            segments.push(segment);
            (segments, Some(verb))
        });
        for (raw, verb) in with_verb.into_iter().chain([(plain.clone(), None)]) {
            let decoded = raw.iter().map(|raw| decode(raw, Place::Segment)).collect();
            let mut reading = Reading { raw, decoded, verb, method, others: Vec::new() };
            if let Some(binding) = reading.walk(&self.root, 0) {
                return Found::Binding(binding, reading.raw);
            }
            if !reading.others.is_empty() {
                return Found::Methods(reading.others);
            }
        }
        Found::Nothing
    }
}

impl Reading<'_, '_> {
    /// Goes on at `node` with segment `at`.
    fn walk(&mut self, node: &Node, at: usize) -> Option<usize> {
        let Some(raw) = self.raw.get(at) else {
            let many = node.many.as_deref().and_then(|many| self.end(many));
            return self.end(node).or(many);
        };
        // A path with nothing between two slashes is no other's spelling.
        if raw.is_empty() {
            return None;
        }
        let literal = self.decoded[at].as_deref().and_then(|text| node.literals.get(text));
        if let Some(found) = literal.and_then(|node| self.walk(node, at + 1)) {
            return Some(found);
        }
        if let Some(found) = node.one.as_deref().and_then(|node| self.walk(node, at + 1)) {
            return Some(found);
        }
        let is_whole = self.raw[at..].iter().all(|segment| !segment.is_empty());
        node.many.as_deref().filter(|_| is_whole).and_then(|many| self.end(many))
    }

    fn end(&mut self, node: &Node) -> Option<usize> {
        let mut ends = node.ends.iter().filter(|end| end.verb.as_deref() == self.verb);
        let found = ends.clone().find(|end| end.method == *self.method);
        if found.is_none() {
            let new = ends.by_ref().map(|end| end.method.clone());
            for method in new {
                if !self.others.contains(&method) {
                    self.others.push(method);
                }
            }
        }
        found.map(|end| end.binding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(templates: &[&str]) -> Router {
        let mut router = Router::default();
        for (n, template) in templates.iter().enumerate() {
            router.add(&Method::GET, &template.parse().unwrap(), n).unwrap();
        }
        router
    }

    fn found(router: &Router, path: &str) -> Option<usize> {
        match router.find(&Method::GET, path) {
            Found::Binding(binding, _) => Some(binding),
            _ => None,
        }
    }

    #[test]
    fn a_literal_goes_before_one_segment_and_that_before_many() {
        let router = router(&["/v1/**", "/v1/{a}", "/v1/all", "/v1/{a}/b", "/v1/all/{b}/c"]);

        assert_eq!(found(&router, "/v1/all"), Some(2));
        assert_eq!(found(&router, "/v1/%61ll"), Some(2));
        assert_eq!(found(&router, "/v1/other"), Some(1));
        assert_eq!(found(&router, "/v1/all/b"), Some(3), "what leads nowhere is taken back");
        assert_eq!(found(&router, "/v1/all/x/c"), Some(4));
        assert_eq!(found(&router, "/v1/all/x/d"), Some(0));
        assert_eq!(found(&router, "/v1"), Some(0), "`**` may be nothing");
        for nowhere in ["/v1/", "/v1//b", "/v2", "v1/all", ""] {
            assert_eq!(found(&router, nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn a_verb_that_is_known_is_never_a_value() {
        let router = router(&["/v1/{a}:end", "/v1/{a}", "/v1:end"]);

        assert_eq!(found(&router, "/v1/x:end"), Some(0));
        assert_eq!(found(&router, "/v1/x:y"), Some(1));
        assert_eq!(found(&router, "/v1/x%3Aend"), Some(1), "an encoded colon is none");
        assert_eq!(found(&router, "/v1/x:y:end"), Some(0));
        assert_eq!(found(&router, "/v1:end"), Some(2));
        assert_eq!(found(&router, "/v1/:end"), Some(1));
    }

    #[test]
    fn another_method_is_told_with_all_that_fit() {
        let mut router = router(&["/v1/{a}:end", "/v1/{a}"]);
        router.add(&Method::POST, &"/v1/{b}".parse().unwrap(), 7).unwrap();

        let put = router.find(&Method::PUT, "/v1/x");
        assert_eq!(put, Found::Methods(vec![Method::GET, Method::POST]));
        let post = router.find(&Method::POST, "/v1/x:end");
        assert_eq!(post, Found::Methods(vec![Method::GET]), "it is no value either");
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused() {
        let mut router = router(&["/v1/{a=b/*}/c"]);

        let twin = "/v1/b/{x}/c".parse().unwrap();
        assert_eq!(router.add(&Method::GET, &twin, 1), Err(0));
        assert_eq!(router.add(&Method::PUT, &twin, 1), Ok(()));
    }
}
