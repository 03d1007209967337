//! `shop.orders.v1.CartsService`.

use mesh_log::Gather;
use mesh_rpc::Invalid;
use shop::orders::v1::{
    AddCartLineRequest, AddCartLineResponse, Cart as WireCart, ChangeCartLineRequest,
    ChangeCartLineResponse, ClearCartRequest, ClearCartResponse, GetCartRequest, GetCartResponse,
    MergeCartsRequest, MergeCartsResponse, RemoveCartLineRequest, RemoveCartLineResponse,
    SetCartLinesRequest, SetCartLinesResponse,
    carts_service_server::{CartsService, CartsServiceServer},
};
use tonic::{Request, Response, Status};

use super::status::{Failure, to_status};
use crate::{
    app::{self, Carts, ChangeCart},
    domain::Cart,
    store::ReadCarts,
    wire,
};

/// The service, ready to be mounted.
pub fn carts_service(
    read: Gather<ReadCarts>,
    write: Gather<Carts>,
) -> CartsServiceServer<impl CartsService> {
    CartsServiceServer::new(Api { read, write })
}

struct Api {
    read: Gather<ReadCarts>,
    write: Gather<Carts>,
}

impl Api {
    /// The cart after a change.
    async fn change(
        &self,
        command: Result<ChangeCart, Invalid>,
        failed: fn(app::Error) -> Failure,
    ) -> Result<Option<WireCart>, Status> {
        let command = command.map_err(to_status)?;
        let outcome = self.write.submit(command).await.map_err(to_status)?;
        let answer = outcome.map_err(|error| to_status(failed(error)))?;
        Ok(Some(wire::cart(&answer.cart, Some(answer.changed))))
    }
}

#[tonic::async_trait]
impl CartsService for Api {
    async fn get_cart(
        &self,
        request: Request<GetCartRequest>,
    ) -> Result<Response<GetCartResponse>, Status> {
        let customer = wire::get_cart(request.get_ref()).map_err(to_status)?;
        let cart = self.read.submit(customer).await.map_err(to_status)?;
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
        let cart = self.change(wire::set_cart_lines(request.get_ref()), Failure::InCart).await?;
        Ok(Response::new(SetCartLinesResponse { cart }))
    }

    async fn add_cart_line(
        &self,
        request: Request<AddCartLineRequest>,
    ) -> Result<Response<AddCartLineResponse>, Status> {
        let cart = self.change(wire::add_cart_line(request.get_ref()), Failure::InCart).await?;
        Ok(Response::new(AddCartLineResponse { cart }))
    }

    async fn change_cart_line(
        &self,
        request: Request<ChangeCartLineRequest>,
    ) -> Result<Response<ChangeCartLineResponse>, Status> {
        let cart = self.change(wire::change_cart_line(request.get_ref()), Failure::InCart).await?;
        Ok(Response::new(ChangeCartLineResponse { cart }))
    }

    async fn remove_cart_line(
        &self,
        request: Request<RemoveCartLineRequest>,
    ) -> Result<Response<RemoveCartLineResponse>, Status> {
        let cart = self.change(wire::remove_cart_line(request.get_ref()), Failure::InCart).await?;
        Ok(Response::new(RemoveCartLineResponse { cart }))
    }

    async fn clear_cart(
        &self,
        request: Request<ClearCartRequest>,
    ) -> Result<Response<ClearCartResponse>, Status> {
        let cart = self.change(wire::clear_cart(request.get_ref()), Failure::InCart).await?;
        Ok(Response::new(ClearCartResponse { cart }))
    }

    async fn merge_carts(
        &self,
        request: Request<MergeCartsRequest>,
    ) -> Result<Response<MergeCartsResponse>, Status> {
        let cart = self.change(wire::merge_carts(request.get_ref()), Failure::InMerge).await?;
        Ok(Response::new(MergeCartsResponse { cart }))
    }
}
