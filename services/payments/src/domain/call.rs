//! What the card processor is asked, what it answers, and what that makes known.

use shop::money::Money;
use uuid::Uuid;

use super::CardToken;

/// Something to ask the processor. It carries its own key: asking again does nothing twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Reserve the amount. The key is the payment's id.
    Authorize { card_token: CardToken, amount: Money },
    /// Take what is reserved, or this part of it, and free the rest.
    Capture { key: Uuid, part: Option<Money> },
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
        amount: Money,
    },
    CaptureRefused {
        key: Uuid,
    },
    Voided,
    /// The void came after a capture.
    AlreadyCaptured {
        amount: Money,
    },
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
    /// What was held is taken or freed; nothing was if the capture was found out without the
    /// authorization.
    Captured {
        amount: Money,
        held: i64,
    },
    Voided {
        amount: Money,
    },
    Refunded {
        refund: Uuid,
        amount: Money,
    },
}
