//! Names of services that certificates carry.

use std::{fmt, str::FromStr, sync::Arc};

const SCHEME: &str = "spiffe://";
/// SPIFFE-ID §2.3.
const LONGEST: usize = 2048;
const LONGEST_DOMAIN: usize = 255;

/// The name of a service: `spiffe://<trust domain>/<path>`. Cheap to clone.
///
/// The last segment of the path is the [service](Self::service), everything before it the
/// [namespace](Self::namespace): `spiffe://mesh.local` and `orders`, or
/// `spiffe://cluster.local/ns/shop/sa` and `orders`. Only within one namespace does a service's
/// name say who it is.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    text: Arc<str>,
    /// Where the service's name begins.
    service: usize,
}

/// Ids that differ in the service's name only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Namespace(Arc<str>);

/// Text that is no SPIFFE id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no SPIFFE id")]
pub struct NotSpiffe(String);

impl SpiffeId {
    /// The service's name: the last segment of the path.
    pub fn service(&self) -> &str {
        &self.text[self.service..]
    }

    /// What the id shares with those of its neighbours.
    pub fn namespace(&self) -> Namespace {
        Namespace(Arc::from(self.prefix()))
    }

    /// Whether the id is of `namespace`. Allocates nothing.
    pub fn is_in(&self, namespace: &Namespace) -> bool {
        self.prefix() == &*namespace.0
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The id as text that is shared. Allocates nothing.
    pub(super) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    fn prefix(&self) -> &str {
        &self.text[..self.service - 1]
    }
}

impl Namespace {
    /// The id of the service `name`.
    ///
    /// # Errors
    /// If the name cannot be a segment of a path.
    pub fn id(&self, name: &str) -> Result<SpiffeId, NotSpiffe> {
        let id: SpiffeId = format!("{}/{name}", self.0).parse()?;
        if id.service() == name { Ok(id) } else { Err(NotSpiffe(id.to_string())) }
    }
}

impl FromStr for SpiffeId {
    type Err = NotSpiffe;

    /// Checks what SPIFFE-ID §2 demands: lower-case trust domain, a path without empty or dotted
    /// segments, no query, fragment, port or user.
    fn from_str(text: &str) -> Result<Self, NotSpiffe> {
        let well_formed = || {
            let (domain, path) = text.strip_prefix(SCHEME)?.split_once('/')?;
            let domain_is =
                domain.bytes().all(is_domain) && (1..=LONGEST_DOMAIN).contains(&domain.len());
            (text.len() <= LONGEST && domain_is && path.split('/').all(is_segment)).then_some(())
        };
        well_formed().ok_or_else(|| NotSpiffe(text.to_owned()))?;
        let service = text.rfind('/').map_or(0, |slash| slash + 1);
        Ok(Self { text: Arc::from(text), service })
    }
}

impl FromStr for Namespace {
    type Err = NotSpiffe;

    fn from_str(text: &str) -> Result<Self, NotSpiffe> {
        let text = text.trim_end_matches('/');
        format!("{text}/service").parse::<SpiffeId>().map(|id| id.namespace())
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_domain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_')
}

fn is_segment(segment: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    !matches!(segment, "" | "." | "..") && segment.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_falls_into_namespace_and_service() {
        let id: SpiffeId = "spiffe://cluster.local/ns/shop/sa/orders".parse().unwrap();
        let namespace: Namespace = "spiffe://cluster.local/ns/shop/sa".parse().unwrap();

        assert_eq!(id.service(), "orders");
        assert_eq!(id.namespace(), namespace);
        assert!(id.is_in(&namespace));
        assert_eq!(namespace.id("orders").unwrap(), id);
        assert!(!id.is_in(&"spiffe://cluster.local/ns/other/sa".parse().unwrap()));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "https://mesh.local/orders",
            "spiffe://mesh.local",
            "spiffe://mesh.local/",
            "spiffe:///orders",
            "spiffe://Mesh.local/orders",
            "spiffe://mesh.local:443/orders",
            "spiffe://mesh.local/a//b",
            "spiffe://mesh.local/../orders",
            "spiffe://mesh.local/orders?x",
            "spiffe://mesh.local/ord ers",
        ] {
            assert!(text.parse::<SpiffeId>().is_err(), "{text}");
        }
        let namespace: Namespace = "spiffe://mesh.local".parse().unwrap();
        assert!(namespace.id("a/b").is_err(), "no way into another namespace");
    }
}
