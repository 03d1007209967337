//! Protobuf in, domain out, and back. Parsing happens here and nowhere else.

mod lists;

use std::time::SystemTime;

use mesh_log::requests::digest;
use mesh_rpc::{Fields, Invalid};
use prost_types::Timestamp;
use shop::{
    common::v1 as common,
    money::{self, Currency, Money},
    payments::v1 as proto,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{CardToken, Given, Payment, State, Terms};

pub(crate) use self::lists::{entries_page, list_ledger_entries, list_payments, payments_page};

const TOKEN_LIMIT: usize = 100;

/// What a request to change a payment says: the payment, the request's key and its digest.
pub(crate) struct Keys {
    pub payment_id: Uuid,
    pub key: Uuid,
    pub digest: [u8; 16],
}

pub(crate) fn authorize(
    request: proto::AuthorizePaymentRequest,
) -> Result<(Uuid, Terms, CardToken), Invalid> {
    let mut fields = Fields::default();
    let payment_id = fields.uuid("request_id", &request.request_id);
    let terms = Terms {
        digest: digest(&request),
        order_id: fields.uuid("order_id", &request.order_id),
        amount: amount(&mut fields, &request.amount),
    };
    let card_token = fields.text("card_token", &request.card_token, 1..=TOKEN_LIMIT);
    fields.finish((payment_id, terms, CardToken::new(card_token)))
}

pub(crate) fn capture(
    request: &proto::CapturePaymentRequest,
) -> Result<(Keys, Option<Money>), Invalid> {
    let mut fields = Fields::default();
    let keys = keys(&mut fields, &request.request_id, &request.payment_id, digest(request));
    let part = request.amount.as_ref().map(|_| amount(&mut fields, &request.amount));
    fields.finish((keys, part))
}

pub(crate) fn undo(request: &proto::UndoPaymentRequest) -> Result<Keys, Invalid> {
    let mut fields = Fields::default();
    let keys = keys(&mut fields, &request.request_id, &request.payment_id, digest(request));
    fields.finish(keys)
}

pub(crate) fn refund(request: &proto::RefundPaymentRequest) -> Result<(Keys, Money), Invalid> {
    let mut fields = Fields::default();
    let keys = keys(&mut fields, &request.request_id, &request.payment_id, digest(request));
    let amount = amount(&mut fields, &request.amount);
    fields.finish((keys, amount))
}

pub(crate) fn get(request: &proto::GetPaymentRequest) -> Result<Uuid, Invalid> {
    let mut fields = Fields::default();
    let payment_id = fields.uuid("payment_id", &request.payment_id);
    fields.finish(payment_id)
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
        create_time: Some(timestamp(payment.create_time)),
        update_time: Some(timestamp(payment.update_time)),
    }
}

pub(crate) fn refunded(refund: &Given) -> proto::Refund {
    let state = match refund.is_done {
        true => proto::RefundState::Succeeded,
        false => proto::RefundState::Pending,
    };
    proto::Refund {
        refund_id: refund.id.to_string(),
        payment_id: refund.payment_id.to_string(),
        amount: Some(money::to_wire(refund.amount)),
        state: state.into(),
        create_time: Some(timestamp(refund.create_time)),
        complete_time: refund.complete_time.map(timestamp),
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

fn timestamp(time: OffsetDateTime) -> Timestamp {
    SystemTime::from(time).into()
}

fn keys(fields: &mut Fields, request_id: &str, payment_id: &str, digest: [u8; 16]) -> Keys {
    let key = fields.uuid("request_id", request_id);
    Keys { payment_id: fields.uuid("payment_id", payment_id), key, digest }
}

/// Reads an amount of more than zero.
fn amount(fields: &mut Fields, money: &Option<common::Money>) -> Money {
    match money.as_ref().map(money::positive_from_wire) {
        Some(Ok(amount)) => return amount,
        None => fields.refuse("amount", "FIELD_MISSING", "must be given"),
        Some(Err(malformed)) => {
            let (reason, right) = malformed.blame();
            fields.refuse(&format!("amount.{}", malformed.field), reason, right);
        }
    }
    Money::zero(Currency::EUR)
}
