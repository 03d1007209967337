//! `shop.storefront.v1.StorefrontService`.

mod status;

use mesh_events::Nats;
use shop::storefront::v1::{
    GetHomePageRequest, GetHomePageResponse, GetOrderPageRequest, GetOrderPageResponse,
    GetProductPageRequest, GetProductPageResponse, PurgeCacheRequest, PurgeCacheResponse,
    storefront_service_server::StorefrontService,
};
use tonic::{Request, Response, Status};

use self::status::{passed_on, to_status};
use crate::{listen, pages::Pages, wire};

/// Answers calls.
pub struct Storefront {
    pub pages: Pages,
    pub nats: Nats,
}

#[tonic::async_trait]
impl StorefrontService for Storefront {
    async fn get_home_page(
        &self,
        request: Request<GetHomePageRequest>,
    ) -> Result<Response<GetHomePageResponse>, Status> {
        let asked = wire::home(request.get_ref()).map_err(to_status)?;
        Ok(Response::new(self.pages.home(asked).await))
    }

    async fn get_product_page(
        &self,
        request: Request<GetProductPageRequest>,
    ) -> Result<Response<GetProductPageResponse>, Status> {
        let sku = wire::product(request.get_ref()).map_err(to_status)?;
        self.pages.product(&sku).await.map(Response::new).map_err(|status| passed_on(&status))
    }

    async fn get_order_page(
        &self,
        request: Request<GetOrderPageRequest>,
    ) -> Result<Response<GetOrderPageResponse>, Status> {
        let order = wire::order(request.get_ref()).map_err(to_status)?;
        self.pages.order(order).await.map(Response::new).map_err(|status| passed_on(&status))
    }

    async fn purge_cache(
        &self,
        request: Request<PurgeCacheRequest>,
    ) -> Result<Response<PurgeCacheResponse>, Status> {
        let prefix = wire::purge(request.get_ref()).map_err(to_status)?;
        let purged = self.pages.products.purge(&prefix);
        listen::purge_everywhere(&self.nats, &prefix).await.map_err(to_status)?;
        Ok(Response::new(PurgeCacheResponse { purged: i32::try_from(purged).unwrap_or(i32::MAX) }))
    }
}
