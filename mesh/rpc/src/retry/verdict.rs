//! What an attempt's answer says about making another.

use std::time::Duration;

use http::{HeaderName, Response};
use tonic::{Code, Status};

use super::{Peeked, Rule};
use crate::{Disposition, disposition, method::code_of, refusal};

/// When the callee wants to be asked again, in milliseconds; negative or no number is never
/// (gRFC A6).
pub(crate) const PUSHBACK: HeaderName = HeaderName::from_static(PUSHBACK_NAME);
pub(crate) const PUSHBACK_NAME: &str = "grpc-retry-pushback-ms";

/// The result of an attempt.
pub(crate) type Outcome = Result<Response<Peeked>, Status>;

/// What an attempt's answer says about making another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It succeeded.
    Success,
    /// It failed for good.
    Final,
    /// A layer of this side refused it, having done what could be done.
    Refused,
    /// The callee wants no repetition.
    Forbidden,
    /// It may have been done, and doing it twice is not the same.
    Unsafe,
    /// Another attempt is due; after this time, if the callee said so.
    Repeatable(Option<Duration>),
}

impl Verdict {
    pub(crate) fn read(rule: &Rule, outcome: &mut Outcome) -> Self {
        let (code, pushback, disposition) = match outcome {
            Ok(response) => {
                let Some(end) = Peeked::end(response) else { return Self::Success };
                let pushback = end.get(PUSHBACK).map(|value| value.to_str().unwrap_or(""));
                let code = code_of(end).unwrap_or(Code::Unknown);
                (code, pushback.map(parse), refusal::disposition_of(end))
            }
            Err(status) if refusal::local(status).is_some() => return Self::Refused,
            Err(status) => {
                let pushback = status.metadata().get(PUSHBACK_NAME);
                let pushback = pushback.map(|value| value.to_str().unwrap_or(""));
                (status.code(), pushback.map(parse), disposition(status))
            }
        };
        match (code, pushback) {
            (Code::Ok, _) => Self::Success,
            (_, Some(None)) => Self::Forbidden,
            (Code::ResourceExhausted, Some(Some(_))) => rule.gate(pushback.flatten(), disposition),
            (code, pushback) if rule.codes.contains(code) => {
                rule.gate(pushback.flatten(), disposition)
            }
            _ => Self::Final,
        }
    }

    /// Whether it says that the target is in trouble, for the budget.
    pub(crate) fn is_failure(self) -> bool {
        matches!(self, Self::Forbidden | Self::Unsafe | Self::Repeatable(_))
    }
}

impl Rule {
    fn gate(&self, pushback: Option<Duration>, disposition: Disposition) -> Verdict {
        if self.idempotent || disposition != Disposition::MaybeProcessed {
            Verdict::Repeatable(pushback)
        } else {
            Verdict::Unsafe
        }
    }
}

fn parse(text: &str) -> Option<Duration> {
    // gRFC A6 has an int32.
    let millis = text.parse::<i32>().ok().and_then(|millis| u64::try_from(millis).ok())?;
    Some(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use tonic::body::Body;

    use super::*;
    use crate::{refusal::Refusal, retry::Codes, transport};

    fn answer(code: Code, pushback: Option<&'static str>) -> Outcome {
        let mut response = Response::new(Peeked::unread(Body::empty()));
        response.headers_mut().insert("grpc-status", HeaderValue::from(code as i32));
        if let Some(pushback) = pushback {
            response.headers_mut().insert(PUSHBACK, HeaderValue::from_static(pushback));
        }
        Ok(response)
    }

    fn safe(code: Code, pushback: Option<&'static str>) -> Verdict {
        Verdict::read(&Rule::default().idempotent(), &mut answer(code, pushback))
    }

    #[test]
    fn the_code_decides_unless_the_callee_says_more() {
        assert_eq!(safe(Code::Ok, None), Verdict::Success);
        assert_eq!(safe(Code::Unavailable, None), Verdict::Repeatable(None));
        for code in [Code::Internal, Code::Unknown, Code::Cancelled, Code::Aborted, Code::NotFound]
        {
            assert_eq!(safe(code, Some("5")), Verdict::Final, "{code:?}");
        }
    }

    #[test]
    fn a_pushback_is_obeyed_and_one_that_is_no_number_is_a_refusal() {
        let pushback = |text| safe(Code::Unavailable, Some(text));

        assert_eq!(pushback("25"), Verdict::Repeatable(Some(Duration::from_millis(25))));
        assert_eq!(pushback("0"), Verdict::Repeatable(Some(Duration::ZERO)));
        for text in ["-1", "", "soon", "1.5", "2147483648", " 5"] {
            assert_eq!(pushback(text), Verdict::Forbidden, "{text}");
        }
    }

    #[test]
    fn resource_exhausted_is_repeated_only_if_the_callee_says_when() {
        let codes = Codes::new(&[Code::ResourceExhausted, Code::Unavailable]);
        let rule = Rule::default().idempotent().codes(codes);
        let read = |pushback| Verdict::read(&rule, &mut answer(Code::ResourceExhausted, pushback));

        assert_eq!(read(None), Verdict::Final);
        assert_eq!(read(Some("7")), Verdict::Repeatable(Some(Duration::from_millis(7))));
        assert_eq!(read(Some("-7")), Verdict::Forbidden);
    }

    #[test]
    fn what_is_not_idempotent_is_repeated_only_if_it_was_not_done() {
        let rule = Rule::default();
        let read = |mut outcome| Verdict::read(&rule, &mut outcome);

        assert_eq!(read(answer(Code::Unavailable, None)), Verdict::Unsafe);
        let lost = transport::gave_up(Code::Unavailable, "lost");
        assert_eq!(read(Err(lost)), Verdict::Unsafe);
        let unsent = transport::not_sent(Code::Unavailable, "unsent");
        assert_eq!(read(Err(unsent)), Verdict::Repeatable(None));
    }

    #[test]
    fn a_refusal_of_this_side_is_no_word_of_the_callee() {
        let mut refused = Err(transport::refused(Refusal::NoEndpoint, "none"));

        let verdict = Verdict::read(&Rule::default().idempotent(), &mut refused);

        assert_eq!(verdict, Verdict::Refused);
        assert!(!verdict.is_failure());
    }
}
