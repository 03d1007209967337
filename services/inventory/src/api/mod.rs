//! `shop.inventory.v1.InventoryService` over gRPC. Handlers translate; they decide nothing.

mod status;

use mesh_log::Database;
use shop::inventory::v1::{
    self as proto, Reservation,
    inventory_service_server::{InventoryService, InventoryServiceServer},
};
use tonic::{Request, Response, Status};

use self::status::{failed, to_status};
use crate::{
    app::{self, Guard, StockDesk},
    wire::{self, ChangeRequest},
};

/// The service, ready to be mounted on a server.
pub fn inventory_service(
    db: Database,
    desk: StockDesk,
) -> InventoryServiceServer<impl InventoryService> {
    InventoryServiceServer::new(Api { db, desk })
}

struct Api {
    db: Database,
    desk: StockDesk,
}

impl Api {
    async fn change<R: ChangeRequest>(&self, asked: &R) -> Result<Option<Reservation>, Status> {
        let (command, guard) = wire::change(asked).map_err(to_status)?;
        let changed = self.desk.reservation(command, guard).await;
        Ok(Some(wire::reservation(&changed.map_err(|e| failed(asked, e))?)))
    }
}

#[tonic::async_trait]
impl InventoryService for Api {
    async fn receive_stock(
        &self,
        request: Request<proto::ReceiveStockRequest>,
    ) -> Result<Response<proto::ReceiveStockResponse>, Status> {
        let asked = request.get_ref();
        let command = wire::receive_stock(asked).map_err(to_status)?;
        let delivery = self.desk.delivery(command).await.map_err(|e| failed(asked, e))?;
        let stock = Some(wire::stock(&delivery.stock));
        Ok(Response::new(proto::ReceiveStockResponse { stock }))
    }

    async fn adjust_stock(
        &self,
        request: Request<proto::AdjustStockRequest>,
    ) -> Result<Response<proto::AdjustStockResponse>, Status> {
        let asked = request.get_ref();
        let command = wire::adjust_stock(asked).map_err(to_status)?;
        let adjustment = self.desk.adjustment(command).await.map_err(|e| failed(asked, e))?;
        let stock = Some(wire::stock(&adjustment.stock));
        Ok(Response::new(proto::AdjustStockResponse { stock }))
    }

    async fn set_low_stock_threshold(
        &self,
        request: Request<proto::SetLowStockThresholdRequest>,
    ) -> Result<Response<proto::SetLowStockThresholdResponse>, Status> {
        let asked = request.get_ref();
        let (command, guard) = wire::set_low_stock_threshold(asked).map_err(to_status)?;
        let set = self.desk.threshold(command, guard).await.map_err(|e| failed(asked, e))?;
        Ok(Response::new(wire::threshold(&set)))
    }

    async fn get_stock(
        &self,
        request: Request<proto::GetStockRequest>,
    ) -> Result<Response<proto::GetStockResponse>, Status> {
        let asked = request.get_ref();
        let sku = wire::get_stock(asked).map_err(to_status)?;
        let stock = app::get_stock(&self.db, sku).await.map_err(|e| failed(asked, e))?;
        Ok(Response::new(proto::GetStockResponse { stock: Some(wire::stock(&stock)) }))
    }

    async fn batch_get_stock(
        &self,
        request: Request<proto::BatchGetStockRequest>,
    ) -> Result<Response<proto::BatchGetStockResponse>, Status> {
        let asked = request.get_ref();
        let skus = wire::batch_get_stock(asked).map_err(to_status)?;
        let found = app::batch_get_stock(&self.db, skus).await.map_err(to_status)?;
        Ok(Response::new(wire::found_stock(&found)))
    }

    async fn list_stock(
        &self,
        request: Request<proto::ListStockRequest>,
    ) -> Result<Response<proto::ListStockResponse>, Status> {
        let asked = request.get_ref();
        let page = wire::list_stock(asked).map_err(to_status)?;
        let listed = app::list_stock(&self.db, page.after.as_ref(), page.low_only, page.size);
        let (stock, more) = listed.await.map_err(to_status)?;
        Ok(Response::new(wire::stock_page(&page, &stock, more)))
    }

    async fn list_movements(
        &self,
        request: Request<proto::ListMovementsRequest>,
    ) -> Result<Response<proto::ListMovementsResponse>, Status> {
        let asked = request.get_ref();
        let page = wire::list_movements(asked).map_err(to_status)?;
        let listed = app::list_movements(&self.db, &page.of, page.after, page.size);
        let (movements, more) = listed.await.map_err(to_status)?;
        Ok(Response::new(wire::movements_page(&page, &movements, more)))
    }

    async fn reserve_stock(
        &self,
        request: Request<proto::ReserveStockRequest>,
    ) -> Result<Response<proto::ReserveStockResponse>, Status> {
        let asked = request.get_ref();
        let command = wire::reserve_stock(asked).map_err(to_status)?;
        let made = self.desk.reservation(command, Guard::Itself).await;
        let reservation = Some(wire::reservation(&made.map_err(|e| failed(asked, e))?));
        Ok(Response::new(proto::ReserveStockResponse { reservation }))
    }

    async fn get_reservation(
        &self,
        request: Request<proto::GetReservationRequest>,
    ) -> Result<Response<proto::GetReservationResponse>, Status> {
        let asked = request.get_ref();
        let id = wire::get_reservation(asked).map_err(to_status)?;
        let found = app::get_reservation(&self.db, id).await.map_err(|e| failed(asked, e))?;
        let reservation = Some(wire::reservation(&found));
        Ok(Response::new(proto::GetReservationResponse { reservation }))
    }

    async fn commit_reservation(
        &self,
        request: Request<proto::CommitReservationRequest>,
    ) -> Result<Response<proto::CommitReservationResponse>, Status> {
        let asked = request.get_ref();
        let reservation = self.change(asked).await?;
        Ok(Response::new(proto::CommitReservationResponse { reservation }))
    }

    async fn release_reservation(
        &self,
        request: Request<proto::ReleaseReservationRequest>,
    ) -> Result<Response<proto::ReleaseReservationResponse>, Status> {
        let asked = request.get_ref();
        let reservation = self.change(asked).await?;
        Ok(Response::new(proto::ReleaseReservationResponse { reservation }))
    }

    async fn ship_reservation(
        &self,
        request: Request<proto::ShipReservationRequest>,
    ) -> Result<Response<proto::ShipReservationResponse>, Status> {
        let asked = request.get_ref();
        let reservation = self.change(asked).await?;
        Ok(Response::new(proto::ShipReservationResponse { reservation }))
    }

    async fn restock_reservation(
        &self,
        request: Request<proto::RestockReservationRequest>,
    ) -> Result<Response<proto::RestockReservationResponse>, Status> {
        let asked = request.get_ref();
        let reservation = self.change(asked).await?;
        Ok(Response::new(proto::RestockReservationResponse { reservation }))
    }
}
