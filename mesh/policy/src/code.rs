//! Codes after which a call may be repeated.

use std::fmt;

/// The codes of gRPC, with its numbers.
pub(crate) const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The codes of gRPC after which a method may be called again (gRFC A6), as its contract lists
/// them. A set of numbers in one word: a look-up costs a shift.
///
/// Only UNAVAILABLE and RESOURCE_EXHAUSTED are ever in it; the latter is repeated only if the
/// answer says when (`grpc-retry-pushback-ms`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryCodes(u32);

impl RetryCodes {
    /// The number of UNAVAILABLE.
    pub const UNAVAILABLE: i32 = 14;
    /// The number of RESOURCE_EXHAUSTED.
    pub const RESOURCE_EXHAUSTED: i32 = 8;
    /// No code: the method is never repeated after an answer.
    pub const NONE: Self = Self(0);

    /// Whether the code with this number (`tonic::Code as i32`) is among them.
    pub fn contains(self, code: i32) -> bool {
        u32::try_from(code).is_ok_and(|code| code < 32 && self.0 & (1 << code) != 0)
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// The same codes and this one.
    pub(crate) fn with(self, code: i32) -> Self {
        u32::try_from(code).map_or(self, |code| Self(self.0 | 1_u32.checked_shl(code).unwrap_or(0)))
    }

    /// Lists their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        (0..).zip(NAMES).filter(move |(code, _)| self.contains(*code)).map(|(_, name)| name)
    }
}

impl fmt::Display for RetryCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        f.write_str(&self.names().collect::<Vec<_>>().join(", "))
    }
}

/// Why no contract may list this code; nothing if it may.
pub(crate) fn objection(code: i32) -> Option<&'static str> {
    Some(match code {
        RetryCodes::UNAVAILABLE | RetryCodes::RESOURCE_EXHAUSTED => return None,
        0 => "OK is no failure",
        1 => "after CANCELLED nobody waits for an answer",
        2 => "after UNKNOWN nobody knows what happened",
        4 => "after DEADLINE_EXCEEDED no time is left",
        10 => "ABORTED is repeated by who reads again first, not by the mesh",
        13 => "INTERNAL is a fault that the same request meets again",
        15 => "after DATA_LOSS what is lost stays lost",
        3 | 5..=7 | 9 | 11 | 12 | 16 => "it is an answer, and would be the same again",
        _ => "gRPC has no such code",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let codes = RetryCodes::NONE.with(14).with(8);

        assert!(codes.contains(RetryCodes::UNAVAILABLE));
        assert_eq!(codes.to_string(), "RESOURCE_EXHAUSTED, UNAVAILABLE");
        assert!(![0, 1, 2, 13, -1, 40].into_iter().any(|code| codes.contains(code)));
        assert_eq!(RetryCodes::NONE.to_string(), "none");
    }

    #[test]
    fn two_codes_may_be_repeated() {
        let allowed: Vec<_> = (-1..40).filter(|code| objection(*code).is_none()).collect();

        assert_eq!(allowed, [8, 14]);
    }
}
