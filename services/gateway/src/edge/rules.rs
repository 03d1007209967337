//! Headers that the configuration sets, removes and renames.

use http::{HeaderMap, HeaderName, HeaderValue};

/// What is done to the headers of every request, or of every answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(super) remove: Vec<HeaderName>,
    pub(super) rename: Vec<(HeaderName, HeaderName)>,
    pub(super) set: Vec<(HeaderName, HeaderValue)>,
}

impl Rules {
    /// First what goes, then what has another name, then what is set whatever was there.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (from, to) in &self.rename {
            let values: Vec<_> = headers.get_all(from).iter().cloned().collect();
            if values.is_empty() {
                continue;
            }
            headers.remove(from);
            headers.remove(to);
            for value in values {
                headers.append(to, value);
            }
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
    }

    /// The names that headers have because of them.
    pub(super) fn names(&self) -> impl Iterator<Item = &HeaderName> {
        let renamed = self.rename.iter().map(|(_, to)| to);
        renamed.chain(self.set.iter().map(|(name, _)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_go_are_renamed_and_are_set_in_this_order() {
        let name = HeaderName::from_static;
        let value = HeaderValue::from_static;
        let rules = Rules {
            remove: vec![name("b")],
            rename: vec![(name("a"), name("b")), (name("absent"), name("c"))],
            set: vec![(name("d"), value("set"))],
        };
        let given = [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("e", "5")];
        let mut headers: HeaderMap =
            given.into_iter().map(|(key, text)| (name(key), value(text))).collect();
        headers.append("a", value("one more"));

        rules.apply(&mut headers);

        let all: Vec<_> = headers.get_all("b").iter().collect();
        assert_eq!(all, ["1", "one more"]);
        assert!(headers.get("a").is_none());
        for (name, text) in [("c", "3"), ("d", "set"), ("e", "5")] {
            assert_eq!(headers[name], text);
        }
    }
}
