//! Envoy's `x-forwarded-client-cert` header.
//!
//! Elements are separated by commas, one for each proxy on the way; each is `Key=value` pairs
//! separated by semicolons, and a value that contains `,`, `;` or `=` is in double quotes, in which
//! a backslash makes a quote part of it (Envoy's manual, "HTTP header manipulation").

use http::HeaderName;

use super::SpiffeId;

pub(super) const HEADER: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// Returns who called the proxy that is nearest to us: the `URI` of the last element. None if it
/// has none, several, or one that is no SPIFFE id.
pub(super) fn nearest(header: &str) -> Option<SpiffeId> {
    let last = split(header, ',')?.pop()?;
    let pairs = split(last, ';')?;
    let mut uris = pairs.iter().filter_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim().eq_ignore_ascii_case("URI").then(|| value.trim().trim_matches('"'))
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => uri.parse().ok(),
        _ => None,
    }
}

/// Splits where `separator` is outside of quotes. None if a quote is never closed.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut begin) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, char) in text.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if char == separator && !quoted => {
                parts.push(&text[begin..at]);
                begin = at + char.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    (!quoted).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest_of(header: &str) -> Option<String> {
        nearest(header).map(|id| id.to_string())
    }

    #[test]
    fn the_last_element_names_the_caller() {
        let orders = "spiffe://cluster.local/ns/shop/sa/orders";
        let header = format!(
            "By=spiffe://cluster.local/ns/shop/sa/gateway;URI=spiffe://x.y/somebody,\
             By=spiffe://cluster.local/ns/shop/sa/payments;Hash=468e;Subject=\"\";URI={orders}"
        );

        assert_eq!(nearest_of(&header).as_deref(), Some(orders));
        assert_eq!(nearest_of(&format!("URI=\"{orders}\"")).as_deref(), Some(orders));
    }

    #[test]
    fn a_subject_cannot_pose_as_an_element() {
        let header = "URI=spiffe://a.b/good;Subject=\"CN=x,URI=spiffe://a.b/evil;O=\\\",URI=spiffe://a.b/evil\"";

        assert_eq!(nearest_of(header).as_deref(), Some("spiffe://a.b/good"));
    }

    #[test]
    fn what_is_ambiguous_names_nobody() {
        for header in [
            "",
            "Hash=468e",
            "URI=https://a.b/c",
            "URI=spiffe://a.b/c;URI=spiffe://a.b/d",
            "URI=spiffe://a.b/c,Hash=1",
            "URI=spiffe://a.b/c;Subject=\"",
        ] {
            assert_eq!(nearest_of(header), None, "{header}");
        }
    }
}
