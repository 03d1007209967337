//! Why a request is refused.

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the card was declined: {reason}")]
    CardDeclined { reason: String },
    #[error("the payment was undone before the request arrived")]
    CancelledBeforeArrival,
    #[error("another request with other content came under this id")]
    ContentDiffers,
    #[error("there is no such payment")]
    NotFound,
    #[error("the payment holds no reserved amount")]
    NotAuthorized,
    #[error("the capture was refused")]
    CaptureRefused,
    #[error("more than what is reserved")]
    CaptureTooLarge,
    #[error("nothing was taken that could be given back")]
    NotCaptured,
    #[error("the refund was refused for now")]
    RefundRefused,
    #[error("more than what is left of the payment")]
    RefundTooLarge,
    #[error("the payment has as many refunds as one may have")]
    TooManyRefunds,
    #[error("not the currency of the payment")]
    CurrencyDiffers,
}
