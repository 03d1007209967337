//! Protobuf in, domain out, and back. Parsing happens here and nowhere else.

use std::time::SystemTime;

use mesh_log::requests::digest;
use shop::{
    common::v1 as common,
    money::{self, Money},
    payments::v1 as proto,
};
use uuid::Uuid;

use crate::domain::{Payment, State, Terms};

const TOKEN_LIMIT: usize = 100;

/// A request field that cannot mean anything to us.
#[derive(Debug, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    pub field: String,
    pub problem: &'static str,
}

/// What a request to change a payment says: the payment, the request's key and its digest.
pub(crate) struct Keys {
    pub payment_id: Uuid,
    pub key: Uuid,
    pub digest: [u8; 16],
}

pub(crate) fn authorize(
    request: proto::AuthorizePaymentRequest,
) -> Result<(Uuid, Terms, String), Invalid> {
    let digest = digest(&request);
    let payment_id = uuid("request_id", &request.request_id)?;
    let order_id = uuid("order_id", &request.order_id)?;
    let amount = amount(request.amount.as_ref())?;
    if request.card_token.is_empty() || request.card_token.chars().count() > TOKEN_LIMIT {
        return Err(invalid("card_token", "must have 1 to 100 characters"));
    }
    Ok((payment_id, Terms { order_id, digest, amount }, request.card_token))
}

pub(crate) fn capture(request: &proto::CapturePaymentRequest) -> Result<Keys, Invalid> {
    keys(&request.request_id, &request.payment_id, digest(request))
}

pub(crate) fn undo(request: &proto::UndoPaymentRequest) -> Result<Keys, Invalid> {
    keys(&request.request_id, &request.payment_id, digest(request))
}

pub(crate) fn refund(request: &proto::RefundPaymentRequest) -> Result<(Keys, Money), Invalid> {
    let keys = keys(&request.request_id, &request.payment_id, digest(request))?;
    Ok((keys, amount(request.amount.as_ref())?))
}

pub(crate) fn payment_id(text: &str) -> Result<Uuid, Invalid> {
    uuid("payment_id", text)
}

pub(crate) fn payment(payment: &Payment) -> proto::Payment {
    let terms = payment.terms.as_ref();
    let part = |minor| {
        let currency = terms?.amount.currency;
        Some(money::to_wire(Money::new(currency, minor)))
    };
    proto::Payment {
        payment_id: payment.id.to_string(),
        order_id: terms.map(|terms| terms.order_id.to_string()).unwrap_or_default(),
        state: state(payment.state).into(),
        amount: terms.map(|terms| money::to_wire(terms.amount)),
        authorized: part(payment.authorized),
        captured: part(payment.captured),
        refunded: part(payment.refunded),
        decline_reason: payment.decline_reason.clone().unwrap_or_default(),
        version: payment.version,
        create_time: Some(SystemTime::from(payment.create_time).into()),
        update_time: Some(SystemTime::from(payment.update_time).into()),
    }
}

fn state(state: State) -> proto::PaymentState {
    match state {
        State::Authorizing => proto::PaymentState::Authorizing,
        State::Authorized => proto::PaymentState::Authorized,
        State::Declined => proto::PaymentState::Declined,
        State::Capturing => proto::PaymentState::Capturing,
        State::Captured => proto::PaymentState::Captured,
        State::Undoing => proto::PaymentState::Undoing,
        State::Undone => proto::PaymentState::Undone,
    }
}

fn keys(request_id: &str, payment_id: &str, digest: [u8; 16]) -> Result<Keys, Invalid> {
    let key = uuid("request_id", request_id)?;
    Ok(Keys { payment_id: uuid("payment_id", payment_id)?, key, digest })
}

fn amount(money: Option<&common::Money>) -> Result<Money, Invalid> {
    let money = money.ok_or_else(|| invalid("amount", "required"))?;
    money::positive_from_wire(money).map_err(|malformed| Invalid {
        field: format!("amount.{}", malformed.field),
        problem: malformed.problem,
    })
}

fn uuid(field: &str, text: &str) -> Result<Uuid, Invalid> {
    // Only the form with hyphens: every identifier has one spelling.
    let hyphenated = text.len() == 36;
    let parsed = hyphenated.then(|| Uuid::try_parse(text).ok()).flatten();
    parsed.ok_or_else(|| invalid(field, "not a UUID"))
}

fn invalid(field: &str, problem: &'static str) -> Invalid {
    Invalid { field: field.to_owned(), problem }
}
