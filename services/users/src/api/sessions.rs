//! `shop.users.v1.SessionsService`.

use shop::users::v1::{
    GetKeysRequest, GetKeysResponse, ListSessionsRequest, ListSessionsResponse,
    RefreshSessionRequest, RefreshSessionResponse, SignInRequest, SignInResponse,
    SignOutEverywhereRequest, SignOutEverywhereResponse, SignOutRequest, SignOutResponse,
    sessions_service_server::SessionsService,
};
use tonic::{Request, Response, Status};

use super::{caller::address, status::to_status};
use crate::{
    app::{self, App},
    wire,
};

/// Signs persons in and out.
pub struct Sessions {
    pub app: App,
}

#[tonic::async_trait]
impl SessionsService for Sessions {
    async fn sign_in(
        &self,
        request: Request<SignInRequest>,
    ) -> Result<Response<SignInResponse>, Status> {
        let command = wire::sign_in(request.get_ref(), address(&request)).map_err(to_status)?;
        let signed = app::sign_in(&self.app, command).await.map_err(to_status)?;
        Ok(Response::new(wire::begun(&signed)))
    }

    async fn refresh_session(
        &self,
        request: Request<RefreshSessionRequest>,
    ) -> Result<Response<RefreshSessionResponse>, Status> {
        let token = wire::refresh_token(request.get_ref()).map_err(to_status)?;
        let signed = app::refresh(&self.app, &token).await.map_err(to_status)?;
        Ok(Response::new(wire::refreshed(&signed)))
    }

    async fn sign_out(
        &self,
        request: Request<SignOutRequest>,
    ) -> Result<Response<SignOutResponse>, Status> {
        let command = wire::sign_out(request.get_ref()).map_err(to_status)?;
        app::sign_out(&self.app, command).await.map_err(to_status)?;
        Ok(Response::new(SignOutResponse {}))
    }

    async fn sign_out_everywhere(
        &self,
        request: Request<SignOutEverywhereRequest>,
    ) -> Result<Response<SignOutEverywhereResponse>, Status> {
        let command = wire::sign_out_everywhere(request.get_ref()).map_err(to_status)?;
        app::sign_out(&self.app, command).await.map_err(to_status)?;
        Ok(Response::new(SignOutEverywhereResponse {}))
    }

    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        let asked = wire::list_sessions(request.get_ref()).map_err(to_status)?;
        let listed = app::list_sessions(&self.app, asked.query, asked.after, asked.size).await;
        let (sessions, more) = listed.map_err(to_status)?;
        Ok(Response::new(wire::sessions_page(&asked, &sessions, more)))
    }

    async fn get_keys(
        &self,
        _: Request<GetKeysRequest>,
    ) -> Result<Response<GetKeysResponse>, Status> {
        Ok(Response::new(wire::key_set(&self.app.keys.signer().jwks())))
    }
}
