//! What happens to the shelf itself: deliveries, corrections, and from when on it counts as low.

use uuid::Uuid;

use super::Ledger;
use crate::domain::{
    Adjust, Adjustment, Bucket, Cause, Delivery, Digest, Line, News, Refusal, Sku, Stock, Threshold,
};

impl Ledger {
    pub(super) fn receive(
        &mut self,
        id: Uuid,
        digest: Digest,
        sku: &Sku,
        quantity: i64,
    ) -> Result<Delivery, Refusal> {
        if let Some(first) = self.deliveries.get(&id) {
            let same = first.digest == digest;
            return if same { Ok(first.clone()) } else { Err(Refusal::RequestContentDiffers) };
        }
        let line = Line { sku: sku.clone(), quantity };
        self.stock.entry(sku.clone()).or_insert_with(|| Stock::empty(sku.clone()));
        self.shift(&line, Bucket::Supplier, Bucket::OnHand, Cause::Delivery(id));
        let delivery = Delivery { id, digest, quantity, stock: self.stock[sku].clone() };
        self.deliveries.insert(id, delivery.clone());
        self.new_deliveries.push(id);
        Ok(delivery)
    }

    pub(super) fn adjust(&mut self, request: &Adjust) -> Result<Adjustment, Refusal> {
        let Adjust { id, digest, ref sku, quantity, reason, ref note } = *request;
        if let Some(first) = self.adjustments.get(&id) {
            let same = first.digest == digest;
            return if same { Ok(first.clone()) } else { Err(Refusal::RequestContentDiffers) };
        }
        let stock = self.known(sku)?;
        let on_hand = stock.on_hand + quantity;
        if on_hand < 0 {
            return Err(Refusal::OutOfStock { sku: sku.clone() });
        }
        let (from, to) = match quantity {
            ..0 => (Bucket::OnHand, reason.sink()),
            _ => (Bucket::Supplier, Bucket::OnHand),
        };
        self.tell(sku, News::Adjusted { adjustment: id, quantity, reason, on_hand });
        let line = Line { sku: sku.clone(), quantity: quantity.abs() };
        self.shift(&line, from, to, Cause::Adjustment(id));
        let (note, stock) = (note.clone(), self.stock[sku].clone());
        let adjustment = Adjustment { id, digest, quantity, reason, note, stock };
        self.adjustments.insert(id, adjustment.clone());
        self.new_adjustments.push(id);
        Ok(adjustment)
    }

    /// Sets a threshold, if it still is the one that the caller saw. Tells nobody: nothing fell.
    pub(super) fn set_threshold(
        &mut self,
        sku: &Sku,
        threshold: i64,
        expected: Option<i32>,
    ) -> Result<Threshold, Refusal> {
        let current = self.known(sku)?.threshold_version;
        if expected.is_some_and(|expected| expected != current) {
            return Err(Refusal::ThresholdChanged);
        }
        let stock = self.stock.get_mut(sku).expect("it is known");
        if stock.threshold != threshold {
            stock.threshold = threshold;
            stock.threshold_version += 1;
            self.dirty_stock.insert(sku.clone());
            self.silent += 1;
        }
        let version = self.stock[sku].threshold_version;
        Ok(Threshold { sku: sku.clone(), threshold, version })
    }

    fn known(&self, sku: &Sku) -> Result<&Stock, Refusal> {
        let stock = self.stock.get(sku).filter(|stock| stock.is_known());
        stock.ok_or_else(|| Refusal::StockNotFound { sku: sku.clone() })
    }
}
