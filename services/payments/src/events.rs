//! Facts as public events, as `shop/payments/v1/events.proto` has them.

use mesh_log::Event;
use shop::{
    money::{Money, to_wire},
    payments::v1 as proto,
};

use crate::domain::{Fact, Payment};

/// The event that announces a fact about a payment.
pub(crate) fn event(payment: &Payment, fact: &Fact) -> Event {
    let payment_id = payment.id.to_string();
    let order_id = payment.terms.as_ref().map(|it| it.order_id.to_string()).unwrap_or_default();
    match fact {
        Fact::Authorized { amount } => {
            let amount = Some(to_wire(*amount));
            Event::public(&proto::PaymentAuthorized { payment_id, order_id, amount })
        }
        Fact::Declined { reason } => {
            let decline_reason = reason.clone();
            Event::public(&proto::PaymentDeclined { payment_id, order_id, decline_reason })
        }
        Fact::Captured { amount, held } => {
            let rest = Money { minor: held - amount.minor, ..*amount };
            let released = (rest.minor > 0).then(|| to_wire(rest));
            let amount = Some(to_wire(*amount));
            Event::public(&proto::PaymentCaptured { payment_id, order_id, amount, released })
        }
        Fact::Voided { .. } => Event::public(&proto::PaymentVoided { payment_id, order_id }),
        Fact::Refunded { refund, amount } => {
            let (amount, refund_id) = (Some(to_wire(*amount)), refund.to_string());
            Event::public(&proto::PaymentRefunded { payment_id, order_id, amount, refund_id })
        }
    }
}
