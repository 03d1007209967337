//! `shop.orders.v1.OrderQueriesService`.

use mesh_rpc::access::only_of;
use shop::orders::v1::{
    ListOrderEventsRequest, ListOrderEventsResponse, ListOrdersRequest, ListOrdersResponse,
    order_queries_service_server::{OrderQueriesService, OrderQueriesServiceServer},
};
use tonic::{Request, Response, Status};

use super::status::to_status;
use crate::{
    app::{self, Orders},
    wire,
};

/// The service, ready to be mounted.
pub fn order_queries_service(
    orders: Orders,
) -> OrderQueriesServiceServer<impl OrderQueriesService> {
    OrderQueriesServiceServer::new(Api { orders })
}

struct Api {
    orders: Orders,
}

#[tonic::async_trait]
impl OrderQueriesService for Api {
    async fn list_orders(
        &self,
        request: Request<ListOrdersRequest>,
    ) -> Result<Response<ListOrdersResponse>, Status> {
        let (filter, after, size) = wire::list_orders(request.get_ref()).map_err(to_status)?;
        let page = app::list_orders(&self.orders, filter, only_of(&request), after, size).await;
        let page = page.map_err(to_status)?;
        Ok(Response::new(wire::orders_page(request.get_ref(), &page)))
    }

    async fn list_order_events(
        &self,
        request: Request<ListOrderEventsRequest>,
    ) -> Result<Response<ListOrderEventsResponse>, Status> {
        let asked = wire::list_order_events(request.get_ref(), only_of(&request));
        let (wanted, after, size) = asked.map_err(to_status)?;
        let page = app::list_order_events(&self.orders, wanted, after, size).await;
        let page = page.map_err(to_status)?;
        Ok(Response::new(wire::order_events_page(request.get_ref(), &page)))
    }
}
