//! `shop.orders.v1.OrdersService`.

use mesh_rpc::access::only_of;
use mesh_runtime::Service;
use shop::orders::v1::{
    CancelOrderRequest, CancelOrderResponse, GetOrderRequest, GetOrderResponse, PlaceOrderRequest,
    PlaceOrderResponse, WatchOrderRequest, WatchOrderResponse,
    orders_service_server::{OrdersService, OrdersServiceServer},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{status::to_status, watch};
use crate::{
    app::{self, Orders},
    wire,
};

/// The service, ready to be mounted.
pub fn orders_service(
    orders: Orders,
    service: &Service,
) -> OrdersServiceServer<impl OrdersService> {
    OrdersServiceServer::new(Api { orders, draining: service.draining() })
}

struct Api {
    orders: Orders,
    draining: CancellationToken,
}

#[tonic::async_trait]
impl OrdersService for Api {
    type WatchOrderStream = ReceiverStream<Result<WatchOrderResponse, Status>>;

    async fn place_order(
        &self,
        request: Request<PlaceOrderRequest>,
    ) -> Result<Response<PlaceOrderResponse>, Status> {
        let command = wire::place_order(request.get_ref()).map_err(to_status)?;
        let shown = app::place_order(&self.orders, command).await.map_err(to_status)?;
        Ok(Response::new(PlaceOrderResponse { order: Some(wire::order(&shown)) }))
    }

    async fn cancel_order(
        &self,
        request: Request<CancelOrderRequest>,
    ) -> Result<Response<CancelOrderResponse>, Status> {
        let whose = only_of(&request);
        let command = wire::cancel_order(request.get_ref(), whose).map_err(to_status)?;
        let shown = app::cancel_order(&self.orders, command).await.map_err(to_status)?;
        Ok(Response::new(CancelOrderResponse { order: Some(wire::order(&shown)) }))
    }

    async fn get_order(
        &self,
        request: Request<GetOrderRequest>,
    ) -> Result<Response<GetOrderResponse>, Status> {
        let whose = only_of(&request);
        let (wanted, version) = wire::get_order(request.get_ref(), whose).map_err(to_status)?;
        let shown = app::get_order(&self.orders, wanted, version).await.map_err(to_status)?;
        Ok(Response::new(GetOrderResponse { order: Some(wire::order(&shown)) }))
    }

    async fn watch_order(
        &self,
        request: Request<WatchOrderRequest>,
    ) -> Result<Response<Self::WatchOrderStream>, Status> {
        let whose = only_of(&request);
        let (wanted, after) = wire::watch_order(request.get_ref(), whose).map_err(to_status)?;
        let changes = watch::changes(&self.orders, wanted, after, self.draining.clone()).await?;
        Ok(Response::new(changes))
    }
}
