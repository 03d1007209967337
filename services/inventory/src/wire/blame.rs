//! Which field of a request is to blame when it is refused for what is so, not for its form.

use shop::inventory::v1 as proto;

use super::ChangeRequest;
use crate::domain::{Refusal, Sku};

/// A request that can be refused.
pub(crate) trait Blame {
    /// Path of the field that is to blame.
    fn blame(&self, refusal: &Refusal) -> String;
}

impl<R: ChangeRequest> Blame for R {
    fn blame(&self, refusal: &Refusal) -> String {
        match refusal {
            Refusal::RequestContentDiffers => "request_id".to_owned(),
            _ => "reservation_id".to_owned(),
        }
    }
}

impl Blame for proto::ReserveStockRequest {
    fn blame(&self, refusal: &Refusal) -> String {
        let line = |sku: &Sku| self.lines.iter().position(|line| line.sku == sku.as_str());
        let of_line = |sku, field| line(sku).map(|n| format!("lines[{n}].{field}"));
        let of_line = match refusal {
            Refusal::OutOfStock { sku } => of_line(sku, "quantity"),
            Refusal::SkuUnknown { sku } => of_line(sku, "sku"),
            _ => None,
        };
        of_line.unwrap_or_else(|| "request_id".to_owned())
    }
}

impl Blame for proto::ReceiveStockRequest {
    fn blame(&self, _: &Refusal) -> String {
        "request_id".to_owned()
    }
}

impl Blame for proto::AdjustStockRequest {
    fn blame(&self, refusal: &Refusal) -> String {
        let field = match refusal {
            Refusal::OutOfStock { .. } => "quantity",
            Refusal::StockNotFound { .. } => "sku",
            _ => "request_id",
        };
        field.to_owned()
    }
}

impl Blame for proto::SetLowStockThresholdRequest {
    fn blame(&self, refusal: &Refusal) -> String {
        let field = match refusal {
            Refusal::ThresholdChanged => "etag",
            Refusal::StockNotFound { .. } => "sku",
            _ => "request_id",
        };
        field.to_owned()
    }
}

impl Blame for proto::GetStockRequest {
    fn blame(&self, _: &Refusal) -> String {
        "sku".to_owned()
    }
}

impl Blame for proto::GetReservationRequest {
    fn blame(&self, _: &Refusal) -> String {
        "reservation_id".to_owned()
    }
}
