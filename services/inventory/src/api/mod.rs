//! `shop.inventory.v1.InventoryService` over gRPC. Handlers translate; they decide nothing.

mod status;

use mesh_log::Database;
use shop::inventory::v1::{
    CommitReservationRequest, CommitReservationResponse, GetReservationRequest,
    GetReservationResponse, GetStockRequest, GetStockResponse, ReceiveStockRequest,
    ReceiveStockResponse, ReleaseReservationRequest, ReleaseReservationResponse, Reservation,
    ReserveStockRequest, ReserveStockResponse, RestockReservationRequest,
    RestockReservationResponse, ShipReservationRequest, ShipReservationResponse,
    inventory_service_server::{InventoryService, InventoryServiceServer},
};
use tonic::{Request, Response, Status};

use self::status::to_status;
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
    async fn change<R: ChangeRequest>(&self, request: &R) -> Result<Option<Reservation>, Status> {
        let (command, guard) = wire::change(request).map_err(to_status)?;
        let reservation = self.desk.reservation(command, guard).await.map_err(to_status)?;
        Ok(Some(wire::reservation(&reservation)))
    }
}

#[tonic::async_trait]
impl InventoryService for Api {
    async fn receive_stock(
        &self,
        request: Request<ReceiveStockRequest>,
    ) -> Result<Response<ReceiveStockResponse>, Status> {
        let command = wire::receive_stock(request.get_ref()).map_err(to_status)?;
        let delivery = self.desk.delivery(command).await.map_err(to_status)?;
        Ok(Response::new(ReceiveStockResponse { stock: Some(wire::stock(&delivery.stock)) }))
    }

    async fn get_stock(
        &self,
        request: Request<GetStockRequest>,
    ) -> Result<Response<GetStockResponse>, Status> {
        let sku = wire::get_stock(request.get_ref()).map_err(to_status)?;
        let stock = app::get_stock(&self.db, sku).await.map_err(to_status)?;
        Ok(Response::new(GetStockResponse { stock: Some(wire::stock(&stock)) }))
    }

    async fn reserve_stock(
        &self,
        request: Request<ReserveStockRequest>,
    ) -> Result<Response<ReserveStockResponse>, Status> {
        let command = wire::reserve_stock(request.get_ref()).map_err(to_status)?;
        let made = self.desk.reservation(command, Guard::Itself).await.map_err(to_status)?;
        let reservation = Some(wire::reservation(&made));
        Ok(Response::new(ReserveStockResponse { reservation }))
    }

    async fn get_reservation(
        &self,
        request: Request<GetReservationRequest>,
    ) -> Result<Response<GetReservationResponse>, Status> {
        let id = wire::get_reservation(request.get_ref()).map_err(to_status)?;
        let found = app::get_reservation(&self.db, id).await.map_err(to_status)?;
        let reservation = Some(wire::reservation(&found));
        Ok(Response::new(GetReservationResponse { reservation }))
    }

    async fn commit_reservation(
        &self,
        request: Request<CommitReservationRequest>,
    ) -> Result<Response<CommitReservationResponse>, Status> {
        let reservation = self.change(request.get_ref()).await?;
        Ok(Response::new(CommitReservationResponse { reservation }))
    }

    async fn release_reservation(
        &self,
        request: Request<ReleaseReservationRequest>,
    ) -> Result<Response<ReleaseReservationResponse>, Status> {
        let reservation = self.change(request.get_ref()).await?;
        Ok(Response::new(ReleaseReservationResponse { reservation }))
    }

    async fn ship_reservation(
        &self,
        request: Request<ShipReservationRequest>,
    ) -> Result<Response<ShipReservationResponse>, Status> {
        let reservation = self.change(request.get_ref()).await?;
        Ok(Response::new(ShipReservationResponse { reservation }))
    }

    async fn restock_reservation(
        &self,
        request: Request<RestockReservationRequest>,
    ) -> Result<Response<RestockReservationResponse>, Status> {
        let reservation = self.change(request.get_ref()).await?;
        Ok(Response::new(RestockReservationResponse { reservation }))
    }
}
