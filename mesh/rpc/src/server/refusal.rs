//! How the server's layers say that they turn a call away.

use std::{error::Error as _, sync::Arc, time::Duration};

use tonic::{Code, Status, metadata::MetadataValue};
use tonic_types::ErrorDetails;

use crate::{
    fault::{Fault, STACK, status},
    refusal::{self, Refusal},
    retry::PUSHBACK_NAME,
};

/// A call was turned away, and maybe when it is worth coming back.
///
/// As a status it is the [`Refusal`]'s code and reason, of the domain `mesh`; if no handler has
/// begun it vouches for that in the header `x-mesh-refusal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", refusal.message())]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// When it may be worth trying again.
    pub retry_in: Option<Duration>,
}

impl Refused {
    /// Returns the refusal that a status of this process was made from.
    pub fn of(status: &Status) -> Option<Self> {
        status.source()?.downcast_ref().copied()
    }

    /// For `refusal`; come back in `retry_in`.
    pub(super) fn for_now(refusal: Refusal, retry_in: Duration) -> Self {
        Self { refusal, retry_in: Some(retry_in) }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, retry_in: None }
    }
}

impl Fault for Refused {
    fn code(&self) -> Code {
        self.refusal.code()
    }

    fn reason(&self) -> &'static str {
        self.refusal.as_str()
    }

    fn describe(&self, details: &mut ErrorDetails) {
        if let Some(retry_in) = self.retry_in {
            details.set_retry_info(Some(retry_in));
        }
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        let mut status = status(STACK, &refused);
        if let Some(retry_in) = refused.retry_in {
            // Rounded up: a caller that comes back a moment too early is turned away again.
            let millis = u64::try_from(retry_in.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
            status.metadata_mut().insert(PUSHBACK_NAME, MetadataValue::from(millis.max(1)));
        }
        refusal::vouch(&mut status, refused.refusal);
        status.set_source(Arc::new(refused));
        status
    }
}

/// Turns a call away without a word on when to come back.
pub(crate) fn refused(refusal: Refusal) -> Status {
    Refused::from(refusal).into()
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt as _;

    use super::*;

    #[test]
    fn a_refusal_says_when_to_come_back_and_what_it_was() {
        let refused = Refused::for_now(Refusal::RateLimited, Duration::from_micros(1_500));

        let status = Status::from(refused);

        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.metadata().get(PUSHBACK_NAME).unwrap(), "2");
        let retry_info = status.get_details_retry_info().unwrap();
        assert_eq!(retry_info.retry_delay, Some(Duration::from_micros(1_500)));
        assert_eq!(Refused::of(&status), Some(refused));
    }

    #[test]
    fn only_a_refusal_before_the_handler_vouches_for_that() {
        for refusal in Refusal::ALL {
            let status = refused(refusal);

            let vouched = status.metadata().contains_key("x-mesh-refusal");
            assert_eq!(vouched, refusal.is_unprocessed(), "{refusal}");
        }
    }
}
