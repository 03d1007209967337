//! Paths that are asked for at one place and are at another.

use http::{Uri, uri::PathAndQuery};

/// Beginnings of paths that others stand for; the longest that fits is taken, once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rewrites(pub(super) Vec<(String, String)>);

impl Rewrites {
    /// The address with its path where it really is; none if it is there already.
    pub(crate) fn apply(&self, uri: &Uri) -> Option<Uri> {
        let path = uri.path();
        let fitting = self.0.iter().filter_map(|(from, to)| Some((from, to, rest(path, from)?)));
        let (_, to, rest) = fitting.max_by_key(|(from, ..)| from.len())?;
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = format!("{to}{rest}{query}");
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
        Uri::from_parts(parts).ok()
    }
}

/// What stands behind `from`, if `path` is that place or below it.
pub(crate) fn rest<'a>(path: &'a str, from: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(from)?;
    (rest.is_empty() || rest.starts_with(['/', ':'])).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_beginning_is_replaced_once() {
        let pairs = [("/api", "/v1"), ("/api/shop", "/v1/orders"), ("/v1", "/v0")];
        let rewrites = Rewrites(pairs.map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec());
        for (asked, is) in [
            ("/api/orders?a=b%20c", Some("/v1/orders?a=b%20c")),
            ("/api", Some("/v1")),
            ("/api/shop/7:watch", Some("/v1/orders/7:watch")),
            ("/api/shop:verb", Some("/v1/orders:verb")),
            ("/api/shopping", Some("/v1/shopping")),
            ("/apis/orders", None),
            ("/v2/api", None),
            ("http://shop.example/api/x%2Fy", Some("http://shop.example/v1/x%2Fy")),
        ] {
            let found = rewrites.apply(&asked.parse().unwrap()).map(|uri| uri.to_string());
            assert_eq!(found.as_deref(), is, "{asked}");
        }
    }
}
