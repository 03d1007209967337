//! The card processor, as payments speaks to it: a call that may have been lost is repeated under
//! its own key until there is an answer or no time.

use std::time::Duration;

use mesh_rpc::{Channel, Deadline, error_metadata, reason, timeout_request};
use mesh_runtime::crash;
use shop::{
    money::{self, Money},
    processor::v1::{
        AuthorizeChargeRequest, CaptureChargeRequest, Charge, ChargeState, GetChargeRequest,
        RefundChargeRequest, VoidChargeRequest, processor_service_client::ProcessorServiceClient,
    },
};
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};
use tracing::{debug, error};
use uuid::Uuid;

use crate::domain::{Answer, Call};

/// How long one attempt may take; longer than a processor that answers slowly.
const ATTEMPT: Duration = Duration::from_secs(3);
/// How long a call without a deadline is repeated.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is left for our own answer when time runs out.
const RESERVE: Duration = Duration::from_millis(100);
/// Pauses between attempts: the first, doubled each time up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(800);

/// Why a call has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsettled {
    /// The call may have had its effect; the same key will tell.
    #[error("the card processor did not answer")]
    OutcomeUnknown,
    /// Not now; the same key may succeed later.
    #[error("the card processor refused the refund for now")]
    RefundRefused,
}

/// The client of the card processor.
pub struct Processor {
    client: ProcessorServiceClient<Channel>,
}

impl Processor {
    pub fn new(channel: Channel) -> Self {
        Self { client: ProcessorServiceClient::new(channel) }
    }

    /// Makes a call about a payment, repeating it while its outcome is unknown and there is time.
    /// `step` names the crash points around each attempt.
    pub async fn ask(
        &self,
        payment: Uuid,
        call: &Call,
        step: &'static str,
    ) -> Result<Answer, Unsettled> {
        let end = Deadline::current()
            .map_or_else(|| Instant::now() + PATIENCE, |deadline| deadline.instant());
        let mut pause = FIRST_PAUSE;
        loop {
            let left = end.saturating_duration_since(Instant::now()).saturating_sub(RESERVE);
            if left.is_zero() {
                return Err(Unsettled::OutcomeUnknown);
            }
            crash::point(step, "before_call");
            let answer = self.attempt(payment, call, left.min(ATTEMPT)).await;
            crash::point(step, "after_call");
            match answer {
                Ok(answer) => return Ok(answer),
                Err(status) if reason(&status).as_deref() == Some("REFUND_REFUSED") => {
                    return Err(Unsettled::RefundRefused);
                }
                Err(status) if may_pass(status.code()) => {
                    debug!(payment_id = %payment, step, code = ?status.code(), "no answer yet");
                }
                Err(status) => {
                    let (code, reason) = (status.code(), reason(&status));
                    error!(payment_id = %payment, step, ?code, ?reason, "processor disagrees");
                    return Err(Unsettled::OutcomeUnknown);
                }
            }
            sleep(pause.min(left)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(
        &self,
        payment: Uuid,
        call: &Call,
        timeout: Duration,
    ) -> Result<Answer, Status> {
        let mut client = self.client.clone();
        let charge_id = payment.to_string();
        match call {
            Call::Authorize { card_token, amount } => {
                let request_id = charge_id;
                let (card_token, amount) =
                    (card_token.expose().to_owned(), Some(money::to_wire(*amount)));
                let request = AuthorizeChargeRequest { request_id, card_token, amount };
                let answer = client.authorize_charge(timeout_request(request, timeout)).await;
                let charge = answer.map(|it| it.into_inner().charge.unwrap_or_default());
                authorized(charge.map(|charge| charge.state()))
            }
            Call::Capture { key, part } => self.capture(payment, *key, *part, timeout).await,
            Call::Void { key } => {
                let request_id = key.to_string();
                let request = VoidChargeRequest { request_id, charge_id };
                match client.void_charge(timeout_request(request, timeout)).await {
                    Ok(_) => Ok(Answer::Voided),
                    Err(status) if reason(&status).as_deref() == Some("CHARGE_CAPTURED") => {
                        let charge = self.look_up(payment, timeout).await?;
                        let amount = captured(&charge).ok_or(status)?;
                        Ok(Answer::AlreadyCaptured { amount })
                    }
                    Err(status) => Err(status),
                }
            }
            Call::Refund { key, amount } => {
                let request_id = key.to_string();
                let amount = Some(money::to_wire(*amount));
                let request = RefundChargeRequest { request_id, charge_id, amount };
                client.refund_charge(timeout_request(request, timeout)).await?;
                Ok(Answer::Refunded { key: *key })
            }
        }
    }

    async fn capture(
        &self,
        payment: Uuid,
        key: Uuid,
        part: Option<Money>,
        timeout: Duration,
    ) -> Result<Answer, Status> {
        let (request_id, charge_id) = (key.to_string(), payment.to_string());
        let amount = part.map(money::to_wire);
        let request = CaptureChargeRequest { request_id, charge_id, amount };
        let mut client = self.client.clone();
        let answer = client.capture_charge(timeout_request(request, timeout)).await;
        let charge = match answer.map_err(|status| (reason(&status), status)) {
            Ok(answer) => answer.into_inner().charge.unwrap_or_default(),
            Err((Some(reason), _)) if is_refused_capture(&reason) => {
                return Ok(Answer::CaptureRefused { key });
            }
            // Perhaps an earlier capture took it.
            Err((Some(reason), _)) if reason == "CHARGE_NOT_AUTHORIZED" => {
                self.look_up(payment, timeout).await?
            }
            Err((_, status)) => return Err(status),
        };
        let taken = captured(&charge).map(|amount| Answer::Captured { key, amount });
        Ok(taken.unwrap_or(Answer::CaptureRefused { key }))
    }

    async fn look_up(&self, payment: Uuid, timeout: Duration) -> Result<Charge, Status> {
        let request = GetChargeRequest { charge_id: payment.to_string() };
        let answer = self.client.clone().get_charge(timeout_request(request, timeout)).await?;
        Ok(answer.into_inner().charge.unwrap_or_default())
    }
}

/// What was taken, if anything was.
fn captured(charge: &Charge) -> Option<Money> {
    let is_captured = charge.state() == ChargeState::Captured;
    charge.captured.as_ref().filter(|_| is_captured).and_then(|it| money::from_wire(it).ok())
}

fn authorized(answer: Result<ChargeState, Status>) -> Result<Answer, Status> {
    let status = match answer {
        Ok(ChargeState::Voided) => return Ok(Answer::Cancelled),
        Ok(_) => return Ok(Answer::Authorized),
        Err(status) => status,
    };
    match reason(&status).as_deref() {
        Some("CARD_DECLINED") => {
            let reason = error_metadata(&status, "decline_reason").unwrap_or_default();
            Ok(Answer::Declined { reason })
        }
        Some(reason @ "CARD_TOKEN_UNKNOWN") => Ok(Answer::Declined { reason: reason.to_owned() }),
        Some("CANCELLED_BEFORE_ARRIVAL") => Ok(Answer::Cancelled),
        _ => Err(status),
    }
}

fn is_refused_capture(reason: &str) -> bool {
    matches!(reason, "CAPTURE_REFUSED" | "CANCELLED_BEFORE_ARRIVAL" | "CHARGE_NOT_FOUND")
}

/// True for what another attempt may get past.
fn may_pass(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Cancelled
            | Code::Internal
            | Code::Unknown
    )
}
