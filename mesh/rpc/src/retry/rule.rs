//! Whether one method may be repeated, and after which answers.

use mesh_policy::{Idempotency, Method, RequestId, RetryCodes, values};
use tonic::Code;

/// What repeats a method's calls: one of the two, never both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Repeat {
    /// A failed attempt is followed by another.
    Retry(values::Retry),
    /// A slow attempt is joined by another; a failed one is followed at once.
    Hedge(values::Hedge),
}

/// How the calls of one method may be repeated: the contract's facts and what operators set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    pub(crate) repeat: Repeat,
    pub(crate) codes: Codes,
    pub(crate) idempotent: bool,
    pub(crate) unary: bool,
}

impl Default for Rule {
    /// A unary method that is not known to be idempotent: only what its callee has not processed is
    /// repeated, after UNAVAILABLE.
    fn default() -> Self {
        Self {
            repeat: Repeat::Retry(values::Retry::default()),
            codes: Codes::default(),
            idempotent: false,
            unary: true,
        }
    }
}

impl Rule {
    /// The rule of a method by its contract, with the default values.
    ///
    /// Idempotent is what has no side effects, says that it is, or carries a `request_id` by which
    /// the callee knows a repetition.
    pub fn of(method: &Method) -> Self {
        let idempotent =
            method.idempotency != Idempotency::Unknown || method.request_id == RequestId::Required;
        let codes = Codes::of(method.retry_codes);
        Self { idempotent, codes, unary: !method.server_streaming, ..Self::default() }
    }

    /// Whoever repeats the method does no harm.
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// The method answers with a stream: it is committed by the answer's headers.
    pub fn streaming(mut self) -> Self {
        self.unary = false;
        self
    }

    /// Repeats after these codes instead of UNAVAILABLE alone.
    pub fn codes(mut self, codes: Codes) -> Self {
        self.codes = codes;
        self
    }

    /// Retries with these values; one attempt is none.
    pub fn retry(mut self, values: values::Retry) -> Self {
        self.repeat = Repeat::Retry(values);
        self
    }

    /// Hedges instead of retrying, where that does no harm and gives the caller one answer: an
    /// idempotent unary method. Any other stays as it is.
    ///
    /// Ask the contract whether it allows it.
    pub fn hedge(mut self, values: values::Hedge) -> Self {
        if self.idempotent && self.unary {
            self.repeat = Repeat::Hedge(values);
        }
        self
    }

    /// What repeats the method's calls.
    pub fn repeat(&self) -> Repeat {
        self.repeat
    }

    /// Attempts in all, at least 1, at most gRFC A6's five.
    pub(crate) fn attempts(&self) -> u32 {
        let attempts = match self.repeat {
            Repeat::Retry(values) => values.attempts,
            Repeat::Hedge(values) => values.attempts,
        };
        attempts.clamp(1, values::Retry::MAX_ATTEMPTS)
    }
}

/// Codes after which a call is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codes(u32);

impl Default for Codes {
    /// UNAVAILABLE.
    fn default() -> Self {
        Self::new(&[Code::Unavailable])
    }
}

impl Codes {
    /// Says nothing about the callee's state, or needs more than the same call again: ABORTED is
    /// for whoever began the transaction.
    const NEVER: [Code; 5] =
        [Code::Ok, Code::Cancelled, Code::Unknown, Code::Internal, Code::Aborted];

    /// These codes, without those after which the stack never repeats: CANCELLED, UNKNOWN, INTERNAL,
    /// ABORTED.
    ///
    /// RESOURCE_EXHAUSTED counts only with a pushback that is not negative, and then always.
    pub fn new(codes: &[Code]) -> Self {
        let allowed = codes.iter().filter(|code| !Self::NEVER.contains(code));
        Self(allowed.fold(0, |set, code| set | bit(*code)))
    }

    /// Those that a contract lists; UNAVAILABLE, after which only what was not processed is
    /// repeated, if it lists none.
    fn of(contract: RetryCodes) -> Self {
        if contract.is_empty() {
            return Self::default();
        }
        let listed = (0..17).filter(|code| contract.contains(*code)).map(Code::from_i32);
        Self::new(&listed.collect::<Vec<_>>())
    }

    /// Whether the code alone asks for a repetition.
    pub fn contains(self, code: Code) -> bool {
        self.0 & bit(code) != 0 && code != Code::ResourceExhausted
    }
}

fn bit(code: Code) -> u32 {
    1 << (code as i32)
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;

    fn method(idempotency: Idempotency, request_id: RequestId) -> Method {
        Method {
            access: mesh_policy::Access::PUBLIC,
            path: Arc::from("echo.v1.EchoService/Say"),
            default_deadline: Duration::from_secs(1),
            max_deadline: Duration::from_secs(1),
            request_id,
            idempotency,
            retry_codes: mesh_policy::RetryCodes::NONE,
            hedging: false,
            criticality: mesh_policy::Criticality::Default,
            server_streaming: false,
            client_streaming: false,
            deprecation: None,
        }
    }

    #[test]
    fn a_method_is_idempotent_only_if_its_contract_says_so() {
        let is = |idempotency, id| Rule::of(&method(idempotency, id)).idempotent;

        assert!(is(Idempotency::NoSideEffects, RequestId::NotNeeded));
        assert!(is(Idempotency::Idempotent, RequestId::NotNeeded));
        assert!(is(Idempotency::Unknown, RequestId::Required));
        assert!(!is(Idempotency::Unknown, RequestId::NotNeeded));
        assert!(!is(Idempotency::Unknown, RequestId::Exempt));
    }

    #[test]
    fn what_is_not_idempotent_or_streams_is_never_hedged() {
        let hedged =
            |rule: Rule| matches!(rule.hedge(values::Hedge::default()).repeat, Repeat::Hedge(_));

        assert!(hedged(Rule::default().idempotent()));
        assert!(!hedged(Rule::default()));
        assert!(!hedged(Rule::default().idempotent().streaming()));
    }

    #[test]
    fn some_codes_are_never_repeated_whatever_is_asked_for() {
        let all: Vec<_> = (0..17).map(Code::from_i32).collect();
        let codes = Codes::new(&all);

        for code in [Code::Ok, Code::Internal, Code::Unknown, Code::Cancelled, Code::Aborted] {
            assert!(!codes.contains(code), "{code:?}");
        }
        assert!(!codes.contains(Code::ResourceExhausted), "only with pushback");
        assert!(codes.contains(Code::Unavailable) && codes.contains(Code::DeadlineExceeded));
        assert!(!Codes::default().contains(Code::DeadlineExceeded));
    }

    #[test]
    fn attempts_are_one_to_five() {
        let attempts = |attempts| {
            let values = values::Retry { attempts, ..values::Retry::default() };
            Rule::default().retry(values).attempts()
        };

        assert_eq!([attempts(0), attempts(1), attempts(5), attempts(100)], [1, 1, 5, 5]);
    }
}
