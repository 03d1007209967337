//! Who asks, as far as it is known before the service is called.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use http::request::Parts;

/// The user that a token speaks of: an extension of requests whose token was verified, and of no
/// others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject(pub Arc<str>);

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client(pub(super) IpAddr);

/// Where a request comes from; none of one that came in by no door.
pub(crate) fn address(head: &Parts) -> Option<IpAddr> {
    head.extensions.get().map(|Client(address)| *address)
}

/// Who is counted as one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Caller {
    /// Signed in.
    User(Arc<str>),
    /// Anybody at an address; of IPv6 at what one customer is given, a /64.
    Address(IpAddr),
}

/// Who asks: a user if a token was verified, else whoever is at the address.
pub(crate) fn caller(head: &Parts) -> Caller {
    if let Some(Subject(name)) = head.extensions.get() {
        return Caller::User(Arc::clone(name));
    }
    let nowhere = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    Caller::Address(match address(head).unwrap_or(nowhere) {
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
        address => address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str, subject: Option<&str>) -> Caller {
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.extensions.insert(Client(address.parse().unwrap()));
        if let Some(subject) = subject {
            head.extensions.insert(Subject(subject.into()));
        }
        caller(&head)
    }

    #[test]
    fn a_caller_is_a_user_or_whoever_is_at_an_address() {
        assert_eq!(of("203.0.113.9", Some("ada")), of("203.0.113.10", Some("ada")));
        assert_ne!(of("203.0.113.9", Some("ada")), of("203.0.113.9", None));
        assert_ne!(of("203.0.113.9", None), of("203.0.113.10", None));
        assert_eq!(of("2001:db8::1", None), of("2001:db8::ffff:1", None), "one customer's network");
        assert_ne!(of("2001:db8::1", None), of("2001:db8:0:1::1", None));
    }
}
