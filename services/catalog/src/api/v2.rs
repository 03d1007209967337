//! `shop.catalog.v2.CategoriesService`.

use shop::catalog::v2::{
    CreateCategoryRequest, CreateCategoryResponse, GetCategoryRequest, GetCategoryResponse,
    ListCategoriesRequest, ListCategoriesResponse, UpdateCategoryRequest, UpdateCategoryResponse,
    categories_service_server::CategoriesService,
};
use tonic::{Request, Response, Status};

use super::{Api, status::to_status};
use crate::{app, domain::Refusal, store, wire::v2 as wire};

#[tonic::async_trait]
impl CategoriesService for Api {
    async fn create_category(
        &self,
        request: Request<CreateCategoryRequest>,
    ) -> Result<Response<CreateCategoryResponse>, Status> {
        let command = wire::create_category(request.get_ref()).map_err(to_status)?;
        let category = app::create_category(&self.db, command).await.map_err(to_status)?;
        Ok(Response::new(CreateCategoryResponse { category: Some(wire::category(&category)) }))
    }

    async fn get_category(
        &self,
        request: Request<GetCategoryRequest>,
    ) -> Result<Response<GetCategoryResponse>, Status> {
        let slug = wire::get_category(request.get_ref()).map_err(to_status)?;
        let found = store::category_of(self.db.pool(), &slug).await.map_err(to_status)?;
        let category = found.ok_or(Refusal::SlugNotFound).map_err(to_status)?;
        Ok(Response::new(GetCategoryResponse { category: Some(wire::category(&category)) }))
    }

    async fn list_categories(
        &self,
        request: Request<ListCategoriesRequest>,
    ) -> Result<Response<ListCategoriesResponse>, Status> {
        let asked = wire::list_categories(request.get_ref()).map_err(to_status)?;
        let after = asked.query.as_ref();
        let listed = app::list_categories(self.db.pool(), after, asked.size).await;
        let (categories, more) = listed.map_err(to_status)?;
        Ok(Response::new(wire::categories_page(&asked, &categories, more)))
    }

    async fn update_category(
        &self,
        request: Request<UpdateCategoryRequest>,
    ) -> Result<Response<UpdateCategoryResponse>, Status> {
        let command = wire::update_category(request.get_ref()).map_err(to_status)?;
        let category = app::update_category(&self.db, command).await.map_err(to_status)?;
        Ok(Response::new(UpdateCategoryResponse { category: Some(wire::category(&category)) }))
    }
}
