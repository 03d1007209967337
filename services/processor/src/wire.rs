//! Protobuf in, domain out, and back. Parsing happens here and nowhere else.

use std::time::SystemTime;

use mesh_log::requests::digest;
use shop::{
    money::{self, Money},
    processor::v1 as proto,
};
use uuid::Uuid;

use crate::{
    app::{Action, Command, TokenizeCard},
    domain::{CardNumber, Charge, State},
};

const TOKEN_LIMIT: usize = 100;

/// A request field that cannot mean anything to us.
#[derive(Debug, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    pub field: String,
    pub problem: &'static str,
}

pub(crate) fn tokenize_card(request: &proto::TokenizeCardRequest) -> Result<TokenizeCard, Invalid> {
    let request_id = uuid("request_id", &request.request_id)?;
    let number = CardNumber::parse(&request.card_number).ok_or_else(|| {
        invalid("card_number", "must be 12 to 19 digits with a valid check digit")
    })?;
    if !(1..=12).contains(&request.expiry_month) {
        return Err(invalid("expiry_month", "must be 1 to 12"));
    }
    if !(2000..=2100).contains(&request.expiry_year) {
        return Err(invalid("expiry_year", "must be 2000 to 2100"));
    }
    let (expiry_month, expiry_year) = (request.expiry_month, request.expiry_year);
    Ok(TokenizeCard { request_id, number, expiry_month, expiry_year })
}

pub(crate) fn authorize_charge(
    request: &proto::AuthorizeChargeRequest,
) -> Result<Command, Invalid> {
    let request_id = uuid("request_id", &request.request_id)?;
    if request.card_token.is_empty() || request.card_token.chars().count() > TOKEN_LIMIT {
        return Err(invalid("card_token", "must have 1 to 100 characters"));
    }
    let amount = amount(request.amount.as_ref())?;
    let action = Action::Authorize { card_token: request.card_token.clone(), amount };
    Ok(Command { charge_id: request_id, request_id, digest: digest(request), action })
}

pub(crate) fn capture_charge(request: &proto::CaptureChargeRequest) -> Result<Command, Invalid> {
    on_charge(&request.request_id, &request.charge_id, digest(request), Action::Capture)
}

pub(crate) fn void_charge(request: &proto::VoidChargeRequest) -> Result<Command, Invalid> {
    on_charge(&request.request_id, &request.charge_id, digest(request), Action::Void)
}

pub(crate) fn refund_charge(request: &proto::RefundChargeRequest) -> Result<Command, Invalid> {
    let action = Action::Refund { amount: amount(request.amount.as_ref())? };
    on_charge(&request.request_id, &request.charge_id, digest(request), action)
}

pub(crate) fn charge_id(text: &str) -> Result<Uuid, Invalid> {
    uuid("charge_id", text)
}

pub(crate) fn charge(charge: &Charge) -> proto::Charge {
    let currency = charge.amount().map(|amount| amount.currency);
    let part = |minor| currency.map(|currency| money::to_wire(Money::new(currency, minor)));
    proto::Charge {
        charge_id: charge.id.to_string(),
        state: state(charge.state).into(),
        amount: charge.amount().map(money::to_wire),
        authorized: part(charge.authorized),
        captured: part(charge.captured),
        refunded: part(charge.refunded),
        decline_reason: charge.decline_reason.clone().unwrap_or_default(),
        create_time: Some(SystemTime::from(charge.create_time).into()),
    }
}

fn state(state: State) -> proto::ChargeState {
    match state {
        State::Authorized => proto::ChargeState::Authorized,
        State::Declined => proto::ChargeState::Declined,
        State::Captured => proto::ChargeState::Captured,
        State::Voided => proto::ChargeState::Voided,
    }
}

fn on_charge(
    request_id: &str,
    charge_id: &str,
    digest: [u8; 16],
    action: Action,
) -> Result<Command, Invalid> {
    let request_id = uuid("request_id", request_id)?;
    Ok(Command { charge_id: uuid("charge_id", charge_id)?, request_id, digest, action })
}

fn amount(money: Option<&shop::common::v1::Money>) -> Result<Money, Invalid> {
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
