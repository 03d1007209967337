//! Protobuf in, domain out, and back. Parsing happens here and nowhere else.

use std::time::SystemTime;

use mesh_log::requests::digest;
use mesh_rpc::{Fields, Invalid};
use shop::{
    common::v1 as common,
    money::{self, Currency, Money},
    processor::v1 as proto,
};
use uuid::Uuid;

use crate::{
    app::{Action, Command, TokenizeCard},
    domain::{CardNumber, CardToken, Charge, State},
};

const TOKEN_LIMIT: usize = 100;

pub(crate) fn tokenize_card(request: &proto::TokenizeCardRequest) -> Result<TokenizeCard, Invalid> {
    let mut fields = Fields::default();
    let request_id = fields.uuid("request_id", &request.request_id);
    let number = CardNumber::parse(&request.card_number);
    if number.is_none() {
        let right = "must be 12 to 19 digits with a valid check digit";
        fields.refuse("card_number", "CARD_NUMBER_MALFORMED", right);
    }
    fields.number("expiry_month", request.expiry_month.into(), 1..=12);
    let expiry_month = u8::try_from(request.expiry_month).ok().and_then(|it| it.try_into().ok());
    let expiry_year = request.expiry_year;
    fields.number("expiry_year", expiry_year.into(), 2000..=2100);
    let (number, expiry_month) = fields
        .finish(number.zip(expiry_month))?
        .expect("a number or a month is missing only with a violation");
    Ok(TokenizeCard { request_id, number, expiry_month, expiry_year })
}

pub(crate) fn authorize_charge(
    request: &proto::AuthorizeChargeRequest,
) -> Result<Command, Invalid> {
    let mut fields = Fields::default();
    let request_id = fields.uuid("request_id", &request.request_id);
    let card_token = fields.text("card_token", &request.card_token, 1..=TOKEN_LIMIT);
    let card_token = CardToken::new(card_token);
    let action = Action::Authorize { card_token, amount: amount(&mut fields, &request.amount) };
    fields.finish(Command { charge_id: request_id, request_id, digest: digest(request), action })
}

pub(crate) fn capture_charge(request: &proto::CaptureChargeRequest) -> Result<Command, Invalid> {
    let mut fields = Fields::default();
    let part = request.amount.as_ref().map(|_| amount(&mut fields, &request.amount));
    let action = Action::Capture { part };
    on_charge(fields, &request.request_id, &request.charge_id, digest(request), action)
}

pub(crate) fn void_charge(request: &proto::VoidChargeRequest) -> Result<Command, Invalid> {
    let (fields, action) = (Fields::default(), Action::Void);
    on_charge(fields, &request.request_id, &request.charge_id, digest(request), action)
}

pub(crate) fn refund_charge(request: &proto::RefundChargeRequest) -> Result<Command, Invalid> {
    let mut fields = Fields::default();
    let action = Action::Refund { amount: amount(&mut fields, &request.amount) };
    on_charge(fields, &request.request_id, &request.charge_id, digest(request), action)
}

pub(crate) fn get_charge(request: &proto::GetChargeRequest) -> Result<Uuid, Invalid> {
    let mut fields = Fields::default();
    let charge_id = fields.uuid("charge_id", &request.charge_id);
    fields.finish(charge_id)
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
    mut fields: Fields,
    request_id: &str,
    charge_id: &str,
    digest: [u8; 16],
    action: Action,
) -> Result<Command, Invalid> {
    let request_id = fields.uuid("request_id", request_id);
    let charge_id = fields.uuid("charge_id", charge_id);
    fields.finish(Command { charge_id, request_id, digest, action })
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
