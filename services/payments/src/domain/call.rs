//! What the card processor is asked, what it answers, and what that makes known.

use shop::money::Money;
use uuid::Uuid;

/// Something to ask the processor. It carries its own key: asking again does nothing twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Reserve the amount. The key is the payment's id.
    Authorize { card_token: String, amount: Money },
    /// Take what is reserved.
    Capture { key: Uuid },
    /// Free what is reserved, and refuse what has not arrived yet.
    Void { key: Uuid },
    /// Give back.
    Refund { key: Uuid, amount: Money },
}

/// What the processor said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Authorized,
    Declined {
        reason: String,
    },
    /// The authorization came after its void.
    Cancelled,
    Captured {
        key: Uuid,
    },
    CaptureRefused {
        key: Uuid,
    },
    Voided,
    /// The void came after a capture.
    AlreadyCaptured,
    Refunded {
        key: Uuid,
    },
}

/// Something about money that is known now; announced, and entered in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    Authorized {
        amount: Money,
    },
    Declined {
        reason: String,
    },
    /// `was_held` is false if the capture was found out without the authorization.
    Captured {
        amount: Money,
        was_held: bool,
    },
    Voided {
        amount: Money,
    },
    Refunded {
        amount: Money,
    },
}
