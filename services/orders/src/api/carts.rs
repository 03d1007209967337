//! `shop.orders.v1.CartsService`.

use mesh_log::{Database, Gather};
use shop::orders::v1::{
    GetCartRequest, GetCartResponse, SetCartLinesRequest, SetCartLinesResponse,
    carts_service_server::{CartsService, CartsServiceServer},
};
use tonic::{Request, Response, Status};

use super::status::{Failure, to_status};
use crate::{app::Carts, domain::Cart, store, wire};

/// The service, ready to be mounted.
pub fn carts_service(db: Database, carts: Gather<Carts>) -> CartsServiceServer<impl CartsService> {
    CartsServiceServer::new(Api { db, carts })
}

struct Api {
    db: Database,
    carts: Gather<Carts>,
}

#[tonic::async_trait]
impl CartsService for Api {
    async fn get_cart(
        &self,
        request: Request<GetCartRequest>,
    ) -> Result<Response<GetCartResponse>, Status> {
        let customer = wire::get_cart(request.get_ref()).map_err(to_status)?;
        let cart = store::get_cart(self.db.pool(), customer).await.map_err(to_status)?;
        let cart = match cart {
            Some((cart, changed)) => wire::cart(&cart, Some(changed)),
            None => wire::cart(&Cart::empty(customer), None),
        };
        Ok(Response::new(GetCartResponse { cart: Some(cart) }))
    }

    async fn set_cart_lines(
        &self,
        request: Request<SetCartLinesRequest>,
    ) -> Result<Response<SetCartLinesResponse>, Status> {
        let command = wire::set_cart_lines(request.get_ref()).map_err(to_status)?;
        let outcome = self.carts.submit(command).await.map_err(to_status)?;
        let answer = outcome.map_err(|error| to_status(Failure::InCart(error)))?;
        let cart = Some(wire::cart(&answer.cart, Some(answer.changed)));
        Ok(Response::new(SetCartLinesResponse { cart }))
    }
}
